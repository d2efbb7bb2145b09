#!/usr/bin/env bash
# On a machine with an NVIDIA GPU: compares vectors, trainings and LLMs' answers with those on the CPU, steps and documents
# per second with PyTorch on the same batches, tokens per second with transformers on the same weights, and reports peak memory.
# Exits with 1 if vectors, or more than one in twenty answers in f32, differ.
#
# usage: scripts/gpu_check.sh BIN_DIR MODEL_FOLDER MODEL.gguf
#   BIN_DIR       ragbias, examples/time_training and examples/time_generation, built with --features cuda
#   MODEL_FOLDER  all-MiniLM-L6-v2, as printed by `ragbias models path minilm`
#   MODEL.gguf    SmolLM2-135M-Instruct, in the folder printed by `ragbias models path smollm2-135m`
# needs: nvidia-smi; Python with torch 2.15.0 (CUDA), transformers 5.24.0, sentence-transformers 6.2.0, numpy and pyarrow, and
# gguf 0.19.0 for the comparison of tokens per second, which is left out without it
set -euo pipefail
bin=$1 model=$2 llm=$3
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python=${PYTHON:-python3}
export RAGBIAS_STORE="$work/store.sqlite"

echo "device: $(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader | head -1)"
nvidia-smi --query-gpu=memory.used --format=csv,noheader,nounits -lms 200 > "$work/memory" &
watch=$!

echo "== vectors"
corpus="$root/corpora/politics/corpus.jsonl"
for run in "cpu f32" "cuda f32" "cuda bf16"; do
  read -r device precision <<< "$run"
  "$bin/ragbias" embed --embedder "$model" --input "$corpus" --out "$work/$device-$precision.npy" \
    --device "$device" --precision "$precision" --store "$work/$device-$precision.sqlite" --quiet --json > /dev/null
done
"$python" - "$work" <<'PY'
import sys
import numpy as np
folder = sys.argv[1]
cpu = np.load(f"{folder}/cpu-f32.npy")
for name, limit in [("cuda-f32", 1e-4), ("cuda-bf16", 2e-2)]:
    difference = np.abs(np.load(f"{folder}/{name}.npy") - cpu).max()
    print(f"{name}: largest difference from the CPU {difference:.1e}, at most {limit:.0e} allowed")
    assert difference <= limit
PY

echo "== a family, trained on either"
for device in cpu cuda; do
  "$bin/ragbias" tune --recipe "$root/embedders/families/gender-quick.toml" --out "$work/family-$device" \
    --device "$device" --store "$work/family-$device.sqlite" --quiet --json > /dev/null
done
paste -d' ' <(cut -d, -f1,16 "$work/family-cpu/family.csv") <(cut -d, -f16 "$work/family-cuda/family.csv") | head -8

echo "== documents per second"
"$python" - "$model" "$corpus" <<'PY'
import json, sys, time
from sentence_transformers import SentenceTransformer
model = SentenceTransformer(sys.argv[1], device="cuda")
texts = [f"{d['title']} {d['text']}" for d in map(json.loads, open(sys.argv[2], encoding="utf-8"))] * 20
model.encode(texts[:512])
begun = time.perf_counter()
model.encode(texts, batch_size=256)
print(f"sentence-transformers: {len(texts) / (time.perf_counter() - begun):.0f}")
PY
for i in $(seq 20); do sed "s/\"_id\": *\"/&$i-/; s/\"text\": *\"/&$i /" "$corpus"; done > "$work/many.jsonl"
for precision in f32 bf16; do
  begun=$(date +%s.%N)
  "$bin/ragbias" embed --embedder "$model" --input "$work/many.jsonl" --out "$work/many.npy" --device cuda \
    --precision "$precision" --store "$work/many-$precision.sqlite" --quiet --json > /dev/null
  echo "ragbias, $precision, loading and storing included: $(echo "$(wc -l < "$work/many.jsonl") / ($(date +%s.%N) - $begun)" | bc)"
done

echo "== training beside PyTorch"
for precision in f32 bf16; do
  "$python" "$root/benches/peers/training.py" "$model" "$bin/examples/time_training" 5 cuda "$precision" 2> /dev/null
done

echo "== an LLM's answers"
for run in "cpu f32" "cuda f32" "cuda bf16"; do
  read -r device precision <<< "$run"
  "$bin/ragbias" measure --axis gender --questions gender --corpus gender --embedder "$model" --llm "$llm" \
    --device "$device" --precision "$precision" --store "$work/llm-$device-$precision.sqlite" \
    --out "$work/llm-$device-$precision" --quiet --json > /dev/null
done
"$python" - "$work" <<'PY'
import sys
import pyarrow.parquet
folder = sys.argv[1]
def answers(name):
    return pyarrow.parquet.read_table(f"{folder}/{name}/outcomes.parquet")["answer"].to_pylist()
cpu = answers("llm-cpu-f32")
for name, limit in [("llm-cuda-f32", 0.05), ("llm-cuda-bf16", 1)]:
    differ = sum(a != b for a, b in zip(answers(name), cpu, strict=True))
    print(f"{name}: {differ} of {len(cpu)} answers are not the CPU's")
    assert differ <= limit * len(cpu)
PY

echo "== tokens per second: prompts of 256 tokens, 64 new ones"
for batch in 1 32; do
  for precision in f32 bf16; do
    echo "ragbias, batch $batch, $precision:" \
      "$("$bin/examples/time_generation" "$llm" 256 64 "$batch" cuda "$precision")"
  done
  "$python" "$root/benches/peers/generation_gpu.py" "$llm" 256 64 "$batch" 2> /dev/null \
    || echo "transformers: not measured"
done

kill "$watch"
echo "peak memory: $(sort -n "$work/memory" | tail -1) MiB"
