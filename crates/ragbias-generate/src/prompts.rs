//! Batched prefill of prompts, in which each shared prefix is computed once.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::model::{KvCache, Model, Span};
use crate::{Error, Result};

/// A model, and the sequence that it prefilled last.
///
/// On the CPU a token's keys and values are bit-identical whatever else is in the batch and wherever a shared prefix is
/// taken from, so sharing changes no answer; on other devices they differ by rounding.
pub(crate) struct Reader<M: Model> {
    model: M,
    latest: Mutex<M::Cache>,
}

/// A sequence after its prompt.
pub(crate) struct Read<C> {
    pub(crate) state: C,
    /// The logits of the next token, `(vocabulary)`.
    pub(crate) logits: Vec<f32>,
}

/// Shorter prefixes are computed again: splitting them off would cost another pass over the weights.
const MIN_SHARED_PREFIX: usize = 16;

/// Tokens shared by some prompts: from the end of the parent's up to number `to` of one of them.
#[derive(Debug, PartialEq)]
struct Part {
    parent: Option<usize>,
    depth: usize,
    prompt: usize,
    to: usize,
    /// Whether a prompt ends here.
    ends: bool,
}

impl<M: Model> Reader<M> {
    pub(crate) fn new(model: M) -> Self {
        Self { latest: Mutex::new(model.start()), model }
    }

    pub(crate) fn model(&self) -> &M {
        &self.model
    }

    /// Prefills prompts, none of them empty, and passes some of them at a time to `each`, with their numbers.
    pub(crate) fn read<E: From<Error>>(
        &self,
        prompts: &[Vec<u32>],
        mut each: impl FnMut(Vec<(usize, Read<M::Cache>)>) -> Result<(), E>,
    ) -> Result<(), E> {
        let room = self.model.room();
        // Sorted, so that prompts with a common prefix are adjacent.
        let mut order: Vec<usize> = (0..prompts.len()).collect();
        order.sort_by_key(|&prompt| &prompts[prompt]);
        let mut rest = &order[..];
        while !rest.is_empty() {
            let mut tokens = 0;
            let fits = |&&prompt: &&usize| {
                tokens += prompts[prompt].len();
                tokens <= room.tokens
            };
            let now;
            (now, rest) = rest.split_at(rest.iter().take(room.prompts).take_while(fits).count().max(1));
            each(self.together(prompts, now)?)?;
        }
        Ok(())
    }

    fn together(&self, prompts: &[Vec<u32>], sorted: &[usize]) -> Result<Vec<(usize, Read<M::Cache>)>> {
        let parts = divide(prompts, sorted);
        let latest = self.swap(self.model.start());
        let mut states: Vec<M::Cache> = Vec::with_capacity(parts.len());
        let mut read = Vec::new();
        // Parts are sorted by depth, so that a part's parent is computed first.
        for level in parts.chunk_by(|a, b| a.depth == b.depth) {
            let begun = states.len();
            for part in level {
                let parent = part.parent.map(|parent| &states[parent]);
                // A prompt's last token is always computed, for its logits.
                let tokens = &prompts[part.prompt][..part.to - usize::from(part.ends)];
                states.push(begin(tokens, parent, &latest));
            }
            let states = &mut states[begun..];
            let spans = (level.iter().zip(states))
                .map(|(part, state)| {
                    let known = state.tokens().len();
                    Span { tokens: &prompts[part.prompt][known..part.to], logits: part.ends, state }
                })
                .filter(|span| !span.tokens.is_empty())
                .collect();
            let logits = self.model.read(spans)?;
            let ended = level.iter().enumerate().filter(|(_, part)| part.ends);
            read.extend(ended.map(|(i, part)| (begun + i, part.prompt)).zip(logits));
        }
        let read: Vec<_> = read
            .into_iter()
            .map(|((part, prompt), logits)| {
                (prompt, Read { state: std::mem::replace(&mut states[part], self.model.start()), logits })
            })
            .collect();
        self.swap(read.last().map_or(latest, |(_, last)| last.state.clone()));
        Ok(read)
    }

    /// Takes the last sequence. Another thread that asks in between starts from nothing.
    fn swap(&self, latest: M::Cache) -> M::Cache {
        std::mem::replace(&mut self.latest.lock().unwrap_or_else(PoisonError::into_inner), latest)
    }
}

