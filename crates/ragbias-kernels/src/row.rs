//! Reductions over one row, in partial sums, so that the compiler vectorises them.
#![allow(clippy::inline_always, reason = "their loops are to be compiled where they are called")]

/// Partial results of one reduction: value i goes to number i mod 16.
pub const LANES: usize = 16;

/// One value from those of all lanes, whose number is a power of 2: halves with one another, down to one.
#[inline(always)]
pub(crate) fn across<const N: usize>(mut lanes: [f32; N], with: impl Fn(f32, f32) -> f32) -> f32 {
    let mut half = N / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] = with(lanes[lane], lanes[lane + half]);
        }
        half /= 2;
    }
    lanes[0]
}

/// Σ of(x).
#[inline(always)]
pub fn sum(row: &[f32], of: impl Fn(f32) -> f32) -> f32 {
    let mut sums = [0.0; LANES];
    let chunks = row.chunks_exact(LANES);
    let rest: f32 = chunks.remainder().iter().map(|&x| of(x)).sum();
    for chunk in chunks {
        for (sum, &x) in sums.iter_mut().zip(chunk) {
            *sum += of(x);
        }
    }
    across(sums, |a, b| a + b) + rest
}

/// The largest value; −∞ of an empty row.
#[inline(always)]
pub fn largest(row: &[f32]) -> f32 {
    let higher = |a: f32, b: f32| if b > a { b } else { a };
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let chunks = row.chunks_exact(LANES);
    let rest = chunks.remainder().iter().copied().fold(f32::NEG_INFINITY, higher);
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane = higher(*lane, x);
        }
    }
    higher(across(lanes, higher), rest)
}

/// sums += row, over the shorter length.
#[inline(always)]
pub fn add(sums: &mut [f32], row: &[f32]) {
    for (sum, x) in sums.iter_mut().zip(row) {
        *sum += x;
    }
}

/// sums += the sum of all rows, each as long as `sums`.
#[inline]
pub fn add_rows(sums: &mut [f32], rows: &[f32]) {
    for row in rows.chunks_exact(sums.len()) {
        add(sums, row);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reductions_take_every_value_whatever_the_length() {
        for length in [1, 15, 16, 17, 129] {
            let row: Vec<f32> = (0..length).map(|i| (i * 29 % 31) as f32 - 15.0).collect();
            assert_eq!(sum(&row, |x| x), row.iter().sum::<f32>());
            assert_eq!(largest(&row), row.iter().copied().fold(f32::MIN, f32::max));
        }
    }
}
