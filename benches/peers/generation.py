"""Tokens per second of prefill and decode: ragbias and llama.cpp on the same file, in one run.

usage: python generation.py PATH/TO/time_generation MODEL.gguf … [--rounds N]
needs: llama-cpp-python==0.3.36 numpy==2.4.6, in an environment of its own; it is compiled when it is installed, for AVX2
       as ragbias is, with CMAKE_ARGS="-DGGML_NATIVE=OFF -DGGML_AVX=ON -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON
       -DGGML_BMI2=ON", or without for the machine's own instructions
build: cargo build --release --workspace --example time_generation

A prompt of 256 tokens is prefilled, and 64 tokens are decoded after it. Each round times every program once, one after the
other; the table has the medians, and the ratio of ragbias to its peer. llama.cpp rounds activations to 8 bits, ragbias
computes in f32.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import time

from llama_cpp import Llama

PROMPT, NEW = 256, 64

arguments = argparse.ArgumentParser()
arguments.add_argument("binary")
arguments.add_argument("models", nargs="+", type=pathlib.Path)
arguments.add_argument("--rounds", type=int, default=5)
arguments = arguments.parse_args()
tokens = [100 + i * 7 % 5000 for i in range(PROMPT + NEW)]


def ours(path):
    out = subprocess.run([arguments.binary, path, str(PROMPT), str(NEW)], check=True, capture_output=True, text=True)
    return json.loads(out.stdout)


def peer(path):
    begun = time.perf_counter()
    threads = os.cpu_count()
    model = Llama(str(path), n_ctx=1024, n_batch=512, n_threads=threads, n_threads_batch=threads, verbose=False)
    load = time.perf_counter() - begun
    for _ in range(2):
        model.reset()
        begun = time.perf_counter()
        model.eval(tokens[:PROMPT])
        read = time.perf_counter()
        for token in tokens[PROMPT:]:
            model.eval([token])
        done = time.perf_counter()
    return {"load": load, "prefill": PROMPT / (read - begun), "decode": NEW / (done - read)}


rounds = {path: [(ours(path), peer(path)) for _ in range(arguments.rounds)] for path in arguments.models}
print(f"medians of {arguments.rounds} rounds, {os.cpu_count()} threads")
print("| model | | ragbias | llama.cpp | ratio |\n| --- | --- | ---: | ---: | ---: |")
for path, both in rounds.items():
    mine, theirs = zip(*both)
    median = lambda side, key: statistics.median(times[key] for times in side)
    for key, what in [("prefill", f"reading {PROMPT} tokens, tokens/s"), ("decode", "generating, tokens/s")]:
        a, b = median(mine, key), median(theirs, key)
        print(f"| {path.stem} | {what} | {a:.0f} | {b:.0f} | {a / b:.2f} |")
    print(f"| {path.stem} | loading, s | {median(mine, 'load'):.2f} | {median(theirs, 'load'):.2f} | |")
    print(f"| {path.stem} | short answers one by one, answers/s | {median(mine, 'alone'):.1f} | | |")
    print(f"| {path.stem} | 16 short answers together, answers/s | {median(mine, 'together'):.1f} | | |")
