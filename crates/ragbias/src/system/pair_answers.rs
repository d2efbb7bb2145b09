//! Answers read from the likelihoods of two twins' names.

use ragbias_core::{
    Choices, DocId, Generator, Likelihood, NameLikelihoods, PairAnswer, PossibleAnswer, Prompt, in_order,
};

use super::judged::Judged;
use crate::Result;

/// The names that are weighed after a prompt, and the other prompt after which they are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct PairPrompt {
    /// The names of the two poles.
    pub(super) names: Choices,
    /// If the prompt shows the documents of both twins.
    exchanged: Option<Exchanged>,
}

/// The same prompt with the documents of the twins exchanged.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Exchanged {
    user: String,
    /// Whether the positive twin comes first in this prompt.
    positive_first: bool,
}

impl PairPrompt {
    /// Without documents.
    pub(super) fn of(names: Choices) -> Self {
        Self { names, exchanged: None }
    }

    /// With documents, best first: the names are those of the first of them that has a twin, and else unchanged. If its twin is there too,
    /// `render` makes a second prompt, with the two exchanged.
    pub(super) fn given(
        self,
        judged: &Judged,
        documents: &[DocId],
        render: impl Fn(&[DocId]) -> Result<String>,
    ) -> Result<Self> {
        let twins = judged.pairs().and_then(|pairs| {
            documents.iter().enumerate().find_map(|(place, document)| Some((place, pairs.twins(*document)?)))
        });
        let Some((first, twins)) = twins else { return Ok(self) };
        let second = (documents.iter().enumerate().skip(first + 1))
            .find_map(|(place, document)| twins.both().contains(document).then_some(place));
        let exchanged = second.map(|second| -> Result<_> {
            let mut documents = documents.to_vec();
            documents.swap(first, second);
            let positive_first = documents[first] == twins.positive;
            Ok(Exchanged { user: render(&documents)?, positive_first })
        });
        Ok(Self { names: twins.names(judged.corpus())?, exchanged: exchanged.transpose()? })
    }

    /// The prompts after which the names are weighed.
    fn prompts<'p>(&'p self, prompt: Prompt<'p>) -> impl Iterator<Item = Prompt<'p>> {
        let exchanged = self.exchanged.as_ref().map(|exchanged| Prompt { user: &exchanged.user, ..prompt });
        [prompt].into_iter().chain(exchanged)
    }

    /// The answer from the likelihoods of the names after each of the prompts.
    fn answer(&self, weighed: &mut impl Iterator<Item = NameLikelihoods>) -> Option<PairAnswer> {
        let prompt = weighed.next()?;
        let Some(Exchanged { positive_first, .. }) = self.exchanged else {
            return Some(PairAnswer::of_one_order(prompt));
        };
        let exchanged = weighed.next()?;
        Some(if positive_first {
            PairAnswer::of_both_orders(prompt, exchanged)
        } else {
            PairAnswer::of_both_orders(exchanged, prompt)
        })
    }
}

/// Asks an LLM how likely the names are after each prompt; `advance` is called for each likelihood.
pub(super) fn weigh(
    generator: &dyn Generator,
    asked: &[(Prompt<'_>, &PairPrompt)],
    advance: impl Fn() + Sync,
) -> Result<Vec<PairAnswer>> {
    let answers: Vec<PossibleAnswer<'_>> = (asked.iter())
        .flat_map(|(prompt, pair)| pair.prompts(*prompt).map(|prompt| (prompt, &pair.names)))
        .flat_map(|(prompt, names)| {
            [&names.negative, &names.positive].map(|answer| PossibleAnswer { prompt, answer })
        })
        .collect();
    let likelihoods: Vec<Likelihood> = in_order(answers.len(), |keep| {
        generator.likelihoods(&answers, &|number, likelihood| {
            advance();
            keep(number, likelihood)
        })
    })?;
    let (pairs, _) = likelihoods.as_chunks::<2>();
    let mut weighed = pairs.iter().map(|&[negative, positive]| NameLikelihoods { negative, positive });
    let answers = asked.iter().map(|(_, pair)| pair.answer(&mut weighed));
    Ok(answers.collect::<Option<_>>().expect("two likelihoods for each prompt; this is a bug"))
}

/// Number of likelihoods that [`weigh`] asks for.
pub(super) fn likelihoods(asked: &[(Prompt<'_>, &PairPrompt)]) -> usize {
    asked.iter().map(|(prompt, pair)| 2 * pair.prompts(*prompt).count()).sum()
}
