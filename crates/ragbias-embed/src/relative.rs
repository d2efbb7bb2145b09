//! The buckets of MPNet's relative attention: a score has a bias by its head and by the distance between query and key.

use crate::config::RELATIVE_BUCKETS;

/// Half of the buckets are for keys after the query.
const HALF: usize = RELATIVE_BUCKETS / 2;
/// Distances below this have a bucket each.
const EXACT: usize = HALF / 2;

/// The bucket of a key that is `distance` tokens before its query, or after it.
///
/// From `EXACT` on, buckets widen with the logarithm of the distance, and the last holds everything from 91 tokens on:
/// `relative_position_bucket` of transformers' MPNet, with ⌊8·ln(d/8)/ln(16)⌋ in whole numbers.
fn bucket(distance: usize, is_after: bool) -> usize {
    let own = if distance < EXACT {
        distance
    } else {
        // 2·log₂(d/8) ≥ n exactly if d² ≥ 64·2ⁿ.
        let squared = distance.saturating_mul(distance);
        (1..HALF - EXACT).take_while(|n| squared >= (EXACT * EXACT) << n).count() + EXACT
    };
    if is_after { HALF + own } else { own }
}

/// The buckets of all distances in texts of up to `longest` tokens: from a key that is `longest − 1` before its query to one that is
/// as far after it. Those of query i of a text are the values from `longest − 1 − i` on.
pub(crate) fn buckets(longest: usize) -> impl Iterator<Item = usize> + Clone {
    (1..longest)
        .rev()
        .map(|distance| bucket(distance, false))
        .chain((0..longest).map(|distance| bucket(distance, distance > 0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_those_of_transformers() {
        // MPNetEncoder.relative_position_bucket; positive distances are those of keys after their query.
        for (distance, expected) in [
            (-9000, 15),
            (-130, 15),
            (-64, 14),
            (-16, 10),
            (-11, 8),
            (-8, 8),
            (-7, 7),
            (0, 0),
            (1, 17),
            (7, 23),
            (12, 25),
            (16, 26),
            (90, 30),
            (91, 31),
        ] {
            assert_eq!(bucket(i32::unsigned_abs(distance) as usize, distance > 0), expected, "{distance}");
        }
        assert!(buckets(3).eq([2, 1, 0, 17, 18]));
        assert_eq!(buckets(0).count(), 0);
    }
}
