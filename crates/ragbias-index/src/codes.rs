//! Vectors as 8-bit integers: a quarter of the memory, and sums that are the same in any order.

use hnsw_rs::anndists::dist::Distance;
use ragbias_core::Similarity;
use ragbias_kernels::dot;
use rayon::prelude::*;

/// The largest number of a code.
const MOST: f32 = 127.0;

/// `(n, width)` codes of vectors: every value divided by the largest absolute value of all of them, in 127ths, rounded.
///
/// Graph traversal compares codes. The candidates that it finds are compared again by the vectors themselves.
///
/// For inner products, every vector gets further values that extend it to the length M of the longest: √(M² − |x|²), spread
/// over as many values as needed for none to be larger than the vectors' own; a question has zeros there. Products are
/// unchanged, and neighbours by distance are neighbours by product (Bachrach et al., *Speeding up the Xbox recommender system
/// using a Euclidean transformation for inner-product spaces*, RecSys 2014).
pub(crate) struct Codes {
    values: Vec<i8>,
    /// Values per row: the dimensions of a vector, and the additional ones.
    width: usize,
    /// Factor from a product of codes to that of the vectors.
    scale: f32,
    /// Factor from a value to its code.
    to_code: f32,
    similarity: Similarity,
    /// Half the squared length of each row, if vectors are compared by distance; empty otherwise.
    halves: Vec<i32>,
}

impl Codes {
    /// `values` are rows of length `dim`.
    pub(crate) fn new(values: &[f32], dim: usize, similarity: Similarity) -> Self {
        let most =
            values.par_chunks(1 << 16).map(|part| part.iter().fold(0.0, |most: f32, x| most.max(x.abs())));
        let most = most.reduce(|| 0.0, f32::max);
        if similarity == Similarity::Dot {
            return Self::of_equal_length(values, dim, most);
        }
        let to_code = MOST / most;
        let codes = values.par_iter().map(|x| code(*x, to_code)).collect();
        let mut codes = Self {
            values: codes,
            width: dim,
            scale: 1.0 / (to_code * to_code),
            to_code,
            similarity,
            halves: Vec::new(),
        };
        if similarity == Similarity::Euclidean {
            codes.halves =
                codes.values.par_chunks_exact(dim).map(|row| dot::of_codes(row, row) / 2).collect();
        }
        codes
    }

    /// Codes of vectors extended to equal length.
    fn of_equal_length(values: &[f32], dim: usize, most: f32) -> Self {
        let squares: Vec<f32> = values.par_chunks_exact(dim).map(|row| dot::in_32_lanes(row, row)).collect();
        let longest = squares.iter().copied().fold(0.0, f32::max);
        let missing: Vec<f32> = squares.iter().map(|square| (longest - square).max(0.0).sqrt()).collect();
        let largest = missing.iter().copied().fold(0.0, f32::max);
        let added = (1..dim).find(|&n| (n as f32).sqrt() * most >= largest).unwrap_or(dim);
        let share = 1.0 / (added as f32).sqrt();
        let to_code = MOST / most.max(largest * share);
        let width = dim + added;
        let mut codes = vec![0; missing.len() * width];
        let rows = codes.par_chunks_exact_mut(width).zip(values.par_chunks_exact(dim)).zip(&missing);
        rows.for_each(|((codes, row), missing)| {
            let (own, more) = codes.split_at_mut(dim);
            own.iter_mut().zip(row).for_each(|(c, x)| *c = code(*x, to_code));
            more.fill(code(missing * share, to_code));
        });
        let scale = 1.0 / (to_code * to_code);
        Self { values: codes, width, scale, to_code, similarity: Similarity::Dot, halves: Vec::new() }
    }

    /// The code of a question. Values beyond the range of the vectors are clamped; for inner products a question's length
    /// does not affect the order, so it is scaled by its own largest value.
    pub(crate) fn encode(&self, question: &[f32], code_of: &mut Vec<i8>) {
        let to_code = if self.similarity == Similarity::Dot {
            MOST / question.iter().fold(0.0, |most: f32, x| most.max(x.abs()))
        } else {
            self.to_code
        };
        code_of.clear();
        code_of.extend(question.iter().map(|x| code(*x, to_code)));
        code_of.resize(self.width, 0);
    }

    #[inline]
    pub(crate) fn row(&self, row: u32) -> &[i8] {
        &self.values[row as usize * self.width..][..self.width]
    }

    /// Similarity of a row to a question's code; larger means more similar.
    #[inline]
    pub(crate) fn score(&self, question: &[i8], row: u32) -> i32 {
        dot::of_codes(question, self.row(row)) - self.halves.get(row as usize).unwrap_or(&0)
    }

    /// The distance by which a graph of these rows is built.
    pub(crate) fn distance(&self) -> CodeDistance {
        match self.similarity {
            Similarity::Cosine => CodeDistance::Cosine { scale: self.scale },
            Similarity::Dot | Similarity::Euclidean => CodeDistance::Euclidean,
        }
    }
}

/// The distance of two codes, while a graph is built.
pub(crate) enum CodeDistance {
    /// 1 − cosine, clamped at 0 against rounding.
    Cosine {
        /// Factor from a product of codes to one of vectors.
        scale: f32,
    },
    /// The squared distance of the codes.
    Euclidean,
}

impl Distance<i8> for CodeDistance {
    fn eval(&self, a: &[i8], b: &[i8]) -> f32 {
        match self {
            Self::Cosine { scale } => (1.0 - dot::of_codes(a, b) as f32 * scale).max(0.0),
            Self::Euclidean => (dot::of_codes(a, a) + dot::of_codes(b, b) - 2 * dot::of_codes(a, b)) as f32,
        }
    }
}

fn code(value: f32, to_code: f32) -> i8 {
    (value * to_code).round_ties_even().clamp(-MOST, MOST) as i8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exact::tests::unit;

    #[test]
    fn products_of_codes_are_near_those_of_the_vectors() {
        let (rows, others) = (unit(50, 384, 1), unit(50, 384, 2));
        let codes = Codes::new(rows.as_slice(), 384, Similarity::Cosine);
        let mut code_of = Vec::new();
        for row in 0..50 {
            codes.encode(others.row(row).to_slice().unwrap(), &mut code_of);
            let near = dot::of_codes(codes.row(row as u32), &code_of) as f32 * codes.scale;
            let score = rows.row(row).dot(&others.row(row));
            assert!((near - score).abs() < 2e-3, "{near} of {score}");
        }
    }
}
