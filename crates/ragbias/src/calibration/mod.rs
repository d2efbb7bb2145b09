//! How often a scorer errs on labelled texts, and biases corrected for it.

mod correction;
mod file;

pub(crate) use correction::Calibrations;
pub use correction::Correction;
pub use file::{CalibratedTexts, Calibration};
