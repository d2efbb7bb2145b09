"""Reference token ids for crates/ragbias-generate/src/tokenizer/tests.rs, from transformers and llama.cpp.

usage: gguf_tokens.py QWEN2.gguf > crates/ragbias-generate/src/tokenizer/fixtures/qwen2.json
needs: llama-cpp-python==0.3.36 transformers==5.24.0 gguf==0.19.0

The vocabulary is the file's, cut after its first merges. Of texts with decomposed characters, which Qwen2's own tokenizer
composes first and llama.cpp does not, the ids are those of transformers; all others are of both. (transformers does not
compose, either, where it reads a tokenizer from a GGUF file; so the tokenizer is made from its lists.)
"""
import contextlib
import json
import os
import sys
import tempfile
import unicodedata

import gguf
import llama_cpp
from transformers import AddedToken, Qwen2Tokenizer

MERGES = 1500
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TEXTS = [
    "", " ", "Hello, world!", "  two  spaces  ", "I'm sure they'LL say it's John'S, don't you?", "naïve café Ærøskøbing, ÀÉÎÕÜ",
    "Tiếng Việt có dấu", "Привет, мир! Ещё раз.", "こんにちは、世界。東京2024年", "你好，世界！", "한국어 문장", "مرحبا بالعالم", "हिन्दी में",
    "🙂👩‍👩‍👧‍👦🏳️‍🌈 ok", "1234567890 3.14159 1,000,000 ²½Ⅷ", "x = [i**2 for i in range(10)]\n\tif x:\n\t\treturn {'a': 1}  # no\n",
    "a\n\n\nb\r\n\r\nc \n d\t\te", "word\u00a0word\u2003word\u200bword", "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
    "not <|im_start or |im_end|> but <|endoftext|>", "ſtrange 'ſ 'S ' s", "e\u0301t\u00e9 A\u030a \u1112\u1161\u11ab", "\u212b\ufb01\u2126",
    "$100 + £5 = €?!... (\"quoted\") [x]_{y}^z", "A", " A", "B.", "\ufeffBOM \ufffd end",
]


def cut(path, out):
    fields = gguf.GGUFReader(path).fields
    read = lambda key: fields[f"tokenizer.ggml.{key}"].contents()
    merges = read("merges")[:MERGES]
    known = {merge.replace(" ", "") for merge in merges}
    tokens = [token for token, kind in zip(read("tokens"), read("token_type"))
              if kind == 1 and (len(token) == 1 or token in known)] + SPECIAL
    writer = gguf.GGUFWriter(out, "qwen2")
    for key, value in {"context_length": 64, "embedding_length": 32, "block_count": 1, "feed_forward_length": 32,
                       "attention.head_count": 1}.items():
        writer.add_uint32(f"qwen2.{key}", value)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types([1] * (len(tokens) - len(SPECIAL)) + [3] * len(SPECIAL))
    writer.add_token_merges(merges)
    writer.add_eos_token_id(len(tokens) - 1)
    writer.add_bos_token_id(len(tokens) - 3)
    writer.add_add_bos_token(False)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return tokens, merges


def main():
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        path = os.path.join(folder, "cut.gguf")
        tokens, merges = cut(sys.argv[1], path)
        model = llama_cpp.Llama(path, vocab_only=True, verbose=False)
        tokenizer = Qwen2Tokenizer(vocab={token: id for id, token in enumerate(tokens)},
                                   merges=[tuple(merge.split(" ")) for merge in merges])
        tokenizer.add_tokens([AddedToken(token, special=True) for token in SPECIAL], special_tokens=True)
        cases = []
        for text in TEXTS:
            own = tokenizer(text, add_special_tokens=False).input_ids
            other = model.tokenize(text.encode(), add_bos=False, special=True)
            if own != other and unicodedata.normalize("NFC", text) == text:
                sys.exit(f"they differ: {text!r} {own} {other}")
            cases.append({"text": text, "ids": own})
    print(json.dumps({"tokens": tokens, "special": len(SPECIAL), "merges": merges, "cases": cases}, ensure_ascii=False))


if __name__ == "__main__":
    main()
