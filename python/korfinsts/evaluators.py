"""An evaluator for the trainer of sentence-transformers."""

from __future__ import annotations

import csv
import logging
import os
import tempfile
from typing import Any, Sequence

try:
    from sentence_transformers.sentence_transformer.evaluation import SentenceEvaluator
except ModuleNotFoundError:  # Before version 6.
    from sentence_transformers.evaluation import SentenceEvaluator

from .api import evaluate

logger = logging.getLogger(__name__)


class SuiteEvaluator(SentenceEvaluator):
    """Spearman's ρ with a 95 % interval on suites, at each evaluation of a training run.

    Give it to ``SentenceTransformerTrainer(evaluator=…)``. It writes
    ``similarity_evaluation_<name>_results.csv`` as ``EmbeddingSimilarityEvaluator`` does, with two columns per suite
    and the ends of the interval.

    Args:
        suites: Ids or folders of suites. The first one gives ``primary_metric``.
        split: Split of all suites. A checkpoint must not be chosen on a test split, so the default is ``dev``.
        name: Put before every metric.
        batch_size: Texts per call of ``model.encode``.
        options: Every other option of ``korfinsts eval``.
    """

    def __init__(
        self,
        suites: Sequence[str | os.PathLike[str]],
        *,
        split: str = "dev",
        name: str = "",
        batch_size: int = 32,
        write_csv: bool = True,
        **options: Any,
    ) -> None:
        super().__init__()
        self.suites = [str(suite) for suite in suites]
        self.split = split
        self.name = name
        self.batch_size = batch_size
        self.write_csv = write_csv
        self.options = {"no_baselines": True, "quiet": True, **options}
        self.greater_is_better = True
        self.primary_metric = f"{self.suites[0]}_spearman_cosine"
        self.csv_file = "similarity_evaluation" + (f"_{name}" if name else "") + "_results.csv"

    def __call__(
        self, model: Any, output_path: str | None = None, epoch: int = -1, steps: int = -1
    ) -> dict[str, float]:
        """Metrics of one evaluation: for each suite ``<suite>_spearman_cosine``, ``…_low``, ``…_high`` and
        ``<suite>_pearson_cosine``."""
        with tempfile.TemporaryDirectory(prefix="korfinsts-") as results:
            records = evaluate(
                model,
                self.suites,
                name=self.name or "model",
                batch_size=self.batch_size,
                split=self.split,
                **{"results": results, **self.options},
            )
        # Suites may be asked for by the names of mteb's tasks; metrics have their ids.
        self.primary_metric = f"{records[0]['suite']['id']}_spearman_cosine"
        metrics: dict[str, float] = {}
        for row, record in zip(records.rows(), records):
            suite = row["suite"]
            metrics[f"{suite}_spearman_cosine"] = row["spearman"]
            metrics[f"{suite}_spearman_cosine_low"] = row["low"]
            metrics[f"{suite}_spearman_cosine_high"] = row["high"]
            metrics[f"{suite}_pearson_cosine"] = record["scores"].get("cosine_pearson")
            logger.info("%s %s: ρ %.4f [%.4f, %.4f]", suite, row["split"], row["spearman"], row["low"], row["high"])
        if output_path is not None and self.write_csv:
            self._write(output_path, epoch, steps, metrics)
        metrics = self.prefix_name_to_metrics(metrics, self.name)
        self.store_metrics_in_model_card_data(model, metrics, epoch, steps)
        return metrics

    def _write(self, folder: str, epoch: int, steps: int, metrics: dict[str, float]) -> None:
        os.makedirs(folder, exist_ok=True)
        path = os.path.join(folder, self.csv_file)
        is_new = not os.path.isfile(path)
        with open(path, "a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            if is_new:
                writer.writerow(["epoch", "steps", *metrics])
            writer.writerow([epoch, steps, *metrics.values()])

    @property
    def description(self) -> str:
        """Shown by sentence-transformers."""
        return "korfinsts: " + ", ".join(self.suites)

    def get_config_dict(self) -> dict[str, Any]:
        """Written into the model's card."""
        return {"suites": self.suites, "split": self.split}
