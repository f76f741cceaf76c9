"""What the peers share: reading the pairs, and the one line that each prints at its end."""

from __future__ import annotations

import json
import os
import sys
from importlib.metadata import version
from pathlib import Path

# Before any peer is imported: nothing here may look for a network or print progress.
for name, value in {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "TOKENIZERS_PARALLELISM": os.environ.get("TOKENIZERS_PARALLELISM", "true"),
}.items():
    os.environ[name] = value


def arguments() -> tuple[Path, Path, int]:
    """The model folder, the file of pairs and the maximum length in tokens."""
    if len(sys.argv) != 4:
        sys.exit(f"usage: {sys.argv[0]} MODEL_FOLDER PAIRS.tsv MAX_TOKENS")
    return Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])


def read_pairs(path: Path) -> tuple[list[str], list[str], list[float]]:
    """First texts, second texts and gold scores of a file in the layout of STSBenchmark.

    Tab separated without quoting; fields 4, 5 and 6 (from 0) are the gold score and the texts.
    """
    first, second, gold = [], [], []
    with path.open(encoding="utf-8", newline="\n") as lines:
        for line in lines:
            fields = line.rstrip("\r\n").split("\t")
            gold.append(float(fields[4]))
            first.append(fields[5])
            second.append(fields[6])
    return first, second, gold


def cosine_spearman(first, second, gold: list[float]) -> float:
    """Spearman's correlation of the cosines of two matrices with the gold scores."""
    import numpy as np
    from scipy.stats import spearmanr

    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    cosine = (a * b).sum(1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
    return float(spearmanr(cosine, gold).statistic)


def report(score: float, encode_s: float | None, packages: list[str]) -> None:
    """Prints the result line: cosine Spearman, seconds spent encoding, versions."""
    versions = {name: version(name) for name in packages}
    print(json.dumps({"score": score, "encode_s": encode_s, "versions": versions}), flush=True)
