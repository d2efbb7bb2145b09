//! Words before texts that the gradients of embedders choose, so that a document is nearer to a question: HotFlip, Ebrahimi et al. (2018),
//! <https://arxiv.org/abs/1712.06751>.

mod optimised;
mod prefixed;
mod words;

pub(crate) use optimised::{Optimisation, Optimised, optimised};
pub(crate) use prefixed::{Competing, Prefixed};
pub(crate) use words::{Words, before};
