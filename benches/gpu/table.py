#!/usr/bin/env python3
"""Joins the JSON files of one run to one file next to a table.

    python3 benches/gpu/table.py OUT [OUT ...] --results benches/gpu/results

Parts that several folders hold are taken from the last one.
"""

from __future__ import annotations

import argparse
import datetime
import json
import re
from pathlib import Path

HERE = Path(__file__).resolve().parent


def number(value: float | None, form: str = ",.0f") -> str:
    """A number, or nothing."""
    return "" if value is None else format(value, form)


def encoding(runs: list[dict]) -> list[str]:
    """Rows of the encoding part."""
    lines = [
        "| shape | dtype | texts (mean tokens) | who | setting | texts/s | tokens/s | TFLOP/s | share of peak | smallest cosine |",
        "|---|---|---|---|---|--:|--:|--:|--:|--:|",
    ]
    mean = {(r["shape"], r["texts"]): r["mean_tokens"] for r in runs if "mean_tokens" in r}
    for run in runs:
        if "failed" in run:
            continue
        best = run.get("best", run)
        setting = f"{best['batch_size']} texts a batch" if "batch_size" in best else f"tokens a batch: {run['batch_tokens']}"
        apart = run.get("from_sentence_transformers_float32") or run.get("from_float32")
        share = best["share_of_product_peak"]
        lines.append(
            f"| {run['shape']} | {run['dtype']} | {run['texts']} ({mean.get((run['shape'], run['texts']), 0):.0f}) | {run['who']} | {setting}"
            f" | {number(best['texts_per_s'])} | {number(best['tokens_per_s'])} | {number(best['tflops'], '.1f')}"
            f" | {number(None if share is None else 100 * share, '.1f')} % | {number(apart and apart['smallest_cosine'], '.6f')} |"
        )
    return lines


def training(runs: list[dict]) -> list[str]:
    """Rows of the training part."""
    lines = [
        "| shape | matmul | who | triplets a step | triplets/s | step, ms | TFLOP/s | peak memory, MB | first and last loss |",
        "|---|---|---|--:|--:|--:|--:|--:|---|",
    ]
    for run in runs:
        if "failed" in run:
            continue
        who = run["who"] + (", gradient checkpointing" if run.get("gradient_checkpointing") else "")
        losses = run["losses"]
        lines.append(
            f"| {run['shape']} | {run['dtype']} | {who} | {run['batch']} | {number(run['triplets_per_s'], ',.1f')} | {number(run['step_ms'], '.1f')}"
            f" | {number(run['tflops'], '.1f')} | {number(run['peak_mb'])} | {losses[0]:.4f}, {losses[-1]:.4f} |"
        )
    return lines


def agreement(part: dict) -> list[str]:
    """What agreed and what did not."""
    lines = ["| what | cases | agree | largest difference |", "|---|--:|--:|--:|"]
    for dtype in ("float32", "bfloat16"):
        cases = [r for r in part.get("embeddings", []) if r.get("dtype") == dtype]
        failed = len([r for r in part.get("embeddings", []) if "failed" in r])
        lines.append(
            f"| embeddings, {dtype} | {len(cases)} | {sum(r['agrees'] for r in cases)} | {max((r['largest_difference'] for r in cases), default=0):.1e} |"
        )
        if failed and dtype == "float32":
            lines.append(f"| embeddings, failed | {failed} | 0 | |")
    variants: dict[str, list[dict]] = {}
    for found in part.get("training", []):
        for run in found.get("runs", []):
            variants.setdefault(run["variant"], []).append(run)
    for variant, cases in variants.items():
        worst = max(r["losses_from_cpu"] for r in cases)
        lines.append(f"| losses of training from the CPU's, {variant} | {len(cases)} | {sum(r['agrees'] for r in cases)} | {worst:.1e} |")
    for found in part.get("resume", []):
        if "failed" not in found:
            lines.append(
                f"| a run stopped behind step {found['stopped_behind_step']} of {found['steps']} | 1 | {int(found['agrees'])} | {found['losses_apart']:.1e} |"
            )
    return lines


def adaptation(runs: list[dict]) -> list[str]:
    """Scores before and after."""
    lines = ["| matmul, seed | suite | pairs | before | after | change | 95 % interval |", "|---|---|--:|--:|--:|--:|---|"]
    for run in runs:
        for suite in run.get("suites", []):
            low, high = suite["interval"] or (float("nan"), float("nan"))
            lines.append(
                f"| {run['matmul']}, {run['seed']} | {suite['suite']}:{suite['split']} | {suite['n_pairs']} | {suite['before']:.4f} | {suite['after']:.4f}"
                f" | {suite['delta']:+.4f} | [{low:+.4f}, {high:+.4f}] |"
            )
    return lines


def main() -> None:
    """Joins and writes."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--results", type=Path, default=HERE / "results")
    parser.add_argument("--date", default=datetime.date.today().isoformat())
    parser.add_argument("--command", default="benches/gpu/run.sh ARCHIVES OUT")
    args = parser.parse_args()
    parts = {p.stem: json.loads(p.read_text()) for folder in args.folders for p in sorted(folder.glob("*.json"))}
    facts = parts["card"]["facts"][0]
    card = facts.get("card", {"name": "cpu"})["name"]
    stem = f"{args.date}-{re.sub('[^a-z0-9]+', '-', card.lower()).strip('-')}"
    joined = {"date": args.date, "command": args.command} | parts
    args.results.mkdir(parents=True, exist_ok=True)
    (args.results / f"{stem}.json").write_text(json.dumps(joined, ensure_ascii=False, indent=1) + "\n")
    products = ", ".join(f"{p['tflops']} TFLOP/s in {p['dtype'].removeprefix('torch.')}" for p in parts["card"].get("products", []))
    driver = facts.get("card", {}).get("driver_version", "")
    copied = parts["card"].get("copy", [{}])[0].get("gb_per_s")
    lines = [
        f"# {card}, {args.date}",
        "",
        f"`{args.command}`; {facts['program']}, PyTorch {facts['torch']}, sentence-transformers {facts['sentence_transformers']}, driver {driver}.",
        *([parts["card"]["note"]] if "note" in parts["card"] else []),
        f"Measured on this card: a product of two 8192 x 8192 matrices {products}; a copy {copied} GB/s (read and written).",
    ]
    for title, key, table in (
        ("Agreement", "agree", agreement),
        ("Encoding", "encode", lambda p: encoding(p.get("runs", []))),
        ("Training", "train", lambda p: training(p.get("runs", []))),
        ("Adaptation", "adapt", lambda p: adaptation(p.get("runs", []))),
    ):
        if key in parts:
            lines += ["", f"## {title}", "", *table(parts[key])]
            if parts[key].get("note"):
                lines += ["", parts[key]["note"]]
    (args.results / f"{stem}.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
