//! Products of some rows with one panel, summed as integers: the innermost loops, for each instruction set.
#![allow(
    unsafe_code,
    reason = "vector instructions take pointers: the bounds that they need are checked by their caller"
)]
#![allow(clippy::inline_always, reason = "the loops are compiled for the registers of the caller")]

use std::ops::Range;

use super::layout::{LINES, OUTPUTS, Quads, Scaling};
use super::rows::Rows;
use crate::config::Activation;

/// Rows of the tallest tile.
const MOST_ROWS: usize = 8;

/// Some rows beside a panel.
pub(super) struct Tile<'a> {
    pub(super) x: &'a Rows,
    pub(super) weights: &'a [Quads],
    pub(super) scaling: &'a Scaling,
    pub(super) then: Option<Activation>,
    /// Outputs of the panel that are not padding.
    pub(super) columns: usize,
    /// Values from a row of the output to the next.
    pub(super) stride: usize,
}

impl Tile<'_> {
    /// Writes the outputs of some rows; those of the first begin at `out`.
    ///
    /// # Safety
    /// `out` has room for the columns of these rows, `stride` values apart, and nobody else holds them.
    pub(super) unsafe fn write(&self, kernel: Kernel, rows: Range<usize>, out: *mut f32) {
        assert_eq!(
            self.weights.len(),
            self.x.quads * LINES,
            "a panel of other inputs than the rows; this is a bug"
        );
        // SAFETY: as promised by the caller; the machine has the kernel's instructions, as a `Kernel` is only made where it has.
        unsafe {
            match kernel {
                #[cfg(target_arch = "x86_64")]
                Kernel::Vnni512 => vnni512_of(rows, self, out),
                #[cfg(target_arch = "x86_64")]
                Kernel::Vnni256 => vnni256_of(rows, self, out),
                #[cfg(all(target_arch = "x86_64", target_feature = "avx2"))]
                Kernel::Avx2 => avx2_of(rows, self, out),
                Kernel::Plain => plain(rows, self, out),
            }
        }
    }

    /// Writes f(t·s·(Σ a·q − z·Σ q) + b) for a row, from the sums Σ a·q.
    ///
    /// # Safety
    /// `out` has room for the columns of this row.
    #[inline(always)]
    unsafe fn finish(&self, row: usize, sums: &[i32; OUTPUTS], out: *mut f32) {
        let (scale, zero) = (self.x.scales[row], self.x.zeros[row]);
        let Scaling { scales, bias, sums: of_weights } = self.scaling;
        let mut values = [0.0; OUTPUTS];
        for (output, value) in values.iter_mut().enumerate() {
            let exact = sums[output] - zero * of_weights[output];
            *value = (exact as f32).mul_add(scale * scales[output], bias[output]);
        }
        if let Some(then) = self.then {
            then.apply_to(&mut values);
        }
        // SAFETY: as promised by the caller.
        unsafe { std::ptr::copy_nonoverlapping(values.as_ptr(), out, self.columns) };
    }
}

/// The instruction set that computes a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kernel {
    #[cfg(target_arch = "x86_64")]
    Vnni512,
    #[cfg(target_arch = "x86_64")]
    Vnni256,
    #[cfg(all(target_arch = "x86_64", target_feature = "avx2"))]
    Avx2,
    Plain,
}

impl Kernel {
    /// All that this machine can run, the fastest first.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        [
            #[cfg(target_arch = "x86_64")]
            (ragbias_kernels::has_avx512() && is_x86_feature_detected!("avx512vnni"))
                .then_some(Self::Vnni512),
            #[cfg(target_arch = "x86_64")]
            is_x86_feature_detected!("avxvnni").then_some(Self::Vnni256),
            #[cfg(all(target_arch = "x86_64", target_feature = "avx2"))]
            Some(Self::Avx2),
            Some(Self::Plain),
        ]
        .into_iter()
        .flatten()
    }

    pub(super) fn of_this_machine() -> Self {
        Self::all().next().unwrap_or(Self::Plain)
    }

    /// Rows of a tile, whose sums fill the registers.
    pub(super) fn rows(self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Vnni512 => MOST_ROWS,
            #[cfg(target_arch = "x86_64")]
            Self::Vnni256 => 6,
            #[cfg(all(target_arch = "x86_64", target_feature = "avx2"))]
            Self::Avx2 => 4,
            Self::Plain => 4,
        }
    }
}

