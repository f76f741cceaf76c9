#!/usr/bin/env python3
"""Raw runs to tables: `python3 render.py results/2026-11-23-short.json`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from statistics import median

#: Column of the table -> key of a run, decimals.
COLUMNS = {
    "wall s": ("result_s", 2),
    "encode s": ("encode_s", 2),
    "CPU s": ("cpu_s", 2),
    "peak MB": ("peak_mb", 0),
}
#: Others' cores above which a median is marked: the machine was not ours.
NOISY_CORES = 0.25


def middle(runs: list[dict], key: str) -> float | None:
    """The median of a key, `None` where a run lacks it."""
    values = [run[key] for run in runs]
    return None if not values or None in values else median(values)


def ratios(of: list[dict], to: list[dict], key: str) -> list[float]:
    """`of` over `to`, round by round."""
    base = {run["round"]: run[key] for run in to}
    return [
        run[key] / base[run["round"]]
        for run in of
        if run[key] is not None and base.get(run["round"])
    ]


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table, first column to the left, the others to the right."""
    lines = ["| " + " | ".join(head) + " |", "|" + "|".join(["---"] + ["--:"] * (len(head) - 1)) + "|"]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)


def number(value: float | None, decimals: int) -> str:
    """A number, or a dash where there is none."""
    return "–" if value is None else f"{value:,.{decimals}f}"


def by_contender(runs: list[dict]) -> dict[str, list[dict]]:
    """The runs of each contender, in the order in which they ran."""
    found: dict[str, list[dict]] = {}
    for run in runs:
        found.setdefault(run["contender"], []).append(run)
    return found


def medians_table(workload: dict) -> str:
    """One row per contender: medians, score, runs."""
    rows = []
    for name, runs in by_contender(workload["runs"]).items():
        scores = sorted({run["score"] for run in runs if run["score"] is not None})
        others = median(run["others_cores"] for run in runs)
        rows.append(
            [name]
            + [number(middle(runs, key), decimals) for key, decimals in COLUMNS.values()]
            + ["/".join(f"{score:.8f}" for score in scores) or "–"]
            + [str(len(runs)), f"{others:.2f}" + (" !" if others > NOISY_CORES else "")]
        )
    return table(["", *COLUMNS, "cosine ρ", "runs", "others' cores"], rows)


def ratios_table(workload: dict) -> str | None:
    """How many times longer each peer takes than each of ours, the median over rounds."""
    runs = by_contender(workload["runs"])
    ours = [name for name in runs if name.startswith("korfinsts ")]
    peers = [name for name in runs if name not in ours]
    rows = []
    for peer in peers:
        for label, key in (("wall", "result_s"), ("encode", "encode_s"), ("CPU", "cpu_s")):
            cells = []
            for name in ours:
                found = ratios(runs[peer], runs[name], key)
                cells.append(
                    f"{median(found):.2f} ({min(found):.2f}–{max(found):.2f})" if found else "–"
                )
            rows.append([f"{peer}, {label}", *cells])
    return table(["times longer than", *ours], rows) if ours and peers else None


def render(result: dict) -> str:
    """The result file as Markdown."""
    machine = result["machine"]
    model = f", {result['model']}" if result.get("model") else ""
    out = [
        f"# Speed, {result['date'][:10]}{model}",
        f"{machine['cpu']} (family/model/stepping {machine['family_model_stepping']}), "
        f"{machine['cores']} cores, {machine['memory_gb']} GB, {', '.join(machine['features'])}; "
        f"{machine['system']} {machine['kernel']}; commit {result['commit'] or 'unknown'}"
        + ".",
        "Wall: process start to printed result. Medians; ratios are taken round by round: median "
        "(least–greatest). `!` marks runs during which other processes kept more than "
        f"{NOISY_CORES} cores busy.",
    ]
    for workload in result["workloads"]:
        counts = workload.get("texts")
        size = f" ({counts['texts']:,} texts, {counts['distinct']:,} distinct)" if counts else ""
        out += [f"## {workload['workload']}: {workload['description']}{size}", medians_table(workload)]
        if compared := ratios_table(workload):
            out.append(compared)
        if "binary_mb" in workload:
            out.append(f"Binary: {workload['binary_mb']} MB.")
        versions = (
            f"{name}: " + ", ".join(f"{k} {v}" for k, v in found.items())
            for name, found in workload["versions"].items()
            if found
        )
        out.append("; ".join(versions) + ".")
    return "\n\n".join(out) + "\n"


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        print(render(json.loads(Path(argument).read_text())))
