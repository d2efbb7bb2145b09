//! BERT-family text embedders on candle: tokenise, transform, pool, normalise
