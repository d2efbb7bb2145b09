use std::collections::BTreeMap;

use candle_core::{CpuStorage, CustomOp3, InplaceOp2, Layout, Shape, Storage, Tensor};
use rayon::prelude::*;

use crate::Result;
use crate::config::TrainConfig;
use crate::trainable::{Values, decays};

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// AdamW as in PyTorch: decay first, then the step by bias-corrected moments.
pub(crate) struct AdamW {
    weight_decay: f64,
    /// Number of steps done.
    step: i32,
    /// First and second moments by name.
    moments: BTreeMap<String, (Tensor, Tensor)>,
}

impl AdamW {
    pub(crate) fn new(values: &Values, weight_decay: f64) -> Result<Self> {
        let zeros =
            |value: &Tensor| -> Result<(Tensor, Tensor)> { Ok((value.zeros_like()?, value.zeros_like()?)) };
        let moments = values.iter().map(|(name, value)| Ok((name.clone(), zeros(value)?)));
        Ok(Self { weight_decay, step: 0, moments: moments.collect::<Result<_>>()? })
    }

    /// The values after a step along `scale` times these gradients; those without a gradient are unchanged.
    pub(crate) fn step(
        &mut self,
        values: &Values,
        gradients: &Values,
        scale: f64,
        rate: f64,
    ) -> Result<Values> {
        self.step += 1;
        let (first, second) = (1.0 - BETA1.powi(self.step), 1.0 - BETA2.powi(self.step));
        let mut after = values.clone();
        for (name, gradient) in gradients {
            let moments = self.moments.get_mut(name).expect("one per variable; this is a bug");
            let kept = if decays(name) { 1.0 - rate * self.weight_decay } else { 1.0 };
            let step = Step { scale, kept, rate, first, second };
            let value = &values[name];
            let moved = if value.device().is_cpu() {
                step.fused(value, gradient, moments)?
            } else {
                step.plain(value, gradient, moments)?
            };
            after.insert(name.clone(), moved);
        }
        Ok(after)
    }

    /// The optimiser's state, for a file.
    pub(crate) fn state(&self) -> (i32, BTreeMap<String, Tensor>) {
        let tensors = self.moments.iter().flat_map(|(name, (first, second))| {
            [(format!("{name}.first"), first.clone()), (format!("{name}.second"), second.clone())]
        });
        (self.step, tensors.collect())
    }

    /// Restores a state; `None` if it lacks a moment.
    pub(crate) fn restore(&mut self, step: i32, tensors: &BTreeMap<String, Tensor>) -> Option<()> {
        for (name, (first, second)) in &mut self.moments {
            *first = tensors.get(&format!("{name}.first"))?.clone();
            *second = tensors.get(&format!("{name}.second"))?.clone();
        }
        self.step = step;
        Some(())
    }
}

/// The coefficients of one step for one variable.
struct Step {
    /// Of the gradient.
    scale: f64,
    /// Factor of the value after weight decay.
    kept: f64,
    rate: f64,
    /// Bias corrections of the moments.
    first: f64,
    second: f64,
}

impl Step {
    /// The value after the step, updating the moments in place; on the CPU, in three passes over memory.
    fn fused(
        &self,
        value: &Tensor,
        gradient: &Tensor,
        (first, second): &mut (Tensor, Tensor),
    ) -> Result<Tensor> {
        let gradient = gradient.contiguous()?;
        let (beta1, beta2) = (BETA1, BETA2);
        let scale = self.scale;
        first
            .inplace_op2(&gradient, &Moment { kept: beta1, added: (1.0 - beta1) * scale, squared: false })?;
        second.inplace_op2(
            &gradient,
            &Moment { kept: beta2, added: (1.0 - beta2) * scale * scale, squared: true },
        )?;
        let moved = Moved { kept: self.kept, rate: self.rate / self.first, root: 1.0 / self.second.sqrt() };
        Ok(value.contiguous()?.apply_op3_no_bwd(first, second, &moved)?)
    }

    /// The same with candle's operators.
    fn plain(&self, value: &Tensor, gradient: &Tensor, moments: &mut (Tensor, Tensor)) -> Result<Tensor> {
        let gradient = (gradient * self.scale)?;
        moments.0 = ((&moments.0 * BETA1)? + (&gradient * (1.0 - BETA1))?)?;
        moments.1 = ((&moments.1 * BETA2)? + (gradient.sqr()? * (1.0 - BETA2))?)?;
        let size = ((&moments.1 / self.second)?.sqrt()? + EPSILON)?;
        let update = ((&moments.0 / self.first)? / size)?;
        Ok(((value * self.kept)? - (update * self.rate)?)?)
    }
}

/// Number of values per task of a thread.
const PIECE: usize = 32_768;

/// moment ← kept·moment + added·g, or ·g².
struct Moment {
    kept: f64,
    added: f64,
    squared: bool,
}

impl InplaceOp2 for Moment {
    fn name(&self) -> &'static str {
        "moment"
    }

    fn cpu_fwd(
        &self,
        moment: &mut CpuStorage,
        at: &Layout,
        gradient: &CpuStorage,
        gradient_at: &Layout,
    ) -> candle_core::Result<()> {
        let CpuStorage::F32(moment) = moment else { candle_core::bail!("a moment that is not f32") };
        let (moment, gradient) = (&mut moment[range(at)], &gradient.as_slice::<f32>()?[range(gradient_at)]);
        let (kept, added) = (self.kept as f32, self.added as f32);
        moment.par_chunks_mut(PIECE).zip(gradient.par_chunks(PIECE)).for_each(|(moment, gradient)| {
            let pairs = moment.iter_mut().zip(gradient);
            if self.squared {
                pairs.for_each(|(m, &g)| *m = kept * *m + added * g * g);
            } else {
                pairs.for_each(|(m, &g)| *m = kept * *m + added * g);
            }
        });
        Ok(())
    }
}

