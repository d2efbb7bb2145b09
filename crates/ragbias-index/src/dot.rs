//! The inner product and the distance of two vectors, with the same sum on every machine.
#![allow(
    unsafe_code,
    reason = "the registers of AVX2 are reached by functions that are unsafe: see the safety comment"
)]

/// Lanes of the sum: four AVX2 registers, enough that no multiply-add waits for the previous one.
const LANES: usize = 32;

/// Σ a·b over the shorter length. Value i is added to lane i mod 32 and the lanes are added in halves, on every machine:
/// the result is bit-identical with and without vector registers.
#[inline]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    #[cfg(all(target_feature = "avx2", target_feature = "fma"))]
    return in_registers(a, b);
    #[cfg(not(all(target_feature = "avx2", target_feature = "fma")))]
    return in_lanes(a, b);
}

/// Σ (a − b)², over the shorter length, summed in lanes like [`dot`].
pub(crate) fn squared_distance(a: &[f32], b: &[f32]) -> f32 {
    let length = a.len().min(b.len());
    let mut lanes = [0.0_f32; LANES];
    for (a, b) in a[..length].chunks(LANES).zip(b[..length].chunks(LANES)) {
        for (lane, (x, y)) in lanes.iter_mut().zip(a.iter().zip(b)) {
            let difference = x - y;
            *lane = difference.mul_add(difference, *lane);
        }
    }
    halved(lanes)
}

/// The sum of the lanes, in halves.
fn halved(mut lanes: [f32; LANES]) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] += lanes[lane + half];
        }
        half /= 2;
    }
    lanes[0]
}

/// The remainder after whole blocks, in lanes.
#[inline]
fn rest(a: &[f32], b: &[f32]) -> [f32; LANES] {
    let mut lanes = [0.0; LANES];
    for (lane, (x, y)) in lanes.iter_mut().zip(a.iter().zip(b)) {
        *lane = x * y;
    }
    lanes
}

#[cfg_attr(
    all(target_feature = "avx2", target_feature = "fma", not(test)),
    expect(dead_code, reason = "the slow twin")
)]
fn in_lanes(a: &[f32], b: &[f32]) -> f32 {
    let length = a.len().min(b.len());
    let (a, b) = (a[..length].chunks_exact(LANES), b[..length].chunks_exact(LANES));
    let mut lanes = rest(a.remainder(), b.remainder());
    for (x, y) in a.zip(b) {
        for lane in 0..LANES {
            lanes[lane] = x[lane].mul_add(y[lane], lanes[lane]);
        }
    }
    halved(lanes)
}

#[cfg(all(target_feature = "avx2", target_feature = "fma"))]
#[inline]
fn in_registers(a: &[f32], b: &[f32]) -> f32 {
    use std::arch::x86_64::{
        _mm_add_ps, _mm_add_ss, _mm_cvtss_f32, _mm_movehl_ps, _mm_shuffle_ps, _mm256_add_ps,
        _mm256_castps256_ps128, _mm256_extractf128_ps, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_setzero_ps,
    };
    let length = a.len().min(b.len());
    let whole = length - length % LANES;
    // SAFETY: this is compiled only where the target has AVX2 and FMA; every load is of 8 values that lie within a slice
    // of at least `whole` values, or within the lanes of the rest.
    unsafe {
        let mut sums = [_mm256_setzero_ps(); 4];
        if whole < length {
            let lanes = rest(&a[whole..length], &b[whole..length]);
            for (i, sum) in sums.iter_mut().enumerate() {
                *sum = _mm256_loadu_ps(lanes.as_ptr().add(8 * i));
            }
        }
        let (a, b) = (a.as_ptr(), b.as_ptr());
        for at in (0..whole).step_by(LANES) {
            for (i, sum) in sums.iter_mut().enumerate() {
                let at = at + 8 * i;
                *sum = _mm256_fmadd_ps(_mm256_loadu_ps(a.add(at)), _mm256_loadu_ps(b.add(at)), *sum);
            }
        }
        let eight = _mm256_add_ps(_mm256_add_ps(sums[0], sums[2]), _mm256_add_ps(sums[1], sums[3]));
        let four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
        let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
        _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_sum_is_that_of_the_products_and_the_same_in_registers_and_in_lanes(
            pairs in prop::collection::vec((-1.0..1.0_f32, -1.0..1.0_f32), 0..200),
        ) {
            let (a, b): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
            let slow: f64 = a.iter().zip(&b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum();
            prop_assert!((f64::from(dot(&a, &b)) - slow).abs() < 1e-4);
            prop_assert_eq!(dot(&a, &b).to_bits(), in_lanes(&a, &b).to_bits());
            let slow: f64 = a.iter().zip(&b).map(|(x, y)| (f64::from(*x) - f64::from(*y)).powi(2)).sum();
            prop_assert!((f64::from(squared_distance(&a, &b)) - slow).abs() < 1e-3);
        }
    }
}
