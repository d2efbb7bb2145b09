//! The encoder and its pooling, for inference and training, on any device.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::{DType, Device, Tensor, Var};

use crate::config::{Architecture, EncoderConfig, Pooling};
use crate::cpu::{CpuEncoder, CpuTape};
use crate::input::{Boundary, Input};
use crate::operators::DeviceEncoder;
use crate::parameters::Parameters;
use crate::{Error, Result};

/// An encoder with its pooling: a function of [`Parameters`] from texts to vectors, with gradients.
///
/// On the CPU it uses its own kernels, on other devices candle's operators. A text's vector does not depend on
/// its batch.
#[derive(Clone)]
pub struct Encoder {
    config: EncoderConfig,
    pooling: Pooling,
    precision: Precision,
    on: On,
}

#[derive(Clone)]
enum On {
    Cpu(CpuEncoder),
    Device { encoder: DeviceEncoder, parameters: Parameters },
}

/// The precision of products on a GPU; weights and gradients are always f32, and so is everything on the CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// 32 bits.
    #[default]
    F32,
    /// bfloat16: 16 bits with the exponent range of f32 and two to three digits.
    Bf16,
}

impl std::str::FromStr for Precision {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "f32" => Ok(Self::F32),
            "bf16" => Ok(Self::Bf16),
            _ => Err(Error::Processor {
                name: text.into(),
                reason: "expected the precision f32 or bf16".into(),
            }),
        }
    }
}

impl Precision {
    fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::Bf16 => DType::BF16,
        }
    }
}

impl Encoder {
    /// The encoder with these weights, on their device; on the CPU the precision is always f32.
    ///
    /// # Errors
    /// A missing weight.
    pub fn new(
        config: &EncoderConfig,
        pooling: &Pooling,
        parameters: &Parameters,
        precision: Precision,
    ) -> Result<Self> {
        let on = match parameters.device() {
            Device::Cpu if has_kernels(config) => On::Cpu(CpuEncoder::new(config, pooling, parameters)?),
            _ => On::Device {
                encoder: DeviceEncoder::new(config, parameters, precision.dtype())?,
                parameters: parameters.clone(),
            },
        };
        Ok(Self { config: config.clone(), pooling: pooling.clone(), precision, on })
    }

    /// The encoder for inference alone: on the CPU it keeps each matrix once, and has no gradients.
    ///
    /// # Errors
    /// A missing weight.
    pub fn for_inference(
        config: &EncoderConfig,
        pooling: &Pooling,
        parameters: Parameters,
        precision: Precision,
    ) -> Result<Self> {
        if !parameters.device().is_cpu() || !has_kernels(config) {
            return Self::new(config, pooling, &parameters, precision);
        }
        let on = On::Cpu(CpuEncoder::for_inference(config, pooling, parameters)?);
        Ok(Self { config: config.clone(), pooling: pooling.clone(), precision, on })
    }

    /// The same encoder with other weights, reusing its memory.
    ///
    /// # Errors
    /// Those of [`Encoder::new`].
    pub fn with(&self, parameters: &Parameters) -> Result<Self> {
        match &self.on {
            On::Cpu(encoder) if parameters.device().is_cpu() => {
                Ok(Self { on: On::Cpu(encoder.with(&self.config, parameters)?), ..self.clone() })
            }
            _ => Self::new(&self.config, &self.pooling, parameters, self.precision),
        }
    }

    /// Number of tokens to pass at once: on the CPU all, as it divides them into chunks itself; elsewhere as many as
    /// fit into memory with their intermediate results.
    pub(crate) fn tokens_per_pass(&self) -> usize {
        match &self.on {
            On::Cpu(_) => usize::MAX,
            On::Device { .. } => 16_384,
        }
    }

    /// Hidden states at a boundary, `(tokens, hidden)`, row-major.
    ///
    /// # Errors
    /// A token outside the vocabulary, a sequence that is too long, states of another width.
    pub fn states(&self, input: Input<'_>, at: Boundary) -> Result<Vec<f32>> {
        match &self.on {
            On::Cpu(encoder) => encoder.states(input, at),
            On::Device { encoder, .. } => Ok(encoder.states(input, at.half())?.flatten_all()?.to_vec1()?),
        }
    }

