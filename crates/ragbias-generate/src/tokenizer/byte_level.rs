//! GPT-2's byte-level BPE, with the pre-tokenizer named in `tokenizer.ggml.pre`.

use tokenizers::models::bpe::BPE;
use tokenizers::normalizers::NFC;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{PreTokenizerWrapper, SplitDelimiterBehavior, Tokenizer};

use super::special::Special;
use super::vocabulary::{Vocabulary, wrong};
use crate::Result;
use crate::file::GgufFile;

/// How a text is split before merges begin.
struct Pre {
    names: &'static [&'static str],
    /// Each splits the output of the previous one.
    patterns: &'static [&'static str],
    /// Whether a piece that is itself a token becomes that token, ignoring the merges.
    whole_pieces: bool,
    /// Whether BOS precedes a text if the file does not say.
    adds_bos: bool,
    /// Whether a text is put in Unicode's normal form C first.
    composed: bool,
}

const GPT_2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)";

const LLAMA_3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// The patterns published by the models' authors; `default` is llama.cpp's.
const PRE: [Pre; 6] = [
    Pre { names: &["gpt-2"], patterns: &[GPT_2], whole_pieces: false, adds_bos: false, composed: false },
    Pre {
        names: &["smollm"],
        patterns: &[r"\p{N}", GPT_2],
        whole_pieces: false,
        adds_bos: false,
        composed: false,
    },
    Pre {
        names: &["default"],
        patterns: &[r"[\p{P}\$\+<=>\^~\|]+", GPT_2, r"\p{N}+", r"[0-9][0-9][0-9]"],
        whole_pieces: false,
        adds_bos: false,
        composed: false,
    },
    Pre {
        names: &["llama-bpe", "llama3", "llama-v3", "falcon3", "pixtral"],
        patterns: &[LLAMA_3],
        whole_pieces: true,
        adds_bos: true,
        composed: false,
    },
    Pre {
        names: &["dbrx", "smaug-bpe"],
        patterns: &[LLAMA_3],
        whole_pieces: false,
        adds_bos: false,
        composed: false,
    },
    // llama.cpp does not compose characters; the authors' tokenizer does.
    Pre {
        names: &["qwen2"],
        patterns: &[
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        ],
        whole_pieces: false,
        adds_bos: false,
        composed: true,
    },
];

pub(super) fn load(file: &GgufFile, vocabulary: &Vocabulary, special: &mut Special) -> Result<Tokenizer> {
    let wrong = |reason: String| wrong(file, reason);
    let key = "tokenizer.ggml.merges";
    let merges = file.texts(key)?.ok_or_else(|| wrong(format!("no list {key}")))?;
    let merges = merges.iter().map(|merge| match merge.split_once(' ') {
        Some((left, right)) => Ok((left.to_owned(), right.to_owned())),
        None => Err(wrong(format!(
            "merge `{}` is not two tokens with a space between them",
            merge.escape_debug()
        ))),
    });
    let merges = merges.collect::<Result<Vec<_>>>()?;
    let key = "tokenizer.ggml.pre";
    let received = file.text(key)?.unwrap_or("absent");
    let Some(pre) = PRE.iter().find(|pre| pre.names.contains(&received)) else {
        let known: Vec<&str> = PRE.iter().flat_map(|pre| pre.names).copied().collect();
        return Err(file.refused(
            format!("`{key}`"),
            format!(
                "how it cuts a text is not known here: it is {}, expected one of {}",
                received.escape_debug(),
                known.join(", ")
            ),
            "take another model, or a server that runs this one; where the key is absent, convert the model again",
        ));
    };
    special.adds_bos_unless_told(pre.adds_bos);
    let cut = |pattern: &&str| {
        Split::new(SplitPattern::Regex((*pattern).into()), SplitDelimiterBehavior::Isolated, false)
            .map(PreTokenizerWrapper::from)
            .map_err(|error| wrong(error.to_string()))
    };
    let mut steps = pre.patterns.iter().map(cut).collect::<Result<Vec<_>>>()?;
    steps.push(ByteLevel::new(false, true, false).into());
    let model = BPE::builder()
        .vocab_and_merges(vocabulary.ids(), merges)
        .ignore_merges(pre.whole_pieces)
        .build()
        .map_err(|error| wrong(error.to_string()))?;
    let mut tokenizer = Tokenizer::new(model);
    if pre.composed {
        tokenizer.with_normalizer(Some(NFC)).map_err(|error| wrong(error.to_string()))?;
    }
    tokenizer.with_pre_tokenizer(Some(PreTokenizerWrapper::from(Sequence::new(steps))));
    tokenizer.with_decoder(Some(ByteLevel::new(false, true, true)));
    Ok(tokenizer)
}
