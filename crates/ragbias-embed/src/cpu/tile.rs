//! Products of some rows with one panel: the innermost loops, for each width of registers.
#![allow(
    unsafe_code,
    reason = "vector instructions take pointers: the bounds that they need are checked here"
)]
#![cfg_attr(
    not(target_arch = "x86_64"),
    allow(dead_code, reason = "elsewhere there is the plain kernel alone")
)]

use ragbias_kernels::{Cache, Matrix, has_avx512, prefetch};

use super::lines::Line;
use crate::config::Activation;

/// Lines of the widest panel per input.
const MOST_LINES: usize = 3;

/// Rows of the tallest tile.
const MOST_ROWS: usize = 8;

/// Number of inputs between two prefetches.
const BLOCK: usize = 32;

/// Number of inputs per iteration of the innermost loop.
const UNROLLED: usize = 2;

/// Some rows of x beside a part of one panel.
pub(super) struct Tile<'a> {
    /// From the part's first input on.
    pub(super) x: Matrix<'a>,
    /// For each input of the part, `width` lines.
    pub(super) lines: &'a [Line],
    /// 2 or 3.
    pub(super) width: usize,
    /// Initial value of the sums; without it, the existing values.
    pub(super) bias: Option<&'a [Line]>,
    /// The function applied to finished sums.
    pub(super) then: Option<Activation>,
    /// Lines of the next panel, to be prefetched.
    pub(super) ahead: &'a [Line],
}

impl Tile<'_> {
    /// Writes the first `columns` sums of each row to `out`, whose rows begin `stride` values after one another.
    ///
    /// # Safety
    /// `out` has as many rows as x, each of at least `columns` values, and nobody else holds these.
    pub(super) unsafe fn add(&self, kernel: Kernel, out: *mut f32, stride: usize, columns: usize) {
        let all = 16 * self.width;
        if columns == all {
            // SAFETY: as promised by the caller.
            return unsafe { self.add_whole(kernel, out, stride) };
        }
        let mut whole = [0.0; MOST_ROWS * MOST_LINES * 16];
        let rows = self.x.shape().0;
        for (row, whole) in whole.chunks_exact_mut(all).enumerate().take(rows) {
            // SAFETY: a row of `columns` values, as promised by the caller; `whole` is elsewhere.
            unsafe { std::ptr::copy_nonoverlapping(out.add(row * stride), whole.as_mut_ptr(), columns) };
        }
        // SAFETY: `whole` has room for as many rows as a tile has.
        unsafe { self.add_whole(kernel, whole.as_mut_ptr(), all) };
        for (row, whole) in whole.chunks_exact(all).enumerate().take(rows) {
            // SAFETY: as above.
            unsafe { std::ptr::copy_nonoverlapping(whole.as_ptr(), out.add(row * stride), columns) };
        }
    }

    /// # Safety
    /// As [`Tile::add`], with all columns.
    unsafe fn add_whole(&self, kernel: Kernel, out: *mut f32, stride: usize) {
        let (rows, inputs) = self.x.shape();
        assert!(
            rows <= kernel.rows()
                && self.lines.len() <= inputs * self.width
                && self.bias.is_none_or(|bias| bias.len() == self.width),
            "a tile that does not fit; this is a bug"
        );
        // SAFETY: x has as many rows and inputs as its shape says, and `out` what the caller promises; the machine has the
        // kernel's instructions, as a `Kernel` is only made where it has.
        unsafe {
            match (kernel, self.width) {
                #[cfg(target_arch = "x86_64")]
                (Kernel::Avx512, 2) => return self.avx512::<2>(out, stride),
                #[cfg(target_arch = "x86_64")]
                (Kernel::Avx512, _) => return self.avx512::<3>(out, stride),
                #[cfg(all(target_arch = "x86_64", target_feature = "avx2", target_feature = "fma"))]
                (Kernel::Avx2, _) => match rows {
                    1 => avx2::<1>(self, out, stride),
                    2 => avx2::<2>(self, out, stride),
                    3 => avx2::<3>(self, out, stride),
                    4 => avx2::<4>(self, out, stride),
                    5 => avx2::<5>(self, out, stride),
                    _ => avx2::<6>(self, out, stride),
                },
                (Kernel::Plain, _) => plain(self, out, stride),
            }
            self.finish_apart(out, stride);
        }
    }

    /// [`Tile::finish`] as a separate function, so that `.ci/counts` can distinguish it from the products.
    ///
    /// # Safety
    /// As [`Tile::add_whole`].
    #[inline(never)]
    unsafe fn finish_apart(&self, out: *mut f32, stride: usize) {
        // SAFETY: as promised by the caller.
        unsafe { self.finish(out, stride) };
    }

    /// # Safety
    /// As [`Tile::add_whole`], with `LINES` lines an input, on a machine with AVX-512.
    #[cfg(target_arch = "x86_64")]
    unsafe fn avx512<const LINES: usize>(&self, out: *mut f32, stride: usize) {
        // SAFETY: as promised by the caller.
        unsafe {
            match self.x.shape().0 {
                1 => avx512::<1, LINES>(self, out, stride),
                2 => avx512::<2, LINES>(self, out, stride),
                3 => avx512::<3, LINES>(self, out, stride),
                4 => avx512::<4, LINES>(self, out, stride),
                5 => avx512::<5, LINES>(self, out, stride),
                6 => avx512::<6, LINES>(self, out, stride),
                7 => avx512::<7, LINES>(self, out, stride),
                _ => avx512::<8, LINES>(self, out, stride),
            }
        }
    }

    /// The values to prefetch, in about this many shares.
    fn ahead_of(&self, shares: usize) -> impl Iterator<Item = &[Line]> {
        self.ahead.chunks(self.ahead.len().div_ceil(shares).max(1))
    }

    /// Applies the function to finished sums, in registers of the caller's width.
    ///
    /// # Safety
    /// As [`Tile::add_whole`].
    #[inline(always)]
    unsafe fn finish(&self, out: *mut f32, stride: usize) {
        let Some(then) = self.then else { return };
        for row in 0..self.x.shape().0 {
            // SAFETY: as promised by the caller.
            let sums = unsafe { std::slice::from_raw_parts_mut(out.add(row * stride), 16 * self.width) };
            then.apply_to(sums);
        }
    }
}

