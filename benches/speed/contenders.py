"""Who is measured, on what, and how each one's answer is read.

To add a peer: one script in `peers/` that ends by printing its result line, and one line in `PEERS`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent

#: Peer -> its script, and whether it reads the folder with safetensors.
PEERS = {
    "sentence-transformers": ("with_sentence_transformers.py", True),
    "mteb": ("with_mteb.py", True),
    "fastembed": ("with_fastembed.py", False),
    "onnxruntime": ("with_onnxruntime.py", False),
}


@dataclass(frozen=True)
class Workload:
    """What is encoded, and whether it was encoded before."""

    name: str
    description: str
    max_tokens: int
    long: bool = False
    cached: bool = False


WORKLOADS = {
    w.name: w
    for w in (
        Workload("short", "STSBenchmark test, nothing cached", 256),
        Workload("long", "200 texts of about 409 tokens, nothing cached", 512, long=True),
        Workload("cached", "STSBenchmark test, evaluated before", 256, cached=True),
    )
}


@dataclass
class Contender:
    """One that takes part: its command for a scratch folder, and the reading of its answer."""

    name: str
    command: Callable[[Path, Path, Workload], list[str]]
    #: Score, encoding seconds and versions from standard output and the scratch folder.
    answer: Callable[[str, Path], dict]
    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ))


def peer(args: argparse.Namespace, name: str) -> Contender:
    """A tool of others, through its script."""
    script, wants_safetensors = PEERS[name]
    model = args.torch_model if wants_safetensors else args.model

    def command(_folder: Path, pairs: Path, workload: Workload) -> list[str]:
        path = HERE / "peers" / script
        return [args.python, str(path), str(model), str(pairs), str(workload.max_tokens)]

    return Contender(name, command, lambda printed, _: json.loads(printed.splitlines()[-1]))


def korfinsts(args: argparse.Namespace, backend: str, _workload: Workload) -> Contender:
    """`korfinsts eval` as a user types it: baselines, intervals and records included."""
    binary = str(args.korfinsts)
    version = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True)
    model = args.torch_model if backend == "candle" else args.model
    environment = {k: v for k, v in os.environ.items() if not k.startswith("KORFINSTS_")}
    if backend == "onnxruntime":
        environment["ORT_DYLIB_PATH"] = str(args.onnxruntime or onnxruntime_of(args.python))

    def command(folder: Path, pairs: Path, workload: Workload) -> list[str]:
        suite = folder / "suite" / workload.name.replace("cached", "short")
        if not suite.exists():
            write_suite(suite, pairs)
        return [
            *(binary, "eval", str(model), "--suite", str(suite), "--backend", backend),
            *("--max-tokens", str(workload.max_tokens), "--format", "json"),
            *(() if workload.cached else ("--no-resume",)),
            *("--data", str(folder / "data"), "--results", str(folder / "results")),
        ]

    def answer(printed: str, folder: Path) -> dict:
        ours = [r for r in json.loads(printed) if r["encoder"]["backend"] == backend]
        if len(ours) != 1:
            raise SystemExit(f"error: {len(ours)} records of backend `{backend}` in:\n{printed}")
        timings = [json.loads(p.read_text()) for p in (folder / "results").rglob("*.timing.json")]
        encoding = [t["encode_s"] for t in timings if t.get("encode_s")]
        return {
            "score": ours[0]["scores"]["cosine_spearman"],
            "encode_s": sum(encoding) if encoding else None,
            "versions": {"korfinsts": version.stdout.split()[-1], "backend": backend},
        }

    return Contender(f"korfinsts {backend}", command, answer, environment)


def onnxruntime_of(python: str) -> Path:
    """The library inside the package `onnxruntime` of a Python."""
    code = "import onnxruntime, os; print(os.path.dirname(onnxruntime.__file__))"
    said = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    found = sorted((Path(said.stdout.strip()) / "capi").glob("libonnxruntime.so*"))
    if not found:
        raise SystemExit(f"error: no libonnxruntime.so in the package `onnxruntime` of {python}")
    return found[0]


def write_suite(folder: Path, pairs: Path) -> None:
    """A suite folder over a file in the layout of STSBenchmark."""
    folder.mkdir(parents=True)
    content = pairs.read_bytes()
    (folder / "test.tsv").write_bytes(content)
    rows = len([line for line in content.split(b"\n") if line])
    (folder / "suite.toml").write_text(f"""\
schema = 1
id = "speed-{folder.name}"
version = "1.0.0"
title = "Speed, {folder.name} texts"
description = "Pairs that are only there to be timed."
languages = ["eng-Latn"]
licence = "NOASSERTION"
redistributable = false
default_split = "test"

[scale]
kind = "interval"
min = 0.0
max = 5.0

[splits.test]
rows = {rows}

[[source]]
name = "local"
format = {{ kind = "delimited", delimiter = "\\t", quoting = false, header = false, fields = [7, 9] }}
columns = {{ sentence1 = 5, sentence2 = 6, score = 4 }}

[[source.files.test]]
name = "test.tsv"
sha256 = "{hashlib.sha256(content).hexdigest()}"
""")
