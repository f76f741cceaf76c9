#!/usr/bin/env python3
"""Texts per second and the share of the float32 matrix peak of every backend and of peers, in one run.

    python3 benches/speed/share.py --korfinsts target/release/korfinsts --model all-MiniLM-L6-v2 --name minilm

Measures the matrix peak of this program, NumPy and PyTorch, then each contender in a process of its own, on the texts of
`korfinsts eval --speed`. The share is of the highest of the three peaks. Raw rounds are kept in `results/`.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from contenders import onnxruntime_of
from measure import machine

HERE = Path(__file__).resolve().parent
SUITE = HERE.parent.parent / "benchmarks" / "korfin-shift" / "data" / "test.jsonl"
#: As in `crates/bench/src/run/speed/texts.rs`.
LENGTHS, COUNT = {"short": 1, "medium": 3, "long": 8}, 64
PEERS = ("sentence-transformers", "onnxruntime", "fastembed")


def texts(language: str, length: str) -> list[str]:
    """The texts of a language and length."""
    found: dict[str, None] = {}
    for line in SUITE.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if row["language"] == language:
            found.setdefault(row["sentence1"])
            found.setdefault(row["sentence2"])
    supply, n = list(found), LENGTHS[length]
    at = lambda i: [supply[(i * n + j) % len(supply)] for j in range(n)]  # noqa: E731
    return [" ".join(at(i)) for i in range(COUNT)]


def ours(args: argparse.Namespace, backend: str, scratch: str) -> dict:
    """What `eval --speed` puts into the record."""
    model = args.torch_model if backend == "candle" else args.model
    environment = os.environ | {"ORT_DYLIB_PATH": str(onnxruntime_of(args.python))}
    command = [
        *(str(args.korfinsts), "eval", str(model), "--backend", backend, "--speed"),
        *("--suite", "korfin-shift", "--limit", "20", "--no-baselines", "--format", "json"),
        *("--max-tokens", str(args.max_tokens), "--data", scratch, "--results", f"{scratch}/results"),
    ]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"error: {' '.join(command)}\n{done.stderr[-2000:]}")
    return json.loads(done.stdout)[0]["speed"]


def peer(args: argparse.Namespace, name: str, like: dict, scratch: str) -> list[dict]:
    """The rounds of a peer, each over as many texts as ours."""
    kinds = []
    for w in like["workloads"]:
        of = texts(w["language"], w["length"])
        digest = hashlib.sha256("".join(f"{t}\n" for t in of).encode()).hexdigest()
        if digest != w["sha256"]:
            sys.exit(f"error: the texts {w['language']} {w['length']} are not those of the program")
        name_of = f"{w['language']} {w['length']}"
        kinds.append({"name": name_of, "texts": of, "texts_per_round": w["texts_per_round"]})
    path = Path(scratch) / "texts.json"
    path.write_text(json.dumps(kinds))
    model = args.torch_model if name == "sentence-transformers" else args.model
    script = HERE / "peers" / "rounds.py"
    command = [args.python, str(script), name, str(model), str(path), str(args.max_tokens)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"error: {' '.join(command)}\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def render(result: dict) -> str:
    """Texts per second, and the share of the peak where it is known."""
    runs = result["runs"]
    first = next(iter(runs.values()))
    kinds = [w["name"] for w in first]
    operations = {w["name"]: w["operations_per_text"] for w in first}
    peak = max(result["peaks"].values()) * 1e9
    m = result["machine"]
    lines = [
        f"# Share of the float32 matrix peak, {result['date'][:10]}, {result['model']}",
        "",
        f"{m['cpu']} ({m['family_model_stepping']}), {m['cores']} cores, {', '.join(m['features'])}; "
        f"commit {result['commit']}.",
        "Peaks in GFLOP/s: " + ", ".join(f"{k} {v:.0f}" for k, v in result["peaks"].items()) + ".",
        "Texts per second of the median round, and the share of the highest peak.",
        "",
        "| | " + " | ".join(kinds) + " |",
        "|---|" + "--:|" * len(kinds),
    ]
    for name, found in runs.items():
        cells = []
        for w in found:
            rate = w["texts_per_round"] / statistics.median(w["rounds_s"])
            share = 100 * rate * operations[w["name"]] / peak
            cells.append(f"{rate:,.1f} ({share:.0f} %)" if rate < 100 else f"{rate:,.0f} ({share:.0f} %)")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measures, keeps the raw rounds, prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--korfinsts", type=Path, required=True, metavar="BINARY")
    parser.add_argument("--python", default=sys.executable, help="that has the peers installed")
    parser.add_argument("--model", type=Path, required=True, help="folder with onnx/model.onnx")
    parser.add_argument("--torch-model", type=Path, help="with model.safetensors [default: --model]")
    parser.add_argument("--backends", default="rten,onnxruntime,candle")
    parser.add_argument("--peers", default=",".join(PEERS))
    parser.add_argument("--max-tokens", type=int, default=512)
    parser.add_argument("--name", required=True, help="of the result files, after the date")
    parser.add_argument("--out", type=Path, default=HERE / "results")
    args = parser.parse_args()
    args.torch_model = args.torch_model or args.model
    today = datetime.datetime.now(datetime.UTC)
    path = args.out / f"{today:%Y-%m-%d}-share-{args.name}.json"
    said = subprocess.run(["git", "describe", "--always", "--abbrev=12"], cwd=HERE, capture_output=True, text=True)
    peaks = subprocess.run([args.python, str(HERE / "peak.py")], capture_output=True, text=True)
    result = {
        "schema": 1,
        "date": today.isoformat(timespec="seconds"),
        "commit": said.stdout.strip(),
        "model": args.name,
        "machine": machine(),
        "peaks": json.loads(peaks.stdout),
        "runs": {},
    }
    if path.exists():
        # A run in parts: each contender once.
        earlier = json.loads(path.read_text())
        result["runs"], result["peaks"] = earlier["runs"], earlier["peaks"] | result["peaks"]
        result["own"] = earlier["own"]
    with tempfile.TemporaryDirectory(prefix="korfinsts-share-") as scratch:
        for backend in filter(None, args.backends.split(",")):
            speed = ours(args, backend, scratch)
            result.setdefault("own", {})[backend] = {k: v for k, v in speed.items() if k != "workloads"}
            named = [w | {"name": f"{w['language']} {w['length']}"} for w in speed["workloads"]]
            result["runs"][f"korfinsts {backend}"] = named
            own = round(speed["matrix_peak"] / 1e9, 1)
            result["peaks"]["korfinsts"] = max(own, result["peaks"].get("korfinsts", 0))
            path.write_text(json.dumps(result, indent=1) + "\n")
        like = {"workloads": next(iter(result["runs"].values()))}
        for name in filter(None, args.peers.split(",")):
            found = peer(args, name, like, scratch)
            of = {w["name"]: w["texts_per_round"] for w in like["workloads"]}
            result["runs"][name] = [w | {"texts_per_round": of[w["name"]]} for w in found]
            path.write_text(json.dumps(result, indent=1) + "\n")
    path.with_suffix(".md").write_text(render(result))
    print(render(result))


if __name__ == "__main__":
    main()
