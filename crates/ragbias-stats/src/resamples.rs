//! The lines of all draws of a [`JointBootstrap`](crate::JointBootstrap).

use crate::draws::{Distribution, Draws, Units};
use crate::line::{Covariance, Line};
use crate::{Error, Result};

/// s, β0, ε and R² of a line; R² is 0 if all R_b are equal.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Coefficients {
    pub(crate) slope: f64,
    pub(crate) intercept: f64,
    pub(crate) residual: f64,
    pub(crate) r_squared: f64,
}

/// One draw: topics and embedders resampled, only topics, only embedders.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Draw {
    pub(crate) both: Coefficients,
    pub(crate) topics: Coefficients,
    pub(crate) embedders: Coefficients,
}

/// All draws, by number; those without a line are empty, so that two fits can be compared draw by draw.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Resamples {
    pub(crate) draws: Vec<Option<Draw>>,
    pub(crate) units: Units,
}

impl Coefficients {
    pub(crate) fn of(line: &Line, llm_bias: f64) -> Self {
        Self {
            slope: line.slope,
            intercept: line.intercept,
            residual: line.intercept - llm_bias,
            r_squared: line.r_squared.unwrap_or(0.0),
        }
    }
}

impl Resamples {
    /// At least half of the draws must have a line.
    pub(crate) fn checked(self) -> Result<Self> {
        let (draws, received) = (self.draws.len(), self.draws.iter().flatten().count());
        if 2 * received < draws { Err(Error::NoLine { draws, received }) } else { Ok(self) }
    }

    /// The distribution of a statistic over the draws, around its estimate.
    pub(crate) fn distribution(
        &self,
        estimate: f64,
        statistic: &dyn Fn(&Coefficients) -> f64,
    ) -> Distribution {
        let drawn = || self.draws.iter().flatten();
        let draws = Draws {
            estimate,
            both: drawn().map(|draw| statistic(&draw.both)).collect(),
            topics: drawn().map(|draw| statistic(&draw.topics)).collect(),
            embedders: drawn().map(|draw| statistic(&draw.embedders)).collect(),
        };
        Distribution::new(draws, self.units)
    }

    /// Covariance of β0 and s, scaled to the width of their intervals.
    pub(crate) fn covariance(&self, line: &Line, slope: f64, intercept: f64) -> Covariance {
        let (mut n, mut sums) = (0.0, [0.0; 3]);
        for draw in self.draws.iter().flatten() {
            let (s, b) = (draw.both.slope - line.slope, draw.both.intercept - line.intercept);
            n += 1.0;
            sums = [sums[0] + b * b, sums[1] + b * s, sums[2] + s * s];
        }
        Covariance {
            intercept: sums[0] / n * intercept * intercept,
            between: sums[1] / n * intercept * slope,
            slope: sums[2] / n * slope * slope,
        }
    }
}
