"""Requests per second, p50 and p99 of `/v1/embeddings`: `ragbias serve`, and sentence-transformers behind FastAPI, in one run.

usage: python serving.py MODEL_FOLDER PATH/TO/ragbias TEXTS.jsonl [SECONDS] [ROUNDS]
needs: torch==2.15.0 sentence-transformers==6.2.0 fastapi uvicorn, in an environment of its own
build: cargo build --release

1, 8 and 64 clients each send one text at a time, over a connection that stays open, for some seconds; every server is the only one that runs
while it is asked, and has all cores. The texts are first sentences, some 20 tokens, as questions are. The peer embeds what waits in one
batch of up to 32, as `ragbias serve` does. Vectors are compared before anything is timed: their least cosine is printed.
"""
import http.client
import json
import os
import pathlib
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

PEER = '''
import asyncio, sys
import torch
from fastapi import FastAPI
from sentence_transformers import SentenceTransformer
import uvicorn

torch.set_num_threads(int(sys.argv[3]))
model = SentenceTransformer(sys.argv[1], device="cpu")
app, queue = FastAPI(), asyncio.Queue()


def embed(texts):
    return model.encode(texts, batch_size=32, normalize_embeddings=True).tolist()


async def work():
    while True:
        waiting = [await queue.get()]
        while len(waiting) < 32 and not queue.empty():
            waiting.append(queue.get_nowait())
        rows = await asyncio.to_thread(embed, [text for text, _ in waiting])
        for (_, reply), row in zip(waiting, rows):
            reply.set_result(row)


@app.on_event("startup")
async def start():
    app.state.worker = asyncio.create_task(work())


@app.post("/v1/embeddings")
async def embeddings(request: dict):
    reply = asyncio.get_running_loop().create_future()
    await queue.put((request["input"], reply))
    return {"object": "list", "model": "peer", "data": [{"object": "embedding", "index": 0, "embedding": await reply}]}


uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="error")
'''

folder, binary, path = sys.argv[1:4]
seconds = float(sys.argv[4]) if len(sys.argv) > 4 else 10
rounds = int(sys.argv[5]) if len(sys.argv) > 5 else 3
texts = [json.loads(line)["text"].split(". ")[0] for line in open(path, encoding="utf-8")]
peer = pathlib.Path(tempfile.mkdtemp()) / "peer.py"
peer.write_text(PEER)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def ask(connection, text):
    connection.request("POST", "/v1/embeddings", json.dumps({"input": text, "model": "m"}), {"content-type": "application/json"})
    response = connection.getresponse()
    body = response.read()
    assert response.status == 200, (response.status, body[:200])
    return json.loads(body)["data"][0]["embedding"]


class Server:
    def __init__(self, name):
        port = self.port = free_port()
        command = {
            "ragbias": [binary, "serve", "--embedder", folder, "--name", "m", "--address", f"127.0.0.1:{port}", "--quiet"],
            "FastAPI": [sys.executable, str(peer), folder, str(port), str(os.cpu_count())],
        }[name]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)

    def __enter__(self):
        for _ in range(600):
            try:
                ask(self.connect(), "Is it there?")
                return self
            except OSError:
                assert self.process.poll() is None, "the server ended"
                time.sleep(0.1)
        raise TimeoutError

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def load(self, clients):
        until, took = time.perf_counter() + seconds, [[] for _ in range(clients)]

        def client(number):
            connection, at = self.connect(), number
            while time.perf_counter() < until:
                begun = time.perf_counter()
                ask(connection, texts[at % len(texts)])
                took[number].append(time.perf_counter() - begun)
                at += clients

        threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        every = sorted(sum(took, []))
        return len(every) / seconds, every[len(every) // 2], every[int(0.99 * (len(every) - 1))]


def cosine(a, b):
    dot = lambda x, y: sum(p * q for p, q in zip(x, y))
    return dot(a, b) / (dot(a, a) * dot(b, b)) ** 0.5


names, measured, vectors = ["ragbias", "FastAPI"], {}, {}
for _ in range(rounds):
    for name in names:
        with Server(name) as server:
            connection = server.connect()
            vectors[name] = [ask(connection, text) for text in texts[:20]]
            for clients in (1, 8, 64):
                measured.setdefault((clients, name), []).append(server.load(clients))
print(f"least cosine {min(map(cosine, *vectors.values())):.7f}; {os.cpu_count()} cores, medians of {rounds} rounds of {seconds:.0f} s")
print("| clients | | requests/s | p50, ms | p99, ms | ratio |\n| ---: | --- | ---: | ---: | ---: | ---: |")
for clients in (1, 8, 64):
    medians = {name: [statistics.median(values) for values in zip(*measured[clients, name])] for name in names}
    for name in names:
        rate, p50, p99 = medians[name]
        ratio = f"{rate / medians['FastAPI'][0]:.2f}" if name == "ragbias" else ""
        print(f"| {clients} | {name} | {rate:.1f} | {1000 * p50:.1f} | {1000 * p99:.1f} | {ratio} |")
