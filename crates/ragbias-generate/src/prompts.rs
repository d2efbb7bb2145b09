//! Prompts read together, each token that several of them begin with once.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::attention::State;
use crate::decoder::{Decoder, Span};

/// A model, and what it read last.
///
/// A token's keys and values are the same to the last bit whatever is read beside it and wherever a shared beginning is
/// taken from, so sharing changes no answer.
pub(crate) struct Reader {
    decoder: Decoder,
    latest: Mutex<State>,
}

/// A sequence after its prompt.
pub(crate) struct Read {
    pub(crate) state: State,
    /// Of the token that follows, `(vocabulary)`.
    pub(crate) logits: Vec<f32>,
}

/// Beginnings shorter than this are read again: a pass over the weights costs as much.
const WORTH_SHARING: usize = 16;
/// As many tokens of prompts as are read together: their keys and values take some 40 KiB each.
const TOGETHER: usize = 4096;

/// Tokens that begin all of some prompts: up to number `to` of one of them, after those of the parent.
#[derive(Debug, PartialEq)]
struct Part {
    parent: Option<usize>,
    depth: usize,
    prompt: usize,
    to: usize,
    /// Whether the prompt ends here.
    ends: bool,
}

impl Reader {
    pub(crate) fn new(decoder: Decoder) -> Self {
        Self { latest: Mutex::new(decoder.start()), decoder }
    }

    pub(crate) fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// Reads prompts, none of them empty, and hands `each` some of them at a time with their numbers.
    pub(crate) fn read<E>(
        &self,
        prompts: &[Vec<u32>],
        mut each: impl FnMut(Vec<(usize, Read)>) -> Result<(), E>,
    ) -> Result<(), E> {
        // Prompts with the same beginning come one after the other.
        let mut order: Vec<usize> = (0..prompts.len()).collect();
        order.sort_by_key(|&prompt| &prompts[prompt]);
        let mut rest = &order[..];
        while !rest.is_empty() {
            let mut tokens = 0;
            let fits = |&&prompt: &&usize| {
                tokens += prompts[prompt].len();
                tokens <= TOGETHER
            };
            let now;
            (now, rest) = rest.split_at(rest.iter().take_while(fits).count().max(1));
            each(self.together(prompts, now))?;
        }
        Ok(())
    }

    fn together(&self, prompts: &[Vec<u32>], sorted: &[usize]) -> Vec<(usize, Read)> {
        let parts = divide(prompts, sorted);
        let mut latest = std::mem::take(&mut *self.latest.lock().unwrap_or_else(PoisonError::into_inner));
        let mut states: Vec<State> = Vec::with_capacity(parts.len());
        let mut read = Vec::new();
        // Parts come in order of depth: a part's parent is read before it.
        for level in parts.chunk_by(|a, b| a.depth == b.depth) {
            let begun = states.len();
            for part in level {
                let parent = part.parent.map(|parent| &states[parent]);
                states.push(begin(
                    &prompts[part.prompt][..part.to - usize::from(part.ends)],
                    parent,
                    &latest,
                ));
            }
            let states = &mut states[begun..];
            let spans = (level.iter().zip(states))
                .map(|(part, state)| {
                    let known = state.tokens().len();
                    Span { tokens: &prompts[part.prompt][known..part.to], logits: part.ends, state }
                })
                .filter(|span| !span.tokens.is_empty())
                .collect();
            let logits = self.decoder.read(spans);
            let ended = level.iter().enumerate().filter(|(_, part)| part.ends);
            read.extend(ended.map(|(i, part)| (begun + i, part.prompt)).zip(logits));
        }
        let read: Vec<_> = read
            .into_iter()
            .map(|((part, prompt), logits)| {
                (prompt, Read { state: std::mem::take(&mut states[part]), logits })
            })
            .collect();
        if let Some((_, last)) = read.last() {
            latest = last.state.clone();
        }
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = latest;
        read
    }
}

/// The state after as many of these tokens as the parent or the latest sequence has read.
fn begin(tokens: &[u32], parent: Option<&State>, latest: &State) -> State {
    let known = common(tokens, latest.tokens());
    match parent {
        Some(parent) if parent.tokens().len() >= known => parent.clone(),
        _ => latest.prefix(known),
    }
}

fn common(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// Divides sorted prompts into the parts that are read once, those of a depth one after the other.
fn divide(prompts: &[Vec<u32>], sorted: &[usize]) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    // Prompts that agree in their first `from` tokens, which the parent holds.
    let mut queue = VecDeque::from([(sorted, 0, None)]);
    while let Some((sorted, from, parent)) = queue.pop_front() {
        let depth = parent.map_or(0, |parent: usize| parts[parent].depth + 1);
        let share = |a: &usize, b: &usize| common(&prompts[*a], &prompts[*b]) >= from + WORTH_SHARING;
        for group in sorted.chunk_by(share) {
            let (first, last) = (&prompts[group[0]], &prompts[group[group.len() - 1]]);
            // Sorted prompts share what the first and the last of them do. Each has a token left for itself.
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
