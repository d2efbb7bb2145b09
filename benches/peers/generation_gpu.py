"""Tokens per second of prefill and greedy decode by transformers on a GPU, from the same GGUF file.

usage: python generation_gpu.py MODEL.gguf PROMPT_TOKENS NEW_TOKENS BATCH
needs: transformers==5.24.0 torch==2.15.0 (CUDA) gguf==0.19.0

Weights are dequantised by transformers, to f32 and to bf16. The prompts are those of the example `time_generation`: all of one
length, so that nothing is padded. End tokens are ignored.
"""
import json
import pathlib
import sys
import time

import torch
from transformers import AutoModelForCausalLM

path = pathlib.Path(sys.argv[1])
prompt, new, batch = (int(number) for number in sys.argv[2:])
for name, dtype in [("f32", torch.float32), ("bf16", torch.bfloat16)]:
    model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=dtype).to("cuda").eval()
    vocabulary = model.config.get_text_config().vocab_size
    rows = [[(100 + i * 7 % 5000) % vocabulary for i in range(row, row + prompt)] for row in range(batch)]
    tokens = torch.tensor(rows, device="cuda")

    @torch.inference_mode()
    def run():
        torch.cuda.synchronize()
        begun = time.perf_counter()
        out = model(tokens, use_cache=True, logits_to_keep=1)
        torch.cuda.synchronize()
        read = time.perf_counter() - begun
        for _ in range(new):
            following = out.logits[:, -1:].argmax(-1)
            out = model(following, past_key_values=out.past_key_values, use_cache=True)
        torch.cuda.synchronize()
        return read, time.perf_counter() - begun - read

    run()
    read, generated = run()
    rates = {"prefill": batch * prompt / read, "decode": batch * new / generated}
    print(f"transformers, batch {batch}, {name}:", json.dumps({key: round(rate, 2) for key, rate in rates.items()}))
    del model
