use std::path::Path;

use ragbias_core::{Choice, ChoicePrompt, ContentHasher, ContentId, Generator};

use crate::choice::{LETTERS, log_sum_exp, render};
use crate::config::GenerateConfig;
use crate::file::GgufFile;
use crate::model::{Architecture, Model};
use crate::sample::Sampler;
use crate::template::Template;
use crate::tokenizer::Tokens;
use crate::{Error, Result};

/// A `.gguf` file of the Llama or Gemma 3 family, on the CPU.
///
/// Tokenizer and chat template are the file's own; a model without a template is a base model and is asked with plain
/// prompts that end in `Answer:`. Answers are greedy unless the temperature says otherwise.
pub struct Gguf {
    model: Model,
    tokens: Tokens,
    template: Template,
    config: GenerateConfig,
    context: usize,
    id: ContentId,
}

/// How many tokens a model without `context_length` can see.
const DEFAULT_CONTEXT: u32 = 2048;
/// Rotary positions are computed for this many tokens: as many as candle 0.11 gives a Llama.
const LONGEST_CONTEXT: u32 = 4096;

impl Gguf {
    /// Loads a model.
    ///
    /// # Errors
    /// A setting out of range, or a file that is truncated, damaged, or of another architecture.
    pub fn load(path: &Path, config: &GenerateConfig) -> Result<Self> {
        config.check()?;
        let file = GgufFile::open(path)?;
        let architecture = Architecture::of(&file)?;
        let tokens = Tokens::load(&file)?;
        let template = match file.text("tokenizer.chat_template") {
            Some(source) => {
                let text = |key| tokens.text_of(file.number(key));
                Template::chat(
                    source,
                    text("tokenizer.ggml.bos_token_id"),
                    text("tokenizer.ggml.eos_token_id"),
                )?
            }
            None => Template::Plain,
        };
        let context =
            file.number(&format!("{}.context_length", architecture.name())).unwrap_or(DEFAULT_CONTEXT);
        let context = context.min(LONGEST_CONTEXT) as usize;
        let model = Model::load(architecture, &file, context)?;
        let id = ContentHasher::new("gguf/1")
            .field(file.content_id().as_bytes())
            .field(config.fingerprint())
            .finish();
        Ok(Self { model, tokens, template, config: config.clone(), context, id })
    }

    /// The ids of a prompt as the model reads it.
    fn encode(&self, prompt: &str) -> Result<Vec<u32>> {
        let text = self.template.render(prompt)?;
        let ids = self.tokens.encode(&text).map_err(candle_core::Error::wrap)?;
        let answer = self.config.max_new_tokens;
        if ids.len() + answer > self.context {
            return Err(Error::PromptTooLong { received: ids.len(), limit: self.context, answer });
        }
        Ok(ids)
    }

    fn answer(&self, prompt: &str) -> Result<String> {
        let mut model = self.model.clone();
        let mut sampler = Sampler::new(&self.config, prompt);
        let mut logits = model.read(&self.encode(prompt)?)?;
        let mut generated = Vec::new();
        loop {
            let token = sampler.next(&logits);
            let ended = self.tokens.ends(token);
            if !ended {
                generated.push(token);
            }
            let text = self.tokens.decode(&generated).map_err(candle_core::Error::wrap)?;
            let (answer, stopped) = self.config.cut(&text);
            if ended || stopped || generated.len() == self.config.max_new_tokens {
                return Ok(answer.to_owned());
            }
            logits = model.read(&[token])?;
        }
    }

    /// Log-probabilities of the letters, with the claims in both orders.
    fn choice(&self, asked: &ChoicePrompt<'_>) -> Result<Choice> {
        let orders = [
            self.encode(&render(asked.prompt, asked.negative, asked.positive))?,
            self.encode(&render(asked.prompt, asked.positive, asked.negative))?,
        ];
        // Both orders share the context and the question, which are read once.
        let shared = orders[0].iter().zip(&orders[1]).take_while(|(a, b)| a == b).count();
        let mut start = self.model.clone();
        let mut read = 0;
        if shared > 0 && shared < orders[0].len().min(orders[1].len()) {
            start.read(&orders[0][..shared])?;
            read = shared;
        }
        let [negative_first, positive_first] =
            orders.map(|ids| start.clone().read(&ids[read..]).map(|logits| self.letters(&logits)));
        Ok(Choice::from_log_probabilities(negative_first?, positive_first?))
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

    fn generate(&self, prompts: &[&str]) -> ragbias_core::Result<Vec<String>> {
        prompts.iter().map(|prompt| Ok(self.answer(prompt)?)).collect()
    }

    fn choose(&self, prompts: &[ChoicePrompt<'_>]) -> ragbias_core::Result<Vec<Choice>> {
        prompts.iter().map(|prompt| Ok(self.choice(prompt)?)).collect()
    }
}
