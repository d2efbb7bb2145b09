"""Metrics of retrieval from pytrec_eval: the reference of `ragbias evaluate` and of `ragbias_stats::ranking`.

usage: retrieval_metrics.py rankings > crates/ragbias-stats/tests/fixtures/rankings.json
       retrieval_metrics.py sets MODEL_FOLDER BEIR_FOLDER … > tests/fixtures/retrieval_metrics.json
needs: pytrec_eval-terrier==0.5.11 sentence-transformers==6.2.0 torch==2.15.0 transformers==5.24.0

`rankings` evaluates random runs with many ties, judged documents that were not retrieved, retrieved ones that were not
judged, and grades from -1 to 3. `sets` ranks the documents of BEIR folders by cosine with all-MiniLM-L6-v2: title,
a space and text, 256 tokens, every text encoded alone, so that no vector depends on a batch and equal texts tie
exactly. Runs are cut at 1000 documents, as trec_eval orders them; the reciprocal rank, which has no cutoff, at
10. Writes ids and numbers, no text.
"""
import json
import pathlib
import random
import sys

import numpy as np
import pytrec_eval

DEPTH = 1000
RECALL = [1, 5, 10, 100]


def ordered(scores):
    """Document ids in trec_eval's order: by score in single precision, with the greater id first among equal scores."""
    return sorted(scores, key=lambda document: (np.float32(scores[document]), document.encode()), reverse=True)


def cut(run, depth):
    return {question: {d: scores[d] for d in ordered(scores)[:depth]} for question, scores in run.items()}


def judge(qrels, run):
    """Question -> metric -> value, under the names of `ragbias evaluate --json`."""
    run = cut(run, DEPTH)
    measures = {"ndcg_cut.10", "map", "recall." + ",".join(map(str, RECALL))}
    whole = pytrec_eval.RelevanceEvaluator(qrels, measures).evaluate(run)
    first = pytrec_eval.RelevanceEvaluator(qrels, {"recip_rank"}).evaluate(cut(run, 10))
    return {
        question: {
            "ndcg@10": values["ndcg_cut_10"],
            **{f"recall@{k}": values[f"recall_{k}"] for k in RECALL},
            "mrr@10": first[question]["recip_rank"],
            "map": values["map"],
        }
        for question, values in sorted(whole.items())
    }


def rankings():
    draw = random.Random(0)
    cases = []
    for n in [1, 3, 12, 12, 30, 30, 150, 150, 1200]:
        documents = [f"d{i}" for i in draw.sample(range(4 * n), n)]
        steps = draw.choice([2, 5, 1000])  # few steps, many ties
        run = {document: draw.randrange(steps) / steps for document in documents}
        judged = draw.sample(documents, max(1, n // 4)) + [f"x{i}" for i in range(draw.randrange(3))]
        qrels = {document: draw.choice([-1, 0, 1, 1, 2, 3]) for document in judged}
        cases.append({"run": run, "qrels": qrels})
    # Scores that differ in double precision and tie in single; nothing relevant; nothing retrieved that is relevant.
    cases.append({"run": {"d9": 0.5, "d10": 0.5 + 1e-12, "d2": 0.5}, "qrels": {"d10": 1, "d2": 2}})
    cases.append({"run": {"d1": 0.5, "d2": 0.25}, "qrels": {"d1": 0, "d2": -1}})
    cases.append({"run": {"d1": 0.5, "d2": 0.25}, "qrels": {"x": 1}})
    for case in cases:
        case["metrics"] = judge({"q": case["qrels"]}, {"q": case["run"]})["q"]
    return cases


def jsonl(path):
    return [json.loads(line) for line in open(path, encoding="utf-8")]


def sets(model_folder, folders):
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(model_folder, device="cpu")
    assert model.max_seq_length == 256
    known = {}

    def encode(texts):
        for text in texts:
            if text not in known:
                known[text] = model.encode(text, normalize_embeddings=True)
        return np.stack([known[text] for text in texts]).astype(np.float64)

    found = {}
    for folder in map(pathlib.Path, folders):
        corpus, queries = jsonl(folder / "corpus.jsonl"), jsonl(folder / "queries.jsonl")
        qrels = {}
        for line in open(folder / "qrels/test.tsv", encoding="utf-8").read().splitlines()[1:]:
            query, document, grade = line.split("\t")
            qrels.setdefault(query, {})[document] = int(grade)
        documents = encode([f"{document.get('title') or ''} {document['text']}".strip() for document in corpus])
        cosines = encode([query["text"] for query in queries]) @ documents.T
        ids = [document["_id"] for document in corpus]
        run = {query["_id"]: dict(zip(ids, map(float, row))) for query, row in zip(queries, cosines)}
        judged = judge(qrels, run)
        names = next(iter(judged.values()))
        found[folder.name] = {
            "documents": len(corpus),
            "queries": len(judged),
            "mean": {name: float(np.mean([values[name] for values in judged.values()])) for name in names},
            "ndcg@10": {query: values["ndcg@10"] for query, values in judged.items()},
            "map": {query: values["map"] for query, values in judged.items()},
        }
        print(folder.name, json.dumps(found[folder.name]["mean"]), file=sys.stderr)
    return found


if sys.argv[1:2] == ["rankings"]:
    print("[" + ",\n".join(map(json.dumps, rankings())) + "]")
else:
    print(json.dumps(sets(sys.argv[2], sys.argv[3:]), indent=1))
