"""Scores of cut and quantised embeddings, computed with sentence-transformers' own functions.

    pip install sentence-transformers scipy
    python make.py                                       # golden.json: tiny encoders, scores of each pair
    python make.py MINILM sts-test.csv sts-dev.csv       # minilm.json: ρ and r on STSBenchmark, test
    python make.py --same texts.txt embeddings.npy sts-test.csv records.json...

MINILM is the folder of all-MiniLM-L6-v2; the files are those of STSBenchmark's authors. Embeddings of the tiny encoders are made by
`encode(truncate_dim=..., normalize_embeddings=..., precision=...)`, and it is checked that its two functions `truncate_embeddings` and
`quantize_embeddings` give the same. Those of MiniLM are encoded once, and these functions are applied to them.

`--same` takes the embeddings of `korfinsts encode -i texts.txt -o embeddings.npy` (the sentences of both sides, one per line), and compares the figures that
sentence-transformers' functions give of them with those of `korfinsts eval --format json`: they differ by rounding alone.
"""

import json
import sys
from pathlib import Path

import numpy as np
import sentence_transformers
import torch
from scipy.stats import pearsonr, spearmanr
from sentence_transformers import SentenceTransformer
from sentence_transformers.util import (
    pairwise_cos_sim,
    pairwise_dot_score,
    pairwise_euclidean_sim,
    pairwise_manhattan_sim,
    quantize_embeddings,
    truncate_embeddings,
)

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[2]
DTYPES = ["float32", "int8", "uint8", "binary", "ubinary"]
PAIRS = 12


def unpacked(codes: np.ndarray, dtype: str, width: int) -> np.ndarray:
    """Codes as numbers; of bits 0 and 1, as `EmbeddingSimilarityEvaluator` unpacks them."""
    if dtype == "binary":
        codes = (codes.astype(np.int16) + 128).astype(np.uint8)
    if dtype.endswith("binary"):
        return np.unpackbits(codes, axis=1)[:, :width].astype(np.float32)
    return codes.astype(np.float32)


def scores(a: np.ndarray, b: np.ndarray, main_a: np.ndarray, main_b: np.ndarray, distances: bool) -> dict[str, np.ndarray]:
    double = lambda x: x.astype(np.float64)
    found = {"score": pairwise_cos_sim(double(main_a), double(main_b)), "dot": pairwise_dot_score(double(a), double(b))}
    if distances:
        found["manhattan"] = pairwise_manhattan_sim(double(a), double(b))
        found["euclidean"] = pairwise_euclidean_sim(double(a), double(b))
    return {key: value.numpy() for key, value in found.items()}


class Encoder:
    def __init__(self, folder: str | Path, check: bool) -> None:
        self.model = SentenceTransformer(str(folder), device="cpu")
        self.check = check
        self.known: dict[str, np.ndarray] = {}

    def encode(self, texts: list[str], width: int | None, normalize: bool) -> np.ndarray:
        """In float32: encoded whole, each text once, then cut and normalised in the order of `encode`."""
        new = [text for text in texts if text not in self.known]
        self.known.update(zip(new, self.model.encode(new, batch_size=64)) if new else [])
        cut = truncate_embeddings(torch.from_numpy(np.stack([self.known[text] for text in texts])), width)
        found = (torch.nn.functional.normalize(cut, p=2, dim=1) if normalize else cut).numpy()
        if self.check:
            direct = self.model.encode(texts, truncate_dim=width, normalize_embeddings=normalize)
            assert np.abs(found - direct).max() < 1e-6
        return found

    def forms(self, pairs: list[list[str]], widths: list[int | None], dtypes: list[str], normalize: bool, calibrate: tuple[str, list[str]] | None):
        """Name and scores of every form. The texts of both sides are calibrated together, as in one corpus."""
        texts = sorted({text for pair in pairs for text in pair})
        place = {text: i for i, text in enumerate(texts)}
        sides = [[place[pair[side]] for pair in pairs] for side in (0, 1)]
        for width in widths:
            whole = self.encode(texts, width, normalize)
            calibration = None
            if calibrate:
                calibration = self.encode(calibrate[1], width, normalize)
            query, document = (whole[side] for side in sides)
            for dtype in dtypes:
                parts = [str(width)] if width else []
                parts += ["normalized"] if normalize else []
                parts += [dtype] if dtype != "float32" else []
                by = f" by {calibrate[0]}" if calibrate and dtype.endswith("int8") else ""
                if not parts:
                    continue
                if dtype == "float32":
                    yield " · ".join(parts), scores(query, document, query, document, True)
                    continue
                codes = quantize_embeddings(whole, precision=dtype, calibration_embeddings=calibration)
                if self.check and not calibrate:
                    direct = self.model.encode(texts, truncate_dim=width, normalize_embeddings=normalize, precision=dtype)
                    assert (codes == direct).mean() > 0.99, (width, dtype)
                numbers = unpacked(codes, dtype, whole.shape[1])
                a, b = (numbers[side] for side in sides)
                if dtype.endswith("binary"):
                    bits = codes.view(np.uint8) if dtype == "ubinary" else (codes.astype(np.int16) + 128).astype(np.uint8)
                    hamming = np.unpackbits(bits[sides[0]] ^ bits[sides[1]], axis=1).sum(axis=1)
                    found = scores(a, b, a, b, True)
                    found["score"] = 1 - 2 * hamming / whole.shape[1]
                    signs = 2 * b - 1
                else:
                    found = scores(a, b, a, b, True)
                    signs = b
                yield " · ".join(parts) + by, found
                # The inner product is what `semantic_search_faiss` and `semantic_search_usearch` rescore with.
                yield " · ".join([*parts, "rescored"]) + by, scores(query, b, query, signs, False)


