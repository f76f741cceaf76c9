"""ONNX Runtime alone, as a careful user calls it: texts sorted by length, batches of 32, all cores."""

import time

from common import arguments, cosine_spearman, read_pairs, report

model_folder, pairs, max_tokens = arguments()

from onnx_alone import Alone  # noqa: E402

model = Alone(model_folder, max_tokens)
first, second, gold = read_pairs(pairs)

started = time.perf_counter()
embeddings = model.encode(first + second)
encode_s = time.perf_counter() - started

score = cosine_spearman(embeddings[: len(first)], embeddings[len(first) :], gold)
report(score, encode_s, ["onnxruntime", "tokenizers", "numpy", "scipy"])
