"""Whether the card computes what the references say: embeddings of every architecture, losses and gradients of
training, parts and checkpointing of a step, and going on after a stop."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from common import DEVICE, PROGRAM, WORK, Part, encode, run, write_lines

ENCODERS = Path(os.environ["GPU_ENCODERS"])
#: Largest difference of a value of an embedding from sentence-transformers' in float32.
EMBEDDING = {"float32": 2e-5, "float16": 5e-3, "bfloat16": 4e-2}
#: Largest relative difference of a loss from the CPU's, over all steps.
LOSS = {"float32": 1e-4, "bfloat16": 5e-2}
STEPS = 20


def embeddings(name: str, dtype: str, tokens: int) -> dict:
    """Embeddings of a tiny encoder against those that sentence-transformers computed one text at a time."""
    golden = json.loads((ENCODERS / name / "golden.json").read_text())
    source = write_lines(WORK / "agree" / f"{name}.jsonl", golden["texts"])
    output = WORK / "agree" / f"{name}.npy"
    wall = encode(PROGRAM, ENCODERS / name, source, output, "--dtype", dtype, "--batch-tokens", str(tokens))["wall_s"]
    found, expected = np.load(output), np.array(golden["embeddings"])
    difference = float(np.abs(found - expected).max())
    return {
        "encoder": name, "dtype": dtype, "batch_tokens": tokens, "largest_difference": difference, "agrees": difference <= EMBEDDING[dtype],
        "wall_s": round(wall, 2),
    }  # fmt: skip


def train(name: str, device: str, run_name: str, compute: str = "", epochs: int = STEPS) -> tuple[list, Path, list]:
    """The command, and where it writes."""
    golden = json.loads((ENCODERS / name / "golden_training.json").read_text())
    roles = ("anchor", "positive", "negative")
    folder = WORK / "agree" / "train" / name / run_name
    rows = write_lines(folder / "triplets.jsonl", [dict(zip(roles, t, strict=True)) for t in golden["triplets"]])
    recipe = folder / "recipe.toml"
    recipe.write_text(f"""\
schema = 1
name = "agree"
leakage = "report"
leakage_suites = ["korfin-shift"]
[base]
model = "{ENCODERS / name}"
[compute]
{compute}
[[stage]]
name = "triplets"
epochs = {epochs}
batch = {len(golden["triplets"])}
learning_rate = 5e-5
warmup = 0.0
schedule = "constant"
temperature = {golden["tau"]}
clip = 0.0
[[stage.data]]
triplets = "{rows.name}"
[save]
every = 0
""")
    command = [PROGRAM, "train", recipe, "--output", folder / "out", "--device", device, "--quiet"]
    return command, folder / "out", golden


def log(output: Path) -> list[dict]:
    """Lines of the log of a run."""
    path = output / "training" / "metrics.jsonl"
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")]


def distance(a: Path, b: Path) -> float:
    """Relative distance of two checkpoints' weights."""
    first, second = load_file(a / "model.safetensors"), load_file(b / "model.safetensors")
    apart = sum(float(((first[n].astype(np.float64) - second[n]) ** 2).sum()) for n in first)
    return math.sqrt(apart / sum(float((v.astype(np.float64) ** 2).sum()) for v in first.values()))


def training(name: str) -> dict:
    """Losses on the card against those on the CPU; the first loss and gradient against PyTorch in float64."""
    command, reference, golden = train(name, "cpu", "cpu")
    run(command)
    expected = [line["loss"] for line in log(reference)]
    norm = math.sqrt(sum(v * v for v in golden["grad_l2"].values() if v is not None))
    found: dict = {"encoder": name, "runs": []}
    variants = {
        "float32": "",
        "float32, parts of 5 texts": "micro_batch = 5",
        "float32, gradient checkpointing": "gradient_checkpointing = true",
        "bfloat16": 'matmul = "bfloat16"',
    }
    for i, (variant, compute) in enumerate(variants.items()):
        command, output, _ = train(name, DEVICE, f"card-{i}", compute)
        run(command)
        lines = log(output)
        worst = max(abs(a["loss"] - b) / abs(b) for a, b in zip(lines, expected, strict=True))
        found["runs"].append({
            "variant": variant,
            "first_loss_from_pytorch": abs(lines[0]["loss"] - golden["loss"]) / golden["loss"],
            "first_gradient_norm_from_pytorch": abs(lines[0]["gradient_norm"] - norm) / norm,
            "losses_from_cpu": worst,
            "weights_from_cpu": distance(reference, output),
            "first_and_last_loss": [lines[0]["loss"], lines[-1]["loss"]],
            "agrees": worst <= LOSS[variant.split(",")[0]],
        })  # fmt: skip
    return found


def resume(name: str) -> dict:
    """A run that is interrupted and goes on, against one that is not, both on the card."""
    epochs = 300
    command, whole, _ = train(name, DEVICE, "whole", epochs=epochs)
    run(command)
    command, stopped, _ = train(name, DEVICE, "stopped", epochs=epochs)
    process = subprocess.Popen(
        [str(c) for c in command], env=os.environ | {"KORFINSTS_DATA": str(WORK / "data")},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    until = time.monotonic() + 30
    while len(log(stopped)) < 40 and process.poll() is None and time.monotonic() < until:
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    code = process.wait(30)
    at = len(log(stopped))
    run(command)
    a, b = log(whole), log(stopped)
    worst = max(abs(x["loss"] - y["loss"]) / abs(x["loss"]) for x, y in zip(a, b, strict=True))
    return {
        "encoder": name, "exit_code": code, "stopped_behind_step": at, "steps": len(b), "losses_apart": worst,
        "weights_apart": distance(whole, stopped), "agrees": code == 130 and at < epochs and worst <= LOSS["float32"],
    }  # fmt: skip


part = Part("agree")
# A static embedding has no network to run on a card.
names = sorted(p.parent.name for p in ENCODERS.glob("*/golden.json") if (p.parent / "config.json").exists())
for encoder in names:
    for dtype, tokens in (("float32", 16384), ("float32", 1), ("bfloat16", 16384)):
        part.attempt("embeddings", embeddings, encoder, dtype, tokens)
trained = [n for n in names if (ENCODERS / n / "golden_training.json").exists()]
part.attempt("resume", resume, trained[0])
for encoder in trained:
    part.attempt("training", training, encoder)
