"""Loads a release as its users do and prints the rows: with Hugging Face `datasets` (the folder, which is Parquet, and the JSONL file) and with `mlcroissant`.

Usage: python load.py FOLDER SPLIT CACHE
"""

import json
import os
import sys

folder, split, cache = sys.argv[1:]
os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", HF_HOME=cache, CROISSANT_CACHE=cache)

import datasets  # noqa: E402
import mlcroissant  # noqa: E402

datasets.disable_progress_bars()
lines = os.path.join(folder, "data", f"{split}.jsonl")
rows = {
    "default": [dict(row) for row in datasets.load_dataset(folder, split=split, cache_dir=cache)],
    "jsonl": [dict(row) for row in datasets.load_dataset("json", data_files=lines, split="train", cache_dir=cache)],
}
dataset = mlcroissant.Dataset(jsonld=os.path.join(folder, "croissant.json"))
records = []
for record in dataset.records(split):
    row = {}
    for key, value in record.items():
        row[key.split("/")[-1]] = value.decode() if isinstance(value, bytes) else value
    records.append(row)
rows["croissant"] = records
rows["warnings"] = [str(warning) for warning in dataset.metadata.ctx.issues.warnings]
json.dump(rows, sys.stdout, ensure_ascii=False)
