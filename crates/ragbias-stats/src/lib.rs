//! Intervals and models for biases: topic-cluster bootstrap, retrieval metrics