    /// One vector per text, `(texts, pooled)`, not normalised; `pooled` is the width of a hidden state times the number of
    /// pooling modes.
    ///
    /// # Errors
    /// Those of [`Encoder::states`].
    pub fn vectors(&self, input: Input<'_>) -> Result<Tensor> {
        self.vectors_after(input, 0)
    }

    /// The same, pooled over the tokens after the first `skipped` of every text.
    ///
    /// # Errors
    /// Those of [`Encoder::states`].
    pub fn vectors_after(&self, input: Input<'_>, skipped: usize) -> Result<Tensor> {
        match &self.on {
            On::Cpu(encoder) => encoder.vectors(input, skipped),
            On::Device { encoder, .. } => encoder.vectors(input, &self.pooling, skipped),
        }
    }

    /// The vectors of [`Encoder::vectors`], and a tape for the gradients of the named parameters.
    ///
    /// # Errors
    /// Those of [`Encoder::states`]; on the CPU, pooling other than the mean or the first token, and
    /// [`Error::ForInference`].
    pub fn record(&self, input: Input<'_>, parameters: &BTreeSet<String>) -> Result<(Tensor, Tape)> {
        match &self.on {
            On::Cpu(encoder) => {
                let (vectors, tape) = encoder.record(input, parameters)?;
                Ok((vectors, Tape(Recorded::Cpu(Box::new(tape)))))
            }
            On::Device { parameters: all, .. } => {
                let (mut all, mut variables) = (all.clone(), BTreeMap::new());
                for name in parameters {
                    let variable = Var::from_tensor(all.get(name)?)?;
                    all.set(name, variable.as_tensor().clone())?;
                    variables.insert(name.clone(), variable);
                }
                let vectors = DeviceEncoder::new(&self.config, &all, self.precision.dtype())?.vectors(
                    input,
                    &self.pooling,
                    0,
                )?;
                Ok((vectors.detach(), Tape(Recorded::Device { vectors, variables })))
            }
        }
    }
}

/// Whether the CPU's kernels compute this encoder.
fn has_kernels(config: &EncoderConfig) -> bool {
    config.architecture == Architecture::BERT
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let pooling = &self.pooling;
        f.debug_struct("Encoder")
            .field("config", &self.config)
            .field("pooling", pooling)
            .finish_non_exhaustive()
    }
}

/// A recorded forward pass of an [`Encoder`].
pub struct Tape(Recorded);

enum Recorded {
    Cpu(Box<CpuTape>),
    Device { vectors: Tensor, variables: BTreeMap<String, Var> },
}

