//! Large language models behind one trait: GGUF files through candle, OpenAI-compatible servers
