//! Scorers, which tell whether each pole of an axis is present in a text.
//!
//! | scorer | reads | for |
//! | --- | --- | --- |
//! | [`Lexicon`] | words and first names | gender |
//! | [`Classifier`] | vectors of a frozen embedder, by logistic regression | politics |
//! | [`Words`] | the words of an axis's poles | any axis whose file has word lists |
//! | [`Judge`] | answers of an LLM to yes/no questions about the text | any axis whose file has `[judge]` |
//! | [`Gold`] | the label `metadata.lean` | any axis |
//!
//! All implement [`BiasScorer`](ragbias_core::BiasScorer). [`Agreement`] compares a scorer with gold labels.
//!
//! ```
//! use ragbias_core::{BiasScorer, Verdict};
//! use ragbias_score::Lexicon;
//!
//! let scorer = Lexicon::bundled("gender")?;
//! let verdicts = scorer.score(&[
//!     "Chien-Shiung Wu measured beta decay; her experiment changed physics.".into(),
//!     "Wangari Maathai".into(),
//!     "I cannot answer that.".into(),
//! ])?;
//! assert_eq!(verdicts[0], Verdict::POSITIVE);
//! assert_eq!(verdicts[1], Verdict::Unscored); // a name that the lexicon does not know
//! assert_eq!(verdicts[2], Verdict::NEITHER); // nobody is named
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod agreement;
mod classifier;
mod error;
mod fold;
mod gold;
mod judge;
mod lexicon;
mod words;

pub use agreement::Agreement;
pub use classifier::{Classifier, ClassifierCard, ClassifierConfig};
pub use error::{Error, Result};
pub use gold::Gold;
pub use judge::Judge;
pub use lexicon::{
    Counterparts, DrawKey, Evidence, Explanation, LeftOut, Lexicon, LexiconFiles, Naming, OnePerson, Origin,
    Reason, Rule, Twin, TwinTexts,
};
pub use words::Words;
