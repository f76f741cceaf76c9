"""Runs the steps of action.yml as a runner does, with a server of comments on this machine.

`KORFINSTS` names the program [default: target/release/korfinsts].
"""

import http.server
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import threading
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = pathlib.Path(os.environ.get("KORFINSTS", ROOT / "target/release/korfinsts")).resolve()
ENCODERS = ROOT / "tests/reference/encoders"


def parse(text):
    """The YAML that action.yml uses: mappings, lists of mappings, block scalars, scalars on one line."""
    lines = [line for line in text.split("\n") if line.strip() and not re.match(r" *# ", line)]
    value, rest = block(lines, 0)
    assert not rest, rest
    return value


def block(lines, depth):
    value = None
    while lines and len(lines[0]) - len(lines[0].lstrip()) >= depth:
        line = lines[0]
        assert line.startswith(" " * depth) and line[depth] != " ", line
        if line[depth:].startswith("- "):
            value = [] if value is None else value
            item, lines = block([" " * (depth + 2) + line[depth + 2 :], *lines[1:]], depth + 2)
            value.append(item)
            continue
        value = {} if value is None else value
        key, said = re.fullmatch(r"([\w-]+):(?: (.*))?", line[depth:]).groups()
        lines = lines[1:]
        if (said or "").split(" # ")[0] == "|":
            end = next((n for n, l in enumerate(lines) if len(l) - len(l.lstrip()) <= depth), len(lines))
            value[key], lines = "".join(l[depth + 2 :] + "\n" for l in lines[:end]), lines[end:]
        elif said is None:
            value[key], lines = block(lines, depth + 2)
        else:
            value[key] = json.loads(said) if said.startswith('"') else said
    return value, lines


def read(path):
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


