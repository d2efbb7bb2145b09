//! A loaded model: prompts and answers around the logits of any [`Model`].

use std::path::PathBuf;
use std::time::Instant;

use ragbias_core::{
    Answer, Choice, ChoicePrompt, Chosen, ContentId, Generator, Keep, Likelihood, PossibleAnswer, Prompt,
};

use crate::choice::{LETTERS, log_sum_exp, render};
use crate::config::GenerateConfig;
use crate::model::{Model, Span};
use crate::prompts::{Read, Reader};
use crate::sample::Sampler;
use crate::template::Template;
use crate::tokenizer::Tokens;
use crate::{Error, Result};

/// A model with its tokenizer, its template and its settings.
pub(crate) struct Loaded<M: Model> {
    pub(super) reader: Reader<M>,
    pub(super) parts: Parts,
}

/// What a loaded model has beside its weights.
pub(crate) struct Parts {
    pub(super) path: PathBuf,
    pub(super) tokens: Tokens,
    pub(super) template: Template,
    pub(super) config: GenerateConfig,
    pub(super) context: usize,
    pub(super) id: ContentId,
}

/// A generator whose speed can be measured.
pub(super) trait Llm: Generator {
    /// Seconds to prefill `batch` prompts of `prompt` tokens, and to decode `new` more of each, ignoring end tokens.
    fn time(&self, batch: usize, prompt: usize, new: usize) -> Result<[f64; 2]>;
}

impl<M: Model> Loaded<M> {
    pub(crate) fn new(model: M, parts: Parts) -> Self {
        Self { reader: Reader::new(model), parts }
    }

    /// The token ids of a prompt that leaves room for an answer.
    fn encode(&self, prompt: Prompt<'_>) -> Result<Vec<u32>> {
        let (limit, answer) = (self.parts.context, self.parts.config.max_new_tokens);
        let ids = self.tokenise(&self.render(prompt)?)?;
        if ids.len() + answer > limit {
            return Err(Error::PromptTooLong { received: ids.len(), limit, answer });
        }
        Ok(ids)
    }

    /// The model's input for a prompt.
    pub(super) fn render(&self, prompt: Prompt<'_>) -> Result<String> {
        self.fits(prompt.user.len() + prompt.system.map_or(0, str::len))?;
        self.parts.template.render(&self.parts.path, prompt)
    }

    pub(super) fn tokenise(&self, text: &str) -> Result<Vec<u32>> {
        self.fits(text.len())?;
        Ok(self.parts.tokens.encode(text).map_err(candle_core::Error::wrap)?)
    }

    /// A text that cannot fit is not tokenised, which takes a hundred times its size; a template can expand a short prompt.
    fn fits(&self, bytes: usize) -> Result<()> {
        let limit = self.parts.context;
        if bytes > limit * self.parts.tokens.longest() {
            return Err(Error::TextTooLong { bytes, limit });
        }
        Ok(())
    }

