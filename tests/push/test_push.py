"""Pushes models, releases and results to a hub on this machine that fails in every way a hub fails, and compares what it holds
afterwards. `KORFINSTS` names the program [default: target/release/korfinsts].
"""

import json
import os
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from hub import READ, WRITE, Hub, tokens_sent

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(os.environ.get("KORFINSTS", ROOT / "target/release/korfinsts")).resolve()
ENCODERS = ROOT / "tests/reference/encoders"
RELEASES = ROOT / "benchmarks/korfin-shift/releases"
CARD = "---\nlicense: mit\ntags:\n- sentence-similarity\n---\n\n# A model for tests\n"


class Home(unittest.TestCase):
    """A hub and a folder of its own for each test."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="korfinsts-push-")
        self.addCleanup(folder.cleanup)
        self.home = Path(folder.name)
        self.hub = Hub()
        self.hub.__enter__()
        self.addCleanup(self.hub.__exit__)
        self.addCleanup(lambda: self.assertEqual(self.hub.wrong, []))
        self.token = WRITE

    def environment(self):
        other = ("KORFINSTS", "HF_", "XDG_", "LC_", "LANG")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(other) and not k.lower().endswith("_proxy")}
        token = {"HF_TOKEN": self.token} if self.token else {}
        return kept | token | {
            "HOME": str(self.home), "LC_ALL": "C.UTF-8", "COLUMNS": "200", "HF_ENDPOINT": self.hub.address, "HF_HUB_CACHE": str(self.home / "cache"),
        }  # fmt: skip

    def run_program(self, *arguments):
        done = subprocess.run([PROGRAM, *map(str, arguments)], cwd=self.home, env=self.environment(), capture_output=True, text=True, timeout=120)
        for token in (READ, WRITE):
            self.assertNotIn(token, done.stdout + done.stderr)
        return done

    def push(self, *arguments):
        """A push that succeeds; gives what it says as JSON."""
        done = self.run_program("push", *arguments, "--format", "json")
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def refused(self, code, said, *arguments):
        """A push that fails with this exit code and message."""
        done = self.run_program("push", *arguments)
        self.assertEqual((done.returncode, said in " ".join(done.stderr.split())), (code, True), done.stderr)
        self.assertIn("hint: ", done.stderr)

    def model(self, name="model", encoder="bert-mean"):
        """A model's folder with a card; gives what of it is pushed, by path."""
        folder = self.home / name
        shutil.copytree(ENCODERS / encoder, folder, ignore=shutil.ignore_patterns("golden*"))
        (folder / "README.md").write_text(CARD)
        return folder

    def files(self, folder):
        return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}

    def held(self, kind="models", name="org/model", revision="main"):
        return self.hub.repositories[kind, name].files(revision)


