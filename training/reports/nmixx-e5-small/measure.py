"""What tells the gold scores of the authors' pairs apart without reading them.

    python measure.py authors-law.csv authors-news.csv

Spearman's correlation of the gold score with simple properties of a pair, and the mean of each property by gold score. The files are those
of `authors_pairs.py`.
"""

import csv
import re
import sys

OPPOSITES = "상승 하락,증가 감소,확대 축소,올랐 내렸,호재 악재,긍정 부정,강세 약세,개선 악화,인상 인하,흑자 적자,성장 둔화,늘 줄"


def grams(text):
    text = re.sub(r"\s+", " ", text)
    return {text[i : i + 3] for i in range(len(text) - 2)}


def shared(a, b):
    return len(a & b) / max(1, len(a | b))


def polite(text):
    """The share of its sentences that end in the polite register."""
    sentences = [s for s in re.split(r"(?<=[.!?])\s+", text.strip()) if s]
    return sum(bool(re.search(r"(니다|세요|어요|아요|해요|죠)[.!?]?$", s)) for s in sentences) / max(1, len(sentences))


def reversals(a, b):
    """Words of a pair of opposites that the first text has and the second has not, where the second has the other one more."""
    found = 0
    for pair in OPPOSITES.split(","):
        x, y = pair.split()
        for p, q in ((x, y), (y, x)):
            found += max(0, min(a.count(p) - b.count(p), b.count(q) - a.count(q)))
    return found


PROPERTIES = {
    "difference in register": lambda a, b: abs(polite(a) - polite(b)),
    "difference in length, negative": lambda a, b: -abs(len(a) - len(b)),
    "shared 3-grams": lambda a, b: shared(grams(a), grams(b)),
    "shared words": lambda a, b: shared(set(a.split()), set(b.split())),
    "words replaced by their opposites": reversals,
}


def ranks(values):
    order = sorted(range(len(values)), key=values.__getitem__)
    result, start = [0.0] * len(values), 0
    while start < len(order):
        end = start
        while end < len(order) and values[order[end]] == values[order[start]]:
            end += 1
        for at in order[start:end]:
            result[at] = (start + end - 1) / 2
        start = end
    return result


def spearman(x, y):
    x, y = ranks(x), ranks(y)
    mx, my = sum(x) / len(x), sum(y) / len(y)
    xy = sum((a - mx) * (b - my) for a, b in zip(x, y))
    return xy / (sum((a - mx) ** 2 for a in x) * sum((b - my) ** 2 for b in y)) ** 0.5


def main(files):
    for name in files:
        with open(name, encoding="utf-8", newline="") as file:
            rows = [(r["sentence1"], r["sentence2"], float(r["score"])) for r in csv.DictReader(file)]
        gold = [score for *_, score in rows]
        print(f"{name}: {len(rows)} pairs")
        for what, of in PROPERTIES.items():
            values = [float(of(a, b)) for a, b, _ in rows]
            means = [sum(v for v, g in zip(values, gold) if g == s) / gold.count(s) for s in (0.0, 1.0)]
            print(f"  {what:34} {spearman(values, gold):+.3f}   gold 0: {means[0]:.3f}   gold 1: {means[1]:.3f}")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1:])
