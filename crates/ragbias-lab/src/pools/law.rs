//! The law of loss over pools of examples that are repeated.

use ragbias::stats::{Estimate, NonlinearLeastSquares};
use serde::{Deserialize, Serialize};

/// A measured loss: after how many epochs, on how many distinct examples, of which pools.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Cell {
    /// The pools, which contribute in equal parts.
    pub(super) pools: Vec<usize>,
    /// Number of distinct examples.
    pub(super) distinct: usize,
    /// Number of passes over them.
    pub(super) epochs: usize,
    /// The validation loss.
    pub(super) loss: f64,
}

/// L = (a·n₁)^b₁ · Π_k (n_k/n_{k−1})^b_k + d, with b_k = b·(1/2)^((k−1)/τ).
///
/// n_k is the number of examples seen after k epochs, k times the distinct ones; b < 0 is a pool's utility and τ > 0 the number of epochs
/// in which it halves. a and d belong to the task, and all pools share them. In a mixture of p pools in equal parts, b_k is the mean of
/// those of the pools with p·τ in place of τ, since each example is then seen among p times as many. Source: Goyal, Maini, Lipton,
/// Raghunathan, Kolter, *Scaling Laws for Data Filtering*, CVPR 2024, <https://arxiv.org/abs/2404.07177>.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Law {
    ln_a: f64,
    d: f64,
    /// b and τ of each pool.
    pub(super) pools: Vec<(f64, f64)>,
}

/// A law fitted to cells of single pools.
#[derive(Debug, Clone)]
pub(super) struct FittedLaw {
    pub(super) law: Law,
    pub(super) fit: NonlinearLeastSquares,
    pub(super) cells: usize,
    form: Form,
}

/// Which parts of the law there are.
#[derive(Debug, Clone)]
struct Form {
    /// Whether there is a d above 0.
    floor: bool,
    /// Whether the utility of each pool decays.
    decays: Vec<bool>,
}

impl Law {
    /// θ = (ln a, ln −b₁, …, then ln d if there is a floor, then ln τ of each pool that decays).
    fn of(theta: &[f64], form: &Form) -> Self {
        let pools = form.decays.len();
        let mut rest = theta[1 + pools..].iter().map(|ln| ln.exp());
        let d = form.floor.then(|| rest.next()).flatten().unwrap_or(0.0);
        let pools = form.decays.iter().zip(&theta[1..]).map(|(&decays, ln)| {
            let half_life = decays.then(|| rest.next()).flatten().unwrap_or(f64::INFINITY);
            (-ln.exp(), half_life)
        });
        Self { ln_a: theta[0], d, pools: pools.collect() }
    }

    /// The loss that the law predicts.
    pub(super) fn loss(&self, pools: &[usize], distinct: usize, epochs: usize) -> f64 {
        let p = pools.len() as f64;
        let utility = |k: usize| {
            let of = |&pool: &usize| {
                let (b, half_life) = self.pools[pool];
                b * 0.5_f64.powf((k - 1) as f64 / (p * half_life))
            };
            pools.iter().map(of).sum::<f64>() / p
        };
        let first = utility(1) * (self.ln_a + (distinct as f64).ln());
        let later: f64 = (2..=epochs).map(|k| utility(k) * (k as f64 / (k - 1) as f64).ln()).sum();
        (first + later).exp() + self.d
    }
}

/// A half-life above this many epochs is none: the cells do not tell it from one without end.
const ENDLESS: f64 = 100.0;

impl FittedLaw {
    /// The least-squares fit of the logarithms, so that small losses count as much as large ones; none if there are no more cells than
    /// parameters, or some pool has no cell.
    ///
    /// A pool whose half-life grows beyond a hundred epochs has none in another fit, and a floor d below a hundredth of the least loss is 0:
    /// the cells do not tell them from none.
    pub(super) fn of(cells: &[Cell], pools: usize) -> Option<Self> {
        if cells.len() <= 2 + 2 * pools
            || (0..pools).any(|pool| !cells.iter().any(|cell| cell.pools == [pool]))
        {
            return None;
        }
        let mut form = Form { floor: true, decays: vec![true; pools] };
        loop {
            let found = Self::with(cells, &form)?;
            let endless = |pool: usize| form.decays[pool] && found.law.pools[pool].1 > ENDLESS;
            if form.floor && found.law.d < 0.01 * least(cells) {
                form.floor = false;
            } else if let Some(pool) = (0..pools).find(|&pool| endless(pool)) {
                form.decays[pool] = false;
            } else {
                return Some(found);
            }
        }
    }

    fn with(cells: &[Cell], form: &Form) -> Option<Self> {
        let mut starts = Vec::new();
        for utility in [0.1_f64, 0.5] {
            for half_life in [1.0_f64, 8.0] {
                let mut start = vec![-2.0];
                start.extend(form.decays.iter().map(|_| utility.ln()));
                start.extend(form.floor.then(|| (0.5 * least(cells)).ln()));
                start.extend(form.decays.iter().filter(|decays| **decays).map(|_| half_life.ln()));
                starts.push(start);
            }
        }
        let residuals = |theta: &[f64]| -> Vec<f64> {
            let law = Law::of(theta, form);
            let predicted = |cell: &Cell| law.loss(&cell.pools, cell.distinct, cell.epochs);
            cells.iter().map(|cell| (predicted(cell) / cell.loss).ln()).collect()
        };
        let fit = NonlinearLeastSquares::best_of(&starts, residuals)?;
        let law = Law::of(&fit.parameters, form);
        Some(Self { law, fit, cells: cells.len(), form: form.clone() })
    }

