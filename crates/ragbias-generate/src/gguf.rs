mod likelihoods;

use std::path::{Path, PathBuf};
use std::time::Instant;

use ragbias_core::{
    Answer, Choice, ChoicePrompt, Chosen, ContentHasher, ContentId, Generator, Keep, Likelihood,
    PossibleAnswer, Prompt,
};

use crate::architecture::{Architecture, Sizes};
use crate::choice::{LETTERS, log_sum_exp, render};
use crate::config::GenerateConfig;
use crate::decoder::{Decoder, Span};
use crate::file::GgufFile;
use crate::prompts::{Read, Reader};
use crate::sample::Sampler;
use crate::template::Template;
use crate::tokenizer::Tokens;
use crate::{Error, Result};

/// A `.gguf` file of one of the supported architectures (`docs/formats-gguf.md`), on the CPU.
///
/// Tokenizer and chat template are the file's own; a model without a template is treated as a base model, with plain
/// prompts that end in `Answer:`. Decoding is greedy unless a temperature is set.
///
/// Weights are memory-mapped from the file, and activations are f32. Prompts that are given together share
/// the prefill of their common prefixes and are decoded as a batch; each gets the same answer as alone, with bit-identical
/// probabilities.
pub struct Gguf {
    path: PathBuf,
    reader: Reader,
    tokens: Tokens,
    template: Template,
    config: GenerateConfig,
    context: usize,
    id: ContentId,
}

impl Gguf {
    /// Loads a model.
    ///
    /// # Errors
    /// A setting out of range; a file that is truncated, damaged, or of another architecture; or any key or tensor that would
    /// change numbers and is not supported, by its name.
    pub fn load(path: &Path, config: &GenerateConfig) -> Result<Self> {
        config.check()?;
        let file = GgufFile::open(path)?;
        let architecture = Architecture::of(&file)?;
        let sizes = Sizes::read(architecture, &file)?;
        let context = sizes.context as usize;
        // In parallel: building a vocabulary of hundreds of thousands of pieces takes longer than everything else.
        let (tokens, decoder) = rayon::join(
            || {
                let tokens = Tokens::load(&file)?;
                let template = Template::load(&file, tokens.bos_and_eos())?;
                file.refuse_keys("", architecture.name)?;
                Ok::<_, Error>((tokens, template))
            },
            || {
                let decoder = Decoder::load(architecture, sizes, &file)?;
                file.refuse_tensors(architecture.name)?;
                Ok::<_, Error>((decoder, file.content_id()))
            },
        );
        let ((tokens, template), (decoder, content)) = (tokens?, decoder?);
        if tokens.count() != decoder.vocabulary() {
            let (tokens, rows) = (tokens.count(), decoder.vocabulary());
            return Err(
                file.broken(format!("tokenizer.ggml.tokens has {tokens} tokens, the embedding {rows} rows"))
            );
        }
        let reader = Reader::new(decoder);
        let id = ContentHasher::new("gguf/4").field(content.as_bytes()).field(config.fingerprint());
        let id = id.last(template.fingerprint()).finish();
        Ok(Self { path: path.into(), reader, tokens, template, config: config.clone(), context, id })
    }

    /// Seconds to prefill a prompt of `prompt` tokens, and to decode `new` more, ignoring end tokens.
    #[doc(hidden)]
    pub fn time(&self, prompt: usize, new: usize) -> [f64; 2] {
        let decoder = self.reader.decoder();
        let tokens: Vec<u32> = (0..(prompt + new) as u32).map(|i| 100 + i * 7 % 5000).collect();
        let (prompt, new) = tokens.split_at(prompt);
        let mut state = decoder.start();
        let begun = Instant::now();
        decoder.read(vec![Span { state: &mut state, tokens: prompt, logits: true }]);
        let read = begun.elapsed().as_secs_f64();
        for token in new.chunks(1) {
            decoder.step(&mut [Span { state: &mut state, tokens: token, logits: true }]);
        }
        [read, begun.elapsed().as_secs_f64() - read]
    }