def rows(path: Path, columns: list[str]) -> list[list[str]]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [[json.loads(line)[c] for c in columns] for line in lines]


def tiny() -> None:
    data = REPOSITORY / "benchmarks" / "korfin-shift" / "data"
    pairs = rows(data / "test.jsonl", ["sentence1", "sentence2"])[:PAIRS]
    dev = sorted({text for pair in rows(data / "dev.jsonl", ["sentence1", "sentence2"]) for text in pair})
    runs = []
    for name, width, dtypes, normalize, by in [
        ("static", 12, DTYPES, False, None),
        ("static", 12, DTYPES, True, None),
        ("static", 12, ["int8", "uint8"], False, ("korfin-shift:dev", dev)),
        # Of a network whose sums have another order, a code of int8 is one more or less where a value is at an end of the range.
        ("bert-mean", 20, ["float32", "binary", "ubinary"], False, None),
    ]:
        encoder = Encoder(REPOSITORY / "tests" / "reference" / "encoders" / name, check=True)
        found = encoder.forms(pairs, [width], dtypes, normalize, by)
        forms = {form: {key: [round(float(x), 7) for x in of] for key, of in values.items()} for form, values in found}
        runs.append({"encoder": name, "truncate_dim": width, "embedding_dtype": dtypes, "normalize": normalize,
                     "calibrate": by and by[0], "forms": forms})
    write("golden.json", {"pairs": PAIRS, "runs": runs})


def stsb(path: str) -> tuple[list[list[str]], list[float]]:
    fields = [line.split("\t") for line in Path(path).read_text(encoding="utf-8").split("\n") if line.strip()]
    return [row[5:7] for row in fields], [float(row[4]) for row in fields]


def minilm(folder: str, test: str, dev: str) -> None:
    pairs, gold = stsb(test)
    calibration = sorted({text for pair in stsb(dev)[0] for text in pair})
    encoder = Encoder(folder, check=False)
    runs = []
    for dtypes, normalize, by in [
        (DTYPES, False, None),
        (["float32", "int8", "uint8"], True, None),
        (["int8", "uint8"], False, ("stsb:dev", calibration)),
    ]:
        widths = [256, 128, 64] if not by else [128]
        forms = {}
        for form, found in encoder.forms(pairs, widths, dtypes, normalize, by):
            names = {"score": "cosine"}
            forms[form] = {f"{names.get(key, key)}_{kind}": float(statistic(values, gold)[0])
                           for key, values in found.items() for kind, statistic in [("spearman", spearmanr), ("pearson", pearsonr)]}
        runs.append({"truncate_dim": widths, "embedding_dtype": dtypes, "normalize": normalize, "calibrate": by and by[0], "forms": forms})
    write("minilm.json", {"runs": runs})


def same(texts: str, embeddings: str, test: str, *records: str) -> None:
    pairs, gold = stsb(test)
    encoder = Encoder.__new__(Encoder)
    encoder.check = False
    encoder.known = dict(zip(Path(texts).read_text(encoding="utf-8").splitlines(), np.load(embeddings)))
    largest, compared = 0.0, 0
    for path in records:
        of = [(r["encoder"]["form"], r["scores"]) for r in json.loads(Path(path).read_text()) if "form" in r["encoder"]]
        for normalize in {form.get("normalized", False) for form, _ in of}:
            widths = sorted({form["truncate_dim"] for form, _ in of})
            for name, found in encoder.forms(pairs, widths, DTYPES, normalize, None):
                for form, scores in of:
                    parts = [str(form["truncate_dim"]), normalize and "normalized", form["embedding_dtype"].replace("float32", ""),
                             form.get("rescored") and "rescored"]
                    if form.get("normalized", False) != normalize or " · ".join(p for p in parts if p) != name:
                        continue
                    for key, values in found.items():
                        for kind, statistic in [("spearman", spearmanr), ("pearson", pearsonr)]:
                            figure = scores[f"{key.replace('score', 'cosine')}_{kind}"]
                            largest = max(largest, abs(figure - float(statistic(values, gold)[0])))
                            compared += 1
    print(f"{compared} figures, the largest difference is {largest:.1e}")


def write(name: str, content: dict) -> None:
    made_with = {"sentence-transformers": sentence_transformers.__version__, "numpy": np.__version__}
    text = json.dumps({"made_with": made_with, **content}, ensure_ascii=False)
    (HERE / name).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--same"]:
        same(*sys.argv[2:])
    elif sys.argv[1:]:
        minilm(*sys.argv[1:])
    else:
        tiny()
