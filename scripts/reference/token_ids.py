"""Folders with tokenizers of every class, with the token ids that transformers gives for difficult texts, for crates/ragbias-embed.

usage: token_ids.py [OUT.json]
needs: what checkpoints.py needs

Writes tests/fixtures/token_ids.json of the crate: texts, and by class the files of a base folder, the ids of every text with it, and
variants. A variant has changes of files, and the ids of the texts (by number) that differ from the base's; or the fact that
transformers refuses the folder or a text.
"""
import base64
import json
import os
import pathlib
import struct
import sys
import tempfile

os.environ["TRANSFORMERS_VERBOSITY"] = "critical"
os.environ["HF_HUB_OFFLINE"] = "1"
from transformers import AutoTokenizer

from checkpoints import LETTERS, VOCABULARY, compact, make, tokenizer as bert_tokenizer

OUT = pathlib.Path(__file__).parents[2] / "crates/ragbias-embed/tests/fixtures/token_ids.json"
TEXTS = [
    "the mill by the sea", "", " ", "\t\n", "a", " the mill ", "  the   mill  ", "\tthe\nmill\r\nthe\u000bsea\u000c", "Élan VITAL über Café",
    "e\u0301lan u\u0308ber n\u0303", "İstanbul ẞtraße ﬁn Ω", "中文 the中文mill 漢字", "こんにちは カタカナ 한국어", "🙂 👩‍👩‍👧 the🙂mill",
    "a\u0000b\u0001c\u007f\u200bd\ufeffe\u00adf\ufffdg\u0085h", "the\u00a0mill\u2003sea\u3000note\u1680x\u2028y", "x" * 100 + " " + "x" * 101,
    "millmillmill" * 30 + " the", "<s> a </s> b <pad> c <mask> d <unk>", "the<mask>mill  <mask>  sea<s></s>", " <mask>", "<mask> ", "<MASK> <S> [mask]",
    "[CLS] a [SEP] b [PAD] c [MASK] d [UNK]", "don't can't it's we'll I'd they've I'M", "1903 12,000.50 $5 50% №7 x² ½", "a_b-c/d\\e 'f' “g” —h…", "Ｆｕｌｌ Ａ ①② ㎏",
    "مرحبا שלום नमस्ते ไทย", "query: The MILL", "note  \n\n  note", "#hash ## ##ll ▁the Ġthe",
]
WORDS = ["the", "mill", "sea", "council", "hall", "harvest", "bridge", "school", "note", "query", "The", "and"]
FLAGS = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}


def token(content, **flags):
    return {"content": content, **FLAGS, **flags}


def listed(vocabulary, *tokens):
    """`added_tokens` of tokenizer.json."""
    return [{"id": list(vocabulary).index(one["content"]), **one} for one in tokens]


def variant(**files):
    """Changes of files, named with underscores for dots; null removes one."""
    return {"files": {name.replace("__", "."): content for name, content in files.items()}, "weights": {}}


def config(**changes):
    """A change of tokenizer_config.json."""
    return variant(tokenizer_config__json={"$merge": changes})


def without(file, *keys):
    return {key: value for key, value in file.items() if key not in keys}


# MPNet: the vocabulary of BERT, with special tokens of its own.
MPNET = ["<s>", "<pad>", "</s>", "<unk>", *VOCABULARY, "<mask>"]
MPNET_SPECIAL = [token("<s>"), token("<pad>"), token("</s>"), token("<unk>", normalized=True), token("[UNK]"), token("<mask>", lstrip=True)]


def roberta_processing(vocabulary, cls="<s>", sep="</s>"):
    ids = list(vocabulary)
    return {"type": "RobertaProcessing", "sep": [sep, ids.index(sep)], "cls": [cls, ids.index(cls)], "trim_offsets": True, "add_prefix_space": False}


def mpnet_tokenizer():
    file = bert_tokenizer()
    file["added_tokens"] = listed(MPNET, *MPNET_SPECIAL)
    file["post_processor"] = roberta_processing(MPNET)
    file["model"]["vocab"] = {token: i for i, token in enumerate(MPNET)}
    return file


