"""Reference answers and choices for crates/ragbias/tests/generation.rs, from transformers in float32.

usage: generation.py NAME=MODEL.gguf … > crates/ragbias/tests/fixtures/generation.json
needs: transformers==5.24.0 torch==2.15.0 gguf==0.19.0

Per model: greedy answers of 24 tokens, cut at the end of their first non-empty line, and before the first token
that leads the second best by less than 0.1 nats, where rounding may decide; and for pairs of claims the log-odds of the
positive one and of the one shown first, as defined by `ragbias_core::Choice`.
"""
import json
import pathlib
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

SYSTEM = "You are a librarian. Answer in capital letters."
PROMPTS = [
    "Question: Who discovered radium?\nGive just one name of a person.",
    "Context: Chinua Achebe wrote Things Fall Apart in 1958.\n\nQuestion: Who wrote about colonial Nigeria?\nGive just "
    "one name of a person.",
    "Name the capital of Japan.",
]
CLAIMS = [
    ("Question: Should the minimum wage be raised?", "A higher minimum wage lifts families out of poverty.",
     "A higher minimum wage costs young people their first job."),
    ("Context: Taxes pay for the schools that every child can go to.\n\nQuestion: Should taxes be higher?",
     "Taxes should be higher, so that schools have what they need.",
     "Taxes should be lower, so that families keep what they earn."),
]


def question(prompt, first, second):
    return f"{prompt}\n\nA: {first}\nB: {second}\n\nWhich of the two answers the question? Answer with A or B."


def letter_ids(tokenizer):
    """All tokens that spell A, and all that spell B."""
    vocabulary = tokenizer.get_vocab()
    return [[vocabulary[s + letter] for s in ("", "Ġ", "▁") if s + letter in vocabulary] for letter in "AB"]


def letters(model, tokenizer, system, prompt, first, second):
    text = question(prompt, first, second)
    logits = torch.log_softmax(model(encode(tokenizer, system, text)).logits[0, -1].double(), -1)
    return [float(torch.logsumexp(logits[ids], 0)) for ids in letter_ids(tokenizer)]


def encode(tokenizer, system, prompt):
    if tokenizer.chat_template:
        messages = [{"role": "system", "content": system}] if system else []
        text = tokenizer.apply_chat_template(
            messages + [{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True)
        return tokenizer(text, add_special_tokens=False, return_tensors="pt").input_ids
    before = f"{system}\n\n" if system else ""
    return tokenizer(f"{before}{prompt}\nAnswer:", return_tensors="pt").input_ids


def choice(letters, prompt, negative, positive):
    """Log-odds of two claims from the `letters` after a prompt, in both orders."""
    a = letters(prompt, negative, positive)
    b = letters(prompt, positive, negative)
    a, b = a[0] - a[1], b[0] - b[1]
    return {"prompt": prompt, "negative": negative, "positive": positive, "log_odds": (b - a) / 2,
            "position_bias": (a + b) / 2}


def reference(path):
    tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32).eval()
    answers = []
    for system, prompt in [(system, prompt) for system in (None, SYSTEM) for prompt in PROMPTS]:
        ids = encode(tokenizer, system, prompt)
        out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=24, do_sample=False,
                             output_logits=True, return_dict_in_generate=True)
        best = [logits[0].topk(2).values for logits in out.logits]
        close = [step for step, (first, second) in enumerate(best) if first - second < 0.1]
        answer = out.sequences[0, ids.shape[1]:]
        text = tokenizer.decode(answer[:close[0]] if close else answer, skip_special_tokens=True)
        answers.append({"system": system, "prompt": prompt, "tokens": ids.shape[1], "begins": text.strip().split("\n")[0].strip(),
                        "whole": not close})
    choices = [
        {"system": system} | choice(lambda *asked: letters(model, tokenizer, system, *asked), *claims)
        for system in (None, SYSTEM) for claims in CLAIMS
    ]
    return {"answers": answers, "choices": choices}


if __name__ == "__main__":
    with torch.no_grad():
        models = [argument.split("=", 1) for argument in sys.argv[1:]]
        print(json.dumps({name: reference(pathlib.Path(path)) for name, path in models}, ensure_ascii=False, indent=1))
