//! Products with matrices of weights in the file's formats.
//!
//! No matrix is converted to f32 as a whole: prefill dequantises a block that fits the cache and uses it
//! for many tokens; decode is memory-bound, and reads 4 to 8 bits per weight. Activations are f32
//! throughout: rounding them to 8 bits, as llama.cpp and candle do, changes log-probabilities by up to 0.05 nats, and can
//! change the choice between two claims.
#![allow(clippy::inline_always, reason = "the inner loops are made of these functions")]

use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;

use ragbias_files::MappedFile;
use ragbias_kernels::run::{Inputs, RUN, Sum, Sums, WideSum};
use ragbias_kernels::{Work, widest_of};
use rayon::prelude::*;

use crate::format::{
    BF16, Each, F16, F32, Format, Q4_0, Q4_1, Q4K, Q5_0, Q5K, Q6K, Q8_0, Run, each_pair, pairs_of,
};
use crate::kernel::{dots, rows_times};
use crate::lanes::Lanes;

/// A `(height, width)` matrix, a row of weights for each output.
#[derive(Debug, Clone)]
pub(crate) struct Matrix {
    height: usize,
    width: usize,
    encoding: Encoding,
    bytes: Bytes,
}

/// The formats that are multiplied without conversion to f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    F32,
    F16,
    BF16,
    Q4_0,
    Q4_1,
    Q5_0,
    Q8_0,
    Q4K,
    Q5K,
    Q6K,
}

#[derive(Debug, Clone)]
pub(crate) enum Bytes {
    Mapped(Arc<MappedFile>, Range<usize>),
    Owned(Arc<[u8]>),
}

impl Bytes {
    fn get(&self) -> &[u8] {
        match self {
            Self::Mapped(map, range) => &map[range.clone()],
            Self::Owned(bytes) => bytes,
        }
    }

    /// A range of these bytes; the whole range, and bytes of a file, are not copied.
    fn part(&self, part: Range<usize>) -> Self {
        match self {
            Self::Mapped(map, range) => {
                Self::Mapped(Arc::clone(map), range.start + part.start..range.start + part.end)
            }
            Self::Owned(bytes) if part == (0..bytes.len()) => self.clone(),
            Self::Owned(bytes) => Self::Owned(bytes[part].into()),
        }
    }
}

/// An expression in which the format is a type.
macro_rules! with_format {
    ($encoding:expr, $format:ident => $call:expr) => {
        with_format!($encoding, $format => $call; F32 F16 BF16 Q4_0 Q4_1 Q5_0 Q8_0 Q4K Q5K Q6K)
    };
    ($encoding:expr, $format:ident => $call:expr; $($name:ident)+) => {
        match $encoding {
            $(Encoding::$name => {
                type $format = $name;
                $call
            })+
        }
    };
}

/// Number of rows of weights decoded together: a multiple of the rows of both kernels.
const ROWS: usize = 48;
/// Maximum columns decoded together: with 16 tokens, 20 KiB, they stay in the L1 cache.
const COLUMNS: usize = 320;
/// Maximum number of tasks, and minimum rows per task, of a product with single tokens.
const STEP_TASKS: usize = 64;
const STEP_ROWS: usize = 32;

impl Matrix {
    /// `bytes` are those of `height` rows of `width` weights; `None` if the size does not match, is zero,
    /// or rows are not whole blocks.
    pub(crate) fn new(height: usize, width: usize, encoding: Encoding, bytes: Bytes) -> Option<Self> {
        let (weights, block) = with_format!(encoding, F => (F::WEIGHTS, F::BYTES));
        let whole = height > 0 && width > 0 && width.is_multiple_of(weights);
        let whole = whole && bytes.get().len() == height * (width / weights) * block;
        whole.then_some(Self { height, width, encoding, bytes })
    }

