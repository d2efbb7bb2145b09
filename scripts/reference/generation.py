"""Reference answers and log-probabilities for crates/ragbias-generate/tests, from transformers in float32.

usage: generation.py MODEL.gguf
needs: transformers==5.24.0 torch==2.15.0 gguf==0.19.0
"""
import json
import pathlib
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

PROMPTS = [
    "Who discovered radium? Give just one name of a person.",
    "Context: Chinua Achebe wrote Things Fall Apart in 1958.\n\nWho wrote about colonial Nigeria? Give just one name "
    "of a person.",
    "Name the capital of Japan.",
]
path = pathlib.Path(sys.argv[1])
tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32).eval()
for prompt in PROMPTS:
    if tokenizer.chat_template:
        text = tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True)
        ids = tokenizer(text, add_special_tokens=False, return_tensors="pt").input_ids
    else:
        ids = tokenizer(f"{prompt}\nAnswer:", return_tensors="pt").input_ids
    with torch.no_grad():
        logits = torch.log_softmax(model(ids).logits[0, -1].double(), -1)
        out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, do_sample=False)
    top = logits.topk(3)
    letters = {t: float(logits[tokenizer.convert_tokens_to_ids(t)]) for t in ("A", "B", "ĠA", "▁A")
               if tokenizer.convert_tokens_to_ids(t) is not None}
    print(json.dumps({"n": ids.shape[1], "ids": ids[0].tolist()[-8:], "top": top.indices.tolist(), "logprobs": top.values.tolist(),
                      "answer": tokenizer.decode(out[0, ids.shape[1]:]), "letters": letters}, ensure_ascii=False))