    /// Decodes the answers to prompts as a batch; each answer is passed to `keep` when it has ended.
    fn answer(
        &self,
        prompts: &[Prompt<'_>],
        read: Vec<(usize, Read<M::Cache>)>,
        keep: &Keep<'_, Answer>,
    ) -> ragbias_core::Result<()> {
        let mut open: Vec<Open<M::Cache>> = read
            .into_iter()
            .map(|(prompt, read)| Open {
                prompt,
                read,
                sampler: Sampler::new(&self.parts.config, prompts[prompt]),
                tokens: Vec::new(),
            })
            .collect();
        loop {
            let mut left = Vec::with_capacity(open.len());
            for mut one in open {
                self.check(&one.read.logits)?;
                let token = one.sampler.next(&one.read.logits);
                let ended = self.parts.tokens.ends(token);
                if !ended {
                    one.tokens.push(token);
                }
                let decoded = self.parts.tokens.decode(&one.tokens).map_err(candle_core::Error::wrap);
                let text = decoded.map_err(Error::from)?;
                let (answer, stopped) = self.parts.config.cut(&text);
                if ended || stopped {
                    keep(one.prompt, Answer::whole(answer))?;
                } else if one.tokens.len() == self.parts.config.max_new_tokens {
                    keep(one.prompt, Answer::cut(answer))?;
                } else {
                    left.push(one);
                }
            }
            open = left;
            if open.is_empty() {
                return Ok(());
            }
            let mut spans: Vec<Span<'_, M::Cache>> = open
                .iter_mut()
                .map(|one| Span {
                    tokens: &one.tokens[one.tokens.len() - 1..],
                    state: &mut one.read.state,
                    logits: true,
                })
                .collect();
            let logits = self.reader.model().step(&mut spans)?;
            open.iter_mut().zip(logits).for_each(|(one, logits)| one.read.logits = logits);
        }
    }

    /// Refuses non-finite logits, which would otherwise be read as an answer.
    pub(super) fn check(&self, logits: &[f32]) -> Result<()> {
        if logits.iter().all(|logit| logit.is_finite()) {
            return Ok(());
        }
        Err(Error::NonFiniteLogits { path: self.parts.path.clone() })
    }

    /// log P(A) and log P(B) of the next token, each letter with and without a space before it.
    fn letters(&self, logits: &[f32]) -> [f64; 2] {
        let total = log_sum_exp(logits.iter().map(|&logit| f64::from(logit)));
        LETTERS.map(|letter| {
            let ids = self.parts.tokens.letter(letter);
            log_sum_exp(ids.iter().map(|&id| f64::from(logits[id as usize]))) - total
        })
    }
}

impl<M: Model> Llm for Loaded<M> {
    fn time(&self, batch: usize, prompt: usize, new: usize) -> Result<[f64; 2]> {
        let model = self.reader.model();
        let token = |i: usize| ((100 + i * 7 % 5000) % model.vocabulary()) as u32;
        let texts: Vec<Vec<u32>> =
            (0..batch).map(|text| (text..text + prompt + new).map(token).collect()).collect();
        let mut states = vec![model.start(); batch];
        let begun = Instant::now();
        let spans = states.iter_mut().zip(&texts);
        let spans = spans.map(|(state, text)| Span { state, tokens: &text[..prompt], logits: true });
        model.read(spans.collect())?;
        let read = begun.elapsed().as_secs_f64();
        for next in prompt..prompt + new {
            let spans = states.iter_mut().zip(&texts);
            let spans = spans.map(|(state, text)| Span { state, tokens: &text[next..=next], logits: true });
            model.step(&mut spans.collect::<Vec<_>>())?;
        }
        Ok([read, begun.elapsed().as_secs_f64() - read])
    }
}

impl<M: Model> Generator for Loaded<M> {
    fn id(&self) -> ContentId {
        self.parts.id
    }

    fn notes(&self) -> Vec<String> {
        self.parts.template.notes()
    }

    fn likelihoods(
        &self,
        answers: &[PossibleAnswer<'_>],
        keep: &Keep<'_, Likelihood>,
    ) -> ragbias_core::Result<()> {
        self.weigh(answers, keep)
    }

    /// Finds prompts that do not fit before any is answered.
    fn generate(&self, prompts: &[Prompt<'_>], keep: &Keep<'_, Answer>) -> ragbias_core::Result<()> {
        let ids = prompts.iter().map(|&prompt| self.encode(prompt)).collect::<Result<Vec<_>>>()?;
        self.reader.read(&ids, |read| self.answer(prompts, read, keep))
    }

    fn choose(&self, prompts: &[ChoicePrompt<'_>], keep: &Keep<'_, Chosen>) -> ragbias_core::Result<()> {
        // The two orders of a prompt are adjacent.
        let orders = prompts.iter().flat_map(|asked| {
            [(asked.negative, asked.positive), (asked.positive, asked.negative)].map(|(first, second)| {
                let user = render(asked.prompt.user, first, second);
                self.encode(Prompt { user: &user, ..asked.prompt })
            })
        });
        let ids = orders.collect::<Result<Vec<_>>>()?;
        let mut letters: Vec<[Option<[f64; 2]>; 2]> = vec![[None; 2]; prompts.len()];
        self.reader.read(&ids, |read| {
            for (order, read) in &read {
                self.check(&read.logits)?;
                let both = &mut letters[order / 2];
                both[order % 2] = Some(self.letters(&read.logits));
                if let [Some(negative_first), Some(positive_first)] = *both {
                    let choice = Choice::from_log_probabilities(negative_first, positive_first);
                    keep(order / 2, Chosen::Choice(choice))?;
                }
            }
            Ok(())
        })
    }
}

/// An unfinished answer.
struct Open<C> {
    prompt: usize,
    read: Read<C>,
    sampler: Sampler,
    tokens: Vec<u32>,
}