    /// `height` rows of `width` weights in f32, row-major.
    pub(crate) fn of_values(height: usize, width: usize, values: &[f32]) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let matrix = Self::new(height, width, Encoding::F32, Bytes::Owned(bytes));
        matrix.expect("weights of the matrix's size: this is a bug")
    }

    /// A range of existing rows.
    pub(crate) fn rows_from(&self, first: usize, height: usize) -> Self {
        let row = self.bytes.get().len() / self.height;
        let bytes = self.bytes.part(first * row..(first + height) * row);
        Self { height, bytes, ..*self }
    }

    pub(crate) fn height(&self) -> usize {
        self.height
    }

    pub(crate) fn width(&self) -> usize {
        self.width
    }

    fn rows(&self) -> std::slice::ChunksExact<'_, u8> {
        let bytes = self.bytes.get();
        bytes.chunks_exact(bytes.len() / self.height)
    }

    /// One row in f32, `(width)`.
    pub(crate) fn row(&self, row: usize) -> Vec<f32> {
        let row = self.rows().nth(row).expect("a token of the vocabulary: this is a bug");
        with_format!(self.encoding, F => {
            let mut out = vec![0.0; self.width];
            decode::<F>(row, &mut out);
            out
        })
    }

    /// All weights in f32, `(height, width)`, row-major.
    pub(crate) fn values(&self) -> Vec<f32> {
        let bytes = self.bytes.get();
        let mut values = vec![0.0; self.height * self.width];
        let rows = bytes.par_chunks_exact(bytes.len() / self.height);
        with_format!(self.encoding, F => {
            rows.zip(values.par_chunks_exact_mut(self.width)).for_each(|(row, out)| decode::<F>(row, out));
        });
        values
    }

    /// Whether both are the same part of a file, or of memory.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.encoding == other.encoding && std::ptr::eq(self.bytes.get(), other.bytes.get())
    }

    /// Whether every weight is finite.
    pub(crate) fn is_finite(&self) -> bool {
        // 0 · NaN and 0 · ∞ are NaN.
        let zeros = Lanes::<1>::zeros(1, self.width);
        product(&[self], &zeros)[0].token(0).all(f32::is_finite)
    }

    /// The rows of a task times many tokens.
    fn block<F: Format, const L: usize>(&self, task: &mut Task<'_, L>, x: &Lanes<L>, scratch: &mut Vec<f32>) {
        let parts = self.width.div_ceil(COLUMNS / F::WEIGHTS * F::WEIGHTS);
        let columns = self.width.div_ceil(parts).next_multiple_of(F::WEIGHTS);
        scratch.resize(ROWS * columns, 0.0);
        let height = task.outputs[0].len();
        for from in (0..self.width).step_by(columns) {
            let columns = columns.min(self.width - from);
            for (row, out) in self.rows().skip(task.first).zip(scratch.chunks_exact_mut(columns)).take(height)
            {
                decode::<F>(&row[from / F::WEIGHTS * F::BYTES..], out);
            }
            let tiles = x.tiles().zip(&mut task.outputs);
            tiles.for_each(|(tile, out)| {
                widest_of(TileOfBlock { rows: scratch, columns, tile: &tile[from..from + columns], out });
            });
        }
    }

    /// The rows of a task times few tokens, one by one.
    fn step<F: Format, const L: usize>(&self, task: &mut Task<'_, L>, x: &[Vec<Inputs>]) {
        widest_of(Step::<F, L> { matrix: self, task, x, format: PhantomData });
    }
}

/// The products of a block of decoded rows with a tile of tokens.
struct TileOfBlock<'a, const L: usize> {
    rows: &'a [f32],
    columns: usize,
    tile: &'a [[f32; L]],
    out: &'a mut [[f32; L]],
}

impl<const L: usize> Work for TileOfBlock<'_, L> {
    type Output = ();

    /// A tile of 16 tokens takes one register of AVX-512, or two of AVX2: enough rows to hide the latency of an FMA.
    #[inline(always)]
    fn run<const WIDE: bool>(self) {
        let Self { rows, columns, tile, out } = self;
        if WIDE {
            rows_with_tile::<12, L>(rows, columns, tile, out);
        } else {
            rows_with_tile::<6, L>(rows, columns, tile, out);
        }
    }
}

/// The products of the rows of a task with few tokens.
struct Step<'a, 'o, F, const L: usize> {
    matrix: &'a Matrix,
    task: &'a mut Task<'o, L>,
    x: &'a [Vec<Inputs>],
    format: PhantomData<F>,
}

impl<F: Format, const L: usize> Work for Step<'_, '_, F, L> {
    type Output = ();

    /// The sums of a token take one register of AVX-512, of 32, or two of AVX2, of 16.
    #[inline(always)]
    fn run<const WIDE: bool>(self) {
        let Self { matrix, task, x, .. } = self;
        let height = task.outputs[0].len();
        for (i, row) in matrix.rows().skip(task.first).take(height).enumerate() {
            let (mut outs, mut xs) = (&mut task.outputs[..], x);
            if WIDE {
                (outs, xs) = times::<F, WideSum, L, 8>(row, i, outs, xs);
                (outs, xs) = times::<F, WideSum, L, 4>(row, i, outs, xs);
                times::<F, WideSum, L, 1>(row, i, outs, xs);
            } else {
                (outs, xs) = times::<F, Sum, L, 4>(row, i, outs, xs);
                times::<F, Sum, L, 1>(row, i, outs, xs);
            }
        }
    }
}

