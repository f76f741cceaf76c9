"""What was pushed is opened by `huggingface_hub`, `datasets`, and, where they are installed, sentence-transformers and mteb, against the
hub on this machine. `KORFINSTS_PYTHON` names a Python that has them.
"""

import json
import os
import subprocess
import sys
import unittest
from pathlib import Path

import test_push
from test_push import RELEASES

PYTHON = os.environ.get("KORFINSTS_PYTHON")


class Readers(test_push.Home):
    def setUp(self):
        if not PYTHON:
            self.skip("KORFINSTS_PYTHON names no Python with `huggingface_hub` and `datasets`, so nothing that was pushed is opened by them")
        super().setUp()

    def skip(self, reason):
        print(f"SKIPPED: {reason}", file=sys.stderr)
        self.skipTest(reason)

    def read(self, *arguments):
        environment = self.environment() | {"HF_HOME": str(self.home / "python"), "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_XET": "1"}
        del environment["HF_HUB_CACHE"]
        script = Path(__file__).with_name("read.py")
        done = subprocess.run([PYTHON, "-B", script, *arguments], env=environment, capture_output=True, text=True, timeout=300)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout.splitlines()[-1])

    def test_the_library_of_the_hub_pushes_the_same(self):
        folder = self.model()
        (folder / "large.bin").write_bytes(os.urandom(3 << 20))
        self.hub.multipart = 1 << 20
        commit = self.read("upload", "org/theirs", str(folder))
        self.push("model", folder, "org/ours")
        theirs, ours = (self.hub.repositories["models", f"org/{name}"] for name in ("theirs", "ours"))
        stored = lambda r: {n: (f.oid, f.apart) for n, f in r.commits[r.refs["main"]].items()}  # noqa: E731
        self.assertEqual((stored(ours), ours.private), (stored(theirs), theirs.private))
        pushed = self.push("model", folder, "org/theirs")
        self.assertEqual((pushed["already"], pushed["commit"]), (True, commit))

    def test_a_model_is_opened(self):
        folder = self.model()
        self.push("model", folder, "org/model")
        texts = ["영업이익이 증가했다.", "Operating profit rose."]
        (self.home / "texts.txt").write_text("\n".join(texts) + "\n")
        read = self.read("model", "org/model", json.dumps(texts))
        self.assertEqual({n: b for n, b in self.files(Path(read["folder"])).items() if n != ".gitattributes"}, self.files(folder))
        if read["embeddings"] is None:
            self.skip("sentence-transformers is not installed, so the model was downloaded and not run")
        done = self.run_program("encode", folder, "-i", "texts.txt", "-o", "texts.jsonl", "--offline")
        self.assertEqual(done.returncode, 0, done.stderr)
        ours = [json.loads(line) for line in (self.home / "texts.jsonl").read_text().splitlines()]
        for a, b in zip(ours, read["embeddings"], strict=True):
            a = a["embedding"] if isinstance(a, dict) else a
            self.assertLess(max(abs(x - y) for x, y in zip(a, b, strict=True)), 1e-5)

    def test_a_release_is_loaded(self):
        self.push("release", RELEASES / "korfin-shift-1.1.0.zip", "org/korfin-shift")
        read = self.read("dataset", "org/korfin-shift")
        self.assertEqual(set(read), {"dev", "test"})
        for split, rows in read.items():
            lines = (RELEASES / f"korfin-shift-1.1.0/data/{split}.jsonl").read_text().splitlines()
            self.assertEqual(rows, [json.loads(line) for line in lines])

    def test_results_are_read(self):
        folder = self.model()
        done = self.run_program("eval", folder, "--suite", "korfin-shift", "--offline")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.push("model", folder, "org/model")
        path = next(p for p in (self.home / "korfinsts-results").rglob("*.native.json") if p.parent.name.startswith("model-"))
        self.push("results", path, "org/model")
        record = json.loads(path.read_text())
        read = self.read("results", "org/model", "1")
        self.assertEqual((read["license"], read["name"], read["text"].strip(), read["datasets"]), ("mit", "model", "# A model for tests", ["korfin-shift"]))
        self.assertEqual({k: record["scores"][k] for k in read["scores"] if k in record["scores"]}, {k: v for k, v in read["scores"].items() if k in record["scores"]})
        self.assertIn("cosine_spearman", read["scores"])
        self.assertEqual([e[:2] for e in read["entries"]], [["korfin-shift", record["scores"]["cosine_spearman"]]])
        self.assertEqual(read["requests"], ["Add results of org/model on korfin-shift (korfinsts)"])
        # A suite that mteb has; its rows may not be shipped, so its name is put on this record.
        record["suite"] |= {"id": "korsts", "mteb_task": "KorSTS", "hub_revision": "016f35f4b961daad4c82a2a7d3d95bbbd24b2d4f"}
        path.write_text(json.dumps(record))
        self.push("results", path, "org/model", "--results-repo", "org/results")
        read = self.read("mteb", "org/results", "korfinsts-org__model", "org/model")
        if read is None:
            self.skip("mteb is not installed, so the branch of results was not read by it")
        self.assertEqual(read, {"org/model": {"KorSTS": round(record["scores"]["cosine_spearman"], 6)}})


if __name__ == "__main__":
    unittest.main()
