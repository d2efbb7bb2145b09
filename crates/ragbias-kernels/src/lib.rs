//! The inner loops that embedding, generating and searching share.
//!
//! [`product`] multiplies views of slices ([`Matrix`]) by the gemm crate; [`dot`] has the dot products of two vectors, [`row`] other
//! reductions over one; [`run`] multiplies with small integers, 32 at a time; [`exp_clamped`] and [`exp_or_zero`] are vectorised by the
//! compiler. [`widest`] compiles a loop for the machine's widest registers as well, and [`prefetch`] asks for memory ahead.
//!
//! Every sum has an order of its own, which depends neither on what is computed beside it nor on the processor: a result is the
//! same to the last bit on every machine. That is why there are three dot products of f32 and two exponentials: they differ
//! in their last bits, and results that were published rest on each of them.
//!
//! ```
//! use ragbias_kernels::{Into, Matrix, product};
//!
//! let (a, b) = ([1.0, 2.0, 3.0, 4.0], [0.5, 1.0]);
//! let mut out = [0.0; 2];
//! product(&mut out, 1, Into::Set, 2.0, Matrix::new(&a, 2, 2), Matrix::new(&b, 2, 1));
//! assert_eq!(out, [5.0, 11.0]);
//! ```

mod cpu;
pub mod dot;
mod exp;
mod matrix;
mod prefetch;
pub mod row;
pub mod run;

pub use cpu::{Work, has_avx512, widest, widest_of};
pub use exp::{exp_clamped, exp_or_zero};
pub use matrix::{Into, Matrix, product};
pub use prefetch::{Cache, prefetch};
