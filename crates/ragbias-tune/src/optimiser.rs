use std::collections::BTreeMap;

use candle_core::backprop::GradStore;
use candle_core::{Tensor, Var};

use crate::Result;
use crate::config::TrainConfig;
use crate::trainable::decays;

/// Gradients by name.
pub(crate) type Gradients = BTreeMap<String, Tensor>;

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// AdamW as PyTorch has it: decay first, then the step by bias-corrected moments.
pub(crate) struct AdamW {
    weight_decay: f64,
    /// Steps done.
    step: i32,
    /// First and second moments by name.
    moments: BTreeMap<String, (Tensor, Tensor)>,
}

impl AdamW {
    pub(crate) fn new(vars: &BTreeMap<String, Var>, weight_decay: f64) -> Result<Self> {
        let zeros = |var: &Var| -> Result<(Tensor, Tensor)> { Ok((var.zeros_like()?, var.zeros_like()?)) };
        let moments = vars.iter().map(|(name, var)| Ok((name.clone(), zeros(var)?)));
        Ok(Self { weight_decay, step: 0, moments: moments.collect::<Result<_>>()? })
    }

    pub(crate) fn step(
        &mut self,
        vars: &BTreeMap<String, Var>,
        gradients: &Gradients,
        rate: f64,
    ) -> Result<()> {
        self.step += 1;
        let (first, second) = (1.0 - BETA1.powi(self.step), 1.0 - BETA2.powi(self.step));
        for (name, gradient) in gradients {
            let (var, moments) =
                (&vars[name], self.moments.get_mut(name).expect("one per variable; this is a bug"));
            moments.0 = ((&moments.0 * BETA1)? + (gradient * (1.0 - BETA1))?)?;
            moments.1 = ((&moments.1 * BETA2)? + (gradient.sqr()? * (1.0 - BETA2))?)?;
            let size = ((&moments.1 / second)?.sqrt()? + EPSILON)?;
            let update = ((&moments.0 / first)? / size)?;
            let kept = if decays(name) { 1.0 - rate * self.weight_decay } else { 1.0 };
            var.set(&((var.as_tensor() * kept)? - (update * rate)?)?)?;
        }
        Ok(())
    }

    /// Everything that a later training goes on from, for a file.
    pub(crate) fn state(&self) -> (i32, BTreeMap<String, Tensor>) {
        let tensors = self.moments.iter().flat_map(|(name, (first, second))| {
            [(format!("{name}.first"), first.clone()), (format!("{name}.second"), second.clone())]
        });
        (self.step, tensors.collect())
    }

    /// Goes on from a state; `None` where it lacks a moment.
    pub(crate) fn restore(&mut self, step: i32, tensors: &BTreeMap<String, Tensor>) -> Option<()> {
        for (name, (first, second)) in &mut self.moments {
            *first = tensors.get(&format!("{name}.first"))?.clone();
            *second = tensors.get(&format!("{name}.second"))?.clone();
        }
        self.step = step;
        Some(())
    }
}

/// The gradients of the variables that the loss depends on.
pub(crate) fn collect(vars: &BTreeMap<String, Var>, store: &GradStore) -> Gradients {
    vars.iter().filter_map(|(name, var)| Some((name.clone(), store.get(var.as_tensor())?.clone()))).collect()
}

/// Euclidean length over all gradients.
pub(crate) fn norm(gradients: &Gradients) -> Result<f64> {
    let mut squares = 0.0;
    for gradient in gradients.values() {
        squares += f64::from(gradient.sqr()?.sum_all()?.to_scalar::<f32>()?);
    }
    Ok(squares.sqrt())
}

/// Gradients no longer than `longest`, as torch.nn.utils.clip_grad_norm_ does.
pub(crate) fn clip(gradients: Gradients, longest: f64) -> Result<Gradients> {
    let factor = longest / (norm(&gradients)? + 1e-6);
    if factor >= 1.0 {
        return Ok(gradients);
    }
    gradients.into_iter().map(|(name, gradient)| Ok((name, (gradient * factor)?))).collect()
}

/// The step size of step number `step` (from 0) of `steps`: linear up over the warm-up, linear down to 0 after it.
pub(crate) fn rate(config: &TrainConfig, step: usize, steps: usize) -> f64 {
    let (done, warmup) = (step as f64 + 1.0, config.warmup.min(steps) as f64);
    let share = if done <= warmup {
        done / warmup
    } else {
        (steps as f64 + 1.0 - done) / (steps as f64 + 1.0 - warmup)
    };
    config.learning_rate * share
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::config::Scope;

    #[test]
    fn steps_are_those_of_pytorch() {
        // torch 2.15, float64: p = Parameter([1., -2.]); o = torch.optim.AdamW([p], lr=0.1, weight_decay=0.01);
        // p.grad = [.5, -.1]; o.step(); p.grad = [.2, .3]; o.step() → [0.8082434839009282, -1.9455209911100655]
        let var = Var::new(&[1.0_f64, -2.0], &Device::Cpu).unwrap();
        let vars = BTreeMap::from([("w".to_owned(), var)]);
        let mut adam = AdamW::new(&vars, 0.01).unwrap();
        for gradient in [[0.5_f64, -0.1], [0.2, 0.3]] {
            let gradient = Tensor::new(&gradient, &Device::Cpu).unwrap();
            adam.step(&vars, &BTreeMap::from([("w".to_owned(), gradient)]), 0.1).unwrap();
        }
        let ours = vars["w"].to_vec1::<f64>().unwrap();
        for (a, b) in ours.iter().zip([0.808_243_483_900_928_2, -1.945_520_991_110_065_5]) {
            assert!((a - b).abs() < 1e-12, "{ours:?}");
        }
    }

    #[test]
    fn clipping_keeps_the_direction() {
        let gradients =
            BTreeMap::from([("w".to_owned(), Tensor::new(&[3.0_f32, 4.0], &Device::Cpu).unwrap())]);
        let clipped = clip(gradients.clone(), 1.0).unwrap();
        assert!((norm(&clipped).unwrap() - 1.0).abs() < 1e-5);
        assert_eq!(norm(&clip(gradients, 9.0).unwrap()).unwrap(), 5.0);
    }

    #[test]
    fn the_rate_rises_to_its_peak_and_falls_towards_0() {
        let config = TrainConfig::new(Scope::Head, 1.0, 1);
        let rates: Vec<f64> = (0..30).map(|step| rate(&config, step, 30)).collect();
        assert!((rates[0] - 0.1).abs() < 1e-12 && (rates[9] - 1.0).abs() < 1e-12, "{rates:?}");
        assert!(rates[9..].is_sorted_by(|a, b| a > b) && rates[29] > 0.0, "{rates:?}");
        assert_eq!(rate(&config, 0, 1), 1.0, "one step is a warm-up of one");
    }
}
