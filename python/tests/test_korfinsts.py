"""Tests of the Python package: `KORFINSTS_BIN=target/release/korfinsts PYTHONPATH=python python -m unittest discover python/tests`.

Those of sentence-transformers and mteb need the packages, and all-MiniLM-L6-v2 in KORFINSTS_MINILM. They say so when they are skipped.
"""

import csv
import hashlib
import importlib.util
import io
import json
import math
import os
import tempfile
import unittest
import urllib.error
import urllib.request
from contextlib import redirect_stderr
from pathlib import Path

import korfinsts

PAIRS = [
    ("금리가 올랐다", "금리 인상", 4.5),
    ("금리가 올랐다", "금리 인하", 1.5),
    ("주가가 내렸다", "주가 하락", 5.0),
    ("주가가 내렸다", "환율 상승", 0.5),
    ("매출이 늘었다", "매출 증가", 4.0),
    ("매출이 늘었다", "배당 축소", 0.0),
    ("A rate hike lowers bond prices.", "Bond prices fall when rates rise.", 4.8),
    ("A rate hike lowers bond prices.", "The cat sat on the mat.", 0.2),
]

SUITE = """schema = 1
id = "own"
version = "1.0.0"
title = "own"
description = "pairs of a test"
languages = ["kor-Hang"]
licence = "CC0-1.0"
redistributable = true
default_split = "dev"

[scale]
kind = "interval"
min = 0
max = 5

[splits.dev]

[[source]]
name = "own"
format = { kind = "auto" }
columns = { sentence1 = "a", sentence2 = "b", score = "s" }

[source.files]
dev = [{ name = "rows.jsonl" }]
"""

GATED = """import hashlib, torch
from sentence_transformers.sentence_transformer.modules import Module

class Gated(Module):
    config_keys = []

    def __init__(self):
        super().__init__()
        make = torch.Generator().manual_seed(7)
        self.words = torch.nn.Parameter(torch.randn(512, 32, generator=make))
        self.gate = torch.nn.Parameter(torch.randn(32, 32, generator=make))

    def preprocess(self, texts, **options):
        width = max(len(t.split()) for t in texts)
        ids = [[1 + hashlib.sha256(w.encode()).digest()[0] for w in t.split()] for t in texts]
        return {"ids": torch.tensor([row + [0] * (width - len(row)) for row in ids])}

    tokenize = preprocess

    def forward(self, features, **options):
        states = self.words[features["ids"]] * (features["ids"] > 0).unsqueeze(-1)
        features["sentence_embedding"] = (states * torch.sigmoid(states @ self.gate)).sum(dim=1)
        return features

    def save(self, path, **options): pass

    @classmethod
    def load(cls, path, **options): return cls()
"""

HAS_MINILM = bool(os.environ.get("KORFINSTS_MINILM"))


def needs(*packages):
    missing = [p for p in packages if importlib.util.find_spec(p) is None]
    if not HAS_MINILM:
        missing.append("KORFINSTS_MINILM")
    return unittest.skipIf(missing, f"SKIPPED: needs {', '.join(missing)}")


def letters(texts):
    """An encoder of pairs of letters, written for the tests."""
    rows = []
    for text in texts:
        row = [0.0] * 64
        for pair in zip(text, text[1:]):
            row[hashlib.sha256("".join(pair).encode()).digest()[0] % 64] += 1.0
        rows.append(row if any(row) else [1.0] + [0.0] * 63)
    return rows


def spearman(a, b):
    """Spearman's ρ: Pearson's r of average ranks."""
    def ranks(values):
        return [sum(w < v for w in values) + (1 + sum(w == v for w in values)) / 2 for v in values]

    a, b = ranks(a), ranks(b)
    mean = (len(a) + 1) / 2
    cross = sum((x - mean) * (y - mean) for x, y in zip(a, b))
    return cross / math.sqrt(sum((x - mean) ** 2 for x in a) * sum((y - mean) ** 2 for y in b))