    /// The token ids of a prompt that leaves room for an answer.
    fn encode(&self, prompt: Prompt<'_>) -> Result<Vec<u32>> {
        let (limit, answer) = (self.context, self.config.max_new_tokens);
        let ids = self.tokenise(&self.render(prompt)?)?;
        if ids.len() + answer > limit {
            return Err(Error::PromptTooLong { received: ids.len(), limit, answer });
        }
        Ok(ids)
    }

    /// The model's input for a prompt.
    fn render(&self, prompt: Prompt<'_>) -> Result<String> {
        self.fits(prompt.user.len() + prompt.system.map_or(0, str::len))?;
        self.template.render(&self.path, prompt)
    }

    fn tokenise(&self, text: &str) -> Result<Vec<u32>> {
        self.fits(text.len())?;
        Ok(self.tokens.encode(text).map_err(candle_core::Error::wrap)?)
    }

    /// A text that cannot fit is not tokenised, which takes a hundred times its size; a template can expand a short prompt.
    fn fits(&self, bytes: usize) -> Result<()> {
        let limit = self.context;
        if bytes > limit * self.tokens.longest() {
            return Err(Error::TextTooLong { bytes, limit });
        }
        Ok(())
    }

    /// Decodes the answers to prompts as a batch; each answer is passed to `keep` when it has ended.
    fn answer(
        &self,
        prompts: &[Prompt<'_>],
        read: Vec<(usize, Read)>,
        keep: &Keep<'_, Answer>,
    ) -> ragbias_core::Result<()> {
        let mut open: Vec<Open> = read
            .into_iter()
            .map(|(prompt, read)| Open {
                prompt,
                read,
                sampler: Sampler::new(&self.config, prompts[prompt]),
                tokens: Vec::new(),
            })
            .collect();
        loop {
            let mut left = Vec::with_capacity(open.len());
            for mut one in open {
                self.check(&one.read.logits)?;
                let token = one.sampler.next(&one.read.logits);
                let ended = self.tokens.ends(token);
                if !ended {
                    one.tokens.push(token);
                }
                let decoded = self.tokens.decode(&one.tokens).map_err(candle_core::Error::wrap);
                let text = decoded.map_err(Error::from)?;
                let (answer, stopped) = self.config.cut(&text);
                if ended || stopped {
                    keep(one.prompt, Answer::whole(answer))?;
                } else if one.tokens.len() == self.config.max_new_tokens {
                    keep(one.prompt, Answer::cut(answer))?;
                } else {
                    left.push(one);
                }
            }
            open = left;
            if open.is_empty() {
                return Ok(());
            }
            let mut spans: Vec<Span<'_>> = open
                .iter_mut()
                .map(|one| Span {
                    tokens: &one.tokens[one.tokens.len() - 1..],
                    state: &mut one.read.state,
                    logits: true,
                })
                .collect();
            let logits = self.reader.decoder().step(&mut spans);
            open.iter_mut().zip(logits).for_each(|(one, logits)| one.read.logits = logits);
        }
    }

    /// Refuses non-finite logits, which would otherwise be read as an answer.
    fn check(&self, logits: &[f32]) -> Result<()> {
        if logits.iter().all(|logit| logit.is_finite()) {
            return Ok(());
        }
        Err(Error::NonFiniteLogits { path: self.path.clone() })
    }

    /// log P(A) and log P(B) of the next token, each letter with and without a space before it.
    fn letters(&self, logits: &[f32]) -> [f64; 2] {
        let total = log_sum_exp(logits.iter().map(|&logit| f64::from(logit)));
        LETTERS.map(|letter| {
            let ids = self.tokens.letter(letter);
            log_sum_exp(ids.iter().map(|&id| f64::from(logits[id as usize]))) - total
        })
    }
}

impl Generator for Gguf {
    fn id(&self) -> ContentId {
        self.id
    }

    fn notes(&self) -> Vec<String> {
        self.template.notes()
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
struct Open {
    prompt: usize,
    read: Read,
    sampler: Sampler,
    tokens: Vec<u32>,
}
