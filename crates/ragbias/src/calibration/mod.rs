//! How often a scorer errs on labelled texts, and biases corrected for it.

mod correction;
mod file;

pub use correction::Correction;
pub(crate) use correction::{Calibrations, Scored};
pub use file::{CalibratedTexts, Calibration};
