#!/usr/bin/env python3
"""Runs `korfinsts eval` once on models made by `make.py`, and keeps time and memory as JSON.

    python3 benches/shapes/run.py --korfinsts target/release/korfinsts --limit 64 \
        /tmp/shapes/bge-m3 /tmp/shapes/gte-Qwen2-1.5B-instruct:bfloat16
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent


def run(binary: Path, model: str, args: argparse.Namespace) -> dict:
    """One evaluation, from process start to result."""
    folder, _, dtype = model.partition(":")
    with tempfile.TemporaryDirectory() as home:
        command = [str(binary), "eval", folder, "--suite", args.suite, "--limit", str(args.limit)]
        command += ["--resamples", "100", "--no-baselines", "--format", "json", "-o", f"{home}/out.json"]
        command += ["--results", f"{home}/results", "--threads", str(args.threads)]
        command += ["--dtype", dtype] if dtype else []
        environment = {**os.environ, "KORFINSTS_DATA": f"{home}/data"}
        start = time.monotonic()
        process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        said = process.stderr.read()
        _, status, used = os.wait4(process.pid, 0)
        wall = time.monotonic() - start
        if status != 0:
            raise SystemExit(f"{' '.join(command)}\n{said}")
        record = json.loads(Path(f"{home}/out.json").read_text())[0]
        timing = json.loads(next(Path(home).glob("results/*/*.timing.json")).read_text())
    encoder = record["encoder"]
    return {
        "model": encoder["name"],
        "backend": encoder["backend"],
        "dtype": encoder["dtype"],
        "device": encoder["device"],
        "threads": args.threads,
        "texts": timing["texts_encoded"],
        "wall_s": round(wall, 2),
        "encode_s": round(timing["encode_s"], 2),
        "texts_per_s": round(timing["texts_encoded"] / timing["encode_s"], 2),
        "cpu_s": round(used.ru_utime + used.ru_stime, 2),
        "peak_mb": round(used.ru_maxrss / 1024),
        "spearman": record["scores"]["cosine_spearman"],
        "notes": timing.get("notes", []),
        "load_of_others": os.getloadavg()[0],
    }


def main() -> None:
    """Measures and keeps."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("models", nargs="+", metavar="FOLDER[:DTYPE]")
    parser.add_argument("--korfinsts", type=Path, required=True)
    parser.add_argument("--suite", default="korfin-shift")
    parser.add_argument("--limit", type=int, default=64)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--out", type=Path, default=HERE / "results")
    args = parser.parse_args()
    runs = [run(args.korfinsts.resolve(), model, args) for model in args.models]
    machine = {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()}
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            machine["processor"] = line.split(":", 1)[1].strip()
            break
    kept = {"date": datetime.date.today().isoformat(), "machine": machine, "suite": args.suite}
    kept |= {"limit": args.limit, "runs": runs}
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / f"{kept['date']}.json"
    path.write_text(json.dumps(kept, indent=2, ensure_ascii=False) + "\n")
    for one in runs:
        print(one)
    print(path)


if __name__ == "__main__":
    main()
