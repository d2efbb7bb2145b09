//! Scorers of lean: lexicon, classifier, gold labels