/// kept·x − rate·m / (root·√v + ε), of x, m and v.
struct Moved {
    kept: f64,
    rate: f64,
    root: f64,
}

impl CustomOp3 for Moved {
    fn name(&self) -> &'static str {
        "moved"
    }

    fn cpu_fwd(
        &self,
        value: &CpuStorage,
        at: &Layout,
        first: &CpuStorage,
        first_at: &Layout,
        second: &CpuStorage,
        second_at: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let value = &value.as_slice::<f32>()?[range(at)];
        let (first, second) =
            (&first.as_slice::<f32>()?[range(first_at)], &second.as_slice::<f32>()?[range(second_at)]);
        let (kept, rate, root, epsilon) =
            (self.kept as f32, self.rate as f32, self.root as f32, EPSILON as f32);
        let mut moved = vec![0.0; value.len()];
        let inputs = value.par_chunks(PIECE).zip(first.par_chunks(PIECE)).zip(second.par_chunks(PIECE));
        moved.par_chunks_mut(PIECE).zip(inputs).for_each(|(moved, ((value, first), second))| {
            for (((y, &x), &m), &v) in moved.iter_mut().zip(value).zip(first).zip(second) {
                *y = kept * x - rate * m / (root * v.sqrt() + epsilon);
            }
        });
        Ok((CpuStorage::F32(moved), at.shape().clone()))
    }
}

/// The position of a contiguous tensor's values.
fn range(layout: &Layout) -> std::ops::Range<usize> {
    layout.start_offset()..layout.start_offset() + layout.shape().elem_count()
}

/// Euclidean norm over all gradients.
pub(crate) fn norm(gradients: &Values) -> Result<f64> {
    let mut squares = 0.0;
    for gradient in gradients.values() {
        squares += sum_of_squares(&gradient.contiguous()?)?;
    }
    Ok(squares.sqrt())
}

fn sum_of_squares(tensor: &Tensor) -> Result<f64> {
    let (storage, layout) = tensor.storage_and_layout();
    let Storage::Cpu(CpuStorage::F32(values)) = &*storage else {
        drop(storage);
        return Ok(f64::from(tensor.sqr()?.sum_all()?.to_scalar::<f32>()?));
    };
    let sum = |piece: &[f32]| -> f64 {
        let mut lanes = [0.0_f32; 16];
        for values in piece.chunks(16) {
            lanes.iter_mut().zip(values).for_each(|(lane, &x)| *lane = x.mul_add(x, *lane));
        }
        lanes.iter().map(|&lane| f64::from(lane)).sum()
    };
    // In order, so that the sum does not depend on thread timing.
    Ok(values[range(layout)].par_chunks(PIECE).map(sum).collect::<Vec<_>>().iter().sum())
}

/// The factor that limits gradients of this norm to `longest`, as in torch.nn.utils.clip_grad_norm_.
pub(crate) fn clip(length: f64, longest: f64) -> f64 {
    (longest / (length + 1e-6)).min(1.0)
}

/// The learning rate of step number `step` (from 0) of `steps`: linear warm-up, then linear decay to 0.
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
        let tensor =
            |values: [f32; 2]| Values::from([("w".to_owned(), Tensor::new(&values, &Device::Cpu).unwrap())]);
        let mut values = tensor([1.0, -2.0]);
        let mut adam = AdamW::new(&values, 0.01).unwrap();
        for gradient in [[0.5, -0.1], [0.2, 0.3]] {
            values = adam.step(&values, &tensor(gradient), 1.0, 0.1).unwrap();
        }
        let ours = values["w"].to_vec1::<f32>().unwrap();
        for (&a, b) in ours.iter().zip([0.808_243_483_900_928_2, -1.945_520_991_110_065_5]) {
            assert!((f64::from(a) - b).abs() < 1e-6, "{ours:?}");
        }
    }

    #[test]
    fn the_fused_step_is_that_of_plain_operators() {
        let tensor = |seed: usize| {
            let values: Vec<f32> = (0..1000).map(|i| ((i * seed) % 97) as f32 / 97.0).collect();
            Tensor::from_vec(values, (20, 50), &Device::Cpu).unwrap()
        };
        let step = Step { scale: 0.7, kept: 0.999, rate: 1e-2, first: 0.19, second: 0.002 };
        let (mut fused, mut plain) = ((tensor(5), tensor(7)), (tensor(5), tensor(7)));
        let a = step.fused(&tensor(3), &tensor(11), &mut fused).unwrap();
        let b = step.plain(&tensor(3), &tensor(11), &mut plain).unwrap();
        for (a, b) in [(a, b), (fused.0, plain.0), (fused.1, plain.1)] {
            let difference = (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
            assert!(difference < 1e-6, "{difference}");
        }
    }

    #[test]
    fn clipping_shortens_what_is_longer() {
        let gradients = Values::from([("w".to_owned(), Tensor::new(&[3.0_f32, 4.0], &Device::Cpu).unwrap())]);
        assert_eq!(norm(&gradients).unwrap(), 5.0);
        assert!((clip(5.0, 1.0) - 0.2).abs() < 1e-6);
        assert_eq!(clip(5.0, 9.0), 1.0);
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
