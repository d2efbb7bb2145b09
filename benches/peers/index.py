"""Searching and building an index: ragbias, faiss, numpy and hnswlib on the same vectors, in one run.

usage: python index.py PATH/TO/time_index DOCUMENTS.npy QUESTIONS.npy [--rounds N]
       python index.py PATH/TO/time_index --grow PLOT.svg
needs: faiss-cpu==1.15.1 hnswlib==0.8.0 numpy==2.4.6, in an environment of their own; hnswlib is compiled when it is
       installed, for the machine's own instructions
build: cargo build --release -p ragbias-index --example time_index
       the vectors are what `ragbias embed --embedder minilm --input F.jsonl --out F.npy` makes

Exact: 1,000 questions × 100,000 documents × 384, synthetic, on all cores. Graphs: the given vectors, on one core, each at
the smallest search width that finds 0.99 of the 10 nearest. Each round times every program once, one after the other, and takes
the best of three times for a search; the tables have the medians, and the ratio of ragbias to its best peer.
--grow times only ragbias, from 10³ vectors upwards, each size in its own process, and plots the times.
"""
import argparse
import json
import math
import os
import pathlib
import statistics
import subprocess
import tempfile
import time

K, RECALL = 10, 0.99
SETTINGS = [(24, 128), (16, 200)]
WIDTHS = list(range(32, 129, 8))

arguments = argparse.ArgumentParser()
arguments.add_argument("binary")
arguments.add_argument("documents", nargs="?")
arguments.add_argument("questions", nargs="?")
arguments.add_argument("--rounds", type=int, default=5)
arguments.add_argument("--grow", type=pathlib.Path)
arguments = arguments.parse_args()


def ours(*words):
    out = subprocess.run([arguments.binary, *map(str, words)], check=True, capture_output=True, text=True)
    return json.loads(out.stdout)


def best_of_three(search):
    best, found = math.inf, None
    for _ in range(3):
        begun = time.perf_counter()
        found = search()
        best = min(best, time.perf_counter() - begun)
    return best, found


def compare():
    import faiss
    import hnswlib
    import numpy as np

    faiss.omp_set_num_threads(os.cpu_count())
    folder = pathlib.Path(tempfile.mkdtemp())
    recall = lambda found, truth: np.mean([len(set(a) & set(b)) for a, b in zip(found, truth)]) / K
    median = statistics.median

    def unit(rows):
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

    def saved(rows, name):
        rows.tofile(folder / name)
        return folder / name

    random = np.random.default_rng(1)
    many, asked = unit(random.standard_normal((100_000, 384))), unit(random.standard_normal((1_000, 384)))
    many_file, asked_file = saved(many, "many"), saved(asked, "asked")

    def by_faiss():
        flat = faiss.IndexFlatIP(384)
        flat.add(many)
        return best_of_three(lambda: flat.search(asked, K)[1])

    def by_numpy():
        def search():
            scores = asked @ many.T
            top = np.argpartition(scores, -K, axis=1)[:, -K:]
            order = np.argsort(-np.take_along_axis(scores, top, axis=1), axis=1)
            return np.take_along_axis(top, order, axis=1)

        return best_of_three(search)

    def by_us():
        answer = ours("exact", many_file, asked_file, 384, K)
        return answer["search"], answer["hits"]

    exact = {"ragbias": by_us, "faiss flat": by_faiss, "numpy": by_numpy}
    seconds = {name: [] for name in exact}
    for _ in range(arguments.rounds):
        found = {}
        for name, search in exact.items():
            taken, found[name] = search()
            seconds[name].append(taken)
        assert recall(found["ragbias"], found["faiss flat"]) > 0.9999, "exact searches differ"
    print(f"exact, 1,000 × 100,000 × 384, {os.cpu_count()} threads, medians of {arguments.rounds} rounds")
    print("| | seconds | questions/s |\n| --- | ---: | ---: |")
    for name, taken in seconds.items():
        print(f"| {name} | {median(taken):.3f} | {len(asked) / median(taken):,.0f} |")
    peer = min(median(taken) for name, taken in seconds.items() if name != "ragbias")
    print(f"ratio to the best peer {peer / median(seconds['ragbias']):.2f}\n")

    documents, questions = np.load(arguments.documents), np.load(arguments.questions)
    dim = documents.shape[1]
    documents_file, questions_file = saved(documents, "documents"), saved(questions, "questions")
    truth = np.argpartition(questions @ documents.T, -K, axis=1)[:, -K:]

    def graph_of_hnswlib(neighbours, construction, widths):
        begun = time.perf_counter()
        graph = hnswlib.Index("ip", dim)
        graph.init_index(len(documents), M=neighbours, ef_construction=construction, random_seed=100)
        graph.set_num_threads(1)
        graph.add_items(documents, num_threads=1)
        build, searches = time.perf_counter() - begun, []
        for width in widths:
            graph.set_ef(width)
            taken, found = best_of_three(lambda: graph.knn_query(questions, K, num_threads=1)[0])
            searches.append({"width": width, "search": taken, "hits": found})
        return {"build": build, "searches": searches}

    def graph_of_ours(neighbours, construction, widths):
        return ours("hnsw", documents_file, questions_file, dim, K, neighbours, construction, *widths)

    contestants = {}
    for neighbours, construction in SETTINGS:
        for name, make in [("ragbias", graph_of_ours), ("hnswlib", graph_of_hnswlib)]:
            tried = make(neighbours, construction, WIDTHS)["searches"]
            good = [s["width"] for s in tried if recall(s["hits"], truth) >= RECALL]
            contestants[name, neighbours, construction] = (make, min(good, default=WIDTHS[-1]))
    rounds = {key: [] for key in contestants}
    for _ in range(arguments.rounds):
        for key, (make, width) in contestants.items():
            rounds[key].append(make(*key[1:], [width]))
    print(f"graphs of {len(documents):,} × {dim}, {len(questions):,} questions, one thread, "
          f"medians of {arguments.rounds} rounds")
    print("| | M | construction | search width | recall@10 | build, s | questions/s |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    figures = {}
    for (name, neighbours, construction), times in rounds.items():
        width = contestants[name, neighbours, construction][1]
        build = median(t["build"] for t in times)
        rate = len(questions) / median(t["searches"][0]["search"] for t in times)
        figures[name, neighbours] = (build, rate)
        print(f"| {name} | {neighbours} | {construction} | {width} | {recall(times[0]['searches'][0]['hits'], truth):.4f} "
              f"| {build:.2f} | {rate:,.0f} |")
    best = [max((f[i] for (name, _), f in figures.items() if name == "hnswlib"), key=lambda x: x if i else -x)
            for i in (0, 1)]
    build, rate = figures["ragbias", SETTINGS[0][0]]
    print(f"defaults of ragbias to the best hnswlib: build {best[0] / build:.2f}, search {rate / best[1]:.2f}")


def slope(points):
    """Slope of the least-squares line through the logarithms."""
    x, y = zip(*[(math.log10(a), math.log10(b)) for a, b in points])
    mean_x, mean_y = statistics.mean(x), statistics.mean(y)
    return sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y)) / sum((a - mean_x) ** 2 for a in x)


