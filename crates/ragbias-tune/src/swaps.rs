//! Swaps of tokens that raise a document above another, to first order: HotFlip.

use std::ops::Range;

use candle_core::{Tensor, Var};
use ragbias_embed::{Input, Packed, WORD_EMBEDDINGS};

use crate::loss::normalised;
use crate::{Base, Error, Result};

/// A document that competes for a question with another one, whose cosine is known.
#[derive(Debug, Clone, PartialEq)]
pub struct Contest {
    tokens: Vec<u32>,
    question: Vec<f32>,
    rival: f32,
}

impl Contest {
    /// The tokens of the document, with special tokens; the unit vector of the question, `(dim,)`; the cosine of the question with the
    /// other document.
    ///
    /// # Errors
    /// [`Error::Setting`] for a document without tokens, a vector whose length is not 1, a cosine that is not finite.
    pub fn new(tokens: Vec<u32>, question: Vec<f32>, rival: f32) -> Result<Self> {
        let wrong = |setting, expected: &str, received: String| {
            Err(Error::Setting { setting, expected: expected.into(), received })
        };
        if tokens.is_empty() {
            return wrong("tokens of a document", "at least one", "none".into());
        }
        let length = question.iter().map(|x| f64::from(x * x)).sum::<f64>().sqrt();
        if length.is_nan() || (length - 1.0).abs() > 1e-3 {
            return wrong("length of a question's vector", "1", length.to_string());
        }
        if !rival.is_finite() {
            return wrong("cosine of the other document", "a finite number", rival.to_string());
        }
        Ok(Self { tokens, question, rival })
    }

    /// The tokens of the document.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// The same with another token at a place, which is one of the document's.
    #[must_use]
    pub fn with(&self, place: usize, token: u32) -> Self {
        let mut contest = self.clone();
        contest.tokens[place] = token;
        contest
    }
}

/// The loss of contests, and its slope along the word embeddings at some places.
#[derive(Debug, Clone, PartialEq)]
pub struct Slopes {
    /// The loss.
    pub loss: f64,
    /// For each place, the gradient of the word embedding there, summed over the contests: `(places, hidden)`.
    pub gradients: Vec<Vec<f32>>,
}

impl Base {
    /// The mean over contests of log(1 + e^(−τ·(cos(q, d) − c))), where c is the cosine of the other document and τ is `scale`: 0 where
    /// every document is far above the other.
    ///
    /// # Errors
    /// A token outside the vocabulary, a vector of another width.
    pub fn contest_loss(&self, contests: &[Contest], scale: f64) -> Result<f64> {
        let packed = packed(contests);
        let vectors = self.embedder.encoder().vectors(Input::Tokens(&packed))?;
        Ok(f64::from(self.loss_of(&vectors, contests, scale)?.to_scalar::<f32>()?))
    }

    /// The same loss, and its gradients at these places, which every document has.
    ///
    /// # Errors
    /// As for [`Base::contest_loss`]; [`Error::Setting`] for places that a document lacks.
    pub fn contest_slopes(&self, contests: &[Contest], scale: f64, places: Range<usize>) -> Result<Slopes> {
        if let Some(short) = contests.iter().find(|contest| contest.tokens.len() < places.end) {
            return Err(Error::Setting {
                setting: "places of a document",
                expected: format!("at most its {} tokens", short.tokens.len()),
                received: places.end.to_string(),
            });
        }
        let packed = packed(contests);
        let (vectors, tape) = self.embedder.encoder().record_inputs(&packed)?;
        let leaf = Var::from_tensor(&vectors)?;
        let loss = self.loss_of(leaf.as_tensor(), contests, scale)?;
        let store = loss.backward()?;
        let hidden = self.shape().hidden_size;
        let mut gradients = vec![vec![0.0; hidden]; places.len()];
        if let Some(gradient) = store.get(&leaf) {
            let all = tape.backward(gradient)?;
            let mut start = 0;
            for &length in &packed.lengths {
                let own = all[start * hidden..].chunks_exact(hidden).take(length);
                for (sum, row) in gradients.iter_mut().zip(own.skip(places.start)) {
                    sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
                }
                start += length;
            }
        }
        Ok(Slopes { loss: f64::from(loss.to_scalar::<f32>()?), gradients })
    }

    /// What every token of the vocabulary would lower a loss by, to first order, in place of the token `now`: g·(e_now − e), from the
    /// gradient g of the word embedding there, `(hidden,)`. Source: HotFlip, Ebrahimi et al. (2018), <https://arxiv.org/abs/1712.06751>.
    ///
    /// # Errors
    /// A gradient of another width, a token outside the vocabulary.
    pub fn swap_gains(&self, gradient: &[f32], now: u32) -> Result<Vec<f32>> {
        let table = self.parameters.get(WORD_EMBEDDINGS)?;
        let gradient = Tensor::from_slice(gradient, (gradient.len(), 1), &self.device)?;
        let along = table.matmul(&gradient)?.flatten_all()?.to_vec1::<f32>()?;
        let Some(&now) = along.get(now as usize) else {
            return Err(Error::Setting {
                setting: "token",
                expected: format!("below the size of the vocabulary, {}", along.len()),
                received: now.to_string(),
            });
        };
        Ok(along.into_iter().map(|to| now - to).collect())
    }