class Models(Home):
    def test_a_dry_run_lists_and_writes_nothing(self):
        folder = self.model()
        listed = self.push("model", folder, "org/model", "--dry-run", "--message", "First")
        self.assertEqual({f["path"]: f["size"] for f in listed["files"]}, {n: len(b) for n, b in self.files(folder).items()})
        how = {f["path"]: f["how"] for f in listed["files"]}
        self.assertEqual((how["README.md"], how["model.safetensors"]), ("inline", "lfs"))
        self.assertEqual((listed["exists"], listed["private"], listed["message"]), (False, True, "First"))
        self.assertEqual((self.hub.repositories, self.hub.stored), ({}, {}))
        self.assertEqual({m for m, _, _ in self.hub.requests}, {"GET"})
        self.token = None
        self.assertEqual(self.push("model", folder, "org/model", "--dry-run")["how_is_guessed"], True)
        shown = self.run_program("--offline", "push", "model", folder, "org/model", "--dry-run")
        self.assertEqual(shown.returncode, 0, shown.stderr)
        self.assertIn("not looked at", shown.stdout)
        self.assertRegex(shown.stdout, r"model.safetensors +\d+ +LFS")

    def test_a_model_is_pushed_once_and_then_what_changed(self):
        folder = self.model()
        pushed = self.push("model", folder, "org/model")
        self.assertEqual(self.held(), self.files(folder))
        repository = self.hub.repositories["models", "org/model"]
        self.assertEqual((repository.private, repository.titles, pushed["commit"]), (True, ["initial commit", "Add org/model"], repository.refs["main"]))
        asked = len(self.hub.requests)
        again = self.push("model", folder, "org/model")
        self.assertEqual((again["already"], again["commit"]), (True, pushed["commit"]))
        self.assertEqual({m for m, _, _ in self.hub.requests[asked:]}, {"GET"})
        (folder / "README.md").write_text(CARD + "More.\n")
        (folder / "notes.txt").write_text("")
        puts = self.hub.count("PUT", "")
        self.push("model", folder, "org/model")
        self.assertEqual((self.held(), self.hub.count("PUT", "")), (self.files(folder), puts))
        (folder / "notes.txt").unlink()
        listed = self.push("model", folder, "org/model", "--dry-run")
        self.assertEqual(listed["stay"], ["notes.txt"])
        self.push("model", folder, "org/model", "--delete")
        self.assertEqual(self.held(), self.files(folder))
        # The storage never saw the token.
        storage = self.hub.storage.removeprefix("http://")
        self.assertEqual((tokens_sent(self.hub)[storage, True], tokens_sent(self.hub)[storage, False]), (0, puts))

    def test_a_large_file_goes_in_parts_and_from_the_disk(self):
        folder = self.model()
        (folder / "large.bin").write_bytes(os.urandom(5 << 19))
        self.hub.multipart = 1 << 20
        self.hub.fail("PUT", "/1[?]", "500", 2)
        self.hub.fail("PUT", "/2[?]", "silent")
        self.hub.fail("POST", "/lfs/[0-9a-f]*[?]signed", "500")
        self.push("model", folder, "org/model")
        self.assertEqual(self.held(), self.files(folder))
        self.assertGreater(self.hub.count("PUT", "/2[?]signed"), 1)

    def test_memory_does_not_grow_with_a_file(self):
        def peak(name, size):
            folder = self.model(name)
            with open(folder / "large.bin", "wb") as file:
                file.truncate(size)
            command = [PROGRAM, "push", "model", str(folder), f"org/{name}"]
            child = subprocess.Popen(command, env=self.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            _, status, usage = os.wait4(child.pid, 0)
            child.returncode = status
            self.assertEqual(status, 0)
            return usage.ru_maxrss

        small, large = peak("small", 1 << 10), peak("large", 96 << 20)
        self.assertLess(large - small, 24 << 10, f"{small} and {large} KiB")

    def test_every_passing_failure_ends_in_one_commit(self):
        answers = ("500", "503", "429", "silent", "slow")
        cases = [(m, p, how) for m, p in (("GET", "/revision/"), ("POST", "/preupload/"), ("POST", "/batch"), ("PUT", "/lfs/"), ("POST", "/verify")) for how in answers]
        cases += [("POST", p, how) for p in ("/create", "/commit/") for how in (*answers, "500-after", "cut")]
        cases += [("GET", "/revision/", "cut"), ("POST", "/preupload/", "cut"), ("POST", "/batch", "cut"), ("PUT", "/lfs/", "500-after")]
        folder = self.model()
        for n, (method, pattern, how) in enumerate(cases):
            with self.subTest(method=method, pattern=pattern, how=how):
                # Unique weights, so that each push sends them.
                (folder / "extra.bin").write_bytes(b"\0" + str(n).encode())
                self.hub.failures.clear()
                self.hub.fail(method, pattern, how)
                self.push("model", folder, f"org/model-{n}")
                repository = self.hub.repositories["models", f"org/model-{n}"]
                self.assertEqual(repository.files(), self.files(folder))
                self.assertEqual(len(repository.commits), 2, repository.titles)
                self.assertEqual(self.hub.failures[0][3], 0, "it was to fail")

    def test_what_does_not_pass_is_said_and_goes_on_later(self):
        folder = self.model()
        cases = [
            ("PUT", "/lfs/", "403:Request has expired", "status 403): Request has expired"),
            ("PUT", "/lfs/", "corrupt", "XAmzContentSHA256Mismatch"),
            ("POST", "/batch", "corrupt", "(status 422): the object cannot be stored"),
            ("POST", "/batch", "507:quota exceeded", "(status 507): quota exceeded"),
            ("POST", "/preupload/", "413:too large", "(status 413): too large"),
            ("POST", "/commit/", "412:A commit has happened since", "refuses the commit: A commit has happened since"),
            ("POST", "/commit/", "400:bad", "(status 400): bad"),
            ("POST", "/verify", "404", "the hub has no `"),
        ]
        for n, (method, pattern, how, said) in enumerate(cases):
            with self.subTest(how=how):
                (folder / "extra.bin").write_bytes(b"\0" + str(n).encode())
                self.hub.failures.clear()
                self.hub.fail(method, pattern, how)
                self.refused(5, said, "model", folder, f"org/model-{n}")
                self.assertEqual(self.held(name=f"org/model-{n}"), {})
                # Once more: what the storage has is not sent again.
                stored, puts = len(self.hub.stored), self.hub.count("PUT", "")
                self.push("model", folder, f"org/model-{n}")
                self.assertEqual(self.held(name=f"org/model-{n}"), self.files(folder))
                self.assertEqual(len(self.hub.stored) - stored, self.hub.count("PUT", "") - puts)

    def test_a_push_that_is_killed_goes_on(self):
        folder = self.model()
        (folder / "large.bin").write_bytes(os.urandom(1 << 20))
        command = [PROGRAM, "push", "model", str(folder), "org/model"]
        child = subprocess.Popen(command, env=self.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.hub.fail("PUT", "/lfs/", child.kill)
        self.assertEqual(child.wait(), -9)
        while not self.hub.stored:
            pass
        self.assertEqual((len(self.hub.stored), self.held()), (1, {}))
        self.push("model", folder, "org/model")
        self.assertEqual((self.held(), self.hub.count("PUT", "")), (self.files(folder), 2))

    def test_a_commit_that_comes_in_between_is_not_overwritten(self):
        folder = self.model()
        self.push("model", folder, "org/model")
        repository = self.hub.repositories["models", "org/model"]
        (folder / "README.md").write_text(CARD + "Mine.\n")

        def other():
            files = dict(repository.commits[repository.refs["main"]])
            files["README.md"] = type(files["README.md"])(b"Theirs.", False)
            repository.commit("main", "theirs", files)

        self.hub.fail("POST", "/commit/", other)
        self.refused(5, "A commit has happened since", "model", folder, "org/model")
        self.assertEqual((self.held()["README.md"], repository.titles[-1]), (b"Theirs.", "theirs"))

    def test_a_file_that_changes_while_it_is_sent_is_not_committed(self):
        for change in ("longer", "shorter", "other"):
            with self.subTest(change=change):
                folder = self.model(change)
                large = folder / "large.bin"
                large.write_bytes(bytes(1 << 20))
                new = {"longer": bytes((1 << 20) + 1), "shorter": bytes(1 << 19), "other": bytes((1 << 20) - 1) + b"x"}[change]
                self.hub.fail("POST", "/batch", lambda large=large, new=new: large.write_bytes(new))
                self.refused(3, "large.bin: the file changed while it was sent", "model", folder, f"org/{change}")
                self.assertEqual(self.held(name=f"org/{change}"), {})
                self.assertFalse([s for s in self.hub.stored.values() if len(s) >= 1 << 19])
        folder = self.model("text")
        self.hub.fail("POST", "/batch", lambda: (folder / "README.md").write_text(CARD + "later"))
        self.refused(3, "README.md: the file changed while it was sent", "model", folder, "org/text")

    def test_tokens_that_do_not_suffice(self):
        folder = self.model()
        for token, code, said in [
            (None, 5, "a push needs a token of the hub"),
            (READ, 5, "(status 403): You need a token with write access"),
            ("another-token", 5, "(status 401): Invalid credentials in Authorization header: ***"),
        ]:
            self.token = token
            with self.subTest(token=token):
                self.refused(code, said, "model", folder, "org/model")
        self.assertEqual(self.hub.repositories, {})
        self.token = WRITE
        done = self.run_program("--offline", "push", "model", folder, "org/model")
        self.assertEqual(done.returncode, 5, done.stderr)
        self.assertIn("add `--dry-run`", done.stderr)

    def test_a_repository_is_private_unless_it_is_asked_to_be_public(self):
        folder = self.model()
        self.push("model", folder, "org/model", "--public")
        self.assertFalse(self.hub.repositories["models", "org/model"].private)
        (folder / "notes.txt").write_text("x")
        self.refused(2, "model `org/model` is public: nothing was pushed", "model", folder, "org/model")
        self.assertNotIn("notes.txt", self.held())
        self.push("model", folder, "org/model", "--public")
        self.assertIn("notes.txt", self.held())

    def test_what_of_a_folder_is_pushed(self):
        folder = self.model()
        expected = self.files(folder)
        for name in (".git/config", ".env", "optimizer.pt", "checkpoint-10/model.safetensors", "training/state-1/x", "runs/events", "a/.hidden"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text("secret")
        for name in (".eval_results/a.yaml", "training/metrics.jsonl"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text("[]")
            expected[name] = b"[]"
        listed = self.push("model", folder, "org/model", "--dry-run")
        self.assertEqual(
            [f["path"] for f in listed["left_out"]],
            [".env", ".git", "a/.hidden", "checkpoint-10", "optimizer.pt", "runs", "training/state-1"],
        )
        self.push("model", folder, "org/model")
        self.assertEqual(self.held(), expected)

        def refused(name, said, make):
            with self.subTest(name=name):
                make(folder / name)
                self.refused(3, said, "model", folder, "org/other")
                (folder / name).unlink()

        hub_token = "hf_" + "Ab1" * 12
        outside = self.home / "outside"
        outside.write_text("of somebody else")
        refused("link.txt", "link.txt: it is a link, which may lead out of the folder", lambda p: p.symlink_to(outside))
        refused("links", "links: it is a link", lambda p: p.symlink_to(self.home, target_is_directory=True))
        refused("pipe", "pipe: it is no file", os.mkfifo)
        refused("notes.txt", "notes.txt:2: it holds a token of the hub", lambda p: p.write_text(f"x\n{hub_token}\n"))
        refused("own.txt", "own.txt:1: it holds the token of the hub that is in use", lambda p: p.write_text(WRITE))
        refused("server.key", "server.key: it is named like a file of keys", lambda p: p.write_text("x"))
        refused("a\nb", "a repository has no such path", lambda p: p.write_text("x"))
        self.assertNotIn(("models", "org/other"), self.hub.repositories)

    def test_a_folder_that_is_no_whole_model_is_refused(self):
        def refused(code, said, change):
            with self.subTest(said=said):
                folder = self.model()
                change(folder)
                self.refused(code, said, "model", folder, "org/model")
                shutil.rmtree(folder)

        refused(3, "README.md: the model has no card", lambda f: (f / "README.md").unlink())
        refused(3, "README.md:1: no licence is named", lambda f: (f / "README.md").write_text("# A model\n"))
        refused(4, "config.json", lambda f: (f / "config.json").unlink())
        refused(4, "model.safetensors", lambda f: (f / "model.safetensors").write_bytes((f / "model.safetensors").read_bytes()[:-1]))
        self.refused(2, "is no repository name", "model", self.model(), "a/b/c")
        self.assertEqual(self.hub.requests, [])

    def test_a_redirect_is_followed_on_the_host_alone(self):
        folder = self.model()
        for n, pattern in enumerate(("/create", "/preupload/", "/batch", "/commit/")):
            (folder / "extra.bin").write_bytes(b"\0" + str(n).encode())
            self.hub.fail("POST", pattern, "moved")
            self.push("model", folder, f"org/model-{n}")
            self.assertEqual(self.held(name=f"org/model-{n}"), self.files(folder))
            self.hub.fail("POST", pattern, "elsewhere")
            (folder / "extra.bin").write_bytes(b"\0\0" + str(n).encode())
            self.refused(5, "(status 307)", "model", folder, f"org/other-{n}")
        storage = self.hub.storage.removeprefix("http://")
        self.assertEqual(tokens_sent(self.hub)[storage, True], 0)

    def test_a_file_that_the_repository_ignores_is_said(self):
        folder = self.model()
        self.push("model", folder, "org/model")
        repository = self.hub.repositories["models", "org/model"]
        files = dict(repository.commits[repository.refs["main"]])
        files[".gitignore"] = type(files["README.md"])(b"notes.txt\n", False)
        repository.commit("main", "ignore", files)
        (folder / "notes.txt").write_text("x")
        self.refused(3, "notes.txt: the `.gitignore` of the repository excludes it", "model", folder, "org/model")


class Releases(Home):
    def test_a_release_is_a_dataset_and_the_next_version_replaces_it(self):
        for version, more in (("1.0.0", []), ("1.1.0", ["--delete"])):
            self.push("release", RELEASES / f"korfin-shift-{version}.zip", "org/korfin-shift", *more)
            held = self.held("datasets", "org/korfin-shift")
            with __import__("zipfile").ZipFile(RELEASES / f"korfin-shift-{version}.zip") as release:
                self.assertEqual(held, {name: release.read(name) for name in release.namelist()})
        titles = self.hub.repositories["datasets", "org/korfin-shift"].titles
        self.assertRegex(titles[2], r"^korfin-shift 1\.1\.0, release id [0-9a-f]{64}$")

    def test_a_release_that_does_not_verify_stays(self):
        broken = self.home / "korfin-shift-1.1.0.zip"
        broken.write_bytes((RELEASES / broken.name).read_bytes().replace(b"KorFin-Shift 1.1.0", b"KorFin-Shift 9.9.9", 1))
        done = self.run_program("push", "release", broken, "org/korfin-shift")
        self.assertIn(done.returncode, (1, 3), done.stderr)
        self.assertEqual(self.hub.requests, [])


class Results(Home):
    def setUp(self):
        super().setUp()
        self.folder = self.model()
        done = self.run_program("eval", self.folder, "--suite", "korfin-shift", "--offline")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.records = self.home / "korfinsts-results"
        self.push("model", self.folder, "org/model", "--public")
        self.score = next(json.loads(p.read_text()) for p in self.records.rglob("*.native.json") if "baseline" not in str(p))["scores"]["cosine_spearman"]

    def test_results_are_a_pull_request_with_the_card_as_it_was(self):
        before = self.held()
        listed = self.push("results", self.records, "org/model", "--model", "model", "--dry-run")
        self.assertEqual(([f["path"] for f in listed["files"]], listed["pull_request"]), ([".eval_results/korfin-shift.test.yaml", "README.md"], True))
        pushed = self.push("results", self.records, "org/model", "--model", "model")
        self.assertEqual((pushed["url"], self.held()), (f"{self.hub.address}/org/model/discussions/1", before))
        files = self.held(revision="refs/pr/1")
        self.assertEqual({n: b for n, b in files.items() if n not in ("README.md", ".eval_results/korfin-shift.test.yaml")}, {n: b for n, b in before.items() if n != "README.md"})
        card = files["README.md"].decode()
        self.assertTrue(card.startswith("---\nlicense: mit\ntags:\n- sentence-similarity\nmodel-index:\n- name: \"model\"\n") and card.endswith("---\n\n# A model for tests\n"), card)
        self.assertIn(f"value: {self.score!r}\n", card)
        # Once more, and with an answer that is lost: the same pull request.
        self.assertEqual(self.push("results", self.records, "org/model", "--model", "model")["already"], True)
        self.assertEqual(len(self.hub.repositories["models", "org/model"].pulls), 1)
        for n, how in enumerate(("500-after", "cut", "silent", "429"), 2):
            self.hub.fail("POST", "/commit/", how)
            self.push("results", self.records, "org/model", "--model", "model", "--message", f"Results {n}")
            self.assertEqual(len(self.hub.repositories["models", "org/model"].pulls), n, how)

    def test_results_of_other_weights_and_of_parts_stay(self):
        other = self.model("other", "mpnet-mean")
        self.push("model", other, "org/other", "--public")
        self.refused(3, "`org/other` does not hold the weights that were evaluated", "results", self.records, "org/other", "--model", "model")
        self.push("results", self.records, "org/other", "--model", "model", "--other-weights")
        self.refused(5, "the hub has no model `org/none`", "results", self.records, "org/none", "--model", "model")
        part = self.run_program("eval", self.folder, "--suite", "korfin-shift", "--limit", "50", "--results", "part", "--offline")
        self.assertEqual(part.returncode, 0, part.stderr)
        self.refused(3, "the record is of the first 50 pairs of the suite", "results", "part", "org/model", "--model", "model")

    def test_results_repositories_get_a_branch(self):
        record = next(p for p in self.records.rglob("*.native.json") if "baseline" not in str(p))
        value = json.loads(record.read_text())
        value["suite"] |= {"id": "korsts", "mteb_task": "KorSTS", "hub_revision": "016f35f4b961daad4c82a2a7d3d95bbbd24b2d4f"}
        record.write_text(json.dumps(value))
        for n in (1, 2):
            self.push("results", record, "org/model", "--results-repo", "org/results")
            results = self.hub.repositories["datasets", "org/results"]
            head = self.hub.repositories["models", "org/model"].refs["main"]
            files = results.files("korfinsts-org__model")
            self.assertEqual((sorted(files), results.files(), len(results.titles)), (
                [f"results/org__model/{head}/KorSTS.json", f"results/org__model/{head}/model_meta.json"], {}, 2,
            ))  # fmt: skip
        self.assertEqual(json.loads(files[f"results/org__model/{head}/model_meta.json"])["name"], "org/model")


if __name__ == "__main__":
    unittest.main()
