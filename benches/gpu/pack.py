#!/usr/bin/env python3
"""Writes what `run.sh` reads besides the program: texts, a tokenizer, and a model where one is given.

    python3 benches/gpu/pack.py OUT [--tokenizer FILE] [--model DIR] [--data DIR]

See README.md next to this file. Needs numpy, safetensors and tokenizers.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

REPOSITORY = Path(__file__).resolve().parents[2]
SUITE = REPOSITORY / "benchmarks" / "korfin-shift"
WORDS = "embeddings.word_embeddings.weight"


def sentences() -> list[str]:
    """Korean sentences of the built-in suite, each once, in their order."""
    found: dict[str, None] = {}
    for path in sorted((SUITE / "triples").glob("*.jsonl")):
        for line in path.read_text().splitlines():
            row = json.loads(line)
            found |= dict.fromkeys(row[key] for key in ("ko_src", "ko_pos", "ko_neg"))
    return list(found)


def joined(base: list[str], start: int, characters: int) -> str:
    """Sentences from `start` on, until there are that many characters."""
    parts, length = [], 0
    while length < characters:
        part = base[(start + len(parts)) % len(base)]
        parts.append(part)
        length += len(part)
    return " ".join(parts)


def texts() -> dict[str, list]:
    """Short and long texts, no two alike, and triplets for training."""
    base = sentences()
    short = [f"{base[i % len(base)]} ({i + 1})" for i in range(16384)]
    long = [f"({i + 1}) " + joined(base, 7 * i, 1200) for i in range(2048)]
    triplets = []
    for i in range(64):
        parts = [joined(base, 31 * i + 11 * j, 330) for j in range(3)]
        triplets.append(dict(zip(("anchor", "positive", "negative"), (f"({i + 1}) {p}" for p in parts), strict=True)))
    return {"short": short, "long": long, "triplets": triplets}


def every_text(made: dict[str, list], data: Path | None) -> list[str]:
    """Every text that any part tokenises."""
    found = [*made["short"], *made["long"]]
    found += [text for row in made["triplets"] for text in row.values()]
    for path in [*SUITE.rglob("*.jsonl"), *(data.rglob("*.*") if data else [])]:
        if path.suffix in {".jsonl", ".tsv", ".csv", ".json", ".txt"}:
            for line in path.read_text(errors="replace").splitlines():
                try:
                    row = json.loads(line)
                    found += [str(v) for v in row.values()] if isinstance(row, dict) else [line]
                except ValueError:
                    found += line.split("\t")
    return found


def tokenizer(path: Path, used: list[str], out: Path) -> set[int]:
    """Writes the tokenizer with the same ids, and with the pieces that `used` does not need emptied.

    A Unigram tokenizer splits a text the same when only pieces of no use to it are gone."""
    from tokenizers import Tokenizer

    full = Tokenizer.from_file(str(path))
    prompted = used + ["query: " + text for text in used]
    kept = {i for e in full.encode_batch(prompted) for i in e.ids}
    content = json.loads(path.read_text())
    vocabulary = content["model"]["vocab"]
    kept |= {token["id"] for token in content["added_tokens"]} | {content["model"]["unk_id"]}
    for i, entry in enumerate(vocabulary):
        if i not in kept:
            vocabulary[i] = [f"\ue000{i}", -99.0]
    content["truncation"] = content["padding"] = None
    target = out / "tokenizer.json"
    target.write_text(json.dumps(content, ensure_ascii=False))
    pruned = Tokenizer.from_file(str(target))
    probe = prompted[:: max(1, len(prompted) // 5000)]
    for text, a, b in zip(probe, full.encode_batch(probe), pruned.encode_batch(probe), strict=True):
        if a.ids != b.ids:
            raise SystemExit(f"error: the emptied tokenizer splits a text in another way: {text!r}")
    return kept


def four_bits(values: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Scales and numbers of weights that were stored in 4 bits (blocks of 32 with a float16 scale), without loss;
    `None` where they were not."""
    if values.size % 32:
        return None
    blocks = values.reshape(-1, 32).astype(np.float32)
    largest = np.abs(blocks).max(axis=1)
    scales = np.zeros(len(blocks), np.float16)
    numbers = np.zeros(blocks.shape, np.int8)
    left = largest > 0
    for divisor in (8, 7, 6, 5, 4, 3, 2, 1):
        for sign in (1, -1):
            scale = (sign * largest / divisor).astype(np.float16)
            wide = np.where(scale == 0, 1, scale).astype(np.float32)
            q = np.rint(blocks / wide[:, None])
            fits = left & (q >= -8).all(1) & (q <= 7).all(1) & (q * wide[:, None] == blocks).all(1)
            scales[fits], numbers[fits] = scale[fits], q[fits]
            left &= ~fits
    if left.any():
        return None
    q = (numbers + 8).astype(np.uint8)
    return scales, q[:, :16] | q[:, 16:] << 4


def model(folder: Path, kept: set[int], out: Path) -> None:
    """Packs a model: rows of the word table that are needed, and 4 bits where that loses nothing."""
    target = out / "model"
    for path in folder.rglob("*"):
        if path.is_file() and path.name not in {"model.safetensors", "tokenizer.json"}:
            to = target / path.relative_to(folder)
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, to)
    tensors = load_file(folder / "model.safetensors")
    rows = np.array(sorted(kept), np.int64)
    packed: dict[str, np.ndarray] = {"rows": rows, "words": np.array(tensors[WORDS].shape, np.int64)}
    for name, values in tensors.items():
        values = values[rows] if name == WORDS else values
        packed[f"shape/{name}"] = np.array(values.shape, np.int64)
        found = four_bits(values)
        if found:
            packed[f"scales/{name}"], packed[f"numbers/{name}"] = found
        else:
            packed[f"values/{name}"] = values
    np.savez(target / "packed.npz", **packed)


def unpack(folder: Path) -> None:
    """The other way: `model.safetensors` of what `model` packed. Rows that were left out are zero."""
    from safetensors.numpy import save_file

    packed = np.load(folder / "packed.npz")
    tensors = {}
    for key in packed.files:
        if not key.startswith("shape/"):
            continue
        name = key.removeprefix("shape/")
        if f"values/{name}" in packed.files:
            values = packed[f"values/{name}"]
        else:
            both, scales = packed[f"numbers/{name}"], packed[f"scales/{name}"].astype(np.float32)
            numbers = np.concatenate([both & 15, both >> 4], axis=1).astype(np.float32) - 8
            values = (numbers * scales[:, None]).reshape(packed[key])
        if name == WORDS:
            table = np.zeros(packed["words"], np.float32)
            table[packed["rows"]] = values
            values = table
        tensors[name] = np.ascontiguousarray(values, np.float32)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def main() -> None:
    """Writes the folder."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--data", type=Path)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    made = texts()
    (args.out / "texts.json").write_text(json.dumps(made, ensure_ascii=False))
    kept = tokenizer(args.tokenizer, every_text(made, args.data), args.out)
    print(f"{len(kept)} pieces are used")
    if args.model:
        model(args.model, kept, args.out)
    if args.data:
        shutil.copytree(args.data, args.out / "data")


if __name__ == "__main__":
    main()
