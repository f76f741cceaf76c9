"""What every part shares: where things are, running the program, memory of the card, results."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import threading
import time
from pathlib import Path
from typing import Self

#: On a CPU, at toy sizes: to try the scripts without a card.
DRY = bool(os.environ.get("KORFINSTS_GPU_DRY"))
DEVICE = "cpu" if DRY else "cuda"
#: Folder with what `prepare.sh` packed, unpacked.
INPUTS = Path(os.environ.get("GPU_INPUTS", "inputs"))
#: Folder of the results, one JSON file per part.
OUT = Path(os.environ.get("GPU_OUT", "out"))
#: Folder for models and runs.
WORK = Path(os.environ.get("GPU_WORK", "work"))


def programs() -> dict[str, Path]:
    """The builds that are compared, by name; the first is the one that most parts use."""
    found = {"korfinsts": Path(os.environ["KORFINSTS"])}
    beside = os.environ.get("KORFINSTS_BESIDE")
    if beside and Path(beside).exists():
        found["korfinsts, beside"] = Path(beside)
    return found


PROGRAM = next(iter(programs().values()))


class Part:
    """Results of one part, written again after each of them."""

    def __init__(self, name: str) -> None:
        self.path = OUT / f"{name}.json"
        self.content: dict = {"part": name, "dry": DRY}
        self.started = time.perf_counter()

    def add(self, key: str, value: object) -> None:
        """Keeps a value; a key that is there already becomes a list."""
        self.content.setdefault(key, []).append(value)
        self.content["seconds"] = round(time.perf_counter() - self.started, 1)
        OUT.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(self.content, ensure_ascii=False, indent=1) + "\n")
        print(f"{self.path.stem} {self.content['seconds']:.0f}s {key}: {json.dumps(value, ensure_ascii=False)[:600]}", flush=True)

    def attempt(self, key: str, function, *arguments) -> object:
        """`function(*arguments)`, kept; a failure is kept as one and does not stop the part."""
        try:
            value = function(*arguments)
        except Exception as error:  # noqa: BLE001 - whatever it is, the next measurement goes on
            value = {"failed": f"{type(error).__name__}: {error}"[-1500:], "of": [str(a)[:80] for a in arguments]}
        self.add(key, value)
        return value


def run(command: list, limit: float = 120.0, **environment: str) -> dict:
    """Runs a command; wall seconds and what it printed. Raises with the end of its messages."""
    started = time.perf_counter()
    done = subprocess.run(
        [str(c) for c in command], capture_output=True, text=True, timeout=limit, check=False,
        env=os.environ | {"KORFINSTS_DATA": str(WORK / "data")} | environment,
    )
    wall = time.perf_counter() - started
    if done.returncode != 0:
        raise RuntimeError(f"exit {done.returncode} of {' '.join(map(str, command))[:300]}: {done.stderr[-900:]}")
    return {"wall_s": wall, "out": done.stdout, "err": done.stderr}


CARD: list = []


def memory_used() -> float:
    """Used memory of the card in MB (10^6 bytes), of all processes."""
    if DRY:
        return 0.0
    import pynvml

    if not CARD:
        pynvml.nvmlInit()
        CARD.append(pynvml.nvmlDeviceGetHandleByIndex(0))
    return pynvml.nvmlDeviceGetMemoryInfo(CARD[0]).used / 1e6


class Peak:
    """The most memory of the card that was used inside a `with` block, above what was used before it."""

    def __enter__(self) -> Self:
        self.before = self.most = memory_used()
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)
        self.thread.start()
        return self

    def watch(self) -> None:
        """Looks every 10 ms."""
        while not self.over.is_set():
            self.most = max(self.most, memory_used())
            self.over.wait(0.01)

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()

    @property
    def mb(self) -> float:
        """Megabytes."""
        return round(self.most - self.before)


def texts() -> dict[str, list]:
    """Texts that `pack.py` made."""
    return json.loads((INPUTS / "texts.json").read_text())


def write_lines(path: Path, lines: list) -> Path:
    """A `.jsonl` file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    return path


def encode(program: Path, model: Path, source: Path, output: Path, *flags: str, limit: float = 120.0) -> dict:
    """`korfinsts encode`, without what earlier runs kept."""
    return run(
        [program, "encode", model, "-i", source, "-o", output, "--backend", "candle", "--device", DEVICE, "--no-resume", *flags],
        limit=limit,
    )


def median(values: list[float]) -> float:
    """The median."""
    return statistics.median(values)