/// The instruction set that computes a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kernel {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(all(target_arch = "x86_64", target_feature = "avx2", target_feature = "fma"))]
    Avx2,
    Plain,
}

impl Kernel {
    /// All that this machine can run, the fastest first.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        [
            #[cfg(target_arch = "x86_64")]
            has_avx512().then_some(Self::Avx512),
            #[cfg(all(target_arch = "x86_64", target_feature = "avx2", target_feature = "fma"))]
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
            Self::Avx512 => MOST_ROWS,
            #[cfg(all(target_arch = "x86_64", target_feature = "avx2", target_feature = "fma"))]
            Self::Avx2 => 6,
            Self::Plain => 4,
        }
    }
}

/// Processes each input in order, prefetching a share of the next panel before each block of inputs.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn each_input<'l>(depth: usize, ahead: &mut impl Iterator<Item = &'l [Line]>, mut work: impl FnMut(usize)) {
    let blocks = depth / BLOCK;
    for block in 0..blocks {
        ahead.next().unwrap_or_default().iter().for_each(|line| prefetch(Cache::Second, line));
        // Several per iteration: loop overhead occupies the ports that the multiply-adds need.
        for input in (BLOCK * block..BLOCK * (block + 1)).step_by(UNROLLED) {
            for input in input..input + UNROLLED {
                work(input);
            }
        }
    }
    (BLOCK * blocks..depth).for_each(work);
}

/// The same address, hidden from the compiler, which would otherwise compute the rows' addresses from one another
/// in the innermost loop, on the ports that the multiply-adds need.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn opaque(mut address: *const f32) -> *const f32 {
    // SAFETY: there is no instruction.
    unsafe {
        std::arch::asm!("/* {0} */", inout(reg) address, options(pure, readonly, nostack, preserves_flags));
    }
    address
}