    /// Root mean square of the relative errors of the fit.
    pub(super) fn error(&self) -> f64 {
        (self.fit.residual_sum / self.cells as f64).sqrt()
    }

    /// b of a pool; none if the cells do not identify it.
    pub(super) fn utility(&self, pool: usize) -> Option<Estimate> {
        let ln = self.fit.interval(1 + pool)?;
        Some(Estimate { value: -ln.value.exp(), low: -ln.high.exp(), high: -ln.low.exp() })
    }

    /// τ of a pool, in epochs; none if the cells do not identify it, or it has none.
    pub(super) fn half_life(&self, pool: usize) -> Option<Estimate> {
        let Form { floor, decays } = &self.form;
        if !decays[pool] {
            return None;
        }
        let before = decays[..pool].iter().filter(|decays| **decays).count();
        let ln = self.fit.interval(1 + decays.len() + usize::from(*floor) + before)?;
        // An interval over a hundredfold says nothing.
        (ln.high - ln.low < 100.0_f64.ln()).then(|| Estimate {
            value: ln.value.exp(),
            low: ln.low.exp(),
            high: ln.high.exp(),
        })
    }

    /// Whether the utility of a pool decays over the epochs that were measured.
    pub(super) fn is_decaying(&self, pool: usize) -> bool {
        self.form.decays[pool]
    }
}

fn least(cells: &[Cell]) -> f64 {
    cells.iter().map(|cell| cell.loss).fold(f64::INFINITY, f64::min)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planted() -> (Law, Vec<Cell>) {
        let law = Law { ln_a: -1.5, d: 0.2, pools: vec![(-0.15, 2.0), (-0.4, 5.0)] };
        let mut cells = Vec::new();
        for pool in 0..2 {
            for distinct in [16, 32, 64, 128, 256] {
                for epochs in [1, 2, 4, 8] {
                    let loss = law.loss(&[pool], distinct, epochs);
                    cells.push(Cell { pools: vec![pool], distinct, epochs, loss });
                }
            }
        }
        (law, cells)
    }

    #[test]
    fn a_planted_law_is_found() {
        let (law, cells) = planted();
        let found = FittedLaw::of(&cells, 2).unwrap();
        for (planted, found) in law.pools.iter().zip(&found.law.pools) {
            assert!((planted.0 - found.0).abs() < 1e-5 && (planted.1 - found.1).abs() < 1e-3, "{found:?}");
        }
        assert!((found.law.loss(&[0, 1], 96, 6) - law.loss(&[0, 1], 96, 6)).abs() < 1e-6);
    }

    /// Without decay, a repetition is worth as much as another example.
    #[test]
    fn a_pool_that_does_not_decay_is_told_from_one_that_does() {
        let (law, mut cells) = planted();
        let endless = Law { pools: vec![(-0.15, 2.0), (-0.4, f64::INFINITY)], ..law };
        for (i, cell) in cells.iter_mut().enumerate() {
            let noise = 0.002 * (((i * 7919) % 13) as f64 / 6.0 - 1.0);
            cell.loss = endless.loss(&cell.pools, cell.distinct, cell.epochs) * (1.0 + noise);
        }
        let found = FittedLaw::of(&cells, 2).unwrap();
        assert!(found.half_life(0).unwrap().covers(2.0), "{found:?}");
        assert!(found.half_life(1).is_none_or(|half_life| half_life.high > 20.0), "{found:?}");
        // scripts/reference/pools_law.py, with scipy.
        let found = FittedLaw::with(&cells, &Form { floor: true, decays: vec![true, false] }).unwrap();
        let close =
            |found: f64, expected: f64| assert!((found / expected - 1.0).abs() < 1e-6, "{found} {expected}");
        close(found.law.pools[0].0, -0.149_220_273_798_405_4);
        close(found.law.pools[1].0, -0.398_061_069_091_926);
        close(found.law.pools[0].1, 1.997_328_711_852_7);
        close(found.law.d, 0.198_942_301_832_106_8);
        close(found.fit.residual_sum, 5.843_580_681_285_72e-5);
        let errors = found.fit.standard_errors.unwrap();
        assert!((errors[4] - 0.011_459_26).abs() < 1e-7, "{errors:?}");
    }

    #[test]
    fn losses_without_an_effect_identify_no_utility() {
        let (_, mut cells) = planted();
        for (i, cell) in cells.iter_mut().enumerate() {
            cell.loss = 0.5 + 0.001 * ((i * 7919) % 13) as f64;
        }
        let found = FittedLaw::of(&cells, 2);
        let said = found.map(|found| (found.utility(0), found.half_life(0), found.law.pools[0].0));
        if let Some((Some(utility), Some(half_life), _)) = said {
            assert!(utility.high > -0.05 || half_life.high > 20.0, "{utility:?} {half_life:?}");
        }
    }
}
