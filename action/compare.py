"""Evaluates two models, compares them, and writes the table for people: a step of action.yml."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

TITLES = {"same or better": "not worse", "worse": "worse than the baseline", "failed": "the comparison failed"}


def records(results, model):
    """Evaluates a model into a folder of its own, and gives the folder of its records."""
    command = ["korfinsts", "eval", "--suite", os.environ["SUITES"], "--protocol", os.environ["PROTOCOL"], "--results", results]
    done = subprocess.run([*command, "--format", "json", "--", model], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise RuntimeError(f"`korfinsts eval {model}` ended with exit code {done.returncode}; its log has the reason")
    [name] = {r["encoder"]["name"] for r in json.loads(done.stdout) if r["encoder"]["backend"] != "lexical"}
    for path in results.glob("*/*.json"):
        encoder = json.loads(path.read_text(encoding="utf-8")).get("encoder") or {}
        if encoder.get("name") == name and encoder.get("backend") != "lexical":
            return path.parent
    raise RuntimeError(f"no record of `{name}` in `{results}`")


def compare(folder):
    """The verdict and the table."""
    new = records(folder / "new", os.environ["MODEL"])
    base = records(folder / "baseline", os.environ["BASELINE"])
    threshold = os.environ["THRESHOLD"].strip()
    command = ["korfinsts", "compare", new, base, "--format", "markdown", *(["--fail-if-worse", threshold] if threshold else [])]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode not in (0, 1):
        raise RuntimeError(f"`korfinsts compare` ended with exit code {done.returncode}; its log has the reason")
    return ("worse" if done.returncode else "same or better"), done.stdout


def main():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="korfinsts-", dir=os.environ.get("RUNNER_TEMP")))
    try:
        verdict, text = compare(folder)
    except (RuntimeError, OSError, ValueError) as error:
        verdict, text = "failed", f"{error}\n"
        print(f"::error::{str(error).splitlines()[0]}", file=sys.stderr)
    table = folder / "table.md"
    table.write_text(f"### korfinsts: {TITLES[verdict]}\n\n{text}", encoding="utf-8")
    for variable, said in {"GITHUB_STEP_SUMMARY": table.read_text(encoding="utf-8"), "GITHUB_OUTPUT": f"table={table}\nverdict={verdict}\n"}.items():
        with open(os.environ[variable], "a", encoding="utf-8") as file:
            file.write(said)


if __name__ == "__main__":
    main()
