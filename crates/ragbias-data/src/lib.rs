//! Files to corpora, question sets and measurement tables, and back
