"""A kit of `korfinsts suite annotate` with filled-in sheets, and what `--read` must say of it, by the packages krippendorff, SciPy and
scikit-learn.

    pip install -r requirements.txt
    python make.py            # rewrites kit/ and expected.json

48 pairs of 12 documents in two languages, scored by three made-up raters: two follow the gold score with some noise, one is careless. Every
rater leaves some rows out, and sees the pairs in an order of their own.
"""

import csv
import json
import pathlib
import random

import krippendorff
import numpy as np
import scipy.stats
import sklearn.metrics

HERE = pathlib.Path(__file__).parent
RATERS = 3


def main():
    draw = random.Random(24)
    pairs = [
        {"id": f"p{i}", "gold": float(i % 2), "cluster": f"d{i // 4}", "language": ["ko", "en"][i // 2 % 2]}
        for i in range(48)
    ]
    draw.shuffle(pairs)
    orders = []
    for rater in range(RATERS):
        rows = [2 * i + (i + rater) % 2 for i in range(len(pairs))]
        draw.shuffle(rows)
        orders.append(rows)
    scores = np.full((RATERS, len(pairs)), np.nan)
    for i, pair in enumerate(pairs):
        for rater, noise in enumerate([0.8, 1.2, 2.5]):
            if draw.random() < 0.9:
                value = 1.0 + 3.0 * pair["gold"] + draw.gauss(0, noise)
                scores[rater, i] = min(5, max(0, round(value)))
    kit = HERE / "kit"
    kit.mkdir(exist_ok=True)
    key = {
        "schema": 1, "suite": "made-up", "split": "test", "release_id": "0" * 64, "seed": 24, "binary": True,
        "pairs": pairs, "raters": orders,
    }
    (kit / "key.json").write_text(json.dumps(key, indent=1) + "\n", encoding="utf-8")
    for rater, rows in enumerate(orders):
        with open(kit / f"sheet-{rater + 1}.csv", "w", encoding="utf-8-sig", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["row", "text_a", "text_b", "score", "note"])
            for number, row in enumerate(rows, 1):
                score = scores[rater, row // 2]
                writer.writerow([number, "a", "b, 가", "" if np.isnan(score) else int(score), ""])
    expected = {}
    for part in ["all", "en", "ko"]:
        of = [i for i, p in enumerate(pairs) if part in ("all", p["language"])]
        given, gold = scores[:, of], np.array([pairs[i]["gold"] for i in of])
        given, gold = given[:, ~np.isnan(given).all(axis=0)], gold[~np.isnan(given).all(axis=0)]
        means = np.nanmean(given, axis=0)
        with_others = []
        for rater in range(RATERS):
            others = np.delete(given, rater, axis=0)
            there = ~np.isnan(given[rater]) & ~np.isnan(others).all(axis=0)
            mean = np.nanmean(others[:, there], axis=0)
            with_others.append(scipy.stats.spearmanr(given[rater][there], mean).statistic)
        expected[part] = {
            "pairs": int(given.shape[1]),
            "alpha_interval": krippendorff.alpha(given, level_of_measurement="interval"),
            "alpha_ordinal": krippendorff.alpha(given, level_of_measurement="ordinal"),
            "ceiling": float(np.mean(with_others)),
            "gold_spearman": scipy.stats.spearmanr(means, gold).statistic,
            "gold_auc": sklearn.metrics.roc_auc_score(gold, means),
        }
    (HERE / "expected.json").write_text(json.dumps(expected, indent=1) + "\n", encoding="utf-8")


main()
