//! The non-linearities of MLPs, without branches, so that the compiler makes vector code of loops over them.

use ragbias_kernels::exp_clamped as exp;

use crate::config::Activation;

/// The standard normal distribution function, absolute error below 1e-7.
///
/// erf(a) = 1 − e^(−a·P(a)) for a ≥ 0: P, of degree 7, is a weighted least-squares fit of −ln(erfc a)/a over [0, 4],
/// where the error of erf is below 2e-8 before rounding; beyond 4, erf is 1 to 2e-8.
#[inline(always)]
fn normal(x: f32) -> f32 {
    const P: [f32; 7] =
        [-3.102_711e-4, 1.036_437_5e-3, 5.314_126e-4, -1.957_998_8e-2, 0.102_918_155, 0.636_598, 1.128_380_3];
    let a = (x.abs() * std::f32::consts::FRAC_1_SQRT_2).min(4.0);
    let mut p = 3.164_876e-5;
    for coefficient in P {
        p = a.mul_add(p, coefficient);
    }
    let half_erf = 0.5 - 0.5 * exp(-a * p);
    0.5 + half_erf.copysign(x)
}

/// 1 − 2/(e^{2u} + 1).
#[inline(always)]
fn tanh(u: f32) -> f32 {
    1.0 - 2.0 / (exp(2.0 * u) + 1.0)
}

/// 1/(1 + e^(−x)).
#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// √(2/π).
const TANH_SCALE: f32 = 0.797_884_6;
const TANH_CUBE: f32 = 0.044_715;

impl Activation {
    /// f(x) in place.
    #[inline(always)]
    pub(super) fn apply_to(self, values: &mut [f32]) {
        match self {
            Self::Gelu => each(values, |x| x * normal(x)),
            Self::GeluTanh => {
                each(values, |x| 0.5 * x * (1.0 + tanh(TANH_SCALE * TANH_CUBE.mul_add(x * x * x, x))));
            }
            Self::Relu => each(values, |x| x.max(0.0)),
            Self::Silu => each(values, |x| x * sigmoid(x)),
        }
    }

    /// f(x) in place, and f′(x) into `slopes`.
    #[inline(always)]
    pub(super) fn apply_with_slopes(self, values: &mut [f32], slopes: &mut [f32]) {
        match self {
            Self::Gelu => each_with_slope(values, slopes, |x| {
                /// 1/√(2π).
                const DENSITY: f32 = 0.398_942_3;
                let below = normal(x);
                (x * below, (x * DENSITY).mul_add(exp(-0.5 * x * x), below))
            }),
            Self::GeluTanh => each_with_slope(values, slopes, |x| {
                let t = tanh(TANH_SCALE * TANH_CUBE.mul_add(x * x * x, x));
                let inner = TANH_SCALE * (3.0 * TANH_CUBE).mul_add(x * x, 1.0);
                (0.5 * x * (1.0 + t), 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * inner)
            }),
            Self::Relu => {
                each_with_slope(values, slopes, |x| (x.max(0.0), if x > 0.0 { 1.0 } else { 0.0 }));
            }
            Self::Silu => each_with_slope(values, slopes, |x| {
                let s = sigmoid(x);
                (x * s, (x * s).mul_add(1.0 - s, s))
            }),
        }
    }
}

#[inline(always)]
fn each(values: &mut [f32], f: impl Fn(f32) -> f32) {
    for x in values {
        *x = f(*x);
    }
}

#[inline(always)]
fn each_with_slope(values: &mut [f32], slopes: &mut [f32], f: impl Fn(f32) -> (f32, f32)) {
    for (x, slope) in values.iter_mut().zip(slopes) {
        (*x, *slope) = f(*x);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_normal_distribution_function_is_that_of_scipy() {
        // scipy.stats.norm.cdf
        for (x, expected) in [
            (-5.5, 1.898_956_25e-8),
            (-2.0, 0.022_750_131_948_179_21),
            (-0.5, 0.308_537_538_725_986_9),
            (0.0, 0.5),
            (1e-3, 0.500_398_942_213_911),
            (1.0, 0.841_344_746_068_543),
            (3.0, 0.998_650_101_968_370),
            (9.0, 1.0),
        ] {
            let ours = f64::from(normal(x));
            assert!((ours - expected).abs() < 1.2e-7, "{x}: {ours} {expected}");
        }
    }

    #[test]
    fn slopes_are_those_of_the_values() {
        for activation in [Activation::Gelu, Activation::GeluTanh, Activation::Relu, Activation::Silu] {
            for i in -60..60 {
                let x = 0.1 * i as f32 + 0.05;
                let at = |x: f32| {
                    let mut value = [x];
                    activation.apply_to(&mut value);
                    f64::from(value[0])
                };
                let (mut value, mut slope) = ([x], [0.0]);
                activation.apply_with_slopes(&mut value, &mut slope);
                assert_eq!(f64::from(value[0]), at(x));
                let step = 0.01;
                let expected = (at(x + step) - at(x - step)) / f64::from(2.0 * step);
                assert!((f64::from(slope[0]) - expected).abs() < 2e-4, "{activation:?} at {x}");
            }
        }
    }
}
