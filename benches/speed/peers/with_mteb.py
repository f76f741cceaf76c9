"""mteb on a task that reads the local file: what `mteb.evaluate` does, without a hub."""

import time

from common import arguments, read_pairs, report

model_folder, pairs, max_tokens = arguments()

import mteb  # noqa: E402
from datasets import Dataset, DatasetDict  # noqa: E402
from mteb.abstasks.sts import AbsTaskSTS  # noqa: E402
from mteb.abstasks.task_metadata import TaskMetadata  # noqa: E402
from sentence_transformers import SentenceTransformer  # noqa: E402


class LocalPairs(AbsTaskSTS):
    """Pairs of a local file, scored 0 to 5."""

    min_score = 0
    max_score = 5
    metadata = TaskMetadata(
        name="LocalPairs",
        dataset={"path": "local", "revision": "local"},
        description="Pairs of a local file.",
        type="STS",
        category="t2t",
        modalities=["text"],
        eval_splits=["test"],
        eval_langs=["eng-Latn"],
        main_score="cosine_spearman",
    )

    def load_data(self, *_args, **_kwargs) -> None:
        """Reads the file instead of asking the hub."""
        first, second, gold = read_pairs(pairs)
        rows = {"sentence1": first, "sentence2": second, "score": gold}
        self.dataset = DatasetDict({"test": Dataset.from_dict(rows)})
        self.data_loaded = True


model = SentenceTransformer(str(model_folder), device="cpu")
model.max_seq_length = max_tokens
encoding = {"s": 0.0}
encode = model.encode


def timed(*args, **kwargs):
    """`encode`, with its seconds added up."""
    started = time.perf_counter()
    result = encode(*args, **kwargs)
    encoding["s"] += time.perf_counter() - started
    return result


model.encode = timed
results = mteb.evaluate(
    model,
    LocalPairs(),
    cache=None,
    co2_tracker=False,
    show_progress_bar=False,
    encode_kwargs={"show_progress_bar": False},
)
score = results.task_results[0].scores["test"][0]["cosine_spearman"]
report(score, encoding["s"] or None, ["mteb", "sentence-transformers", "transformers", "torch"])
