//! What is found first while documents are added, and what an LLM answers with it.

use ragbias::core::Lean;

use super::added::{Added, First};
use super::answers::Asking;
use super::bias::{Leans, Planted};
use super::collection::Collection;
use super::search::Search;
use crate::error::Result;

/// What is found first for some questions: without additions, and with each number of documents by each author.
pub(super) struct Found<'a> {
    rows: &'a [usize],
    own: Vec<First<'a>>,
    planted: Vec<(Planted, Vec<First<'a>>)>,
}

impl<'a> Found<'a> {
    pub(super) fn of(rows: &'a [usize], authors: &'a [Added], counts: &[usize], search: &Search) -> Self {
        let nearest = |&row: &usize| {
            let place = search.ranked(row)[0];
            (place, search.score(row, place))
        };
        let own: Vec<(usize, f32)> = rows.iter().map(nearest).collect();
        let mut planted = Vec::new();
        for added in authors {
            for &count in counts {
                let first = rows.iter().zip(&own).map(|(&row, &own)| added.first(row, count, own));
                planted.push((Planted { author: added.author, count }, first.collect()));
            }
        }
        Self { rows, own: own.into_iter().map(|(place, _)| First::Own(place)).collect(), planted }
    }

    /// The leans of what is found first, if all that is added leans towards one pole.
    pub(super) fn retrieved<'c>(&self, towards: Lean, collection: &'c Collection) -> Leans<'c> {
        let lean = |first: &First<'_>| match first {
            First::Own(place) => collection.leans[*place].map(|lean| lean as i32),
            First::Added(_) => Some(towards as i32),
        };
        let leans = |first: &[First<'_>]| first.iter().map(lean).collect();
        Leans {
            symbol: "E_b",
            topics: self.topics(collection),
            own: leans(&self.own),
            planted: self.planted.iter().map(|(planted, first)| (*planted, leans(first))).collect(),
        }
    }

    /// The leans of the answers of an LLM that is shown what is found first.
    pub(super) fn answered<'c>(&self, asking: &Asking<'c>) -> Result<Leans<'c>> {
        let every = std::iter::once(&self.own).chain(self.planted.iter().map(|(_, first)| first));
        let shown = every.flat_map(|first| self.rows.iter().copied().zip(first.iter().copied()));
        let leans = asking.leans(&shown.collect::<Vec<_>>())?;
        let mut leans = leans.chunks(self.rows.len()).map(<[_]>::to_vec);
        Ok(Leans {
            symbol: "R_b",
            topics: self.topics(asking.collection),
            own: leans.next().unwrap_or_default(),
            planted: self.planted.iter().map(|(planted, _)| *planted).zip(leans).collect(),
        })
    }

    fn topics<'c>(&self, collection: &'c Collection) -> Vec<&'c str> {
        self.rows.iter().map(|&row| collection.topic(row)).collect()
    }
}
