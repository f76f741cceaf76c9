"""Runs the commands of the documentation, page by page, in a home that has what they name.

A block `sh` is run, and its commands must succeed. A block `text,output` is what the last block that was run printed: spaces do not
count, and `…` is any text. A block `sh,REASON` is not run, for one of the reasons below. Flags and subcommands are looked up in
`--help` in either case. `KORFINSTS` names the program [default: target/release/korfinsts].
"""

import collections
import functools
import re
import shlex
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

import home
import pages
import services

# Why a block is not run, and at most how many blocks there are: with another one, ask first whether it can run.
NOT_RUN = {
    "builds": (11, "compiles for minutes, or needs a release build: `.ci/run` runs them"),
    "installs": (2, "changes the machine; the installer has a test of its own"),
    "minutes": (3, "trains for minutes: tests/it/train_run.rs trains"),
    "needs-corpora": (1, "reads gigabytes of corpora: tests/it/mine/ reads small ones"),
    "needs-docker": (5, "needs a base image from a registry"),
    "needs-gpu": (2, "needs an NVIDIA card or its compiler"),
    "needs-network": (6, "downloads data or a library: tests/it/hub.rs and others do it from servers of their own"),
    "needs-key": (2, "asks a paid service"),
    "needs-packages": (2, "needs sentence-transformers: python/tests"),
    "needs-raters": (1, "people fill in its sheets: tests/it/suite_annotate.rs fills them"),
}
# Run where KORFINSTS_SHARED has the suites, which may not be shipped.
SUITES = "needs-suites"
# Scripts for schedulers, which tests/it/shards.rs runs.
SCHEDULERS = ("docs/slurm.md", "docs/kubernetes.md", "docs/scaling.md")
# What a page takes as done in its text.
BEFORE = {
    "README.md": "korfinsts eval models/adapted models/base --suite korfin-shift",
    "docs/README.ko.md": "korfinsts eval models/adapted models/base --suite korfin-shift",
    "docs/SUBMITTING.md": "korfinsts eval ./my-model --suite finsts,korsts,stsb",
    "docs/leaderboard.md": "korfinsts eval my-model --suite korfin-shift",
    "docs/protocols.md": "korfinsts eval models/adapted --protocol raw --suite korfin-shift",
    "docs/push.md": r"printf '%s\n' --- 'license: mit' --- > my-model/README.md; korfinsts eval my-model --suite korfin-shift",
    "docs/quickstart.md": "korfinsts eval my-model --suite korfin-shift",
    "docs/quickstart.ko.md": "korfinsts eval my-model --suite korfin-shift",
    "docs/usage.md": "korfinsts eval models/* --suite korfin-shift",
}


@functools.cache
def help_of(*words):
    done = subprocess.run([home.PROGRAM, *words, "--help"], capture_output=True, text=True)
    return done.stdout if done.returncode == 0 else None


def unknown(script):
    """The flags and subcommands of `korfinsts` in a script that its help does not have."""
    found = []
    for line in re.sub(r"\\\n", " ", script).split("\n"):
        words = shlex.split(line, comments=True)
        if "korfinsts" not in words or line.lstrip().startswith("docker"):
            continue
        words = words[words.index("korfinsts") + 1 :]
        end = next((n for n, w in enumerate(words) if w in ("|", "&&", ";", "&", ">")), len(words))
        command = []
        for word in words[:end]:
            if word.startswith("-") or help_of(*command, word) is None:
                break
            command.append(word)
        text = help_of(*command)
        if not command or "\nCommands:\n" in text:
            found.append(f"`{line}` has no subcommand that is known")
        flags = (w.split("=")[0] for w in words[:end] if re.match(r"--?[a-z]", w))
        found += [f"`{flag}` in `{line}`" for flag in flags if not re.search(rf"(?<![\w-]){flag}(?![\w-])", text)]
    return found


