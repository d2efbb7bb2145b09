/// The names of components and data in tables.
#[derive(Debug, Clone, Copy, Default)]
pub struct Labels<'a> {
    /// The embedder.
    pub embedder: &'a str,
    /// The LLM, where one is asked.
    pub llm: Option<&'a str>,
    /// The corpus.
    pub corpus: &'a str,
    /// The part of the questions.
    pub split: &'a str,
}
