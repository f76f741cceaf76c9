"""Speed of `korfinsts tokenizer coverage --corpus` against Python's tokenizers, on one file in one
run, with the peak memory of both.

    python benches/speed/make_corpus.py corpus.txt --megabytes 1000
    python benches/speed/coverage.py --corpus corpus.txt --tokenizer path/to/tokenizer.json

Python streams the file in batches and counts tokens and unknown tokens with `encode_batch_fast`,
its fastest call; korfinsts computes every number of its report. Both totals must agree. Wall and
CPU seconds are those of the whole process, loading included: on a machine that others use, the
CPU seconds are the ones to compare.
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import resource
import subprocess
import sys
import time

PYTHON = """
import sys, tokenizers
from tokenizers import Tokenizer
tokenizer = Tokenizer.from_file(sys.argv[1])
unknown = tokenizer.token_to_id(sys.argv[3]) if len(sys.argv) > 3 else None
tokens = unknowns = 0
def batches(file, size=8192):
    batch = []
    for line in file:
        batch.append(line.rstrip("\\n"))
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
with open(sys.argv[2], encoding="utf-8", newline="\\n") as file:
    for batch in batches(file):
        for encoding in tokenizer.encode_batch_fast(batch, add_special_tokens=False):
            ids = encoding.ids
            tokens += len(ids)
            if unknown is not None:
                unknowns += ids.count(unknown)
print(tokens, unknowns, tokenizers.__version__)
"""


def run(command):
    """Standard output, wall seconds, CPU seconds, and the peak resident memory in MB."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"{command[0]} failed")
    wall = time.perf_counter() - started
    return output, wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=pathlib.Path, required=True)
    parser.add_argument("--tokenizer", type=pathlib.Path, required=True)
    parser.add_argument("--binary", default="target/release/korfinsts")
    parser.add_argument("--unknown", help="the unknown token, where there is one")
    parser.add_argument("--note", default="", help="what a reader must know of the machine")
    parser.add_argument("--results", type=pathlib.Path,
                        default=pathlib.Path(__file__).parent / "results" / "coverage.jsonl")
    args = parser.parse_args()
    megabytes = args.corpus.stat().st_size / 1e6
    args.corpus.open("rb").close()
    subprocess.run(["cat", args.corpus], stdout=subprocess.DEVNULL, check=True)  # into the cache

    base = [args.binary, "--quiet", "tokenizer", "coverage", str(args.tokenizer), "--corpus",
            str(args.corpus), "--no-terms", "--format", "json"]
    rows = []
    totals = set()
    for name, flags in [("korfinsts", []), ("korfinsts --no-memo", ["--no-memo"])]:
        output, *measured = run(base + flags)
        counts = json.loads(output)[0]["corpora"][str(args.corpus)]["counts"]
        totals.add((counts["tokens"], counts["unknown"]))
        rows.append((name, *measured))
    command = [sys.executable, "-c", PYTHON, str(args.tokenizer), str(args.corpus)]
    output, *measured = run(command + ([args.unknown] if args.unknown else []))
    tokens, unknown, version = output.split()
    totals.add((int(tokens), int(unknown)))
    rows.append((f"Python tokenizers {version}", *measured))
    record = {
        "date": datetime.date.today().isoformat(),
        "tokenizer": args.tokenizer.parent.name,
        "corpus_mb": round(megabytes, 1),
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "load_at_end": os.getloadavg()[0],
        "note": args.note,
        "totals_agree": len(totals) == 1,
        "tokens": int(tokens),
        "runs": [{"name": name, "wall_s": round(wall, 1), "cpu_s": round(cpu, 1),
                  "mb_per_s": round(megabytes / wall, 1),
                  "mb_per_cpu_s": round(megabytes / cpu, 1), "peak_rss_mb": round(peak)}
                 for name, wall, cpu, peak in rows],
    }
    print(json.dumps(record, indent=1))
    args.results.parent.mkdir(parents=True, exist_ok=True)
    with args.results.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")
    if len(totals) != 1:
        sys.exit(f"the totals differ: {totals}")


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    main()