MPNET_CONFIG = {
    "tokenizer_class": "MPNetTokenizer", "do_lower_case": True, "strip_accents": None, "tokenize_chinese_chars": True, "model_max_length": 512,
    "bos_token": "<s>", "eos_token": "</s>", "sep_token": "</s>", "cls_token": "<s>", "unk_token": "[UNK]", "pad_token": "<pad>", "mask_token": "<mask>",
}


# RoBERTa: byte-level BPE.
def byte_characters():
    """The character that stands for each byte, as in GPT-2."""
    shown = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return [chr(byte) for byte in shown] + [chr(256 + i) for i in range(len(hidden))]


def byte_level(words=WORDS):
    merges = []
    for word in [*words, *("Ġ" + word for word in words), "ĠĠ", "ðŁ", "Ã©", "ä¸"]:
        for end in range(1, len(word)):
            if (word[:end], word[end]) not in merges:
                merges.append((word[:end], word[end]))
    pieces = ["<s>", "<pad>", "</s>", "<unk>", *byte_characters(), *dict.fromkeys(a + b for a, b in merges), "<mask>"]
    return {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}, merges


BYTES, MERGES = byte_level()
ROBERTA_SPECIAL = [token("<s>", normalized=True), token("<pad>", normalized=True), token("</s>", normalized=True), token("<unk>", normalized=True), token("<mask>", lstrip=True)]


def roberta_tokenizer():
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": listed(BYTES, *ROBERTA_SPECIAL), "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        "post_processor": roberta_processing(BYTES), "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": "", "end_of_word_suffix": "", "fuse_unk": False,
                  "byte_fallback": False, "ignore_merges": False, "vocab": BYTES, "merges": [" ".join(merge) for merge in MERGES]},
    }


ROBERTA_CONFIG = {
    "tokenizer_class": "RobertaTokenizer", "add_prefix_space": False, "trim_offsets": True, "errors": "replace", "model_max_length": 512,
    "bos_token": "<s>", "eos_token": "</s>", "sep_token": "</s>", "cls_token": "<s>", "unk_token": "<unk>", "pad_token": "<pad>", "mask_token": "<mask>",
}


# XLM-RoBERTa: Unigram, after SentencePiece's character map.
def character_map(replacements):
    """A character map of SentencePiece: a double-array trie (as in Darts-clone) of UTF-8 keys, then the replacements."""
    texts, trie = b"", {}
    for key, value in replacements.items():
        node = trie
        for byte in key.encode():
            node = node.setdefault(byte, {})
        node[0] = len(texts)
        texts += value.encode() + b"\0"
    units = {0: 0}

    def place(node, at, label):
        base = next(base for base in range(1, 1 << 12) if all(base ^ byte not in units for byte in node))
        units[at] = (base ^ at) << 10 | (0 in node) << 8 | label
        for byte in node:
            units[base ^ byte] = 0
        for byte, child in node.items():
            if byte == 0:
                units[base] = 1 << 31 | child
            else:
                place(child, base ^ byte, byte)

    place(trie, 0, 0)
    # A byte that no key has at its place leads to a unit of the same block of 256.
    array = struct.pack(f"<{(max(units) | 255) + 1}I", *(units.get(at, 0) for at in range((max(units) | 255) + 1)))
    return base64.b64encode(struct.pack("<I", len(array)) + array + texts).decode()


PIECES = (
    [["<s>", 0.0], ["<pad>", 0.0], ["</s>", 0.0], ["<unk>", 0.0]] + [["▁" + c, -3.0 - i / 9] for i, c in enumerate(LETTERS + WORDS)]
    + [[c, -4.0 - i / 7] for i, c in enumerate(LETTERS + [c.upper() for c in LETTERS] + list("0123456789.,:'éüÉ中") + ["ll", "ar", "▁", ">"])] + [["<mask>", 0.0]]
)
UNIGRAM = dict.fromkeys(piece for piece, _ in PIECES)
CHARACTERS = {"type": "Precompiled", "precompiled_charsmap": character_map({"Ａ": "A", "①": "1", "ﬁ": "fi", "\u3000": " ", "\u00ad": "", "e\u0301": "é"})}


