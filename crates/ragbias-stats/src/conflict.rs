use std::ops::Deref;

use serde::{Deserialize, Serialize};

use crate::deming::ErrorCovariance;
use crate::resamples::{Coefficients, Resamples};
use crate::{ErrorsInVariables, Estimate, Line, Linearity, Points, Result, Target};

/// The bias conflict of one LLM on one axis: R_b = s·E_b + L_b + ε over a family of embedders, and the E_b at which R_b = 0.
///
/// From the line R_b = β0 + s·E_b of least squares, with β0 = L_b + ε. Source of the model: Kim, Springer, Raghunathan & Sap,
/// *Mitigating Bias in RAG: Controlling the Embedder*, Findings of ACL 2025. A [`ConflictFit`] has it; serialised, it is a fit of
/// `ragbias fit --json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BiasConflict {
    /// Number of embedders.
    pub n: usize,
    /// s: how strongly R_b follows E_b.
    pub sensitivity: Estimate,
    /// β0: R_b where E_b = 0.
    pub intercept: Estimate,
    /// ε = β0 − L_b: what retrieval adds beyond E_b.
    pub residual_conflict: Estimate,
    /// L_b.
    pub llm_bias: f64,
    /// R²; none if all R_b are equal.
    pub r_squared: Option<f64>,
    /// Lower end of its 95% interval. Draws of few questions scatter more than the points do, and their R² is lower.
    pub r_squared_low: Option<f64>,
    /// Upper end.
    pub r_squared_high: Option<f64>,
    /// E_b*.
    pub target: Target,
    /// What was resampled for the intervals.
    pub interval: Resampled,
    /// Number of topics in the outcomes.
    pub topics: Option<usize>,
    /// Number of draws that have a line.
    pub draws: usize,
    /// Textbook standard errors, too small where embedders share questions.
    pub ols: PlainErrors,
    /// The line with errors in E_b taken into account.
    pub errors_in_variables: ErrorsInVariables,
    /// Whether a line fits.
    pub linearity: Linearity,
    /// The line with its 95% interval at 21 values from the smallest to the largest measured E_b.
    #[serde(default)]
    pub band: Vec<BandPoint>,
}

/// A fitted [`BiasConflict`] with what it was fitted to. Made by a [`JointBootstrap`](crate::JointBootstrap).
#[derive(Debug, Clone, PartialEq)]
pub struct ConflictFit {
    conflict: BiasConflict,
    points: Points,
    pub(crate) resamples: Resamples,
}

impl Deref for ConflictFit {
    type Target = BiasConflict;

    fn deref(&self) -> &BiasConflict {
        &self.conflict
    }
}

/// What was resampled for the intervals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Resampled {
    /// Both: the line of another family made in the same way, on other questions.
    #[serde(rename = "topics and embedders")]
    TopicsAndEmbedders,
    /// Topics: the line of these same embedders, on other questions.
    #[serde(rename = "topics")]
    Topics,
    /// Embedders: the line of another family, on these same questions. Too narrow for most claims.
    #[serde(rename = "embedders")]
    Embedders,
}

/// Standard errors and t intervals of ordinary least squares, see [`Line`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PlainErrors {
    /// Standard error of s.
    pub sensitivity_error: f64,
    /// Standard error of β0.
    pub intercept_error: f64,
    /// t interval of s.
    pub sensitivity: Estimate,
    /// t interval of β0.
    pub intercept: Estimate,
}

/// The line at one E_b.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BandPoint {
    /// E_b.
    pub embedder_bias: f64,
    /// R_b on the line, with its interval.
    #[serde(flatten)]
    pub rag_bias: Estimate,
}

/// Steps of the band.
const BAND: usize = 20;

impl ConflictFit {
    pub(crate) fn new(
        points: Points,
        line: Line,
        llm_bias: f64,
        interval: Resampled,
        resamples: Resamples,
        errors: Option<ErrorCovariance>,
    ) -> Result<Self> {
        let plain = line.covariance();
        let ols = PlainErrors {
            sensitivity_error: plain.slope.sqrt(),
            intercept_error: plain.intercept.sqrt(),
            sensitivity: line.sensitivity(),
            intercept: line.zero_intercept(),
        };
        // With few embedders, draws understate the uncertainty; with many, this makes no difference.
        let no_narrower = |of_draws: Estimate, of_ols: Estimate| {
            if interval == Resampled::Topics { of_draws } else { of_draws.or_wider(of_ols) }
        };
        let of =
            |estimate, statistic: &dyn Fn(&Coefficients) -> f64| resamples.distribution(estimate, statistic);
        let slope = of(line.slope, &|c| c.slope);
        let intercept = of(line.intercept, &|c| c.intercept);
        let residual = of(line.intercept - llm_bias, &|c| c.residual);
        let r_squared = line.r_squared.map(|value| of(value, &|c| c.r_squared).interval());
        let sensitivity = no_narrower(slope.interval(), ols.sensitivity);
        let (covariance, critical) = match interval {
            Resampled::Embedders => (plain, line.critical()),
            _ => (resamples.covariance(&line, slope.shrink, intercept.shrink), slope.critical()),
        };
        let (least, greatest) = points.range();
        let conflict = BiasConflict {
            n: points.len(),
            sensitivity,
            intercept: no_narrower(intercept.interval(), ols.intercept),
            residual_conflict: no_narrower(residual.interval(), ols.intercept.minus(llm_bias)),
            llm_bias,
            r_squared: line.r_squared,
            r_squared_low: r_squared.map(|interval| interval.low.max(0.0)),
            r_squared_high: r_squared.map(|interval| interval.high.min(1.0)),
            target: Target::new(sensitivity, line.intercept, covariance, critical, (least, greatest)),
            interval,
            topics: resamples.units.topics,
            draws: resamples.draws.iter().flatten().count(),
            ols,
            errors_in_variables: ErrorsInVariables::of(&points, errors),
            linearity: Linearity::of(&points, &line)?,
            band: Vec::new(),
        };
        let mut fit = Self { conflict, points, resamples };
        let step = (greatest - least) / BAND as f64;
        fit.conflict.band = (0..=BAND)
            .map(|i| least + step * i as f64)
            .map(|embedder_bias| BandPoint { embedder_bias, rag_bias: fit.at(embedder_bias) })
            .collect();
        Ok(fit)
    }

    /// The line without its points and draws.
    pub fn into_conflict(self) -> BiasConflict {
        self.conflict
    }

    /// E_b and R_b of the embedders, in the order given, or that of the names in [`TopicCounts`](crate::TopicCounts).
    pub fn points(&self) -> &Points {
        &self.points
    }

    /// R_b that the line predicts for this E_b, with the interval of the line there: of the mean over embedders
    /// with this E_b, not of a single one.
    pub fn at(&self, embedder_bias: f64) -> Estimate {
        let value = self.conflict.intercept.value + self.conflict.sensitivity.value * embedder_bias;
        self.resamples.distribution(value, &|c| c.intercept + c.slope * embedder_bias).interval()
    }
}