def grow():
    sizes = {"exact": [10**3, 10**4, 10**5, 10**6], "hnsw": [10**3, 10**4, 10**5]}
    steps = ["build", "save", "load", "search"]
    runs = {kind: [ours("grow", kind, n, 384) for n in ns] for kind, ns in sizes.items()}
    print("| index | vectors | build, s | save, s | load, s | 1,000 questions, s | vectors, MB | file, MB | peak, MB "
          "| recall@10 |")
    print("| --- |" + " ---: |" * 9)
    megabytes = lambda value: f"{value / 1e6:,.0f}"
    for kind, answers in runs.items():
        for a in answers:
            print(f"| {kind} | {a['n']:,} | " + " | ".join(f"{a[step]:.3f}" for step in steps)
                  + f" | {megabytes(a['bytes'])} | {megabytes(a['file'])} | {megabytes(a['peak'])} "
                  f"| {a.get('recall', 1):.3f} |")
        # At the smallest size, the fixed memory of a process dominates.
        lines = [f"{step} {slope([(a['n'], a[step]) for a in answers[1:]]):.2f}" for step in steps]
        print(f"| {kind}, slope from 10⁴ on | | " + " | ".join(line.split()[1] for line in lines) + " | | | | |")
    lines = {f"{kind} {step}": [(a["n"], a[step]) for a in answers] for kind, answers in runs.items() for step in steps}
    arguments.grow.write_text(plot(lines), encoding="utf-8")


def plot(lines):
    """Seconds over number of vectors, both logarithmic, as an SVG for light and dark backgrounds."""
    left, top, width, height = 60, 20, 420, 330
    ys = [y for points in lines.values() for _, y in points]
    low, high = math.floor(math.log10(min(ys))), math.ceil(math.log10(max(ys)))
    at = lambda x, y: (left + width * (math.log10(x) - 3) / 3,
                       top + height * (high - math.log10(y)) / (high - low))
    colours = {"build": "#d1495b", "save": "#8a6fd1", "load": "#2a9d8f", "search": "#d98c1f"}
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + width + 200} {top + height + 50}" '
           'font-family="sans-serif" font-size="12" role="img" aria-label="Seconds over the number of vectors">',
           "<style>text{fill:#777}.grid{stroke:#888;stroke-width:.4}</style>"]
    for power in range(3, 7):
        x, _ = at(10**power, 10.0**low)
        out.append(f'<line class="grid" x1="{x:.0f}" x2="{x:.0f}" y1="{top}" y2="{top + height}"/>'
                   f'<text x="{x:.0f}" y="{top + height + 18}" text-anchor="middle">{10**power:,}</text>')
    for power in range(low, high + 1):
        _, y = at(1e3, 10.0**power)
        out.append(f'<line class="grid" x1="{left}" x2="{left + width}" y1="{y:.0f}" y2="{y:.0f}"/>'
                   f'<text x="{left - 6}" y="{y + 4:.0f}" text-anchor="end">{10.0**power:g} s</text>')
    out.append(f'<text x="{left + width / 2}" y="{top + height + 40}" text-anchor="middle">vectors of 384 values</text>')
    for name, points in lines.items():
        kind, step = name.split()
        dash = "" if kind == "exact" else ' stroke-dasharray="5 3"'
        places = [at(*point) for point in points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        out.append(f'<polyline points="{path}" fill="none" stroke="{colours[step]}" stroke-width="2"{dash}/>')
        out += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colours[step]}"/>' for x, y in places]
    for row, name in enumerate(lines):
        kind, step = name.split()
        dash = "" if kind == "exact" else ' stroke-dasharray="5 3"'
        y = top + 12 + 20 * row
        out.append(f'<line x1="{left + width + 20}" x2="{left + width + 50}" y1="{y}" y2="{y}" stroke="{colours[step]}" '
                   f'stroke-width="2"{dash}/><text x="{left + width + 56}" y="{y + 4}">{name} ({slope(lines[name][1:]):.2f})</text>')
    out.append(f'<text x="{left + width + 20}" y="{top + 22 + 20 * len(lines)}">(slope from 10⁴ on)</text></svg>')
    return "\n".join(out) + "\n"


if arguments.grow:
    grow()
else:
    compare()