def xlm_roberta_tokenizer():
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": listed(UNIGRAM, token("<s>"), token("<pad>"), token("</s>"), token("<unk>"), token("<mask>", lstrip=True)),
        "normalizer": CHARACTERS,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}]},
        "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}}],
                           "pair": [], "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}, "</s>": {"id": "</s>", "ids": [2], "tokens": ["</s>"]}}},
        "decoder": None, "model": {"type": "Unigram", "unk_id": 3, "vocab": PIECES, "byte_fallback": False},
    }


XLM_ROBERTA_CONFIG = {"tokenizer_class": "XLMRobertaTokenizer", "model_max_length": 512, "bos_token": "<s>", "eos_token": "</s>", "sep_token": "</s>",
                      "cls_token": "<s>", "unk_token": "<unk>", "pad_token": "<pad>", "mask_token": "<mask>"}
BERT_CONFIG = {"tokenizer_class": "DistilBertTokenizer", "do_lower_case": True, "strip_accents": None, "tokenize_chinese_chars": True, "model_max_length": 512,
               "cls_token": "[CLS]", "sep_token": "[SEP]", "unk_token": "[UNK]", "pad_token": "[PAD]", "mask_token": "[MASK]"}


# Qwen2: byte-level BPE with a pattern of its own, and the template of tokenizer.json, which for Qwen3-Embedding ends a text.
QWEN = dict.fromkeys([*BYTES, "<|endoftext|>", "<|im_start|>", "<|im_end|>"])
QWEN = {piece: i for i, piece in enumerate(QWEN)}
QWEN_SPECIAL = [token("<|endoftext|>"), token("<|im_start|>"), token("<|im_end|>")]
QWEN_PATTERN = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def template(vocabulary, *pieces):
    """A post-processor of special tokens around a text, which is None."""
    part = lambda piece, text, type_id: {"Sequence": {"id": text, "type_id": type_id}} if piece is None else {"SpecialToken": {"id": piece, "type_id": type_id}}
    return {
        "type": "TemplateProcessing", "single": [part(piece, "A", 0) for piece in pieces], "pair": [part(piece, "A", 0) for piece in pieces] + [part(piece, "B", 1) for piece in pieces],
        "special_tokens": {piece: {"id": piece, "ids": [list(vocabulary).index(piece)], "tokens": [piece]} for piece in pieces if piece},
    }


def qwen_tokenizer():
    bytes = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    file = roberta_tokenizer()
    return file | {
        "added_tokens": listed(QWEN, *QWEN_SPECIAL), "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"Regex": QWEN_PATTERN}, "behavior": "Isolated", "invert": False}, bytes]},
        "post_processor": {"type": "Sequence", "processors": [bytes, template(QWEN, None, "<|endoftext|>")]}, "decoder": bytes, "model": file["model"] | {"vocab": QWEN},
    }


QWEN_CONFIG = {"tokenizer_class": "Qwen2Tokenizer", "model_max_length": 512, "unk_token": None, "bos_token": None, "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>",
               "add_prefix_space": False, "errors": "replace", "clean_up_tokenization_spaces": False, "split_special_tokens": False}
