"""Expected values of `tests/it/metric_reference.rs`, computed by NumPy, SciPy and scikit-learn.

    pip install -r requirements.txt
    python make.py            # rewrites correlation.tsv, permutation.tsv, cosine.tsv; two minutes

Inputs are not stored: both sides make them from SplitMix64 with whole-number arithmetic and
single IEEE operations, so they are equal to the last bit. A score that SciPy or scikit-learn does
not define (constant input, one class) is an empty field.
"""

import pathlib
import warnings

import numpy as np
import scipy.stats
import sklearn.metrics
import sklearn.metrics.pairwise

HERE = pathlib.Path(__file__).parent
CASES = 10_000
GAMMA = np.uint64(0x9E3779B97F4A7C15)


def split_mix(seed, count):
    """The first `count` numbers of SplitMix64 (Steele, Lea and Flood, 2014) from `seed`."""
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + GAMMA * np.arange(1, count + 1, dtype=np.uint64)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def unit(z):
    return (z >> np.uint64(11)).astype(np.float64) * 2.0**-53


def below(z, bound):
    return (z % np.uint64(bound)).astype(np.float64)


def pairs(case):
    """Predicted and gold scores of one case: six kinds of ties, 3 to 200 pairs."""
    n = 3 + int(split_mix(case, 1)[0] % np.uint64(198))
    z = split_mix(case, 1 + 2 * n)[1:]
    a, b = z[0::2], z[1::2]
    binary = np.where(a % np.uint64(10) < np.uint64(1 + case % 9), 1.0, 0.0)
    kind = case % 6
    if kind == 0:  # continuous
        gold = unit(a)
        predicted = 0.5 * gold + unit(b)
    elif kind == 1:  # heavily tied
        gold = below(a, 5)
        predicted = gold + below(b, 4)
    elif kind == 2:  # binary gold
        gold = binary
        predicted = 0.25 * gold + unit(b)
    elif kind == 3:  # binary gold, tied predictions
        gold = binary
        predicted = gold - below(b, 3)
    elif kind == 4:  # ordinal gold
        gold = below(a, 6)
        predicted = unit(b) - 0.125 * gold
    else:  # means of five ratings; predictions on a coarse grid
        gold = below(a, 26) / 5.0
        predicted = below(b, 64) / 64.0
    return predicted, gold


def field(value):
    return "" if np.isnan(value) else repr(float(value))


def correlation():
    with open(HERE / "correlation.tsv", "w") as file:
        file.write("case\tpairs\tspearman\tpearson\tauc\taverage_precision\n")
        for case in range(CASES):
            predicted, gold = pairs(case)
            rho = scipy.stats.spearmanr(predicted, gold).statistic
            r = scipy.stats.pearsonr(predicted, gold).statistic
            auc = precision = np.nan
            if set(gold) == {0.0, 1.0}:
                auc = sklearn.metrics.roc_auc_score(gold, predicted)
                precision = sklearn.metrics.average_precision_score(gold, predicted)
            values = "\t".join(field(v) for v in (rho, r, auc, precision))
            file.write(f"{case}\t{len(gold)}\t{values}\n")


def rank_auc(ranks, gold):
    ones = gold == 1.0
    count = ones.sum()
    total = scipy.stats.rankdata(ranks)[ones].sum()
    return (total - count * (count + 1) / 2) / (count * (~ones).sum())


def permutation():
    """Two models on the same pairs. Few pairs: every swap. Many pairs: 20,000 random ones."""
    with open(HERE / "permutation.tsv", "w") as file:
        file.write("case\tpairs\tstatistic\tp_value\n")
        for case in range(64):
            many = case >= 60
            n = 150 if many else 6 + case % 4
            z = split_mix(1_000_000 + case, 3 * n)
            statistic = "auc" if case % 2 else "spearman"
            gold = np.arange(n) % 2.0 if case % 2 else below(z[:n], 5)
            steps = 7 if case % 3 == 0 else 1_000_000
            noise = 4.0 if many else 1.0
            a = gold * 0.125 + noise * below(z[n : 2 * n], steps) / steps
            b = noise * below(z[2 * n :], steps) / steps
            if len(set(gold)) == 1 or len(set(a)) == 1 or len(set(b)) == 1:
                continue

            def difference(x, y):
                if statistic == "auc":
                    return rank_auc(x, gold) - rank_auc(y, gold)
                return (
                    scipy.stats.spearmanr(x, gold).statistic
                    - scipy.stats.spearmanr(y, gold).statistic
                )

            found = scipy.stats.permutation_test(
                (scipy.stats.rankdata(a), scipy.stats.rankdata(b)),
                difference,
                permutation_type="samples",
                n_resamples=20_000 if many else np.inf,
                alternative="two-sided",
                rng=np.random.default_rng(case),
            )
            if np.isnan(found.null_distribution).any():
                continue
            file.write(f"{case}\t{n}\t{statistic}\t{field(found.pvalue)}\n")


def cosine():
    """mteb's cosine on float32 rows, as the bits of the float32."""
    with open(HERE / "cosine.tsv", "w") as file:
        file.write("case\tdimensions\tbits\n")
        for case in range(600):
            dimensions = [1, 2, 3, 4, 5, 15, 16, 17, 31, 48, 63, 96, 384, 768, 1000, 1024, 2048, 4096][case % 18]
            z = split_mix(2_000_000 + case, 2 * dimensions)
            x = (z >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24) - np.float32(0.5)
            x, y = x[:dimensions], x[dimensions:]
            if case % 3 == 0:  # near each other
                y = x + y * np.float32(2.0**-7)
            cosine = np.float32(1) - sklearn.metrics.pairwise.paired_cosine_distances(x[None], y[None])
            assert cosine.dtype == np.float32
            file.write(f"{case}\t{dimensions}\t{cosine.view(np.uint32)[0]:08x}\n")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    cosine()
    correlation()
    permutation()