/// A function for each number of rows.
#[cfg(target_arch = "x86_64")]
macro_rules! by_rows {
    ($name:ident, $kernel:ident: $($rows:literal)*) => {
        /// # Safety
        /// As [`Tile::write`], on a machine with the instructions.
        unsafe fn $name(rows: Range<usize>, tile: &Tile<'_>, out: *mut f32) {
            // SAFETY: as promised by the caller.
            unsafe {
                match rows.len() {
                    $($rows => $kernel::<$rows>(rows.start, tile, out),)*
                    _ => unreachable!("a tile of more rows than the registers hold"),
                }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
by_rows!(vnni512_of, vnni512: 1 2 3 4 5 6 7 8);
#[cfg(target_arch = "x86_64")]
by_rows!(vnni256_of, vnni256: 1 2 3 4 5 6);
#[cfg(all(target_arch = "x86_64", target_feature = "avx2"))]
by_rows!(avx2_of, avx2: 1 2 3 4);

/// # Safety
/// As [`Tile::write`], with `ROWS` rows, on a machine with AVX-512 and its VNNI.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512vnni")]
unsafe fn vnni512<const ROWS: usize>(first: usize, tile: &Tile<'_>, out: *mut f32) {
    use std::arch::x86_64::{
        _mm512_dpbusd_epi32, _mm512_load_si512, _mm512_set1_epi32, _mm512_setzero_si512, _mm512_storeu_si512,
    };
    let x: [_; ROWS] = std::array::from_fn(|row| tile.x.start(first + row));
    let mut sums = [[_mm512_setzero_si512(); LINES]; ROWS];
    for (quad, lines) in tile.weights.as_chunks::<LINES>().0.iter().enumerate() {
        // SAFETY: rows have as many quads as the panel; lines are aligned.
        unsafe {
            let weights: [_; LINES] =
                std::array::from_fn(|line| _mm512_load_si512((&raw const lines[line]).cast()));
            for (sums, x) in sums.iter_mut().zip(x) {
                let x = _mm512_set1_epi32(i32::from_le_bytes(x.add(quad).read()));
                for (sum, weight) in sums.iter_mut().zip(weights) {
                    *sum = _mm512_dpbusd_epi32(*sum, x, weight);
                }
            }
        }
    }
    for (row, of_row) in sums.iter().enumerate() {
        let mut sums = [0; OUTPUTS];
        // SAFETY: sixteen sums per line, and as promised by the caller.
        unsafe {
            for (line, &sum) in of_row.iter().enumerate() {
                _mm512_storeu_si512(sums[16 * line..][..16].as_mut_ptr().cast(), sum);
            }
            tile.finish(first + row, &sums, out.add(row * tile.stride));
        }
    }
}

/// The two kernels of 256 bits, which differ in how they multiply: one line of the panel after the other.
#[cfg(target_arch = "x86_64")]
macro_rules! of_256_bits {
    ($name:ident, $features:literal, $add:expr) => {
        /// # Safety
        /// As [`Tile::write`], with `ROWS` rows, on a machine with the instructions.
        #[target_feature(enable = $features)]
        unsafe fn $name<const ROWS: usize>(first: usize, tile: &Tile<'_>, out: *mut f32) {
            use std::arch::x86_64::{
                __m256i, _mm256_load_si256, _mm256_set1_epi32, _mm256_setzero_si256, _mm256_storeu_si256,
            };
            let x: [_; ROWS] = std::array::from_fn(|row| tile.x.start(first + row));
            let mut all = [[0; OUTPUTS]; ROWS];
            for line in 0..LINES {
                let mut sums = [[_mm256_setzero_si256(); 2]; ROWS];
                for (quad, lines) in tile.weights.as_chunks::<LINES>().0.iter().enumerate() {
                    // SAFETY: rows have as many quads as the panel; lines are aligned, and have two registers of 256 bits.
                    unsafe {
                        let start = (&raw const lines[line]).cast::<__m256i>();
                        let weights = [_mm256_load_si256(start), _mm256_load_si256(start.add(1))];
                        for (sums, x) in sums.iter_mut().zip(x) {
                            let x = _mm256_set1_epi32(i32::from_le_bytes(x.add(quad).read()));
                            for (sum, weight) in sums.iter_mut().zip(weights) {
                                *sum = $add(*sum, x, weight);
                            }
                        }
                    }
                }
                for (all, sums) in all.iter_mut().zip(sums) {
                    let [low, high] = sums;
                    let places = &mut all[16 * line..][..16];
                    // SAFETY: sixteen sums in two registers.
                    unsafe {
                        _mm256_storeu_si256(places.as_mut_ptr().cast(), low);
                        _mm256_storeu_si256(places[8..].as_mut_ptr().cast(), high);
                    }
                }
            }
            for (row, sums) in all.iter().enumerate() {
                // SAFETY: as promised by the caller.
                unsafe { tile.finish(first + row, sums, out.add(row * tile.stride)) };
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
of_256_bits!(vnni256, "avx2,fma,avxvnni", std::arch::x86_64::_mm256_dpbusd_avx_epi32);

#[cfg(all(target_arch = "x86_64", target_feature = "avx2"))]
of_256_bits!(avx2, "avx2,fma", |sum, x, weight| {
    use std::arch::x86_64::{
        _mm256_add_epi32, _mm256_and_si256, _mm256_madd_epi16, _mm256_set1_epi16, _mm256_slli_epi16,
        _mm256_srai_epi16, _mm256_srli_epi16,
    };
    // The first and third of four bytes, and the second and fourth, as numbers of 16 bits.
    let first = _mm256_and_si256(x, _mm256_set1_epi16(0xFF));
    let second = _mm256_srli_epi16::<8>(x);
    let first = _mm256_madd_epi16(first, _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(weight)));
    let second = _mm256_madd_epi16(second, _mm256_srai_epi16::<8>(weight));
    _mm256_add_epi32(sum, _mm256_add_epi32(first, second))
});

/// The same, one after the other.
///
/// # Safety
/// As [`Tile::write`].
unsafe fn plain(rows: Range<usize>, tile: &Tile<'_>, out: *mut f32) {
    for (place, row) in rows.enumerate() {
        let mut sums = [0; OUTPUTS];
        let x = &tile.x.values[row * tile.x.quads..][..tile.x.quads];
        for (lines, x) in tile.weights.as_chunks::<LINES>().0.iter().zip(x) {
            for (sum, weights) in sums.iter_mut().zip(lines.iter().flat_map(|line| &line.0)) {
                let products = x.iter().zip(weights).map(|(&x, &weight)| i32::from(x) * i32::from(weight));
                *sum += products.sum::<i32>();
            }
        }
        // SAFETY: as promised by the caller.
        unsafe { tile.finish(row, &sums, out.add(place * tile.stride)) };
    }
}
