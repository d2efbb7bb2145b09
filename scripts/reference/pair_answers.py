"""Reference log-probabilities of names as answers for crates/ragbias/tests/generation.rs, from transformers in float32.

usage: pair_answers.py NAME=MODEL.gguf … > crates/ragbias/tests/fixtures/pair_answers.json
needs: transformers==5.24.0 torch==2.15.0 gguf==0.19.0

Per model: for a prompt and a name, the sum of the log-probabilities of the name's tokens and their number. The tokens are those of prompt
and name together without those of the prompt alone. llama.cpp, which rounds activations to 8 bits, differs from these by up to 0.10
(SmolLM2) and 0.27 nats (Gemma) per token.
"""
import json
import pathlib
import sys

import torch
from generation import encode
from transformers import AutoModelForCausalLM, AutoTokenizer

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


def encode_with(tokenizer, system, prompt, name):
    """The tokens of a prompt with a name as its answer."""
    if tokenizer.chat_template:
        messages = [{"role": "system", "content": system}] if system else []
        text = tokenizer.apply_chat_template(
            messages + [{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True)
        return tokenizer(text + name, add_special_tokens=False, return_tensors="pt").input_ids
    before = f"{system}\n\n" if system else ""
    return tokenizer(f"{before}{prompt}\nAnswer: {name}", return_tensors="pt").input_ids


def reference(path):
    tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32).eval()
    rows = []
    for system, prompt, names in prompts():
        before = encode(tokenizer, system, prompt)[0]
        for name in names:
            whole = encode_with(tokenizer, system, prompt, name)
            assert whole[0, : len(before)].tolist() == before.tolist(), (prompt, name)
            logs = torch.log_softmax(model(whole).logits[0].double(), -1)
            own = [float(logs[i - 1, whole[0, i]]) for i in range(len(before), whole.shape[1])]
            rows.append({"system": system, "prompt": prompt, "answer": name, "log_probability": sum(own), "tokens": len(own)})
    return rows


if __name__ == "__main__":
    with torch.no_grad():
        models = [argument.split("=", 1) for argument in sys.argv[1:]]
        print(json.dumps({name: reference(pathlib.Path(path)) for name, path in models}, ensure_ascii=False, indent=1))
