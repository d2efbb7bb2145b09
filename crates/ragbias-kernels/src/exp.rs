//! e^x without branches, so that the compiler makes vector code of loops over it.
//!
//! There are two, of like accuracy and different last bits: embedders compute with the one, LLMs with the other.
#![allow(clippy::inline_always, reason = "loops over them are to be compiled where they are written")]

/// e^x, relative error below 2e-7; x is clamped to [−87, 88].
///
/// x = n·ln 2 + r, |r| ≤ ln 2 / 2; e^r by its Taylor polynomial, 2^n by the exponent's bits (Cody & Waite, *Software
/// Manual for the Elementary Functions*, 1980, ch. 6).
#[inline(always)]
pub fn exp_clamped(x: f32) -> f32 {
    /// 1.5·2²³: adding it rounds to a whole number, which is then in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    /// ln 2 in two parts; the first has few enough digits for n·HIGH to be exact.
    const HIGH: f32 = 0.693_359_4;
    const LOW: f32 = -2.121_944_4e-4;
    let x = x.clamp(-87.0, 88.0);
    let shifted = x.mul_add(std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = n.mul_add(-LOW, n.mul_add(-HIGH, x));
    let mut power = 1.0 / 5040.0;
    for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        power = r.mul_add(power, coefficient);
    }
    power * f32::from_bits(shifted.to_bits().wrapping_add(127) << 23)
}

/// eˣ to within 2 units in the last place; 0 below −87.
#[inline(always)]
pub fn exp_or_zero(x: f32) -> f32 {
    // x = n·ln 2 + r with |r| ≤ ln 2 / 2; adding 1.5·2²³ rounds to a whole number, which is then in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    let clamped = x.clamp(-87.0, 88.0);
    let shifted = clamped.mul_add(std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = n.mul_add(-0.693_359_4, clamped);
    let r = n.mul_add(2.121_944_4e-4, r);
    let mut series = 1.987_569_1e-4_f32;
    for coefficient in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        series = series.mul_add(r, coefficient);
    }
    let fraction = series.mul_add(r * r, r) + 1.0;
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(1.0_f32.to_bits()));
    if x < -87.0 { 0.0 } else { fraction * power }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clamped_exponentials_are_those_of_the_library() {
        for i in -8700..=8800 {
            let x = i as f32 / 100.0;
            let expected = f64::from(x).exp();
            assert!((f64::from(exp_clamped(x)) / expected - 1.0).abs() < 2e-7, "e^{x}");
        }
        assert!(exp_clamped(f32::NEG_INFINITY) < 2e-38 && exp_clamped(-1e4) < 2e-38);
    }

    #[test]
    fn exponentials_are_right_to_two_units_in_the_last_place() {
        for x in (-87_000..88_000).map(|x| x as f32 / 1000.0) {
            let (expected, error) = (f64::from(x).exp(), f64::from(exp_or_zero(x)) - f64::from(x).exp());
            assert!(error.abs() < 2.4e-7 * expected, "{x}");
        }
        assert_eq!((exp_or_zero(0.0), exp_or_zero(-1000.0), exp_or_zero(f32::NEG_INFINITY)), (1.0, 0.0, 0.0));
    }
}
