#!/usr/bin/env python3
"""What a run found of what was planted.

    score.py RUN-FOLDER CORPUS=FILE.jsonl ...

CORPUS is the id that the run read FILE under; FILE has a `planted` label in every row. Corpora that are not named are left out.
Prints, for every kind, its rows, how many each step dropped, and how many passed.
"""
import collections
import json
import pathlib
import sys

run = pathlib.Path(sys.argv[1])
labels = {}
for argument in sys.argv[2:]:
    corpus, path = argument.split("=", 1)
    name = pathlib.Path(path).name
    with open(path, encoding="utf-8") as rows:
        for number, row in enumerate(rows, 1):
            # The label is the last field.
            labels[corpus, f"{name}:{number}"] = row[row.rindex('"planted":"') + 11 : row.rindex('"')]

steps = ["ingest", "licence", "length", "quality", "exact-duplicate", "near-duplicate", "contamination", "balance"]
dropped = collections.Counter()
reasons = collections.Counter()
for path in sorted(run.joinpath("verdicts").glob("*.jsonl")):
    step = path.name.split(".")[0]
    with open(path, encoding="utf-8") as verdicts:
        for line in verdicts:
            verdict = json.loads(line)
            if verdict["verdict"] != "drop":
                continue
            kind = labels.get((verdict["corpus"], verdict["origin"]))
            if kind is None:
                continue
            dropped[kind, step] += 1
            reasons[kind, step, verdict["reason"]] += 1

kinds = collections.Counter(labels.values())
print(f"{'kind':18}{'rows':>9}" + "".join(f"{s[:10]:>11}" for s in steps) + f"{'passed':>9}")
for kind, rows in sorted(kinds.items()):
    counts = [dropped[kind, s] for s in steps]
    print(f"{kind:18}{rows:9}" + "".join(f"{c:11}" for c in counts) + f"{rows - sum(counts):9}")
print()
for (kind, step, reason), n in sorted(reasons.items()):
    print(f"{kind:18}{step:18}{reason:24}{n:9}{100 * n / kinds[kind]:8.2f} %")
