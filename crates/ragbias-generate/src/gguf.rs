use std::path::{Path, PathBuf};
use std::time::Instant;

use ragbias_core::{Answer, Choice, ChoicePrompt, Chosen, ContentHasher, ContentId, Generator, Keep};

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

/// A `.gguf` file of the Llama or Gemma 3 family, on the CPU.
///
/// Tokenizer and chat template are the file's own; a model without a template is a base model and is asked with plain
/// prompts that end in `Answer:`. Answers are greedy unless the temperature says otherwise.
///
/// Weights stay in the file, which is mapped into memory, and activations are f32. Prompts that are given together share
/// what they begin with and generate side by side; each gets the answer that it would get alone, to the last bit of its
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

/// Longer prompts are refused, whatever the model could see.
const LONGEST_CONTEXT: u32 = 4096;

impl Gguf {
    /// Loads a model.
    ///
    /// # Errors
    /// A setting out of range; a file that is truncated, damaged, or of another architecture; or anything in it that would
    /// change numbers and is not computed here, by its name.
    pub fn load(path: &Path, config: &GenerateConfig) -> Result<Self> {
        config.check()?;
        let file = GgufFile::open(path)?;
        let architecture = Architecture::of(&file)?;
        let sizes = Sizes::read(architecture, &file)?;
        let context = sizes.context.min(LONGEST_CONTEXT) as usize;
        // Beside one another: where a vocabulary has hundreds of thousands of pieces, that alone takes longer than the rest.
        let (tokens, decoder) = rayon::join(
            || {
                let tokens = Tokens::load(&file)?;
                let template = Template::load(&file, tokens.bos_and_eos())?;
                file.refuse_keys("", architecture.name())?;
                Ok::<_, Error>((tokens, template))
            },
            || {
                let decoder = Decoder::load(architecture, sizes, &file)?;
                file.refuse_tensors(architecture.name())?;
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
        let id = ContentHasher::new("gguf/3").field(content.as_bytes()).field(config.fingerprint()).finish();
        Ok(Self { path: path.into(), reader, tokens, template, config: config.clone(), context, id })
    }

    /// Seconds to read a prompt of `prompt` tokens, and to go on for `new` more, whatever they are.
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

    /// The ids of a prompt as the model reads it.
    fn encode(&self, prompt: &str) -> Result<Vec<u32>> {
        let (limit, answer) = (self.context, self.config.max_new_tokens);
        // A text that cannot fit is not tokenised, which takes a hundred times its size; a template may make much of little.
        let fits = |text: &str| match text.len() {
            bytes if bytes > limit * self.tokens.longest() => Err(Error::TextTooLong { bytes, limit }),
            _ => Ok(()),
        };
        fits(prompt)?;
        let text = self.template.render(&self.path, prompt)?;
        fits(&text)?;
        let ids = self.tokens.encode(&text).map_err(candle_core::Error::wrap)?;
        if ids.len() + answer > limit {
            return Err(Error::PromptTooLong { received: ids.len(), limit, answer });
        }
        Ok(ids)
    }

    /// Answers prompts that were read together, a token of each at a time; each answer is kept when it has ended.
    fn answer(
        &self,
        prompts: &[&str],
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

    /// Numbers that overflow within a model, or come to nothing, would be read as an answer.
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
        self.template.note().into_iter().collect()
    }

    /// Prompts that do not fit are found before any is answered.
    fn generate(&self, prompts: &[&str], keep: &Keep<'_, Answer>) -> ragbias_core::Result<()> {
        let ids = prompts.iter().map(|prompt| self.encode(prompt)).collect::<Result<Vec<_>>>()?;
        self.reader.read(&ids, |read| self.answer(prompts, read, keep))
    }

    fn choose(&self, prompts: &[ChoicePrompt<'_>], keep: &Keep<'_, Chosen>) -> ragbias_core::Result<()> {
        // The two orders of a prompt follow each other.
        let orders = prompts.iter().flat_map(|asked| {
            [(asked.negative, asked.positive), (asked.positive, asked.negative)]
                .map(|(first, second)| self.encode(&render(asked.prompt, first, second)))
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

/// An answer that has not ended yet.
struct Open {
    prompt: usize,
    read: Read,
    sampler: Sampler,
    tokens: Vec<u32>,
}
