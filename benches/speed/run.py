#!/usr/bin/env python3
"""Measures `korfinsts eval` against the tools people use today, on this machine, in this run.

    python3 benches/speed/run.py --korfinsts target/release/korfinsts --model all-MiniLM-L6-v2 \
        --pairs sts-test.csv

See README.md next to this file. Needs Python 3.11, and the peers that are to be measured.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from contenders import PEERS, WORKLOADS, Contender, Workload, korfinsts, peer
from measure import Failed, machine, run, wait_for_quiet
from render import render
from texts import LONG_PAIRS, count, write_long

HERE = Path(__file__).resolve().parent


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0], formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--korfinsts", type=Path, metavar="BINARY", help="a release build")
    parser.add_argument("--backends", default="rten,onnxruntime,candle", help="of korfinsts")
    parser.add_argument("--onnxruntime", type=Path, metavar="LIBRARY", help="default: that of --python")
    parser.add_argument("--peers", default=",".join(PEERS), help="default: %(default)s")
    parser.add_argument("--python", default=sys.executable, help="that has the peers installed")
    parser.add_argument("--model", type=Path, help="folder with onnx/model.onnx: all-MiniLM-L6-v2, or a shape of ../shapes/make.py")
    parser.add_argument(
        "--torch-model", type=Path, help="the same with model.safetensors [default: --model]"
    )
    parser.add_argument("--pairs", type=Path, help="STSBenchmark's sts-test.csv")
    parser.add_argument("--what", default="short", help=f"of {', '.join([*WORKLOADS, 'build'])}")
    parser.add_argument("--runs", type=int, default=5, help="after those to warm up")
    parser.add_argument(
        "--warm-up", type=int, default=1, help="rounds before those that count [default: %(default)s]"
    )
    parser.add_argument(
        "--long-pairs", type=int, default=LONG_PAIRS, help="of `long`, for large models [default: %(default)s]"
    )
    parser.add_argument("--out", type=Path, default=HERE / "results")
    parser.add_argument("--name", help="of the result files, after the date [default: --what]")
    parser.add_argument(
        "--quiet-cores",
        type=float,
        default=0.1,
        help="before each run wait until others keep fewer cores busy [default: %(default)s]",
    )
    parser.add_argument("--patience", type=float, default=60.0, help="longest such wait in seconds")
    args = parser.parse_args()
    args.what = [what for what in args.what.split(",") if what]
    unknown = set(args.what) - set(WORKLOADS) - {"build"}
    if unknown:
        parser.error(f"--what: found {', '.join(sorted(unknown))}")
    if set(args.what) & set(WORKLOADS):
        if not (args.model and args.pairs):
            parser.error("--model and --pairs are needed for all but --what build")
        args.model, args.pairs = args.model.resolve(), args.pairs.resolve()
        args.torch_model = (args.torch_model or args.model).resolve()
    args.korfinsts = args.korfinsts and args.korfinsts.resolve()
    return args


def contenders(args: argparse.Namespace, workload: Workload) -> list[Contender]:
    """Those that take part in a workload, ours first."""
    found = []
    if args.korfinsts:
        for backend in filter(None, args.backends.split(",")):
            found.append(korfinsts(args, backend, workload))
    if not workload.cached:
        for name in filter(None, args.peers.split(",")):
            found.append(peer(args, name))
    return found


def measure(args: argparse.Namespace, workload: Workload, scratch: Path) -> dict:
    """Rounds in which each contender runs once, in turn; the first round warms up."""
    pairs = args.pairs
    if workload.long:
        pairs = scratch / "long.tsv"
        write_long(args.pairs, pairs, args.long_pairs)
    runs, versions = [], {}
    taking_part = contenders(args, workload)
    for index in range(1 - args.warm_up, args.runs + 1):
        for contender in taking_part:
            folder = scratch / workload.name / contender.name
            if not workload.cached:
                shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True, exist_ok=True)
            command = contender.command(folder, pairs, workload)
            wait_for_quiet(args.quiet_cores, args.patience)
            cost, printed = run(command, contender.environment, scratch / "stderr.log")
            answer = contender.answer(printed, folder)
            versions.setdefault(contender.name, answer.pop("versions", {}))
            row = {"contender": contender.name, "round": index} | cost.as_dict() | answer
            print(
                f"{workload.name:7} round {index} {contender.name:22} {row['result_s']:8.2f} s"
                f"  encode {row['encode_s'] or float('nan'):7.2f} s  cpu {row['cpu_s']:7.2f} s"
                f"  peak {row['peak_mb']:6.0f} MB  others {row['others_cores']:.2f} cores"
                f"  score {row['score']:.10f}" + ("  (warm-up)" if index < 1 else ""),
                file=sys.stderr,
            )
            if index > 0:
                runs.append(row)
    return {
        "workload": workload.name,
        "description": describe(args, workload),
        "max_tokens": workload.max_tokens,
        "texts": count(pairs),
        "versions": versions,
        "runs": runs,
    }


def describe(args: argparse.Namespace, workload: Workload) -> str:
    """What was run, in words."""
    if workload.long and args.long_pairs != LONG_PAIRS:
        return workload.description.replace("200", str(2 * args.long_pairs))
    return workload.description


def build(args: argparse.Namespace, scratch: Path) -> dict:
    """One cold `cargo build --release` into an empty folder, dependencies already downloaded."""
    root = HERE.parent.parent
    subprocess.run(["cargo", "fetch", "--locked"], cwd=root, check=True)
    environment = os.environ | {"CARGO_TARGET_DIR": str(scratch / "target")}
    command = ["cargo", "build", "--release", "--locked", "--manifest-path", str(root / "Cargo.toml")]
    wait_for_quiet(args.quiet_cores, args.patience)
    cost, _ = run(command, environment, scratch / "stderr.log")
    binary = scratch / "target" / "release" / "korfinsts"
    rustc = subprocess.run(["rustc", "--version"], cwd=root, capture_output=True, text=True, check=True)
    row = {"contender": "cargo build --release", "round": 1} | cost.as_dict()
    return {
        "workload": "build",
        "description": "cold `cargo build --release`, dependencies already downloaded",
        "versions": {"cargo build --release": {"rustc": rustc.stdout.strip()}},
        "binary_mb": round(binary.stat().st_size / 1e6, 1),
        "runs": [row | {"score": None, "encode_s": None}],
    }


def commit() -> str | None:
    """The commit of this repository, with `+` when files differ from it."""
    try:
        said = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--abbrev=12"],
            cwd=HERE,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return said.stdout.strip()


def free_path(folder: Path, stem: str) -> Path:
    """A path without ending that no earlier result has."""
    number = 1
    while True:
        path = folder / (stem if number == 1 else f"{stem}-{number}")
        if not path.with_suffix(".json").exists():
            return path
        number += 1


def main() -> None:
    """Measures, keeps the raw runs, prints the tables."""
    args = parse()
    args.out.mkdir(parents=True, exist_ok=True)
    today = datetime.datetime.now(datetime.UTC)
    path = free_path(args.out, f"{today:%Y-%m-%d}-{args.name or '-'.join(args.what)}")
    result = {
        "schema": 1,
        "date": today.isoformat(timespec="seconds"),
        "commit": commit(),
        "model": args.model and args.model.name,
        "machine": machine(),
        "workloads": [],
    }
    with tempfile.TemporaryDirectory(prefix="korfinsts-speed-") as scratch:
        for what in args.what:
            try:
                if what == "build":
                    measured = build(args, Path(scratch))
                else:
                    measured = measure(args, WORKLOADS[what], Path(scratch))
            except Failed as error:
                sys.exit(f"error: {error}")
            result["workloads"].append(measured)
            # After each workload, so that what was measured survives a later failure.
            path.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
            path.with_suffix(".md").write_text(render(result))
    print(render(result))
    print(f"raw runs: {path.with_suffix('.json')}", file=sys.stderr)


if __name__ == "__main__":
    main()