def matches(stated, printed):
    pattern = r".*?".join(re.escape(" ".join(part.split())) for part in stated.split("…"))
    return re.search(pattern, " ".join(printed.split()), re.DOTALL)


class Commands(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="korfinsts-docs-")
        cls.addClassCleanup(folder.cleanup)
        cls.folder = Path(folder.name)
        (cls.folder / "whole").mkdir()
        server, home.network = services.start()
        cls.addClassCleanup(server.server_close)
        cls.addClassCleanup(server.shutdown)
        home.make(cls.folder / "whole")

    def test_every_block_is_run_or_has_a_reason(self):
        marks, wrong = collections.Counter(), []
        for page in pages.guides():
            blocks, prose = pages.read(page)
            lines = dict(prose)
            wrong += [f"{page}:{n}: code without a fence" for n, line in prose if line.startswith("    ") and not lines.get(n - 1)]
            for block in blocks:
                if not block.language:
                    wrong.append(f"{block.place}: a block without a language")
                if block.language in ("sh", "bash", "console", "python"):
                    marks[block.mark] += 1
                    wrong += [f"{block.place}: {problem}" for problem in unknown(block.text) if block.language != "python"]
                    if block.mark not in (*NOT_RUN, SUITES, "") or (block.language == "python" and not block.mark):
                        wrong.append(f"{block.place}: `{block.mark}` is no reason")
                    if block.language == "console" or (block.language == "bash" and page not in SCHEDULERS):
                        wrong.append(f"{block.place}: use `sh`, and `text,output` for what it prints")
        wrong += [f"{marks[m]} blocks are `{m}` ({why}), {most} are allowed" for m, (most, why) in NOT_RUN.items() if marks[m] > most]
        self.assertEqual(wrong, [])
        self.assertGreater(marks[""] + marks[SUITES], 25)

    def check(self, page):
        """Runs the blocks of a page, one after another, in a home of its own."""
        blocks = pages.read(page)[0]
        here = self.folder / page.replace("/", "-")
        shutil.copytree(self.folder / "whole", here, symlinks=True)
        self.addCleanup(shutil.rmtree, here)
        (here / "train_data.json").write_text("".join(b.text for b in blocks if b.language == "json"), encoding="utf-8")
        if page in BEFORE and (home.SHARED or any((b.language, b.mark) == ("sh", "") for b in blocks)):
            done = home.run(here, BEFORE[page])
            self.assertEqual(done.returncode, 0, f"{page}: before it\n{done.stdout}")
        printed = ""
        for block in blocks:
            with self.subTest(block.place):
                if (block.language, block.mark) == ("text", "output"):
                    self.assertTrue(matches(block.text, printed), f"{block.place} states\n{block.text}\nbut this was printed:\n{printed}")
                elif block.language == "sh" and block.mark == SUITES and not home.SHARED:
                    print(f"SKIPPED: KORFINSTS_SHARED is not set, so not run: {block.place}")
                elif block.language == "sh" and block.mark in ("", SUITES):
                    done = home.run(here, block.text, "ko" if page.endswith(".ko.md") else "en")
                    printed = done.stdout
                    self.assertEqual(done.returncode, 0, f"{block.place}\n{block.text}\n{printed}")

    def test_what_is_wrong_is_seen(self):
        self.assertEqual(len(unknown("korfinsts eval MODEL --suites x\n")), 1)
        self.assertEqual(len(unknown("korfinsts evaluate MODEL\n")), 1)
        self.assertEqual(unknown("korfinsts eval MODEL \\\n  --suite x  # --suites\n"), [])
        self.assertTrue(matches("a … b\n  c", "z a  1 b c z"))
        self.assertFalse(matches("a b", "a c b"))


for guide in pages.guides():
    if any(b.language == "sh" and b.mark in ("", SUITES) for b in pages.read(guide)[0]):
        setattr(Commands, "test_of_" + re.sub(r"\W", "_", guide), functools.partialmethod(Commands.check, guide))

if __name__ == "__main__":
    unittest.main()
