//! Measure and control the bias of retrieval-augmented generation
