//! Mined leans with errors that are planted.

use ragbias_core::ContentHasher;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::mine::Mined;
use crate::{Error, Result};

/// Mined documents, some questions of which have their leans reversed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flipped {
    /// All questions, in the order that they came in.
    pub mined: Vec<Mined>,
    /// Whether the leans of each were reversed.
    pub flipped: Vec<bool>,
}

/// Reverses the leans of the documents of a share of the questions: documents of lean +1 become −1, and the other way round; neutral ones
/// stay.
///
/// Only questions with documents of both leans are drawn from, since another would cease to be an example; of n such questions
/// round(share·n) are flipped. With one seed, those flipped at a smaller share are among those of a larger one.
///
/// # Errors
/// [`Error::Setting`] for a share outside 0 to 1.
pub fn flipped(mined: &[Mined], share: f64, seed: u64) -> Result<Flipped> {
    if !(0.0..=1.0).contains(&share) {
        let (expected, received) = ("0 to 1".into(), share.to_string());
        return Err(Error::Setting { setting: "share", expected, received });
    }
    let mut places: Vec<usize> = (mined.iter().enumerate())
        .filter(|(_, mined)| !mined.positive.is_empty() && !mined.negative.is_empty())
        .map(|(place, _)| place)
        .collect();
    let seed = ContentHasher::new("flipped/1").field(seed.to_le_bytes()).finish();
    places.shuffle(&mut ChaCha8Rng::from_seed(*seed.as_bytes()));
    #[expect(clippy::cast_sign_loss, reason = "a share of at least 0")]
    let count = (share * places.len() as f64).round() as usize;
    let (mut all, mut flipped) = (mined.to_vec(), vec![false; mined.len()]);
    for &place in &places[..count] {
        let Mined { positive, negative, .. } = &mut all[place];
        std::mem::swap(positive, negative);
        flipped[place] = true;
    }
    Ok(Flipped { mined: all, flipped })
}

#[cfg(test)]
mod tests {
    use ragbias_core::{DocId, Question};

    use super::*;

    /// Questions with a document of each lean, but for every fifth, which has none of lean −1.
    fn mined() -> Vec<Mined> {
        let one = |i: u32| Mined {
            question: Question { id: i.to_string(), text: "q".into(), topic: None, choices: None },
            positive: vec![DocId(3 * i)],
            neutral: vec![DocId(3 * i + 1)],
            negative: if i.is_multiple_of(5) { vec![] } else { vec![DocId(3 * i + 2)] },
        };
        (0..50).map(one).collect()
    }

    #[test]
    fn a_share_of_the_questions_with_both_leans_is_flipped_and_no_other_changes() {
        let mined = mined();
        let Flipped { mined: all, flipped } = flipped(&mined, 0.3, 7).unwrap();
        assert_eq!(flipped.iter().filter(|&&is| is).count(), 12);
        for ((before, after), is) in mined.iter().zip(&all).zip(&flipped) {
            let reversed = Mined {
                positive: before.negative.clone(),
                negative: before.positive.clone(),
                ..before.clone()
            };
            assert_eq!(after, if *is { &reversed } else { before });
            assert!(!is || !before.negative.is_empty());
        }
    }

    #[test]
    fn flips_are_nested_seeded_and_undone_by_themselves() {
        let mined = mined();
        let at = |share, seed| flipped(&mined, share, seed).unwrap().flipped;
        assert!(at(0.1, 0).iter().zip(at(0.4, 0)).all(|(few, many)| !few || many));
        assert_ne!(at(0.4, 0), at(0.4, 1));
        assert!(at(0.0, 0).iter().all(|is| !is));
        let once = flipped(&mined, 1.0, 0).unwrap();
        assert_eq!(flipped(&once.mined, 1.0, 0).unwrap().mined, mined);
        assert!(flipped(&mined, 1.1, 0).unwrap_err().to_string().starts_with("share is 1.1"));
    }
}