/// Row `i` of a task times as many tokens as there are whole groups of `N` of; returns the others.
#[inline(always)]
fn times<'t, 'o, F: Format, S: Sums, const L: usize, const N: usize>(
    row: &[u8],
    i: usize,
    outs: &'t mut [&'o mut [[f32; L]]],
    xs: &'t [Vec<Inputs>],
) -> (&'t mut [&'o mut [[f32; L]]], &'t [Vec<Inputs>]) {
    let (groups, outs) = outs.as_chunks_mut::<N>();
    let (vectors, xs) = xs.as_chunks::<N>();
    for (outs, vectors) in groups.iter_mut().zip(vectors) {
        let products = dots::<F, S, N>(row, vectors);
        for (out, product) in outs.iter_mut().zip(products) {
            out[i] = [product; L];
        }
    }
    (outs, xs)
}

/// The products of decoded rows with a tile of tokens, `R` rows at a time.
#[inline(always)]
fn rows_with_tile<const R: usize, const L: usize>(
    rows: &[f32],
    columns: usize,
    tile: &[[f32; L]],
    out: &mut [[f32; L]],
) {
    for (rows, out) in rows.chunks(R * columns).zip(out.chunks_mut(R)) {
        if out.len() == R {
            rows_times::<R, L>(rows, columns, tile, out);
        } else {
            for (row, out) in rows.chunks(columns).zip(out.chunks_mut(1)) {
                rows_times::<1, L>(row, columns, tile, out);
            }
        }
    }
}

/// The weights of a row from its first block on, as many as fit into `out`.
fn decode<F: Format>(blocks: &[u8], out: &mut [f32]) {
    let blocks = &blocks[..out.len() / F::WEIGHTS * F::BYTES];
    each_pair::<F>(blocks, &mut Decoded::<F>(out.as_chunks_mut().0, PhantomData));
}

/// Where the weights of each run go.
struct Decoded<'a, F>(&'a mut [[f32; RUN]], PhantomData<F>);

impl<F: Format> Each for Decoded<'_, F> {
    #[inline(always)]
    fn pair(&mut self, number: usize, runs: [Run; 2]) {
        for (run, out) in runs.into_iter().zip(&mut self.0[2 * number..]) {
            run.weights(F::INTEGERS).store(out);
        }
    }
}

/// Some rows of a product: from number `first` on, of each tile.
struct Task<'o, const L: usize> {
    matrix: usize,
    first: usize,
    outputs: Vec<&'o mut [[f32; L]]>,
}

/// The products of several matrices with the same tokens, `x · Wᵀ` each.
pub(crate) fn product<const L: usize, const N: usize>(
    matrices: &[&Matrix; N],
    x: &Lanes<L>,
) -> [Lanes<L>; N] {
    let tiles = x.tiles().len();
    let mut outputs = matrices.map(|matrix| Lanes::zeros(tiles * L, matrix.height));
    let mut tasks = Vec::new();
    for (matrix, output) in outputs.iter_mut().enumerate() {
        let begun = tasks.len();
        let rows = if L == 1 {
            (output.width() / STEP_TASKS).next_multiple_of(STEP_ROWS).max(STEP_ROWS)
        } else {
            ROWS
        };
        for tile in output.tiles_mut() {
            for (i, piece) in tile.chunks_mut(rows).enumerate() {
                if begun + i == tasks.len() {
                    tasks.push(Task { matrix, first: i * rows, outputs: Vec::with_capacity(tiles) });
                }
                tasks[begun + i].outputs.push(piece);
            }
        }
    }
    if L == 1 {
        let x: Vec<_> = x.tiles().map(|tile| pairs_of(tile.as_flattened())).collect();
        tasks.into_par_iter().for_each(|mut task| {
            let matrix = matrices[task.matrix];
            with_format!(matrix.encoding, F => matrix.step::<F, L>(&mut task, &x));
        });
    } else {
        tasks.into_par_iter().for_each_init(Vec::new, |scratch, mut task| {
            let matrix = matrices[task.matrix];
            with_format!(matrix.encoding, F => matrix.block::<F, L>(&mut task, x, scratch));
        });
    }
    outputs
}

#[cfg(test)]
mod tests {
    use candle_core::quantized::{GgmlDType, QTensor};
    use candle_core::{Device, Tensor};

    use super::*;
    use crate::testing::{numbers, random};

