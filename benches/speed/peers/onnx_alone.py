"""An encoder of ONNX Runtime, tokenizers and NumPy, with the mean of token states."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

BATCH = 32


class Alone:
    """A folder with `onnx/model.onnx` and `tokenizer.json`."""

    def __init__(self, folder: Path, max_tokens: int) -> None:
        self.session = onnxruntime.InferenceSession(
            str(folder / "onnx" / "model.onnx"), providers=["CPUExecutionProvider"]
        )
        self.inputs = {i.name for i in self.session.get_inputs()}
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.enable_truncation(max_tokens)
        self.tokenizer.no_padding()

    def encode(self, texts: list[str]) -> np.ndarray:
        """Embeddings in the order of the texts, not normalised."""
        tokens = [e.ids for e in self.tokenizer.encode_batch(texts)]
        order = sorted(range(len(texts)), key=lambda i: -len(tokens[i]))
        found = {}
        for start in range(0, len(order), BATCH):
            batch = order[start : start + BATCH]
            width = len(tokens[batch[0]])
            ids = np.zeros((len(batch), width), dtype=np.int64)
            mask = np.zeros_like(ids)
            for row, at in enumerate(batch):
                ids[row, : len(tokens[at])] = tokens[at]
                mask[row, : len(tokens[at])] = 1
            fed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
            states = self.session.run(None, {k: v for k, v in fed.items() if k in self.inputs})[0]
            weights = mask[..., None].astype(np.float32)
            means = (states * weights).sum(1) / weights.sum(1)
            found.update(zip(batch, means, strict=True))
        return np.stack([found[i] for i in range(len(texts))])
