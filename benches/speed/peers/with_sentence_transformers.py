"""sentence-transformers as its documentation shows it: `encode` on all texts, default settings."""

import time

from common import arguments, cosine_spearman, read_pairs, report

model_folder, pairs, max_tokens = arguments()

from sentence_transformers import SentenceTransformer  # noqa: E402

model = SentenceTransformer(str(model_folder), device="cpu")
model.max_seq_length = max_tokens
first, second, gold = read_pairs(pairs)

started = time.perf_counter()
embeddings = model.encode(first + second, show_progress_bar=False)
encode_s = time.perf_counter() - started

score = cosine_spearman(embeddings[: len(first)], embeddings[len(first) :], gold)
report(score, encode_s, ["sentence-transformers", "transformers", "torch", "numpy", "scipy"])