impl Tape {
    /// The gradients of the named parameters, from that of the vectors, `(texts, hidden)`. A parameter that
    /// did not affect the pass has none.
    ///
    /// # Errors
    /// A gradient of another shape.
    pub fn backward(self, gradient: &Tensor) -> Result<BTreeMap<String, Tensor>> {
        match self.0 {
            Recorded::Cpu(tape) => tape.backward(gradient),
            Recorded::Device { vectors, variables } => {
                // The derivative of this product with respect to the vectors is the gradient.
                let store = (vectors * gradient)?.sum_all()?.backward()?;
                let named = variables.into_iter();
                Ok(named.filter_map(|(name, variable)| Some((name, store.get(&variable)?.clone()))).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Packed;
    use crate::config::{Activation, Family, PoolingMode, Positions};

    const FAMILIES: [Family; 4] = [Family::Bert, Family::DistilBert, Family::XlmRoberta, Family::Mpnet];

    /// A small encoder with random weights, on the CPU kernels and on candle's operators.
    fn cpu_and_reference(pooling: impl Into<Pooling>, activation: Activation) -> [Encoder; 2] {
        of_family(Family::Bert, pooling, activation)
    }

    fn of_family(family: Family, pooling: impl Into<Pooling>, activation: Activation) -> [Encoder; 2] {
        let usual = EncoderConfig::of(family);
        let config = EncoderConfig {
            vocab_size: 50,
            hidden_size: 24,
            num_hidden_layers: 3,
            num_attention_heads: 3,
            intermediate_size: 60,
            hidden_act: activation,
            max_position_embeddings: 40 + usual.positions.skipped(),
            ..usual
        };
        let parameters = Parameters::from_fn(&config, |name, shape| {
            let seed: usize = name.bytes().map(usize::from).sum();
            let random = |i: usize| ((i * 7919 + seed * 104_729) % 2003) as f32 / 1001.5 - 1.0;
            let centre = if name.ends_with("LayerNorm.weight") { 1.0 } else { 0.0 };
            let values = (0..shape.iter().product()).map(|i| 0.3_f32.mul_add(random(i), centre)).collect();
            Tensor::from_vec(values, shape, &Device::Cpu)
        })
        .unwrap();
        let kernels = Encoder::new(&config, &pooling.into(), &parameters, Precision::F32).unwrap();
        let encoder = DeviceEncoder::new(&config, &parameters, DType::F32).unwrap();
        [kernels.clone(), Encoder { on: On::Device { encoder, parameters }, ..kernels }]
    }

    fn batch() -> Packed {
        let lengths = [5, 17, 1, 40, 9];
        Packed { ids: (0..72_u32).map(|i| i * 31 % 50).collect(), lengths: lengths.to_vec() }
    }

    fn difference(a: &Tensor, b: &Tensor) -> f32 {
        assert_eq!(a.dims(), b.dims());
        (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar().unwrap()
    }

    #[test]
    fn kernels_give_the_vectors_and_states_of_candles_operators() {
        let activations = [Activation::Gelu, Activation::GeluTanh, Activation::Relu];
        let of_bert = activations.map(|activation| (Family::Bert, activation));
        let others = FAMILIES[1..].iter().map(|family| (*family, Activation::Gelu));
        for (family, activation) in of_bert.into_iter().chain(others) {
            for pooling in [PoolingMode::Mean, PoolingMode::Cls] {
                let [kernels, operators] = of_family(family, pooling, activation);
                let batch = batch();
                let input = Input::Tokens(&batch);
                let [a, b] = [&kernels, &operators].map(|encoder| encoder.vectors(input).unwrap());
                let difference = difference(&a, &b);
                assert!(difference < 1e-5, "{family:?} {activation:?} {pooling:?}: {difference}");
                for boundary in [Boundary::Layer(1), Boundary::Mlp(2)] {
                    let rows = kernels.states(input, boundary).unwrap();
                    let same = operators.states(input, boundary).unwrap();
                    assert!(rows.iter().zip(&same).all(|(a, b)| (a - b).abs() < 1e-5));
                    let states = Input::States { boundary, rows: &rows, lengths: &batch.lengths };
                    for encoder in [&kernels, &operators] {
                        assert!(self::difference(&encoder.vectors(states).unwrap(), &a) < 1e-5);
                    }
                }
            }
        }
    }

    #[test]
    fn every_way_of_pooling_and_several_joined_are_those_of_candles_operators() {
        let modes = [
            PoolingMode::Cls,
            PoolingMode::Max,
            PoolingMode::Mean,
            PoolingMode::MeanSqrtLen,
            PoolingMode::WeightedMean,
            PoolingMode::LastToken,
        ];
        let [kernels, operators] = cpu_and_reference(Pooling::joined(modes.to_vec()), Activation::Gelu);
        let lengths = [5, 17, 3, 40, 9];
        let batch = Packed { ids: (0..74_u32).map(|i| i * 31 % 50).collect(), lengths: lengths.to_vec() };
        for skipped in [0, 2] {
            let input = Input::Tokens(&batch);
            let [a, b] = [&kernels, &operators].map(|encoder| encoder.vectors_after(input, skipped).unwrap());
            assert_eq!(a.dims(), [5, 6 * 24]);
            assert!(difference(&a, &b) < 1e-5, "{skipped}: {}", difference(&a, &b));
            for (place, &mode) in modes.iter().enumerate() {
                let [single, _] = cpu_and_reference(mode, Activation::Gelu);
                let alone = single.vectors_after(input, skipped).unwrap();
                assert!(difference(&alone, &a.narrow(1, 24 * place, 24).unwrap()) < 1e-6, "{mode:?}");
            }
        }
    }

    #[test]
    fn pooling_that_cannot_be_trained_through_is_refused() {
        let [kernels, _] = cpu_and_reference(PoolingMode::Max, Activation::Gelu);
        let error = kernels.record(Input::Tokens(&batch()), &BTreeSet::new()).err().unwrap().to_string();
        assert!(error.contains("pooling that is trained through, mean or cls, received max"), "{error}");
    }

    #[test]
    fn an_encoder_for_inference_gives_the_same_bits_and_no_gradients() {
        let [kernels, operators] = of_family(Family::Mpnet, PoolingMode::Mean, Activation::Gelu);
        let On::Device { parameters, .. } = operators.on else { unreachable!() };
        let Encoder { config, pooling, precision, .. } = &kernels;
        let lean = Encoder::for_inference(config, pooling, parameters.clone(), *precision).unwrap();
        let batch = batch();
        let input = Input::Tokens(&batch);
        assert_eq!(difference(&lean.vectors(input).unwrap(), &kernels.vectors(input).unwrap()), 0.0);
        assert!(matches!(lean.record(input, &BTreeSet::new()), Err(Error::ForInference)));
        // With parameters of its own it can be trained, whatever it was made from.
        assert!(lean.with(&parameters).unwrap().record(input, &BTreeSet::new()).is_ok());
    }

    #[test]
    fn kernels_give_the_gradients_of_candles_operators() {
        let families = FAMILIES.map(|family| (family, PoolingMode::Mean, Activation::Gelu));
        for (family, pooling, activation) in
            families.into_iter().chain([(Family::Bert, PoolingMode::Cls, Activation::GeluTanh)])
        {
            let [kernels, operators] = of_family(family, pooling, activation);
            let On::Device { parameters, .. } = &operators.on else { unreachable!() };
            let all: BTreeSet<String> = parameters.iter().map(|(name, _)| name.to_owned()).collect();
            let top = all
                .iter()
                .filter(|name| name.contains("layer.2.") && !name.contains(".self."))
                .cloned()
                .collect();
            let batch = batch();
            let slope: Vec<f32> = (0..5 * 24).map(|i| ((i * 37) % 19) as f32 / 9.0 - 1.0).collect();
            let slope = Tensor::from_vec(slope, (5, 24), &Device::Cpu).unwrap();
            let relative = all.iter().filter(|name| name.contains("relative")).cloned().collect();
            for trained in [&all, &top, &relative] {
                let gradients = |encoder: &Encoder| {
                    let (vectors, tape) = encoder.record(Input::Tokens(&batch), trained).unwrap();
                    assert!(difference(&vectors, &encoder.vectors(Input::Tokens(&batch)).unwrap()) < 1e-5);
                    tape.backward(&slope).unwrap()
                };
                let (ours, theirs) = (gradients(&kernels), gradients(&operators));
                assert!(ours.keys().eq(trained), "{:?}", ours.keys());
                for (name, theirs) in &theirs {
                    let size = theirs.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
                    let difference = difference(&ours[name], theirs);
                    assert!(difference < 1e-4 * size.max(1.0), "{name}: {difference} of {size}");
                }
            }
        }
    }

    #[test]
    fn a_padding_token_within_a_text_has_a_position_of_its_own_and_is_not_counted() {
        let positions = |positions: Positions| positions.of(&[7, 1, 8, 1, 9]).collect::<Vec<_>>();
        assert_eq!(positions(Positions::FromZero), [0, 1, 2, 3, 4]);
        assert_eq!(positions(Positions::AfterPadding(1)), [2, 1, 3, 1, 4]);
        assert_eq!(positions(Positions::AfterPadding(0)), [1, 2, 3, 4, 5]);
    }

    #[test]
    fn what_an_encoder_cannot_take_is_refused_with_the_reason() {
        let [kernels, _] = cpu_and_reference(PoolingMode::Mean, Activation::Gelu);
        let refused = |ids: &[u32], lengths: &[usize]| {
            let batch = Packed { ids: ids.to_vec(), lengths: lengths.to_vec() };
            kernels.vectors(Input::Tokens(&batch)).unwrap_err().to_string()
        };
        assert_eq!(
            refused(&[3, 50], &[2]),
            "expected a token below the size of the vocabulary, 50, received 50"
        );
        assert_eq!(
            refused(&[3; 41], &[41]),
            "expected a sequence within the position embeddings, 40, received 41"
        );
        assert_eq!(refused(&[3; 4], &[5]), "expected tokens in a batch 5, received 4");
    }
}