/// The state after the longest prefix of these tokens that the parent or the last sequence has.
fn begin<C: KvCache>(tokens: &[u32], parent: Option<&C>, latest: &C) -> C {
    let known = common(tokens, latest.tokens());
    match parent {
        Some(parent) if parent.tokens().len() >= known => parent.clone(),
        _ => latest.prefix(known),
    }
}

fn common(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// Divides sorted prompts into the parts that are computed once, those of each depth together.
fn divide(prompts: &[Vec<u32>], sorted: &[usize]) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    // Prompts that agree in their first `from` tokens, which the parent has.
    let mut queue = VecDeque::from([(sorted, 0, None)]);
    while let Some((sorted, from, parent)) = queue.pop_front() {
        let depth = parent.map_or(0, |parent: usize| parts[parent].depth + 1);
        let share = |a: &usize, b: &usize| common(&prompts[*a], &prompts[*b]) >= from + MIN_SHARED_PREFIX;
        for group in sorted.chunk_by(share) {
            let (first, last) = (&prompts[group[0]], &prompts[group[group.len() - 1]]);
            // The common prefix of sorted prompts is that of the first and the last. Each keeps at least one token for itself.
            let shared = common(first, last).min(first.len().saturating_sub(1));
            let ends = group.len() == 1;
            let to = if ends { first.len() } else { shared };
            if !ends {
                queue.push_back((group, to, Some(parts.len())));
            }
            parts.push(Part { parent, depth, prompt: group[0], to, ends });
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use candle_core::quantized::GgmlDType;

    use super::*;
    use crate::architecture::Architecture;
    use crate::attention::State;
    use crate::decoder::Decoder;
    use crate::testing::{VOCABULARY, decoder};

    /// `shared` tokens in common with every other text, then its own.
    fn text(shared: usize, own: usize, seed: u32) -> Vec<u32> {
        let token = |i: usize, seed| (i as u32 * 13 + seed * 29) % VOCABULARY;
        (0..shared).map(|i| token(i, 0)).chain((0..own).map(|i| token(i, seed))).collect()
    }

    fn logits(reader: &Reader<Decoder>, prompts: &[Vec<u32>]) -> Vec<Vec<f32>> {
        let mut logits = vec![Vec::new(); prompts.len()];
        let keep = |read: Vec<(usize, Read<State>)>| {
            for (prompt, read) in read {
                assert_eq!(read.state.tokens(), prompts[prompt]);
                logits[prompt] = read.logits;
            }
            Ok::<_, Error>(())
        };
        reader.read(prompts, keep).unwrap();
        logits
    }

    #[test]
    fn what_prompts_begin_with_is_read_once() {
        let prompts = [text(20, 5, 1), text(40, 6, 2), text(40, 7, 3), text(3, 9, 4)];
        let order: Vec<usize> = {
            let mut order: Vec<usize> = (0..4).collect();
            order.sort_by_key(|&prompt| &prompts[prompt]);
            order
        };
        let parts = divide(&prompts, &order);
        let read: usize =
            parts.iter().map(|part| part.to - part.parent.map_or(0, |parent| parts[parent].to)).sum();
        assert_eq!(read, 40 + 5 + 6 + 7 + 12, "{parts:?}");
        assert!(parts.is_sorted_by_key(|part| part.depth));
    }

    #[test]
    fn a_shared_beginning_changes_no_bit_of_an_answer() {
        for Architecture { name, .. } in Architecture::ALL {
            let fresh = || Reader::new(decoder(name, GgmlDType::Q4_1));
            let mut prompts = vec![text(20, 5, 1), text(40, 6, 2), text(40, 7, 3), text(3, 9, 4)];
            // The same prompt twice, and one that is a prefix of another.
            prompts.extend([text(40, 6, 2), text(40, 0, 0)]);
            let alone: Vec<_> =
                prompts.iter().map(|p| logits(&fresh(), std::slice::from_ref(p)).remove(0)).collect();
            let reader = fresh();
            assert_eq!(logits(&reader, &prompts), alone);
            // Now reusing the last sequence, from any thread.
            std::thread::scope(|scope| {
                for _ in 0..3 {
                    scope.spawn(|| {
                        for (prompt, expected) in prompts.iter().zip(&alone) {
                            assert_eq!(&logits(&reader, std::slice::from_ref(prompt))[0], expected);
                        }
                    });
                }
            });
        }
    }
}
