"""Encoding: texts per second of `korfinsts encode` and of sentence-transformers, with the same model and texts.

A run of the command takes the time of its start, too; a run of one text is measured too and taken off."""

from __future__ import annotations

import json
import sys
import time

import numpy as np

import models
from common import DRY, OUT, WORK, Part, Peak, encode, median, programs, texts, write_lines

#: Texts of each kind by shape: enough for seconds of work.
COUNTS = {
    "e5-small": {"short": 16384, "long": 2048},
    "bge-m3": {"short": 4096, "long": 512},
}
#: Padded tokens per batch by number type; none is the program's default.
BATCH_TOKENS = {"bfloat16": (None, 65536), "float32": (None,)}
BATCH_SIZES = {"short": (32, 256), "long": (32, 128)}


def peak(dtype: str) -> float | None:
    """The rate of a matrix product that `card.py` measured, in operations per second."""
    path = OUT / "card.json"
    if not path.exists():
        return None
    for found in json.loads(path.read_text()).get("products", []):
        if found.get("dtype") == f"torch.{dtype}":
            return found["tflops"] * 1e12
    return None


def row(shape: str, dtype: str, seconds: float, tokens: list[int]) -> dict:
    """Rates."""
    operations = models.flops(shape, tokens)
    ceiling = peak(dtype)
    return {
        "seconds": round(seconds, 3),
        "texts_per_s": round(len(tokens) / seconds, 1),
        "tokens_per_s": round(sum(tokens) / seconds),
        "tflops": round(operations / seconds / 1e12, 2),
        "share_of_product_peak": round(operations / seconds / ceiling, 3) if ceiling else None,
    }


def apart(found: np.ndarray, expected: np.ndarray) -> dict:
    """How far embeddings are from others."""
    found, expected = found.astype(np.float64), expected.astype(np.float64)
    cosine = (found * expected).sum(1) / np.linalg.norm(found, axis=1) / np.linalg.norm(expected, axis=1)
    return {"largest_difference": float(np.abs(found - expected).max()), "smallest_cosine": float(cosine.min())}


def theirs(shape: str, folder, dtype: str, kind: str, lines: list[str], keep: dict) -> dict:
    """sentence-transformers, at several batch sizes; the best one counts."""
    import torch

    model = keep.get((shape, dtype))
    if model is None:
        keep.clear()
        model = keep[shape, dtype] = models.load(folder, dtype)
    lengths = [len(e) for e in model.tokenizer(lines, truncation=True, max_length=512)["input_ids"]]
    tried = []
    embedded = None
    for size in BATCH_SIZES[kind]:
        model.encode(lines[: 2 * size], batch_size=size, prompt="")
        if not DRY:
            torch.cuda.reset_peak_memory_stats()
        started = time.perf_counter()
        embedded = model.encode(lines, batch_size=size, prompt="", convert_to_numpy=True)
        seconds = time.perf_counter() - started
        memory = None if DRY else round(torch.cuda.max_memory_allocated() / 1e6)
        tried.append({"batch_size": size, "peak_allocated_mb": memory} | row(shape, dtype, seconds, lengths))
    path = WORK / "embeddings" / f"{shape}-{kind}-{dtype}.npy"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, embedded.astype(np.float32))
    reference = np.load(path.with_name(f"{shape}-{kind}-float32.npy"))
    best = max(tried, key=lambda t: t["texts_per_s"])
    LENGTHS[shape, kind] = lengths
    return {
        "shape": shape, "dtype": dtype, "texts": kind, "n": len(lines), "mean_tokens": round(sum(lengths) / len(lines), 1),
        "who": "sentence-transformers", "best": best, "tried": tried, "from_float32": apart(embedded, reference),
    }  # fmt: skip


def ours(shape: str, folder, dtype: str, kind: str, lines: list[str], name: str, program, batch) -> dict:
    """One setting of the command."""
    lengths = LENGTHS[shape, kind]
    source = write_lines(WORK / "texts" / f"{shape}-{kind}.jsonl", lines)
    one = write_lines(WORK / "texts" / "one.jsonl", lines[:1])
    output = WORK / "embeddings" / "found.npy"
    flags = ["--dtype", dtype, "--prompt", "", *(["--batch-tokens", str(batch)] if batch else [])]
    key = (name, shape, dtype)
    if key not in STARTS:
        STARTS[key] = median([encode(program, folder, one, output, *flags)["wall_s"] for _ in range(3 if shape == "e5-small" else 2)])
    with Peak() as used:
        wall = encode(program, folder, source, output, *flags)["wall_s"]
    reference = np.load(WORK / "embeddings" / f"{shape}-{kind}-float32.npy")
    return {
        "shape": shape, "dtype": dtype, "texts": kind, "n": len(lines), "who": name, "batch_tokens": batch or "default",
        "wall_s": round(wall, 3), "start_s": round(STARTS[key], 3), "peak_mb": used.mb,
        **row(shape, dtype, max(wall - STARTS[key], 1e-3), lengths),
        "from_sentence_transformers_float32": apart(np.load(output), reference),
    }  # fmt: skip


#: Seconds of a run of one text, by program, shape and number type.
STARTS: dict = {}
#: Tokens of each text, by shape and kind of text.
LENGTHS: dict = {}
part = Part("encode")
made = texts()
which = sys.argv[1:] or ["e5-small", "bge-m3"]
kept: dict = {}
for shape in which:
    given = models.given() if shape == "e5-small" and not DRY else None
    path = given or models.folder(shape)
    part.add("models", {"shape": shape, "weights": "given" if given else "random", "sizes": models.sizes(shape)})
    for dtype in ("float32", "bfloat16"):
        for kind, count in COUNTS[shape].items():
            lines = made[kind][: 24 if DRY else count]
            part.attempt("runs", theirs, shape, path, dtype, kind, lines, kept)
    kept.clear()
    if not DRY:
        import torch

        torch.cuda.empty_cache()
    for dtype in ("bfloat16", "float32"):
        for kind, count in COUNTS[shape].items():
            lines = made[kind][: 24 if DRY else count]
            for name, program in programs().items():
                for batch in BATCH_TOKENS[dtype]:
                    part.attempt("runs", ours, shape, path, dtype, kind, lines, name, program, batch)
