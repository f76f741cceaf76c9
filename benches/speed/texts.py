"""The two sets of pairs that are measured, in the file layout of STSBenchmark."""

from __future__ import annotations

from pathlib import Path

#: Characters of the long texts, from the shortest to the longest; with the tokenizer of
#: all-MiniLM-L6-v2 they come to about 409 tokens on average.
LONG_CHARACTERS = (1_505, 2_070)
LONG_PAIRS = 100


def sentences(source: Path) -> list[str]:
    """Distinct sentences of a file in the layout of STSBenchmark, in order of appearance."""
    found: dict[str, None] = {}
    for line in source.read_text(encoding="utf-8").split("\n"):
        fields = line.rstrip("\r").split("\t")
        if len(fields) >= 7:
            found.setdefault(fields[5].strip())
            found.setdefault(fields[6].strip())
    return list(found)


def long_pairs(source: Path) -> list[tuple[float, str, str]]:
    """Gold score and two long texts each, made from the sentences of `source` by a fixed rule.

    The second text keeps a share of the first one's sentences (0, 1/5, ... 5/5, the gold score
    being five times that share) and takes the rest from further on, so that a score over these
    pairs means something and the texts are all different.
    """
    supply = sentences(source)
    low, high = LONG_CHARACTERS
    pairs = []
    at = 0

    def take(characters: int) -> list[str]:
        nonlocal at
        taken, length = [], 0
        while length < characters:
            sentence = supply[at % len(supply)]
            # A second round through the supply begins elsewhere, so that no text comes twice.
            at += 1 + at // len(supply)
            taken.append(sentence)
            length += len(sentence) + 1
        return taken

    for i in range(LONG_PAIRS):
        gold = i % 6
        first = take(low + (high - low) * (i * 37 % LONG_PAIRS) // LONG_PAIRS)
        kept = first[: len(first) * gold // 5]
        missing = sum(len(s) + 1 for s in first[len(kept) :])
        second = kept[::-1] + (take(missing) if missing else [])
        pairs.append((float(gold), " ".join(first), " ".join(second)))
    return pairs


def write_long(source: Path, target: Path, most: int = LONG_PAIRS) -> None:
    """Writes the first `most` long pairs as a tab-separated file of seven fields."""
    with target.open("w", encoding="utf-8", newline="\n") as out:
        for i, (gold, first, second) in enumerate(long_pairs(source)[:most]):
            out.write(f"speed\tlong\t2026\t{i:04}\t{gold:.3f}\t{first}\t{second}\n")


def count(path: Path) -> dict[str, int]:
    """Texts and distinct texts of a file of pairs."""
    texts = []
    for line in path.read_text(encoding="utf-8").split("\n"):
        fields = line.rstrip("\r").split("\t")
        if len(fields) >= 7:
            texts += fields[5:7]
    return {"texts": len(texts), "distinct": len(set(texts))}
