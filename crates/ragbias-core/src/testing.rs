//! Fakes for tests: small, fast and deterministic.

use ndarray::Array2;

use crate::{
    Answer, Choice, ChoicePrompt, Chosen, ContentHasher, ContentId, Embedder, Embeddings, Generator, Keep,
    Likelihood, PossibleAnswer, Prompt, Result, Role,
};

/// An embedder that hashes words into a vector: texts that share words have similar vectors.
#[derive(Debug, Clone)]
pub struct HashEmbedder {
    dim: usize,
    seed: u64,
}

impl HashEmbedder {
    /// Vectors of `dim` dimensions; another `seed` gives another embedder.
    pub fn new(dim: usize, seed: u64) -> Self {
        Self { dim, seed }
    }
}

impl Embedder for HashEmbedder {
    fn id(&self) -> ContentId {
        ContentHasher::new("hash-embedder/1")
            .field(self.dim.to_le_bytes())
            .field(self.seed.to_le_bytes())
            .finish()
    }

    fn dim(&self) -> usize {
        self.dim
    }

    fn embed(&self, texts: &[&str], _: Role) -> Result<Embeddings> {
        let mut rows = Array2::from_elem((texts.len(), self.dim), 1e-3_f32);
        for (mut row, text) in rows.rows_mut().into_iter().zip(texts) {
            for word in text.split_whitespace().map(str::to_lowercase) {
                let id = ContentHasher::new("word").field(self.seed.to_le_bytes()).field(word).finish();
                let slot = u64::from_le_bytes(*id.as_bytes().first_chunk().expect("32 bytes hold 8"));
                row[(slot % self.dim as u64) as usize] += 1.0;
            }
        }
        Embeddings::new(rows)?.normalised()
    }
}

/// A generator that answers with the first line of its prompt, and chooses the claim that the prompt repeats; answers that the prompt
/// repeats are likelier, the more so the earlier, and every byte is a token.
#[derive(Debug, Clone, Default)]
pub struct EchoGenerator;

impl Generator for EchoGenerator {
    fn id(&self) -> ContentId {
        ContentId::of(b"echo-generator/1")
    }

    fn generate(&self, prompts: &[Prompt<'_>], keep: &Keep<'_, Answer>) -> Result<()> {
        for (number, prompt) in prompts.iter().enumerate() {
            keep(number, Answer::whole(prompt.user.lines().next().unwrap_or_default().trim()))?;
        }
        Ok(())
    }

    fn choose(&self, prompts: &[ChoicePrompt<'_>], keep: &Keep<'_, Chosen>) -> Result<()> {
        let odds = |claim: &str, prompt: Prompt<'_>| f64::from(u8::from(prompt.user.contains(claim)));
        for (number, asked) in prompts.iter().enumerate() {
            let log_odds = odds(asked.positive, asked.prompt) - odds(asked.negative, asked.prompt);
            keep(number, Chosen::Choice(Choice { log_odds, position_bias: 0.0, coverage: 1.0 }))?;
        }
        Ok(())
    }

    fn likelihoods(&self, answers: &[PossibleAnswer<'_>], keep: &Keep<'_, Likelihood>) -> Result<()> {
        for (number, asked) in answers.iter().enumerate() {
            let found = asked.prompt.user.find(asked.answer);
            let per_token = found.map_or(-4.0, |at| -1.0 - at as f64 / asked.prompt.user.len() as f64);
            let tokens = asked.answer.len();
            keep(number, Likelihood::new(per_token * tokens as f64, tokens)?)?;
        }
        Ok(())
    }
}

/// `bytes` with one to three small damages determined by `seed`: a byte changed, removed or inserted, a run doubled, or the end
/// truncated. For tests that a reader returns a result or an error for every input.
pub fn damaged(bytes: &[u8], seed: u64) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let mut state = seed;
    // splitmix64 (Steele, Lea, Flood, 2014): works with any seed.
    let mut below = |limit: usize| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % limit.max(1) as u64) as usize
    };
    for _ in 0..=below(3) {
        if bytes.is_empty() {
            break;
        }
        let at = below(bytes.len());
        match below(6) {
            0 => bytes[at] = below(256) as u8,
            1 => bytes[at] ^= 1 << below(8),
            2 => drop(bytes.remove(at)),
            3 => bytes.insert(at, below(256) as u8),
            4 => {
                let run = bytes[at..bytes.len().min(at + 1 + below(16))].to_vec();
                bytes.splice(at..at, run);
            }
            _ => bytes.truncate(at),
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_damages_change_something_and_the_same_seed_does_the_same() {
        let whole = b"{\"_id\": \"d1\", \"text\": \"She left at noon.\"}";
        let changed = (0..100).filter(|&seed| damaged(whole, seed) != whole).count();
        assert!(changed > 90, "{changed}");
        assert_eq!(damaged(whole, 7), damaged(whole, 7));
    }

    #[test]
    fn texts_that_share_words_are_nearer() {
        let embedder = HashEmbedder::new(256, 7);
        let e = embedder.embed(&["red apple pie", "apple pie", "blue car"], Role::Document).unwrap();
        assert!(e.row(0).dot(&e.row(1)) > e.row(0).dot(&e.row(2)) + 0.3);
    }
}
