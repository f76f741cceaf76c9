"""A folder with everything that the pages name: models, pairs, records. Names of the pages are the names of the files."""

import csv
import json
import os
import pathlib
import shutil
import subprocess

from pages import ROOT

PROGRAM = pathlib.Path(os.environ.get("KORFINSTS", ROOT / "target/release/korfinsts")).resolve()
SHARED = os.environ.get("KORFINSTS_SHARED")
ENCODERS = ROOT / "tests/reference/encoders"
MODELS = {
    "my-model": "bert-mean", "MODEL": "bert-mean", "path/to/folder": "mpnet-mean", "my-org/my-model": "bert-mean",
    "models/adapted": "mpnet-mean", "models/base": "distilbert-mean", "models/new": "modernbert-mean", "models/old": "t5gated-mean",
    "models/a": "qwen3-last", "models/b": "xlmr-cls",
}  # fmt: skip
SUITES = {"korsts": "korsts", "finsts": "finsts", "stsb": "stsbenchmark"}


# Variables that make a program find what it would find in the network.
network = {"HF_HUB_OFFLINE": "1"}


def environment(home):
    """Nothing of the machine's user is read or written, and nothing outside this machine is reached."""
    other = ("KORFINSTS", "HF_", "XDG_", "OPENAI", "LC_", "LANG")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(other) and not k.lower().endswith("_proxy")}
    path = f"{home / 'bin'}:{os.environ['PATH']}"
    return kept | {"HOME": str(home), "PATH": path, "LC_ALL": "C.UTF-8", "COLUMNS": "100"} | network


def run(home, script, language="en"):
    """A script in the home, as a reader would type it; output and errors together."""
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=home, env=environment(home) | {"KORFINSTS_LANG": language},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True, timeout=300,
    )  # fmt: skip


def write(home, name, text, encoding="utf-8"):
    (home / name).parent.mkdir(parents=True, exist_ok=True)
    (home / name).write_bytes(text.encode(encoding))


def make(home):
    """Fills an empty folder."""
    (home / "bin").mkdir()
    (home / "bin/korfinsts").symlink_to(PROGRAM)
    # What the pages run as `cargo run --release --` is this build.
    write(home, "bin/cargo", '#!/bin/sh\ntest "$1 $2 $3" = "run --release --" && shift 3 && exec korfinsts "$@"\n')
    (home / "bin/cargo").chmod(0o755)
    (home / "training").symlink_to(ROOT / "training")
    # Commands write into this one.
    shutil.copytree(ROOT / "benchmarks/korfin-shift", home / "benchmarks/korfin-shift")
    for name, encoder in MODELS.items():
        shutil.copytree(ENCODERS / encoder, home / name)
    for folder in (home, home / "path/to"):
        shutil.copytree(ENCODERS / "bert-mean", folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.safetensors", "golden*"))
        shutil.copyfile(ROOT / "tests/reference/onnx/bert-states/model.onnx", folder / "model.onnx")
    with open(ROOT / "benchmarks/korfin-shift/data/test.jsonl", encoding="utf-8") as lines:
        pairs = [json.loads(line) for line in lines]
    korean = [(p["sentence1"], p["sentence2"], n % 6) for n, p in enumerate(p for p in pairs if p["language"] == "ko")][:120]
    write(home, "my.csv", "문장1;문장2;점수\n" + "".join(f'"{a}";"{b}";{s}\n' for a, b, s in korean), "cp949")
    write(home, "my.jsonl", "".join(json.dumps({"sentence1": a, "sentence2": b, "score": s}) + "\n" for a, b, s in korean))
    for name, heads in {"other.csv": ("a", "b", "c"), "pairs.csv": ("anchor", "positive", "score"), "notes.csv": ("body", "x", "y")}.items():
        with open(home / name, "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([heads, *korean])
    documents = {p["sentence1"]: p["domain"] for p in pairs if p["language"] == "ko"}
    passages = ({"id": f"{n:032x}", "text": text, "language": "kor-Hang", "source": source, "corpus": "mine", "licence": "CC-BY-4.0", "origin": f"mine:{n}"}
                for n, (text, source) in enumerate(documents.items()))  # fmt: skip
    write(home, "run/passages.jsonl", "".join(json.dumps(p) + "\n" for p in passages))
    write(home, "pairs.jsonl", "".join(json.dumps({"anchor": a, "positive": b}) + "\n" for a, b, _ in korean))
    write(home, "passages.jsonl", "".join(json.dumps({"text": b}) + "\n" for _, b, _ in korean))
    write(home, "texts.txt", "".join(a + "\n" for a, _, _ in korean))
    write(home, "overlap.md", "Exact and near-duplicates of all suites were searched. None was found.\n")
    write(home, "seen.txt", "")
    shutil.copytree(ROOT / "tests/reference/mteb_results/main-score", home / "mteb-results")
    if SHARED:
        data = pathlib.Path(SHARED) / "data"
        (home / "KorNLUDatasets").mkdir()
        (home / "KorNLUDatasets/KorSTS").symlink_to(data / "korsts")
        for suite, folder in SUITES.items():
            done = run(home, f"korfinsts suite import {suite} {data / folder}")
            assert done.returncode == 0, done.stdout