    const FORMATS: [(GgmlDType, Encoding); 10] = [
        (GgmlDType::F32, Encoding::F32),
        (GgmlDType::F16, Encoding::F16),
        (GgmlDType::BF16, Encoding::BF16),
        (GgmlDType::Q4_0, Encoding::Q4_0),
        (GgmlDType::Q4_1, Encoding::Q4_1),
        (GgmlDType::Q5_0, Encoding::Q5_0),
        (GgmlDType::Q8_0, Encoding::Q8_0),
        (GgmlDType::Q4K, Encoding::Q4K),
        (GgmlDType::Q5K, Encoding::Q5K),
        (GgmlDType::Q6K, Encoding::Q6K),
    ];

    /// A matrix in a format, with its weights dequantised by candle.
    fn matrix(
        height: usize,
        width: usize,
        (format, encoding): (GgmlDType, Encoding),
    ) -> (Matrix, Vec<Vec<f32>>) {
        let weights = Tensor::from_vec(random(height * width, 1000), (height, width), &Device::Cpu).unwrap();
        let quantised = QTensor::quantize(&weights, format).unwrap();
        let bytes = Bytes::Owned(quantised.data().unwrap().into());
        let expected = quantised.dequantize(&Device::Cpu).unwrap().to_vec2().unwrap();
        (Matrix::new(height, width, encoding, bytes).unwrap(), expected)
    }

    fn lanes<const L: usize>(tokens: usize, width: usize) -> Lanes<L> {
        let mut lanes = Lanes::zeros(tokens, width);
        for token in 0..tokens {
            lanes.set_token(token, &random(width, token as u64));
        }
        lanes
    }

    #[test]
    fn weights_are_those_that_candle_reads_bit_for_bit() {
        for format in FORMATS {
            let (matrix, expected) = matrix(3, 512, format);
            for (row, expected) in expected.iter().enumerate() {
                assert_eq!(&matrix.row(row), expected, "{format:?}");
            }
            assert_eq!(matrix.values(), expected.concat(), "{format:?}");
        }
    }

    #[test]
    fn products_agree_with_sums_in_f64() {
        for format in FORMATS {
            // Neither the height nor the tokens fill their blocks; the width needs two.
            let (matrix, weights) = matrix(101, 512, format);
            let (many, few) = (lanes::<16>(19, 512), lanes::<1>(3, 512));
            let ([out_many], [out_few]) = (product(&[&matrix], &many), product(&[&matrix], &few));
            for token in 0..19 {
                let x: Vec<f32> = many.token(token).collect();
                for (row, out) in weights.iter().zip(out_many.token(token)) {
                    let expected: f64 = row.iter().zip(&x).map(|(w, x)| f64::from(*w) * f64::from(*x)).sum();
                    assert!(
                        (f64::from(out) - expected).abs() < 1e-4 * expected.abs().max(1.0),
                        "{format:?}: {out} {expected}"
                    );
                }
            }
            for token in 0..3 {
                for (a, b) in out_few.token(token).zip(out_many.token(token)) {
                    assert!((a - b).abs() < 1e-4 * a.abs().max(1.0), "{format:?}: {a} {b}");
                }
            }
        }
    }

    #[test]
    fn a_token_s_product_is_the_same_to_the_last_bit_in_any_company() {
        let (matrix, _) = matrix(100, 512, FORMATS[4]);
        let (many, few) = (lanes::<16>(40, 512), lanes::<1>(5, 512));
        let ([out_many], [out_few]) = (product(&[&matrix], &many), product(&[&matrix], &few));
        for token in [0, 7, 39] {
            let [alone] = product(&[&matrix], &many.pick::<16>(&[token]));
            assert_eq!(numbers(alone.token(0)), numbers(out_many.token(token)));
        }
        for token in 0..5 {
            let [alone] = product(&[&matrix], &few.pick::<1>(&[token]));
            assert_eq!(numbers(alone.token(0)), numbers(out_few.token(token)));
        }
    }

    #[test]
    fn a_weight_that_is_not_finite_is_found() {
        let bytes =
            |last: f32| (0..64).flat_map(|i| if i == 63 { last } else { 1.0_f32 }.to_le_bytes()).collect();
        let matrix = |last| Matrix::new(2, 32, Encoding::F32, Bytes::Owned(bytes(last))).unwrap();
        assert!(matrix(f32::MAX).is_finite());
        assert!(!matrix(f32::NAN).is_finite() && !matrix(f32::INFINITY).is_finite());
        assert!(Matrix::new(2, 31, Encoding::F32, Bytes::Owned(bytes(1.0))).is_none());
    }
}
