"""fastembed on the local ONNX file: `embed` on all texts, default settings."""

import time

from common import arguments, cosine_spearman, read_pairs, report

model_folder, pairs, max_tokens = arguments()

from fastembed import TextEmbedding  # noqa: E402
from fastembed.common.model_description import ModelSource, PoolingType  # noqa: E402

TextEmbedding.add_custom_model(
    model="local/all-MiniLM-L6-v2",
    pooling=PoolingType.MEAN,
    normalization=True,
    sources=ModelSource(hf="local/all-MiniLM-L6-v2"),
    dim=384,
    model_file="onnx/model.onnx",
)
model = TextEmbedding("local/all-MiniLM-L6-v2", specific_model_path=str(model_folder))
model.model.tokenizer.enable_truncation(max_length=max_tokens)
first, second, gold = read_pairs(pairs)

started = time.perf_counter()
embeddings = list(model.embed(first + second))
encode_s = time.perf_counter() - started

score = cosine_spearman(embeddings[: len(first)], embeddings[len(first) :], gold)
report(score, encode_s, ["fastembed", "onnxruntime", "tokenizers", "numpy", "scipy"])
