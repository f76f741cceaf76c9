"""One adaptation on the card, from start to scores: the model that was packed, on every second variant of `korfin-shift`,
with the recipe `training/recipes/nmixx-minilm-shift.toml` but for base, prompt and suites."""

from __future__ import annotations

import json
import re

import models
from common import DEVICE, DRY, INPUTS, PROGRAM, WORK, Part, Peak, median, run

PROMPT = "query: "


def recipe(matmul: str, seed: int, suites: list[str]) -> str:
    """The shipped recipe, changed where this says."""
    text = (INPUTS / "recipe.toml").read_text()
    text = re.sub(r'(?m)^name = .*$', 'name = "adapted"\nleakage = "drop"', text, count=1)
    text = re.sub(r"(?m)^seed = .*$", f"seed = {seed}", text, count=1)
    text = re.sub(r'(?m)^model = .*$', f'model = "{models.given()}"', text, count=1)
    text = re.sub(r"(?m)^\[compute\]$", f'[compute]\nmatmul = "{matmul}"\nprompt = "{PROMPT}"', text, count=1)
    text = re.sub(r"(?m)^suites = .*$", f"suites = {json.dumps(suites)}", text, count=1)
    if DRY:
        text = re.sub(r"(?m)^epochs = .*$", "epochs = 1", text, count=1)
    return text


def adapt(matmul: str, seed: int) -> dict:
    """Trains and evaluates."""
    suites = ["korfin-shift", "korfin-shift:dev"]
    data = INPUTS / "data"
    if data.exists():
        suites += sorted(p.name for p in (data / "suites").iterdir() if p.is_dir())
    here = WORK / "adapt" / f"{matmul}-{seed}"
    here.mkdir(parents=True, exist_ok=True)
    (here / "recipe.toml").write_text(recipe(matmul, seed, suites))
    command = [PROGRAM, "train", here / "recipe.toml", "--output", here / "out", "--device", DEVICE, "--quiet", "--format", "json"]
    with Peak() as used:
        done = run(command, 3000 if DRY else 200, **({"KORFINSTS_DATA": str(data)} if data.exists() else {}))
    report = json.loads((here / "out" / "training" / "report.json").read_text())
    lines = [json.loads(t) for t in (here / "out" / "training" / "metrics.jsonl").read_text().splitlines()]
    fields = ("suite", "split", "n_pairs", "before", "after", "delta", "interval", "p_holm")
    return {
        "matmul": matmul, "seed": seed, "wall_s": round(done["wall_s"], 1), "steps": len(lines), "peak_mb": used.mb,
        "triplets_per_s": round(median([line["triplets_per_second"] for line in lines]), 1),
        "first_and_last_loss": [lines[0]["loss"], lines[-1]["loss"]],
        "suites": [{key: suite.get(key) for key in fields} for suite in report["suites"]],
    }  # fmt: skip


part = Part("adapt")
if models.given() is None:
    part.add("skipped", "no model was packed (`prepare.sh --model`)")
else:
    for matmul, seed in (("float32", 0),) if DRY else (("float32", 0), ("bfloat16", 0), ("float32", 1)):
        part.attempt("runs", adapt, matmul, seed)