class Case(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.suite = self.folder / "own"
        self.suite.mkdir()
        (self.suite / "suite.toml").write_text(SUITE, encoding="utf-8")
        rows = [json.dumps({"a": a, "b": b, "s": s}, ensure_ascii=False) for a, b, s in PAIRS]
        (self.suite / "rows.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")

    def options(self, **more):
        return {"data": self.folder / "data", "results": self.folder / "results", "quiet": True, "resamples": 100, **more}


class Evaluate(Case):
    def test_a_function_is_scored_as_its_embeddings_say(self):
        results = korfinsts.evaluate(letters, [self.suite], no_baselines=True, **self.options())
        (record,) = results
        self.assertEqual(record["encoder"]["name"], "letters")
        self.assertTrue(record["encoder"]["endpoint"]["server"].startswith("Python"))
        self.assertFalse(record["encoder"]["endpoint"]["pinned"])

        def cosine(a, b):
            dot = sum(x * y for x, y in zip(a, b))
            return dot / (sum(x * x for x in a) * sum(x * x for x in b)) ** 0.5

        def ranks(values):
            order = sorted(values)
            return [(order.index(v) + len(order) - 1 - order[::-1].index(v)) / 2 for v in values]

        found = ranks([cosine(*letters([a, b])) for a, b, _ in PAIRS])
        gold = ranks([s for *_, s in PAIRS])
        mean = (len(PAIRS) - 1) / 2
        top = sum((x - mean) * (y - mean) for x, y in zip(found, gold))
        expected = top / (sum((x - mean) ** 2 for x in found) * sum((y - mean) ** 2 for y in gold)) ** 0.5
        self.assertAlmostEqual(record["scores"]["cosine_spearman"], expected, places=12)

    def test_a_model_that_changed_is_encoded_again(self):
        def one(texts):
            return letters(texts)

        def other(texts):
            # The largest component keeps its place and sign, by which the program tells models apart.
            return [[v**3 for v in row] for row in letters(texts)]

        first = korfinsts.evaluate(one, [self.suite], name="m", no_baselines=True, **self.options())
        second = korfinsts.evaluate(other, [self.suite], name="m", no_baselines=True, **self.options())
        self.assertNotEqual(first[0]["scores"], second[0]["scores"])

    def test_what_a_model_raises_is_the_cause(self):
        def broken(texts):
            raise KeyError("no such word")

        with self.assertRaises(korfinsts.Error) as caught, redirect_stderr(io.StringIO()):
            korfinsts.evaluate(broken, [self.suite], **self.options())
        self.assertIsInstance(caught.exception.__cause__, KeyError)
        self.assertIn("no such word", str(caught.exception))

    def test_vectors_that_are_missing_are_refused(self):
        with self.assertRaises(korfinsts.Error) as caught, redirect_stderr(io.StringIO()):
            korfinsts.evaluate(lambda texts: letters(texts)[1:], [self.suite], **self.options())
        self.assertIn("0 vectors for 1 texts", str(caught.exception))

    def test_a_wrong_option_and_a_wrong_model_say_what_is_allowed(self):
        with self.assertRaises(korfinsts.Error) as caught, redirect_stderr(io.StringIO()):
            korfinsts.evaluate("nmixx-mini", "korfin-shift", protocol="mtbe", **self.options())
        self.assertIn("finmteb", str(caught.exception))
        self.assertEqual(caught.exception.code, 2)
        with self.assertRaises(TypeError) as caught:
            korfinsts.evaluate(3, [self.suite])
        self.assertIn("found int", str(caught.exception))

    def test_a_table_a_page_and_rows(self):
        results = korfinsts.evaluate([letters, "nmixx-mini"], [self.suite], no_baselines=True, **self.options())
        self.assertEqual([r["model"] for r in results.rows()], ["letters", "nmixx-mini"])
        lines = repr(results).splitlines()
        self.assertEqual(len(lines), 3)
        self.assertTrue(lines[0].startswith("model"))
        self.assertIn("<td>nmixx-mini</td>", results._repr_html_())
        difference = korfinsts.compare("letters", "nmixx-mini", **self.options(results=self.folder / "results"))
        ours = difference["suites"]["own"]
        self.assertAlmostEqual(ours["spearman_a"], results[0]["scores"]["cosine_spearman"], places=12)


class Others(Case):
    def test_embeddings_keep_the_order_and_the_line_breaks(self):
        rows = korfinsts.encode("nmixx-mini", ["금리 인상", "a\nb", "금리 인상"], quiet=True)
        self.assertEqual(len(rows), 3)
        self.assertEqual(list(rows[0]), list(rows[2]))
        self.assertNotEqual(list(rows[0]), list(rows[1]))

    def test_coverage(self):
        checkpoint = Path(__file__).parents[2] / "training/checkpoints/nmixx-mini"
        (report,) = korfinsts.coverage(checkpoint, suite="korfin-shift", quiet=True, data=self.folder / "data")
        self.assertEqual(report["vocab_size"], 18000)

    def test_options_become_flags(self):
        from korfinsts._run import flags

        self.assertEqual(flags({"max_tokens": 256, "strict": True, "dry_run": False, "prompt": None}), ["--max-tokens=256", "--strict"])
        self.assertEqual(flags({"onnx_input": ["a=1", "b=2"], "prompt": "-x"}), ["--onnx-input=a=1", "--onnx-input=b=2", "--prompt=-x"])

    def test_a_page_of_another_host_is_not_served(self):
        with korfinsts.ServedModel(letters) as served:
            address = served.source.split("#")[0] + "/v1/models"
            self.assertEqual(urllib.request.urlopen(address).status, 200)
            request = urllib.request.Request(address, headers={"Host": "evil.example"})
            with self.assertRaises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(request)
            self.assertEqual(caught.exception.code, 403)
            caught.exception.close()


class SentenceTransformers(Case):
    @needs("sentence_transformers")
    def test_a_sentence_transformer_has_the_score_of_its_files(self):
        from sentence_transformers import SentenceTransformer

        path = os.environ["KORFINSTS_MINILM"]
        model = SentenceTransformer(path, device="cpu")
        python = korfinsts.evaluate(model, [self.suite], name="python", no_baselines=True, **self.options())
        native = korfinsts.evaluate(path, [self.suite], no_baselines=True, **self.options())
        self.assertAlmostEqual(
            python[0]["scores"]["cosine_spearman"], native[0]["scores"]["cosine_spearman"], delta=1e-6
        )
        self.assertIn("sentence-transformers", python[0]["encoder"]["endpoint"]["server"])

    @needs("sentence_transformers")
    def test_the_prompts_of_a_sentence_transformer_are_those_of_the_protocol(self):
        from sentence_transformers import SentenceTransformer

        model = SentenceTransformer(os.environ["KORFINSTS_MINILM"], device="cpu")
        model.prompts = {"STS": "Represent: "}
        model.default_prompt_name = "STS"
        own = korfinsts.evaluate(model, [self.suite], name="m", no_baselines=True, **self.options())
        raw = korfinsts.evaluate(model, [self.suite], name="m", protocol="raw", no_baselines=True, **self.options())
        self.assertEqual(own[0]["encoder"]["prompts"], ["Represent: ", "Represent: "])
        self.assertEqual(raw[0]["encoder"]["prompts"], ["", ""])
        self.assertNotEqual(own[0]["scores"]["cosine_pearson"], raw[0]["scores"]["cosine_pearson"])

    @needs("sentence_transformers")
    def test_the_evaluator_of_a_trainer(self):
        from korfinsts.evaluators import SuiteEvaluator
        from sentence_transformers import SentenceTransformer

        model = SentenceTransformer(os.environ["KORFINSTS_MINILM"], device="cpu")
        evaluator = SuiteEvaluator([self.suite], name="sts", **self.options())
        metrics = evaluator(model, str(self.folder / "out"), epoch=1, steps=2)
        self.assertIn(evaluator.primary_metric, metrics)
        self.assertLessEqual(metrics["sts_own_spearman_cosine_low"], metrics["sts_own_spearman_cosine"])
        with (self.folder / "out" / evaluator.csv_file).open(encoding="utf-8") as file:
            head, row = list(csv.reader(file))
        self.assertEqual(head[:3], ["epoch", "steps", "own_spearman_cosine"])
        self.assertEqual(float(row[2]), metrics["sts_own_spearman_cosine"])

    @needs("sentence_transformers")
    def test_a_model_with_code_of_its_own(self):
        """A module that no architecture of the program knows: words that are hashed into a table, and gated."""
        from sentence_transformers import SentenceTransformer

        folder = self.folder / "custom"
        folder.mkdir()
        (folder / "gated.py").write_text(GATED, encoding="utf-8")
        (folder / "config_sentence_transformers.json").write_text("{}", encoding="utf-8")
        (folder / "modules.json").write_text(
            json.dumps([{"idx": 0, "name": "0", "path": "", "type": "gated.Gated"}]), encoding="utf-8"
        )
        model = SentenceTransformer(str(folder), device="cpu", trust_remote_code=True)
        [record] = korfinsts.evaluate(model, [self.suite], name="gated", no_baselines=True, **self.options())
        a, b, gold = zip(*PAIRS)
        a, b = (model.encode(list(side), normalize_embeddings=True).astype("float64") for side in (a, b))
        expected = spearman((a * b).sum(axis=1).tolist(), gold)
        self.assertAlmostEqual(record["scores"]["cosine_spearman"], expected, delta=1e-9)
        # Nothing of it can be hashed, and the record says so.
        self.assertIn("sentence-transformers", record["encoder"]["endpoint"]["server"])
        with self.assertRaises(korfinsts.Error):
            korfinsts.evaluate(str(folder), [self.suite], no_baselines=True, **self.options())

    @needs("sentence_transformers", "accelerate", "datasets")
    def test_a_trainer_keeps_the_best_checkpoint_by_a_suite(self):
        from datasets import Dataset
        from korfinsts.evaluators import SuiteEvaluator
        from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
        from sentence_transformers.sentence_transformer.losses import CoSENTLoss

        model = SentenceTransformer(os.environ["KORFINSTS_MINILM"], device="cpu")
        evaluator = SuiteEvaluator([self.suite], **self.options())
        out = self.folder / "out"
        trainer = SentenceTransformerTrainer(
            model=model,
            args=SentenceTransformerTrainingArguments(
                output_dir=str(out),
                num_train_epochs=3,
                per_device_train_batch_size=4,
                learning_rate=1e-3,
                eval_strategy="epoch",
                save_strategy="epoch",
                load_best_model_at_end=True,
                metric_for_best_model="eval_own_spearman_cosine",
                report_to=[],
                use_cpu=True,
            ),
            # Pairs whose scores are turned around: training makes it worse, so the best checkpoint is not the last one.
            train_dataset=Dataset.from_dict(
                {"a": [p[0] for p in PAIRS], "b": [p[1] for p in PAIRS], "score": [1 - p[2] / 5 for p in PAIRS]}
            ),
            loss=CoSENTLoss(model),
            evaluator=evaluator,
        )
        with self.assertNoLogs("sentence_transformers.base.model_card", "WARNING"):
            trainer.train()
        with (out / "eval" / evaluator.csv_file).open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        scores = [float(row["own_spearman_cosine"]) for row in rows]
        self.assertEqual([float(row["epoch"]) for row in rows], [1, 2, 3])
        self.assertLess(scores[-1], scores[0])
        self.assertAlmostEqual(trainer.state.best_metric, max(scores))
        [best] = korfinsts.evaluate(model, [self.suite], name="best", no_baselines=True, **self.options())
        self.assertAlmostEqual(best["scores"]["cosine_spearman"], max(scores))

    @needs("sentence_transformers", "mteb")
    def test_a_model_of_mteb(self):
        from mteb.models import SentenceTransformerEncoderWrapper
        from sentence_transformers import SentenceTransformer

        model = SentenceTransformer(os.environ["KORFINSTS_MINILM"], device="cpu")
        wrapped = SentenceTransformerEncoderWrapper(model)
        a = korfinsts.evaluate(wrapped, [self.suite], name="mteb", no_baselines=True, **self.options())
        b = korfinsts.evaluate(model, [self.suite], name="own", no_baselines=True, **self.options())
        self.assertAlmostEqual(a[0]["scores"]["cosine_pearson"], b[0]["scores"]["cosine_pearson"], places=6)


if __name__ == "__main__":
    unittest.main()
