"""Times one peer on the texts of `korfinsts eval --speed`, in rounds as that command does.

    python3 rounds.py PEER MODEL_FOLDER TEXTS.json MAX_TOKENS

TEXTS.json is a list of {name, texts, texts_per_round}. Prints a list of {name, rounds_s}.
"""

from __future__ import annotations

import json
import sys
import time
from itertools import cycle, islice
from pathlib import Path

import common

FEWEST, PATIENCE_S = 7, 8


def sentence_transformers(folder: Path, max_tokens: int):
    """`encode` with default settings."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device="cpu")
    model.max_seq_length = max_tokens
    return lambda texts: model.encode(texts, show_progress_bar=False)


def onnxruntime(folder: Path, max_tokens: int):
    """ONNX Runtime alone."""
    from onnx_alone import Alone

    return Alone(folder, max_tokens).encode


def fastembed(folder: Path, max_tokens: int):
    """`embed` with default settings."""
    from fastembed import TextEmbedding
    from fastembed.common.model_description import ModelSource, PoolingType

    width = json.loads((folder / "config.json").read_text())["hidden_size"]
    TextEmbedding.add_custom_model(
        model="local/model",
        pooling=PoolingType.MEAN,
        normalization=True,
        sources=ModelSource(hf="local/model"),
        dim=width,
        model_file="onnx/model.onnx",
    )
    model = TextEmbedding("local/model", specific_model_path=str(folder))
    model.model.tokenizer.enable_truncation(max_length=max_tokens)
    return lambda texts: list(model.embed(texts))


PEERS = {
    "sentence-transformers": sentence_transformers,
    "onnxruntime": onnxruntime,
    "fastembed": fastembed,
}


def main() -> None:
    """Rounds of every kind of text; the first one warms up."""
    peer, folder, texts, max_tokens = sys.argv[1:]
    assert common
    encode = PEERS[peer](Path(folder), int(max_tokens))
    found = []
    for kind in json.loads(Path(texts).read_text()):
        texts = list(islice(cycle(kind["texts"]), kind["texts_per_round"]))
        encode(texts)
        rounds, begun = [], time.perf_counter()
        while len(rounds) < FEWEST or (
            len(rounds) < 15 and time.perf_counter() - begun < PATIENCE_S / 4
        ):
            started = time.perf_counter()
            encode(texts)
            rounds.append(round(time.perf_counter() - started, 6))
            if time.perf_counter() - begun > PATIENCE_S:
                break
        found.append({"name": kind["name"], "rounds_s": rounds})
    print(json.dumps(found))


if __name__ == "__main__":
    main()
