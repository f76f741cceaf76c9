#!/usr/bin/env python3
"""One step of training (forward, loss, backward, AdamW) here and in PyTorch, on this machine, in this run.

    cargo bench --no-run --bench train_step
    python3 benches/train/run.py --step target/release/deps/train_step-* --model all-MiniLM-L6-v2

See README.md next to this file. Needs Python 3.11 with torch and transformers (--python).
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "speed"))
from measure import busy_s, machine  # noqa: E402


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0], formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--step", type=Path, required=True, metavar="BINARY", help="the built benchmark")
    parser.add_argument("--model", type=Path, required=True, help="a BERT folder with model.safetensors")
    parser.add_argument("--python", default=sys.executable, help="that has torch and transformers")
    parser.add_argument("--attention", default="sdpa,eager", help="of transformers [default: %(default)s]")
    parser.add_argument("--texts", type=int, default=48)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--steps", type=int, default=4, help="behind one to warm up")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--out", type=Path, default=HERE / "results")
    parser.add_argument("--name", default="minilm-l6")
    return parser.parse_args()


def measure(command: list[str], threads: int) -> dict:
    """Runs one process; what it printed, and how many cores others kept busy meanwhile."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "RAYON_NUM_THREADS": str(threads)}
    busy, started = busy_s(), datetime.datetime.now()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}\nended with {done.returncode}:\n{done.stderr[-2000:]}")
    run = json.loads(done.stdout.strip().splitlines()[-1])
    run["others_and_own_cores"] = (busy_s() - busy) / (datetime.datetime.now() - started).total_seconds()
    return run


def table(result: dict) -> str:
    """The result as Markdown."""
    lines = [
        "| | CPU s per step | ratio | wall s per step | peak MB | ratio | before the first step, MB |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    best = min(
        (c for c in result["contenders"] if c["name"] != "korfinsts"), key=lambda c: c["cpu_s_per_step"]
    )
    least = min(c["peak_mb"] for c in result["contenders"] if c["name"] != "korfinsts")
    for c in result["contenders"]:
        lines.append(
            f"| {c['name']} {c['version']} | {c['cpu_s_per_step']:.2f} | {c['cpu_s_per_step'] / best['cpu_s_per_step']:.2f}"
            f" | {c['wall_s_per_step']:.2f} | {c['peak_mb']:.0f} | {c['peak_mb'] / least:.2f} | {c['before_mb']:.0f} |"
        )
    lines.append("")
    lines.append(
        f"{result['texts']} texts x {result['tokens']} tokens, {result['threads']} threads, {result['steps']} steps behind one to"
        f" warm up, median of {result['rounds']} rounds; largest relative difference of a loss from PyTorch's:"
        f" {result['worst_loss']:.1e}. Ratios are to the better of PyTorch's rows."
    )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measures, in turns, and writes JSON and a table."""
    args = parse()
    shape = [str(args.model.resolve()), str(args.texts), str(args.tokens), str(args.steps)]
    commands = {"korfinsts": [str(args.step), *shape]}
    for attention in args.attention.split(","):
        commands[f"PyTorch ({attention})"] = [args.python, str(HERE / "torch_step.py"), *shape, attention]
    runs: dict[str, list[dict]] = {name: [] for name in commands}
    for _ in range(args.rounds):
        for name, command in commands.items():
            runs[name].append(measure(command, args.threads))
            print(name, {k: v for k, v in runs[name][-1].items() if k != "losses"}, file=sys.stderr)
    reference = next(r for n, r in runs.items() if n != "korfinsts")[0]["losses"]
    worst = max(abs(a - b) / abs(b) for a, b in zip(runs["korfinsts"][0]["losses"], reference, strict=True))
    contenders = [
        {
            "name": name,
            "version": found[0]["version"],
            **{
                key: statistics.median(r[key] for r in found)
                for key in ("cpu_s_per_step", "wall_s_per_step", "peak_mb", "before_mb")
            },
            "runs": found,
        }
        for name, found in runs.items()
    ]
    result = {
        "date": datetime.date.today().isoformat(),
        "machine": machine(),
        "texts": args.texts,
        "tokens": args.tokens,
        "steps": args.steps,
        "rounds": args.rounds,
        "threads": args.threads,
        "worst_loss": worst,
        "contenders": contenders,
    }
    args.out.mkdir(parents=True, exist_ok=True)
    stem = f"{result['date']}-{args.name}"
    (args.out / f"{stem}.json").write_text(json.dumps(result, indent=1) + "\n")
    (args.out / f"{stem}.md").write_text(table(result))
    print(table(result))


if __name__ == "__main__":
    main()
