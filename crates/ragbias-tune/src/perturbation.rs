//! Where the gradient of a sharpness-aware step is taken.

use crate::Result;
use crate::optimiser::norm;
use crate::trainable::{HEAD, Values};

/// η of adaptive sharpness: the least size of a weight.
const LEAST_WEIGHT: f64 = 0.01;

/// θ + ρ·g/‖g‖.
pub(crate) fn perturbed(values: &Values, gradients: &Values, radius: f64) -> Result<Values> {
    let factor = radius / (norm(gradients)? + 1e-12);
    let mut there = values.clone();
    for (name, gradient) in gradients {
        there.insert(name.clone(), (&values[name] + (gradient * factor)?)?);
    }
    Ok(there)
}

/// θ + ρ·T²·g/‖T·g‖.
pub(crate) fn adaptively_perturbed(values: &Values, gradients: &Values, radius: f64) -> Result<Values> {
    let mut sizes = Values::new();
    for (name, value) in values {
        if let Some(weight) = weight(name, value)? {
            sizes.insert(name.clone(), (weight.abs()? + LEAST_WEIGHT)?);
        }
    }
    let scaled = |gradients: &Values| -> Result<Values> {
        let each = gradients.iter().map(|(name, gradient)| {
            let scaled = match sizes.get(name) {
                Some(size) => (gradient * size)?,
                None => gradient.clone(),
            };
            Ok((name.clone(), scaled))
        });
        each.collect()
    };
    let once = scaled(gradients)?;
    let factor = radius / (norm(&once)? + 1e-12);
    let mut there = values.clone();
    for (name, direction) in scaled(&once)? {
        let moved = (&values[&name] + (direction * factor)?)?;
        there.insert(name, moved);
    }
    Ok(there)
}

/// The weight that a variable stands for; none for biases.
fn weight(name: &str, value: &candle_core::Tensor) -> Result<Option<candle_core::Tensor>> {
    if name.rsplit('.').next() == Some("bias") {
        return Ok(None);
    }
    if name == HEAD {
        let identity = candle_core::Tensor::eye(value.dim(0)?, value.dtype(), value.device())?;
        return Ok(Some((value + identity)?));
    }
    Ok(Some(value.clone()))
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::*;

    #[test]
    fn an_adaptive_perturbation_is_larger_where_weights_are() {
        // By hand: T = (2.01, 0.51) and 1 for the bias, g = (3, 4) and 12; T·g = (6.03, 2.04), 12.
        let of = |weight: [f32; 2], bias: f32| {
            let tensor = |values: &[f32]| Tensor::new(values, &Device::Cpu).unwrap();
            Values::from([("a.weight".to_owned(), tensor(&weight)), ("a.bias".to_owned(), tensor(&[bias]))])
        };
        let there = adaptively_perturbed(&of([2.0, -0.5], 1.0), &of([3.0, 4.0], 12.0), 0.5).unwrap();
        let length = (6.03_f64.powi(2) + 2.04_f64.powi(2) + 144.0).sqrt();
        let expected = [2.0 + 0.5 * 6.03 * 2.01 / length, -0.5 + 0.5 * 2.04 * 0.51 / length];
        for (ours, expected) in there["a.weight"].to_vec1::<f32>().unwrap().iter().zip(expected) {
            assert!((f64::from(*ours) - expected).abs() < 1e-6, "{ours} {expected}");
        }
        let bias = there["a.bias"].to_vec1::<f32>().unwrap()[0];
        assert!((f64::from(bias) - (1.0 + 0.5 * 12.0 / length)).abs() < 1e-6, "{bias}");
    }
}
