"""Scores of cut and quantised embeddings, computed with sentence-transformers' own functions.

    pip install sentence-transformers scipy
    python make.py                                       # golden.json: tiny encoders, scores of each pair
    python make.py MINILM sts-test.csv sts-dev.csv       # minilm.json: ρ and r on STSBenchmark, test

MINILM is the folder of all-MiniLM-L6-v2; the files are those of STSBenchmark's authors. Every embedding is made once, by `encode`, and
cut by its `truncate_dim`. That `encode(precision=...)` gives what `quantize_embeddings` gives of these is checked.
"""

import json
import sys
from pathlib import Path

import numpy as np
import sentence_transformers
from scipy.stats import pearsonr, spearmanr
from sentence_transformers import SentenceTransformer
from sentence_transformers.util import (
    pairwise_cos_sim,
    pairwise_dot_score,
    pairwise_euclidean_sim,
    pairwise_manhattan_sim,
    quantize_embeddings,
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
    def __init__(self, folder: str | Path) -> None:
        self.model = SentenceTransformer(str(folder), device="cpu")

    def encode(self, texts: list[str], width: int | None, normalize: bool, dtype: str = "float32") -> np.ndarray:
        return self.model.encode(texts, truncate_dim=width, normalize_embeddings=normalize, precision=dtype, batch_size=64)

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
                if not calibrate:
                    assert (codes == self.encode(texts, width, normalize, dtype)).all(), (width, dtype)
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
        ("bert-mean", 20, DTYPES, False, None),
        ("bert-mean", 20, ["int8", "uint8"], True, None),
    ]:
        encoder = Encoder(REPOSITORY / "tests" / "reference" / "encoders" / name)
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
    encoder = Encoder(folder)
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


def write(name: str, content: dict) -> None:
    made_with = {"sentence-transformers": sentence_transformers.__version__, "numpy": np.__version__}
    text = json.dumps({"made_with": made_with, **content}, ensure_ascii=False)
    (HERE / name).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    minilm(*sys.argv[1:]) if len(sys.argv) > 1 else tiny()