class Comments:
    """The part of the API that knows comments of one pull request."""

    def __init__(self, bot="Bot", refuse=None):
        self.comments, self.calls, self.bot, self.refuse = [], [], bot, refuse
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self):
                path, _, query = self.path.partition("?")
                outer.calls.append(f"{self.command} {path}")
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                status, found = 200, None
                if outer.refuse or self.headers["Authorization"] != "Bearer a token":
                    status, found = outer.refuse or 401, {"message": "refused"}
                elif self.command == "GET" and path == "/repos/org/repo/issues/7/comments":
                    page = int(re.search(r"[?&]page=(\d+)", "?" + query)[1])
                    found = outer.comments[(page - 1) * 100 : page * 100]
                elif self.command == "POST" and path == "/repos/org/repo/issues/7/comments":
                    found = {"id": 1000 + len(outer.comments), "user": {"type": outer.bot}, **body}
                    outer.comments.append(found)
                elif self.command == "PATCH":
                    [found] = [c for c in outer.comments if path == f"/repos/org/repo/issues/comments/{c['id']}"]
                    found.update(body)
                said = json.dumps(found).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            do_GET = do_POST = do_PATCH = answer

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Action(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="korfinsts-action-")
        cls.addClassCleanup(folder.cleanup)
        cls.home = pathlib.Path(folder.name)
        (cls.home / "bin").mkdir()
        (cls.home / "bin/korfinsts").symlink_to(PROGRAM)
        # Two models of one name: folders of a checkout often have it.
        for place, encoder in {"new": "bert-mean", "old": "mpnet-mean"}.items():
            shutil.copytree(ENCODERS / encoder, cls.home / place / "model")
        # A suite that agrees with nmixx-mini in all, so that any other model is worse.
        environment = {**os.environ, "KORFINSTS_DATA": str(cls.home / "data")}
        subprocess.run([PROGRAM, "eval", "--quiet"], cwd=cls.home, env=environment, check=True, stdout=subprocess.DEVNULL)
        [scores] = cls.home.glob("korfinsts-results/nmixx-mini-*/*.pairs.jsonl")
        texts = {row["id"]: row for row in read(ROOT / "benchmarks/korfin-shift/data/test.jsonl")}
        with open(cls.home / "pairs.jsonl", "w", encoding="utf-8") as file:
            for pair in read(scores)[:200]:
                row = {name: texts[pair["id"]][name] for name in ("sentence1", "sentence2")} | {"score": 1 + pair["score"]}
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
        subprocess.run([PROGRAM, "suite", "new", "agreed", "pairs.jsonl"], cwd=cls.home, env=environment, check=True, stdout=subprocess.DEVNULL)
        cls.action = parse((ROOT / "action.yml").read_text(encoding="utf-8"))

    def run_action(self, inputs, event="pull_request", api=None):
        """Every step, in order; the first failure ends it, as in a job. Gives whether all succeeded, and the summary."""
        folder = pathlib.Path(tempfile.mkdtemp(dir=self.home))
        known = self.action["inputs"]
        self.assertLessEqual(set(inputs), set(known))
        values = {f"inputs.{name}": inputs.get(name, facts.get("default", "")) for name, facts in known.items()}
        values |= {"inputs.token": "a token", "github.event_name": event, "github.event.pull_request.number": "7", "runner.temp": str(folder)}

        def filled(text):
            return re.sub(r"\$\{\{ *([\w.-]+) *\}\}", lambda m: values[m[1]], text)

        def holds(condition):
            pairs = re.findall(r"([\w.-]+) (==|!=) '([^']*)'", condition)
            self.assertEqual(condition, " && ".join(f"{a} {o} '{b}'" for a, o, b in pairs))
            return all((values[a] == b) == (o == "==") for a, o, b in pairs)

        files = {name: folder / name for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY", "GITHUB_PATH")}
        path = f"{self.home / 'bin'}:{os.environ['PATH']}"
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("KORFINSTS", "GITHUB"))}
        environment = kept | {
            "PATH": path, "HOME": str(self.home), "KORFINSTS_DATA": str(self.home / "data"), "HF_HUB_OFFLINE": "1", "RUNNER_TEMP": str(folder),
            "GITHUB_ACTION_PATH": str(ROOT), "GITHUB_REPOSITORY": "org/repo", "GITHUB_API_URL": api or "http://127.0.0.1:9",
            **{name: str(file) for name, file in files.items()},
        }  # fmt: skip
        for file in files.values():
            file.touch()
        for step in self.action["runs"]["steps"]:
            self.assertNotIn("${{", step["run"], "what a caller chose must not become a part of a script")
            if "if" in step and not holds(step["if"]):
                continue
            self.assertEqual(step["shell"], "bash")
            variables = {name: filled(value) for name, value in step.get("env", {}).items()}
            done = subprocess.run(
                ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]], cwd=self.home,
                env=environment | variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            )  # fmt: skip
            self.log = done.stdout
            for line in files["GITHUB_OUTPUT"].read_text(encoding="utf-8").splitlines():
                name, _, value = line.partition("=")
                values[f"steps.{step.get('id')}.outputs.{name}"] = value
            if done.returncode:
                break
        return done.returncode == 0, files["GITHUB_STEP_SUMMARY"].read_text(encoding="utf-8")

    def api(self, **facts):
        comments = Comments(**facts)
        self.addCleanup(comments.close)
        return comments

    def test_a_model_that_is_not_worse_passes_and_one_comment_is_kept(self):
        comments = self.api()
        comments.comments += [{"id": n, "body": "looks good", "user": {"type": "User"}} for n in range(130)]
        # Anybody can write what marks the comment.
        comments.comments.append({"id": 500, "body": "<!-- korfinsts: comparison -->", "user": {"type": "User"}})
        for _ in range(2):
            passed, summary = self.run_action({"model": "./new/model", "baseline": "old/model"}, api=comments.url)
            self.assertTrue(passed, self.log)
            self.assertIn("### korfinsts: not worse", summary)
            self.assertRegex(summary, r"\| korfin-shift triplets \| 0\.\d{4} \| 0\.\d{4} \| \+0\.")
        [comment] = comments.comments[131:]
        self.assertEqual(comment["body"], "<!-- korfinsts: comparison -->\n" + summary)
        self.assertEqual([c for c in comments.calls if not c.startswith("GET")],
                         ["POST /repos/org/repo/issues/7/comments", "PATCH /repos/org/repo/issues/comments/1131"])  # fmt: skip

    def test_a_worse_model_fails_after_the_comment(self):
        comments = self.api()
        passed, summary = self.run_action(
            {"model": "new/model", "baseline": "nmixx-mini", "suites": "./agreed", "fail-if-worse": "0.1"}, api=comments.url)  # fmt: skip
        self.assertFalse(passed)
        self.assertIn("### korfinsts: worse than the baseline", summary)
        self.assertIn(summary, comments.comments[0]["body"])
        passed, _ = self.run_action({"model": "new/model", "baseline": "nmixx-mini", "suites": "./agreed", "fail-if-worse": ""}, event="push")
        self.assertTrue(passed, self.log)

    def test_outside_pull_requests_there_is_no_comment(self):
        comments = self.api()
        passed, summary = self.run_action({"model": "new/model", "baseline": "new/model"}, event="push", api=comments.url)
        self.assertTrue(passed, self.log)
        self.assertEqual(comments.calls, [])

    def test_a_token_that_cannot_write_is_a_warning(self):
        for status in (401, 403, 404):
            passed, _ = self.run_action({"model": "new/model", "baseline": "old/model"}, api=self.api(refuse=status).url)
            self.assertTrue(passed, self.log)
        passed, _ = self.run_action({"model": "new/model", "baseline": "old/model"}, api=self.api(refuse=500).url)
        self.assertFalse(passed)

    def test_a_model_that_is_not_there_fails_and_says_so(self):
        comments = self.api()
        hostile = 'none"; touch bad; echo "$(touch bad)\n::error::'
        passed, summary = self.run_action({"model": hostile, "baseline": "old/model"}, api=comments.url)
        self.assertFalse(passed)
        self.assertIn("### korfinsts: the comparison failed", summary)
        self.assertIn("ended with exit code", comments.comments[0]["body"])
        self.assertEqual(list(self.home.rglob("bad")), [])


if __name__ == "__main__":
    unittest.main()
