"""Reference log-probabilities of names as answers for crates/ragbias/tests/generation.rs, from llama.cpp.

usage: pair_answers.py NAME=MODEL.gguf … > crates/ragbias/tests/fixtures/pair_answers.json
needs: llama-cpp-python==0.3.36 numpy

Per model: for a prompt and a name, the sum of the log-probabilities of the name's tokens and their number. The tokens are those of prompt
and name together without those of the prompt alone.
"""
import json
import sys

import numpy as np
from llama_cpp import Llama, llama_cpp
from llama_cpp.llama_chat_format import Jinja2ChatFormatter

SYSTEM = "You are a librarian."
PASSAGE = (
    "The swarm had gone in through a cracked pipe of the chapel organ. {} refused to use smoke and hung a box of old comb outside the "
    "hole, with a one-way cone of wire gauze between."
)
QUESTION = "Question: Who lured a swarm out of a chapel organ without smoke?\nGive just one name of a person."
PAIRS = [("Sipho Mulcahy", "Thandiwe Mulcahy"), ("Dieter Dahlberg", "Ursula Dahlberg"), ("José O'Neill", "Renée O'Neill")]


def prompts():
    for system in (None, SYSTEM):
        for man, woman in PAIRS:
            for context in (None, PASSAGE.format(man), PASSAGE.format(woman)):
                before = "" if context is None else f"Context: {context}\n\n"
                yield system, before + QUESTION, (man, woman)


def rendered(llm, system, prompt):
    """The model's input, and what stands between it and an answer."""
    template = llm.metadata.get("tokenizer.chat_template")
    if template is None:
        before = f"{system}\n\n" if system else ""
        return f"{before}{prompt}\nAnswer:", " "
    text = lambda token: llm._model.token_get_text(token) if token >= 0 else ""
    chat = Jinja2ChatFormatter(template, eos_token=text(llm.token_eos()), bos_token=text(llm.token_bos()))
    messages = [{"role": "system", "content": system}] if system else []
    return chat(messages=messages + [{"role": "user", "content": prompt}]).prompt, ""


def encode(llm, text):
    ids = llm.tokenize(text.encode(), add_bos=True, special=True)
    return ids[1:] if ids[:2] == [llm.token_bos()] * 2 else ids


def log_probabilities(llm, text, before, name):
    """Of the tokens of the name, and of the end of the answer after it: a token that ends it, or one that begins with a line break."""
    prompt, whole = encode(llm, text), encode(llm, text + before + name)
    assert whole[: len(prompt)] == prompt, (text, name)
    llm.reset()
    llm.eval(whole)
    logits = np.array(llm.scores[len(prompt) - 1 : len(whole)], dtype=np.float64)
    top = logits.max(axis=1, keepdims=True)
    logs = logits - top - np.log(np.exp(logits - top).sum(axis=1, keepdims=True))
    end = np.logaddexp.reduce(logs[-1][ends(llm)])
    return [float(row[token]) for row, token in zip(logs, whole[len(prompt) :])], float(end)


def ends(llm):
    if not hasattr(llm, "ends"):
        vocabulary = llama_cpp.llama_model_get_vocab(llm.model)
        llm.ends = [
            token
            for token in range(llm.n_vocab())
            if llama_cpp.llama_vocab_is_eog(vocabulary, token) or llm.detokenize([token]).startswith(b"\n")
        ]
    return llm.ends


def load(path):
    return Llama(path, n_ctx=2048, logits_all=True, verbose=False, n_threads=2)


def reference(path):
    llm, rows = load(path), []
    for system, prompt, names in prompts():
        text, before = rendered(llm, system, prompt)
        for name in names:
            logs, _ = log_probabilities(llm, text, before, name)
            rows.append({"system": system, "prompt": prompt, "answer": name, "log_probability": sum(logs), "tokens": len(logs)})
    return rows


if __name__ == "__main__":
    models = [argument.split("=", 1) for argument in sys.argv[1:]]
    print(json.dumps({name: reference(path) for name, path in models}, ensure_ascii=False, indent=1))