QWEN_VARIANTS = {
    "base": config(), "fast": config(tokenizer_class="Qwen2TokenizerFast"), "no-class": variant(tokenizer_config__json={"$merge": {"tokenizer_class": None}}), "space-first": config(add_prefix_space=True),
    "begins": config(add_bos_token=True, bos_token="<|im_start|>"), "begins-with-nothing": config(add_bos_token=True), "does-not-begin": config(add_bos_token=False), "ends": config(add_eos_token=True),
    "begins-and-ends": config(add_bos_token=True, add_eos_token=True, bos_token="<|im_start|>"), "ends-null": config(add_eos_token=None), "other-end": config(eos_token="the"),
    "no-template": variant(tokenizer__json={"$merge": {"post_processor": None}}), "parts-of-the-file": variant(tokenizer__json={"$merge": {"normalizer": {"type": "Lowercase"}, "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}}}),
    "as-it-is": config(tokenizer_class="PreTrainedTokenizerFast"), "as-it-is-ends": config(tokenizer_class="PreTrainedTokenizerFast", add_eos_token=True),
    "as-it-is-does-not-begin": config(tokenizer_class="PreTrainedTokenizerFast", add_bos_token=False),
    "no-tokenizer-config": variant(tokenizer_config__json=None), "no-tokenizer-json": variant(tokenizer__json=None), "word-pieces": variant(tokenizer__json=bert_tokenizer()),
    "decoder": config(added_tokens_decoder=None), "extra-tokens": config(extra_special_tokens=["<extra>"]), "split-special-tokens": config(split_special_tokens=True),
    "unknown-token": variant(tokenizer__json={"$merge": {"model": {"unk_token": "the", "fuse_unk": True}}}), "bytes": variant(tokenizer__json={"$merge": {"model": {"byte_fallback": True}}}),
    "whole-words": variant(tokenizer__json={"$merge": {"model": {"ignore_merges": True}}}), "dropout": variant(tokenizer__json={"$merge": {"model": {"dropout": 0.5}}}),
}

# Gemma: BPE of SentencePiece, with bytes for what is not in the vocabulary.
GEMMA_PIECES = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", *[f"<0x{byte:02X}>" for byte in range(256)], "\u2581", *LETTERS, *[c.upper() for c in LETTERS], *"0123456789.,'éü中\n\t"]
GEMMA_MERGES = []
for word in ["\u2581the", "\u2581mill", "\u2581sea", "\u2581note", "the", "ll", "\n\n", "\u2581\u2581"]:
    for end in range(2, len(word) + 1):
        if (word[:end - 1], word[end - 1]) not in GEMMA_MERGES:
            GEMMA_MERGES.append((word[:end - 1], word[end - 1]))
            GEMMA_PIECES.append(word[:end])
GEMMA = {piece: i for i, piece in enumerate(dict.fromkeys(GEMMA_PIECES))}
GEMMA_SPECIAL = [token(piece) for piece in GEMMA_PIECES[:5]]


def gemma_tokenizer():
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": listed(GEMMA, *GEMMA_SPECIAL), "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"},
        "pre_tokenizer": {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False}, "post_processor": template(GEMMA, "<bos>", None, "<eos>"),
        "decoder": None, "model": {"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": True,
                                   "byte_fallback": True, "ignore_merges": False, "vocab": GEMMA, "merges": [list(merge) for merge in GEMMA_MERGES]},
    }


GEMMA_CONFIG = {"tokenizer_class": "GemmaTokenizer", "model_max_length": 512, "bos_token": "<bos>", "eos_token": "<eos>", "unk_token": "<unk>", "pad_token": "<pad>", "mask_token": "<mask>",
                "clean_up_tokenization_spaces": False}
GEMMA_VARIANTS = {
    "base": config(), "fast": config(tokenizer_class="GemmaTokenizerFast"), "begins-and-ends": config(add_bos_token=True, add_eos_token=True), "begins": config(add_bos_token=True, add_eos_token=False),
    "other-start": config(add_bos_token=True, bos_token="the"), "neither": config(add_bos_token=False, add_eos_token=False), "no-template": variant(tokenizer__json={"$merge": {"post_processor": None}}),
    "parts-of-the-file": variant(tokenizer__json={"$merge": {"normalizer": {"type": "Lowercase"}, "pre_tokenizer": None}}), "no-names": variant(tokenizer_config__json={"tokenizer_class": "GemmaTokenizer"}),
    "as-it-is": config(tokenizer_class="PreTrainedTokenizerFast"), "no-tokenizer-config": variant(tokenizer_config__json=None), "no-tokenizer-json": variant(tokenizer__json=None),
    "unknown-token": variant(tokenizer__json={"$merge": {"model": {"unk_token": None, "fuse_unk": False}}}), "no-bytes": variant(tokenizer__json={"$merge": {"model": {"byte_fallback": False}}}),
    "word-pieces": variant(tokenizer__json=bert_tokenizer()), "dropout": variant(tokenizer__json={"$merge": {"model": {"dropout": 0.5}}}),
}


def base(model_type, tokenizer, settings):
    return {"files": {"config.json": {"model_type": model_type}, "tokenizer.json": tokenizer, "tokenizer_config.json": settings}, "weights": {}}


def decoder(vocabulary, *tokens):
    """`added_tokens_decoder` of tokenizer_config.json."""
    return {str(list(vocabulary).index(one["content"])): one for one in tokens}


def of_class(name, settings, vocabulary, special):
    """Variants that every class has."""
    # Parts of tokenizer.json that a class has its own of.
    other = {"$merge": {"normalizer": {"type": "Lowercase"}, "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": None}}
    mask, word = settings["mask_token"], "mill" if "mill" in vocabulary else "ll"
    plain = lambda *keys: variant(tokenizer_config__json=without(settings, *keys))
    return {
        "fast": config(tokenizer_class=name + "Fast"),
        "parts-of-the-file": variant(tokenizer__json=other),
        "no-class": variant(tokenizer__json=other, tokenizer_config__json=without(settings, "tokenizer_class")),
        "no-settings": variant(tokenizer__json=other, tokenizer_config__json=None),
        "class-of-config-json": variant(tokenizer__json=other, config__json={"$merge": {"tokenizer_class": "PreTrainedTokenizerFast"}}, tokenizer_config__json=without(settings, "tokenizer_class")),
        "file": variant(tokenizer__json=other, tokenizer_config__json={"$merge": {"tokenizer_class": "PreTrainedTokenizerFast"}}),
        "backend": config(tokenizer_class="TokenizersBackend"),
        "no-named-tokens": plain(*(key for key in settings if key.endswith("_token"))),
        "no-listed-tokens": variant(tokenizer__json={"$merge": {"added_tokens": []}}),
        "no-tokens-at-all": variant(tokenizer__json={"$merge": {"added_tokens": []}}, tokenizer_config__json=without(settings, *(key for key in settings if key.endswith("_token")))),
        "mask-by-decoder": config(added_tokens_decoder=decoder(vocabulary, token(mask, rstrip=True))),
        "mask-not-named-by-decoder": variant(tokenizer_config__json={**without(settings, "mask_token"), "added_tokens_decoder": decoder(vocabulary, token(mask, rstrip=True, special=False))}),
        "decoder-of-all": config(added_tokens_decoder=decoder(vocabulary, *special)),
        "decoder-of-none": config(added_tokens_decoder={}),
        "decoder-of-a-word": config(added_tokens_decoder=decoder(vocabulary, *special, token(word, normalized=True, special=False))),
        "tokens-map": variant(special_tokens_map__json={"mask_token": token(mask, lstrip=True), "cls_token": settings["cls_token"]}, tokenizer__json={"$merge": {"added_tokens": []}}),
        "tokens-map-idle": variant(special_tokens_map__json={"mask_token": token("sea")}, tokenizer_config__json={"$merge": {"added_tokens_decoder": {}}}),
        "other-mask": config(mask_token="mill"),
        "new-mask": config(mask_token="<blank>"),
        "other-ends": config(cls_token="the", sep_token="sea"),
        "other-first-and-last": config(bos_token="the", eos_token="sea"),
        "own-token": config(image_token="the mill"),
        "extra-tokens": config(extra_special_tokens=["sea", "the mill"]),
        "extra-tokens-by-name": config(extra_special_tokens={"image_token": "sea"}),
        "own-token-by-both-ways": config(image_token="the mill", extra_special_tokens={"image_token": "sea"}),
        "additional-tokens-beside-extra": config(extra_special_tokens=["the mill"], additional_special_tokens=["sea"]),
        "additional-tokens-beside-named": config(extra_special_tokens={"image_token": "the mill"}, additional_special_tokens=["sea"]),
        "named-beside-extra-tokens-of-the-map": variant(special_tokens_map__json={"extra_special_tokens": ["sea"]}, tokenizer_config__json={"$merge": {"extra_special_tokens": {"image_token": "the mill"}}}),
        "extra-tokens-of-both-files": variant(special_tokens_map__json={"extra_special_tokens": ["sea"]}, tokenizer_config__json={"$merge": {"extra_special_tokens": ["the mill"]}}),
        "additional-tokens-of-both-files": variant(special_tokens_map__json={"additional_special_tokens": ["sea"]}, tokenizer_config__json={"$merge": {"additional_special_tokens": ["the mill"]}}),
        "additional-tokens": config(additional_special_tokens=["sea"]),
        "additional-tokens-of-the-map": variant(special_tokens_map__json={"additional_special_tokens": ["sea"]}),
        "older-added-tokens": variant(added_tokens__json={word: list(vocabulary).index(word), "mill by": len(vocabulary)}, tokenizer__json={"$merge": {"added_tokens": []}}),
        "split-special-tokens": config(split_special_tokens=True),
        "space-first": config(add_prefix_space=True),
        "no-space-first": config(add_prefix_space=False),
        "space-first-null": config(add_prefix_space=None),
        "bos-and-eos": config(add_bos_token=True, add_eos_token=True),
        "no-tokenizer-json": variant(tokenizer__json=None),
    }


def of_wordpiece(vocabulary):
    return {
        "case": config(do_lower_case=False), "accents": config(strip_accents=False), "case-no-accents": config(do_lower_case=False, strip_accents=True),
        "no-chinese": config(tokenize_chinese_chars=False), "case-null": config(do_lower_case=None),
        "model-settings": variant(tokenizer__json={"$merge": {"model": {"max_input_chars_per_word": 4, "unk_token": "the"}}}),
        "other-unknown": config(unk_token="[MASK]"), "unknown-missing": config(unk_token="<none>"),
        "vocabulary-alone": variant(tokenizer__json=None, vocab__txt="".join(word + "\n" for word in vocabulary)),
        "vocabulary-beside": variant(vocab__txt="the\nmill\n"),
        "byte-pairs": variant(tokenizer__json={"$merge": {"model": {"type": "BPE", "merges": []}}}),
    }


def pair(**changes):
    files = {"tokenizer__json": None, "vocab__json": json.dumps(BYTES, ensure_ascii=False), "merges__txt": "#version: 0.2\n" + "".join(a + " " + b + "\n" for a, b in MERGES)}
    return variant(**files | changes)


def model(**changes):
    return variant(tokenizer__json={"$merge": {"model": changes}})


CLASSES = {
    "DistilBertTokenizer": (base("distilbert", bert_tokenizer(), BERT_CONFIG), of_class("DistilBertTokenizer", BERT_CONFIG, VOCABULARY, [token(t) for t in VOCABULARY[:5]]) | of_wordpiece(VOCABULARY)),
    "MPNetTokenizer": (base("mpnet", mpnet_tokenizer(), MPNET_CONFIG), of_class("MPNetTokenizer", MPNET_CONFIG, MPNET, MPNET_SPECIAL) | of_wordpiece(MPNET)),
    "RobertaTokenizer": (base("roberta", roberta_tokenizer(), ROBERTA_CONFIG), of_class("RobertaTokenizer", ROBERTA_CONFIG, BYTES, ROBERTA_SPECIAL) | {
        "offsets": config(trim_offsets=False), "offsets-null": config(trim_offsets=None),
        "space-first-of-the-file": variant(tokenizer__json={"$merge": {"pre_tokenizer": {"add_prefix_space": True, "use_regex": False}}}),
        "file-without-patterns": variant(tokenizer__json={"$merge": {"pre_tokenizer": {"use_regex": False}}}, tokenizer_config__json={"$merge": {"tokenizer_class": "PreTrainedTokenizerFast"}}),
        "unknown-token": model(unk_token="<unk>", fuse_unk=True), "whole-words": model(ignore_merges=True), "dropout": model(dropout=0.5), "bytes": model(byte_fallback=True),
        "suffix": model(end_of_word_suffix="</w>"), "prefix": model(continuing_subword_prefix="##"), "prefix-null": model(continuing_subword_prefix=None, end_of_word_suffix=None),
        "merges-as-pairs": model(merges=MERGES), "no-merges": model(merges=[]), "fewer-bytes": model(vocab={piece: i for piece, i in BYTES.items() if piece not in "ÃŁ"}, merges=[]),
        "pair": pair(), "pair-space-first": pair(tokenizer_config__json={"$merge": {"add_prefix_space": True}}), "pair-no-settings": pair(tokenizer_config__json=None),
        "pair-without-merges": pair(merges__txt=None), "pair-without-vocabulary": pair(vocab__json=None), "pair-bad-merges": pair(merges__txt="a b c\n"), "pair-unknown-merges": pair(merges__txt="the sea\n"),
        "pair-beside": pair(tokenizer__json={"$base": "tokenizer.json"}, vocab__json="{}", merges__txt=""),
        "word-pieces": variant(tokenizer__json=bert_tokenizer()),
    }),
    "XLMRobertaTokenizer": (base("xlm-roberta", xlm_roberta_tokenizer(), XLM_ROBERTA_CONFIG), of_class("XLMRobertaTokenizer", XLM_ROBERTA_CONFIG, UNIGRAM, [token("<mask>", lstrip=True)]) | {
        "characters-in-a-sequence": variant(tokenizer__json={"$merge": {"normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}, CHARACTERS]}}}),
        "other-unknown-id": model(unk_id=0), "bytes": model(byte_fallback=True), "byte-pairs": variant(tokenizer__json=roberta_tokenizer()),
    }),
    "Qwen2Tokenizer": (base("qwen3", qwen_tokenizer(), QWEN_CONFIG), QWEN_VARIANTS),
    "GemmaTokenizer": (base("gemma3_text", gemma_tokenizer(), GEMMA_CONFIG), GEMMA_VARIANTS),
}


def ids_of(base, one):
    """Token ids of every text, or why transformers refuses the folder or a text."""
    with tempfile.TemporaryDirectory() as folder:
        make(pathlib.Path(folder), base, one)
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder)
            return [tokenizer(text)["input_ids"] for text in TEXTS]
        except BaseException as error:
            return f"{type(error).__name__}: {error}".split("\n")[0].replace(folder, "FOLDER")[:120]


if __name__ == "__main__":
    classes = []
    for name, (base, variants) in CLASSES.items():
        base_ids, lines = ids_of(base, {"files": {}, "weights": {}}), []
        for of, one in variants.items():
            ids = ids_of(base, one)
            print(name, of, ids if isinstance(ids, str) else sum(a != b for a, b in zip(ids, base_ids)))
            one = {"files": one["files"]} | ({"refused": ids} if isinstance(ids, str) else {"ids": {at: own for at, own in enumerate(ids) if own != base_ids[at]}})
            lines.append(f'"{of}": {compact(one)}')
        variants = ",\n".join(lines)
        classes.append(f'"{name}": {{\n"files": {compact(base["files"])},\n"ids": {compact(base_ids)},\n"variants": {{\n{variants}\n}}\n}}')
    joined = ",\n".join(classes)
    out = pathlib.Path(sys.argv[1]) if sys.argv[1:] else OUT
    out.write_text(f'{{\n"texts": {compact(TEXTS)},\n"classes": {{\n{joined}\n}}\n}}\n', encoding="utf-8")