/// # Safety
/// As [`Tile::add_whole`], with `ROWS` rows and `LINES` lines an input, on a machine with AVX-512.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn avx512<const ROWS: usize, const LINES: usize>(tile: &Tile<'_>, out: *mut f32, stride: usize) {
    use std::arch::x86_64::{
        _mm512_fmadd_ps, _mm512_load_ps, _mm512_loadu_ps, _mm512_set1_ps, _mm512_storeu_ps,
    };
    // SAFETY: as promised by the caller; lines are aligned.
    unsafe {
        let x: [_; ROWS] = std::array::from_fn(|row| opaque(tile.x.row(row).as_ptr()));
        let mut sums: [[_; LINES]; ROWS] = if let Some(bias) = tile.bias {
            [std::array::from_fn(|line| _mm512_load_ps(bias[line].0.as_ptr())); ROWS]
        } else {
            std::array::from_fn(|row| {
                std::array::from_fn(|line| _mm512_loadu_ps(out.add(row * stride + 16 * line)))
            })
        };
        let depth = tile.lines.len() / LINES;
        let mut lines = tile.lines.as_ptr();
        let mut ahead = tile.ahead_of(depth.div_ceil(BLOCK));
        let add = |input: usize| {
            let weights: [_; LINES] =
                std::array::from_fn(|line| _mm512_load_ps(lines.add(line).cast::<f32>()));
            lines = lines.wrapping_add(LINES);
            for (sums, x) in sums.iter_mut().zip(x) {
                let x = _mm512_set1_ps(*x.add(input));
                for (sum, weight) in sums.iter_mut().zip(weights) {
                    *sum = _mm512_fmadd_ps(x, weight, *sum);
                }
            }
        };
        each_input(depth, &mut ahead, add);
        for (row, sums) in sums.iter().enumerate() {
            for (line, &sum) in sums.iter().enumerate() {
                _mm512_storeu_ps(out.add(row * stride + 16 * line), sum);
            }
        }
        tile.finish(out, stride);
    }
}

/// One line of the panel after the other: twelve sums and their operands fill sixteen registers.
///
/// # Safety
/// As [`Tile::add_whole`], with `ROWS` rows.
#[cfg(all(target_arch = "x86_64", target_feature = "avx2", target_feature = "fma"))]
unsafe fn avx2<const ROWS: usize>(tile: &Tile<'_>, out: *mut f32, stride: usize) {
    use std::arch::x86_64::{
        _mm256_fmadd_ps, _mm256_load_ps, _mm256_loadu_ps, _mm256_set1_ps, _mm256_storeu_ps,
    };
    let depth = tile.lines.len() / tile.width;
    let mut ahead = tile.ahead_of(depth.div_ceil(BLOCK) * tile.width);
    for line in 0..tile.width {
        // SAFETY: as promised by the caller; this is compiled only where the target has the instructions; lines are aligned.
        unsafe {
            let x: [_; ROWS] = std::array::from_fn(|row| opaque(tile.x.row(row).as_ptr()));
            let out = out.add(16 * line);
            let mut sums: [[_; 2]; ROWS] = if let Some(bias) = tile.bias {
                [[0, 8].map(|half| _mm256_load_ps(bias[line].0.as_ptr().add(half))); ROWS]
            } else {
                std::array::from_fn(|row| [0, 8].map(|half| _mm256_loadu_ps(out.add(row * stride + half))))
            };
            let mut place = tile.lines.as_ptr().add(line);
            let add = |input: usize| {
                let weights = [0, 8].map(|half| _mm256_load_ps(place.cast::<f32>().add(half)));
                place = place.wrapping_add(tile.width);
                for (sums, x) in sums.iter_mut().zip(x) {
                    let x = _mm256_set1_ps(*x.add(input));
                    for (sum, weight) in sums.iter_mut().zip(weights) {
                        *sum = _mm256_fmadd_ps(x, weight, *sum);
                    }
                }
            };
            each_input(depth, &mut ahead, add);
            for (row, sums) in sums.iter().enumerate() {
                for (half, &sum) in sums.iter().enumerate() {
                    _mm256_storeu_ps(out.add(row * stride + 8 * half), sum);
                }
            }
        }
    }
}

/// The same, one after the other.
///
/// # Safety
/// As [`Tile::add_whole`].
unsafe fn plain(tile: &Tile<'_>, out: *mut f32, stride: usize) {
    for row in 0..tile.x.shape().0 {
        // SAFETY: as promised by the caller.
        let sums = unsafe { std::slice::from_raw_parts_mut(out.add(row * stride), 16 * tile.width) };
        if let Some(bias) = tile.bias {
            sums.iter_mut().zip(bias.iter().flat_map(|line| line.0)).for_each(|(sum, bias)| *sum = bias);
        }
        for (lines, &x) in tile.lines.chunks_exact(tile.width).zip(tile.x.row(row)) {
            let weights = lines.iter().flat_map(|line| &line.0);
            for (sum, weight) in sums.iter_mut().zip(weights) {
                *sum = x.mul_add(*weight, *sum);
            }
        }
    }
}
