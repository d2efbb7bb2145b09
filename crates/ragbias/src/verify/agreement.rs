use std::collections::BTreeSet;

use ndarray::ArrayView2;
use serde::Serialize;

/// Documents of which the nearest are compared.
const TOP: usize = 10;

/// How two sets of vectors of the same texts agree.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Agreement {
    /// Number of texts.
    pub texts: usize,
    /// The least cosine of a text's two vectors, in [−1, 1].
    pub least_cosine: f64,
    /// The median cosine.
    pub median_cosine: f64,
}

impl Agreement {
    /// Of two arrays, `(texts, dim)` each; none without texts, or if the dimensions differ.
    pub(super) fn of(ours: ArrayView2<'_, f32>, theirs: ArrayView2<'_, f32>) -> Option<Self> {
        if ours.dim() != theirs.dim() {
            return None;
        }
        let mut cosines: Vec<f64> =
            ours.rows().into_iter().zip(theirs.rows()).map(|(a, b)| cosine(a.iter(), b.iter())).collect();
        cosines.sort_by(f64::total_cmp);
        let (texts, middle) = (cosines.len(), cosines.len() / 2);
        let median = if texts % 2 == 1 {
            *cosines.get(middle)?
        } else {
            f64::midpoint(*cosines.get(middle.checked_sub(1)?)?, *cosines.get(middle)?)
        };
        Some(Self { texts, least_cosine: *cosines.first()?, median_cosine: median })
    }

    /// Whether every text's cosine is within this of 1.
    pub(super) fn is_within(&self, tolerance: f64) -> bool {
        self.least_cosine >= 1.0 - tolerance
    }
}

/// The cosine of two vectors; 0 if one of them has length 0.
fn cosine<'v>(a: impl Iterator<Item = &'v f32>, b: impl Iterator<Item = &'v f32>) -> f64 {
    let (mut product, mut of_a, mut of_b) = (0.0, 0.0, 0.0);
    for (&a, &b) in a.zip(b) {
        let (a, b) = (f64::from(a), f64::from(b));
        product += a * b;
        of_a += a * a;
        of_b += b * b;
    }
    if of_a > 0.0 && of_b > 0.0 { product / (of_a * of_b).sqrt() } else { 0.0 }
}

/// The mean overlap of each text's ten nearest other texts by cosine: the Jaccard index, from 0 to 1. None for fewer than twelve texts.
pub(super) fn top_overlap(ours: ArrayView2<'_, f32>, theirs: ArrayView2<'_, f32>) -> Option<f64> {
    let texts = ours.nrows();
    if texts != theirs.nrows() || texts < TOP + 2 {
        return None;
    }
    let overlap = |text: usize| {
        let (ours, theirs) = (nearest(ours, text), nearest(theirs, text));
        let both = ours.intersection(&theirs).count() as f64;
        both / (ours.union(&theirs).count() as f64)
    };
    Some((0..texts).map(overlap).sum::<f64>() / texts as f64)
}

/// The ten nearest others of a text.
fn nearest(vectors: ArrayView2<'_, f32>, text: usize) -> BTreeSet<usize> {
    let of = vectors.row(text);
    let mut others: Vec<(f64, usize)> = (0..vectors.nrows())
        .filter(|other| *other != text)
        .map(|other| (cosine(of.iter(), vectors.row(other).iter()), other))
        .collect();
    others.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    others.into_iter().take(TOP).map(|(_, other)| other).collect()
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};

    use super::*;

    #[test]
    fn cosines_do_not_depend_on_lengths() {
        let (a, b) = (array![[1.0_f32, 0.0], [0.0, 2.0]], array![[3.0_f32, 0.0], [1.0, 1.0]]);
        let found = Agreement::of(a.view(), b.view()).unwrap();
        assert!((found.least_cosine - 0.5_f64.sqrt()).abs() < 1e-7);
        assert!((found.median_cosine - f64::midpoint(1.0, 0.5_f64.sqrt())).abs() < 1e-7);
        assert!(!found.is_within(0.2) && found.is_within(0.3));
        assert_eq!(Agreement::of(a.view(), array![[1.0_f32], [1.0]].view()), None);
        assert_eq!(Agreement::of(Array2::zeros((0, 2)).view(), Array2::zeros((0, 2)).view()), None);
    }

    #[test]
    fn nearest_texts_that_are_the_same_overlap_wholly() {
        // Points on an arc: the nearest of each are its neighbours.
        let arc = |shift: f32| {
            Array2::from_shape_fn((24, 2), |(text, axis)| {
                let angle = (text as f32 + shift) / 24.0;
                if axis == 0 { angle.cos() } else { angle.sin() }
            })
        };
        assert_eq!(top_overlap(arc(0.0).view(), arc(5.0).view()), Some(1.0));
        let mut other = arc(0.0);
        other.row_mut(0).assign(&array![-1.0, 0.0]);
        let overlap = top_overlap(arc(0.0).view(), other.view()).unwrap();
        assert!(overlap < 1.0 && overlap > 0.7, "{overlap}");
        assert_eq!(top_overlap(Array2::zeros((11, 2)).view(), Array2::zeros((11, 2)).view()), None);
    }
}