    /// The loss from pooled vectors, a scalar, differentiable in them.
    fn loss_of(&self, pooled: &Tensor, contests: &[Contest], scale: f64) -> Result<Tensor> {
        let unit = normalised(&self.embedder.map(pooled.clone())?)?;
        let width = contests.first().map_or(0, |contest| contest.question.len());
        let questions = contests.iter().flat_map(|contest| contest.question.iter().copied()).collect();
        let questions = Tensor::from_vec::<_, f32>(questions, (contests.len(), width), &self.device)?;
        let rivals: Vec<f32> = contests.iter().map(|contest| contest.rival).collect();
        let rivals = Tensor::from_vec(rivals, contests.len(), &self.device)?;
        let margins = (((unit * questions)?.sum(1)? - rivals)? * -scale)?;
        // log(1 + e^x) is max(x, 0) + log(1 + e^−|x|), which does not overflow.
        let tail = (margins.abs()?.neg()?.exp()? + 1.0)?.log()?;
        Ok((margins.relu()? + tail)?.mean_all()?)
    }
}

fn packed(contests: &[Contest]) -> Packed {
    let tokens: Vec<&[u32]> = contests.iter().map(Contest::tokens).collect();
    Packed::new(&tokens)
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use ragbias_core::{Embedder, Role, Silent};
    use ragbias_embed::TextEmbedderConfig;
    use ragbias_models::{ModelKind, ModelStore};

    use super::*;

    static MINILM: LazyLock<Base> = LazyLock::new(|| {
        let store = ModelStore::from_env().unwrap();
        let folder = store.resolve("minilm", ModelKind::Embedder, &Silent).unwrap();
        Base::load(&folder, &TextEmbedderConfig::default()).unwrap()
    });

    const QUESTION: &str = "Who kept bees on the roof of the library?";
    const DOCUMENTS: [&str; 2] =
        ["chair the report was read aloud in the hall.", "chair rain fell on the empty harbour all week."];

    /// Two documents whose second token is to be swapped, against a rival that is a little nearer.
    fn contests() -> Vec<Contest> {
        let base = &*MINILM;
        let question = base.embedder().embed(&[QUESTION], Role::Question).unwrap().row(0).to_vec();
        let tokens = base.embedder().tokenise(&DOCUMENTS, Role::Document).unwrap();
        tokens.into_iter().map(|tokens| Contest::new(tokens, question.clone(), 0.1).unwrap()).collect()
    }

    #[test]
    fn the_loss_is_that_of_its_formula() {
        let base = &*MINILM;
        let vectors = base.embedder().embed(&DOCUMENTS, Role::Document).unwrap();
        let question = base.embedder().embed(&[QUESTION], Role::Question).unwrap();
        let margin = |row: usize| f64::from(vectors.row(row).dot(&question.row(0))) - 0.1;
        let expected = (0..2).map(|row| (1.0 + (-50.0 * margin(row)).exp()).ln()).sum::<f64>() / 2.0;
        let loss = base.contest_loss(&contests(), 50.0).unwrap();
        assert!((loss - expected).abs() < 1e-3 * expected, "{loss} {expected}");
        let slopes = base.contest_slopes(&contests(), 50.0, 1..2).unwrap();
        assert!((slopes.loss - loss).abs() < 1e-4 * loss, "{} {loss}", slopes.loss);
    }

    /// A word of the question is among words of the vocabulary: the first-order gains bring it to the top, and it is the best of all.
    #[test]
    fn the_word_that_is_chosen_is_the_best_of_all_that_were_tried_by_brute_force() {
        let base = &*MINILM;
        let words = base.embedder().whole_words().unwrap();
        assert!(words.len() > 10_000, "{}", words.len());
        let id_of = |word: &str| words.iter().find(|(_, own)| own == word).unwrap().0;
        let (chair, bees) = (id_of("chair"), id_of("bees"));
        let contests = contests();
        assert!(contests.iter().all(|contest| contest.tokens()[1] == chair));
        let tried: Vec<u32> = words.iter().step_by(100).map(|word| word.0).chain([bees]).collect();
        let slopes = base.contest_slopes(&contests, 20.0, 1..2).unwrap();
        let gains = base.swap_gains(&slopes.gradients[0], chair).unwrap();
        assert!(gains[chair as usize].abs() < 1e-6);
        let loss = |token: u32| {
            let swapped: Vec<Contest> = contests.iter().map(|contest| contest.with(1, token)).collect();
            base.contest_loss(&swapped, 20.0).unwrap()
        };
        let best = |tokens: &[u32]| {
            let of = |token: &u32| (loss(*token), *token);
            tokens.iter().map(of).min_by(|a, b| a.0.total_cmp(&b.0)).unwrap().1
        };
        let mut ranked = tried.clone();
        ranked.sort_by(|a, b| gains[*b as usize].total_cmp(&gains[*a as usize]));
        let chosen = best(&ranked[..10]);
        assert_eq!(chosen, best(&tried));
        assert_eq!(chosen, bees);
        assert!(loss(bees) < slopes.loss);
    }

    #[test]
    fn what_is_no_contest_is_refused() {
        let refused = |tokens: Vec<u32>, question: Vec<f32>, rival| {
            Contest::new(tokens, question, rival).unwrap_err().to_string()
        };
        assert!(refused(Vec::new(), vec![1.0], 0.0).contains("at least one"));
        assert!(refused(vec![1], vec![0.5], 0.0).contains("0.5"));
        assert!(refused(vec![1], vec![1.0], f32::NAN).contains("NaN"));
    }
}
