//! The transformers class of a tokenizer, and what depends on it alone.

use std::path::Path;

use tokenizers::AddedToken;

use crate::files::{Object, get, read_optional_json};
use crate::{Error, Result};

/// The transformers class of the tokenizer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// `BertTokenizer`, or a subclass: `WordPiece`.
    Bert,
    /// `MPNetTokenizer`: `WordPiece` with the special tokens of RoBERTa.
    Mpnet,
    /// `RobertaTokenizer`: byte-level BPE.
    Roberta,
    /// `XLMRobertaTokenizer`: Unigram.
    XlmRoberta,
    /// `CLIPTokenizer`: byte-level BPE whose words end in `</w>`.
    Clip,
    /// `Qwen2Tokenizer`: byte-level BPE.
    Qwen2,
    /// `GemmaTokenizer`: BPE of pieces.
    Gemma,
    /// No class of its own: `tokenizer.json` unchanged.
    File,
}

/// Classes by their names, without `Fast`.
const CLASSES: [(&str, Class); 10] = [
    ("BertTokenizer", Class::Bert),
    ("DistilBertTokenizer", Class::Bert),
    ("MPNetTokenizer", Class::Mpnet),
    ("RobertaTokenizer", Class::Roberta),
    ("XLMRobertaTokenizer", Class::XlmRoberta),
    ("Qwen2Tokenizer", Class::Qwen2),
    ("GemmaTokenizer", Class::Gemma),
    ("CLIPTokenizer", Class::Clip),
    ("PreTrainedTokenizer", Class::File),
    ("TokenizersBackend", Class::File),
];

/// Classes of models whose files name none, by the `model_type` of `config.json`.
const OF_MODELS: [(&str, Class); 11] = [
    ("bert", Class::Bert),
    ("distilbert", Class::Bert),
    ("mpnet", Class::Mpnet),
    ("roberta", Class::Roberta),
    ("xlm-roberta", Class::XlmRoberta),
    ("modernbert", Class::File),
    ("nomic_bert", Class::Bert),
    ("gte", Class::XlmRoberta),
    ("qwen3", Class::Qwen2),
    ("gemma3_text", Class::Gemma),
    ("clip", Class::Clip),
];

/// Keys of special tokens, in the order in which transformers adds them.
pub(super) const NAMED: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

impl Class {
    /// By its name in `tokenizer_config.json`, with or without `Fast`.
    pub(super) fn named(path: &Path, name: &str) -> Result<Self> {
        let own = name.strip_suffix("Fast").unwrap_or(name);
        let known = CLASSES.into_iter().find(|(known, _)| *known == own);
        known.map(|(_, class)| class).ok_or_else(|| {
            let expected = format!("one of {}", CLASSES.map(|(name, _)| name).join(", "));
            Error::unsupported(path, "tokenizer_class", expected, name)
        })
    }

    /// That of a model whose files name none, by `config.json`.
    pub(super) fn of_model(folder: &Path) -> Result<Self> {
        let path = folder.join("config.json");
        let file: Object = read_optional_json(&path)?;
        let model_type: String = get(&path, &file, "model_type")?.unwrap_or_default();
        let known = OF_MODELS.into_iter().find(|(known, _)| *known == model_type);
        known.map(|(_, class)| class).ok_or_else(|| {
            let models = OF_MODELS.map(|(name, _)| name).join(", ");
            let expected = format!("one of {models}, as tokenizer_config.json names no tokenizer_class");
            Error::unsupported(&path, "model_type", expected, model_type)
        })
    }

    /// The name under which every release of transformers knows it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Bert => "BertTokenizer",
            Self::Mpnet => "MPNetTokenizer",
            Self::Roberta => "RobertaTokenizer",
            Self::XlmRoberta => "XLMRobertaTokenizer",
            Self::Clip => "CLIPTokenizer",
            Self::Qwen2 => "Qwen2Tokenizer",
            Self::Gemma => "GemmaTokenizer",
            Self::File => "PreTrainedTokenizerFast",
        }
    }

    /// The text of a special token that no file gives.
    pub(super) fn default_token(self, key: &str) -> Option<&'static str> {
        match (self, key) {
            (Self::Clip, "bos_token") => Some("<|startoftext|>"),
            (Self::Clip | Self::Qwen2, "unk_token" | "eos_token" | "pad_token") => Some("<|endoftext|>"),
            (Self::Gemma, "bos_token") => Some("<bos>"),
            (Self::Gemma, "eos_token") => Some("<eos>"),
            (Self::File | Self::Clip | Self::Qwen2, _)
            | (Self::Bert, "bos_token" | "eos_token")
            | (Self::Gemma, "cls_token" | "sep_token") => None,
            (Self::Bert | Self::Mpnet, "unk_token") => Some("[UNK]"),
            (Self::Bert, "sep_token") => Some("[SEP]"),
            (Self::Bert, "pad_token") => Some("[PAD]"),
            (Self::Bert, "cls_token") => Some("[CLS]"),
            (Self::Bert, "mask_token") => Some("[MASK]"),
            (_, "bos_token" | "cls_token") => Some("<s>"),
            (_, "eos_token" | "sep_token") => Some("</s>"),
            (_, "unk_token") => Some("<unk>"),
            (_, "pad_token") => Some("<pad>"),
            (_, "mask_token") => Some("<mask>"),
            _ => None,
        }
    }

    /// Whether batches are filled up on the left, unless a file says otherwise.
    pub(super) fn pads_left(self) -> bool {
        self == Self::Gemma
    }

    /// A special token of which only the text is known.
    pub(super) fn token(self, key: &str, content: &str) -> AddedToken {
        // `MPNetTokenizer` lets its mask take the space before it.
        AddedToken::from(content, true).lstrip(self == Self::Mpnet && key == "mask_token")
    }
}
