"""Makes compare.json: two models on the same pairs, and what SciPy says of their difference.

    pip install -r requirements.txt && python make.py
"""

import json
import pathlib
import warnings

import numpy as np
import scipy.stats

HERE = pathlib.Path(__file__).parent
RESAMPLES = 20_000


def spearman(predicted, gold):
    return scipy.stats.spearmanr(predicted, gold).statistic


def auc(predicted, gold):
    ones = gold == 1
    u = scipy.stats.mannwhitneyu(predicted[ones], predicted[~ones]).statistic
    return u / (ones.sum() * (~ones).sum())


def case(name, seed, n, binary, noise_a, noise_b):
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=n)
    gold = (truth > -0.2).astype(float) if binary else np.clip(np.round(2.5 + 1.2 * truth, 1), 0, 5)
    shared = rng.normal(size=n)
    # Rounded, so that some scores tie.
    a = np.round(np.tanh(0.3 * truth + noise_a * (0.6 * shared + 0.8 * rng.normal(size=n))), 2)
    b = np.round(np.tanh(0.3 * truth + noise_b * (0.6 * shared + 0.8 * rng.normal(size=n))), 3)
    out = {"name": name, "scale": "binary" if binary else "interval", "gold": gold.tolist(), "a": a.tolist(), "b": b.tolist()}
    statistics = {"spearman": spearman} | ({"auc": auc} if binary else {})
    for key, statistic in statistics.items():
        test = scipy.stats.permutation_test(
            (scipy.stats.rankdata(a), scipy.stats.rankdata(b)),
            lambda x, y: statistic(x, gold) - statistic(y, gold),
            permutation_type="samples",
            n_resamples=RESAMPLES,
            rng=np.random.default_rng(seed + 1),
        )
        interval = scipy.stats.bootstrap(
            (a, b, gold),
            lambda x, y, g: statistic(x, g) - statistic(y, g),
            paired=True,
            vectorized=False,
            method="percentile",
            n_resamples=RESAMPLES,
            rng=np.random.default_rng(seed + 2),
        )
        out[key] = {
            "a": statistic(a, gold),
            "b": statistic(b, gold),
            "p_value": test.pvalue,
            "interval": list(interval.confidence_interval),
            "standard_error": interval.standard_error,
        }
    return out


if __name__ == "__main__":
    warnings.simplefilter("error")
    cases = [
        case("graded", 1, 150, False, 0.30, 0.45),
        case("near", 2, 200, False, 0.40, 0.42),
        case("binary", 3, 180, True, 0.30, 0.60),
        case("binary-near", 4, 120, True, 0.50, 0.50),
    ]
    text = ",\n".join(json.dumps(c) for c in cases)
    (HERE / "compare.json").write_text(f"[\n{text}\n]\n")
