"""Finds the program, and runs it."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import shutil
import subprocess
import sys
import sysconfig
import threading
from pathlib import Path
from typing import Any, Iterable, Mapping

NAME = "korfinsts.exe" if os.name == "nt" else "korfinsts"


class Error(RuntimeError):
    """What the program refused. ``str(error)`` is its message with its hint; ``code`` its exit code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def _places() -> Iterable[Path]:
    if named := os.environ.get("KORFINSTS_BIN"):
        yield Path(named)
        return
    try:
        for file in importlib.metadata.files("korfinsts") or []:
            if file.name == NAME:
                yield Path(str(file.locate()))
    except importlib.metadata.PackageNotFoundError:
        pass
    yield Path(sysconfig.get_path("scripts")) / NAME
    if found := shutil.which("korfinsts"):
        yield Path(found)


def binary() -> str:
    """Path of the program: ``KORFINSTS_BIN``, that of this package, or the one on ``PATH``."""
    tried = []
    for place in _places():
        if place.is_file():
            return str(place.resolve())
        tried.append(str(place))
    raise FileNotFoundError(
        f"the program `korfinsts` was not found; tried {', '.join(tried) or 'PATH'}. "
        "Install the wheel again, or name the program in KORFINSTS_BIN"
    )


@functools.cache
def version() -> str:
    """Version of the program."""
    return command(["--version"]).split()[-1]


def flags(options: Mapping[str, Any]) -> list[str]:
    """``max_tokens=256, strict=True`` as ``--max-tokens 256 --strict``. ``None`` and ``False`` give nothing, a
    list gives the option several times."""
    arguments: list[str] = []
    for name, value in options.items():
        flag = "--" + name.rstrip("_").replace("_", "-")
        if value is None or value is False:
            continue
        if value is True:
            arguments.append(flag)
            continue
        values = value if isinstance(value, (list, tuple)) else [value]
        for one in values:
            # One word, so that a value may start with a hyphen.
            arguments.append(f"{flag}={os.fspath(one) if isinstance(one, os.PathLike) else one}")
    return arguments


def command(
    arguments: Iterable[str], *, stdin: bytes | None = None, environment: Mapping[str, str] | None = None
) -> str:
    """Runs the program and returns what it printed. Its progress and warnings go to stderr.

    Raises :class:`Error` when it fails.
    """
    said: list[bytes] = []
    with subprocess.Popen(
        [binary(), *arguments],
        stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **(environment or {})},
    ) as process:
        threads = [threading.Thread(target=_forward, args=(process.stderr, said), daemon=True)]
        if stdin is not None:
            threads.append(threading.Thread(target=_feed, args=(process.stdin, stdin), daemon=True))
        for thread in threads:
            thread.start()
        try:
            output = process.stdout.read() if process.stdout else b""
            code = process.wait()
        except BaseException:
            process.terminate()
            raise
        finally:
            for thread in threads:
                thread.join()
    if code:
        text = b"".join(said).decode("utf-8", "replace")
        start = text.rfind("error: ")
        raise Error((text[start:] if start >= 0 else text).strip() or f"exit code {code}", code)
    return output.decode("utf-8")


def _forward(stream: Any, said: list[bytes]) -> None:
    """Shows what the program says; `sys.stderr` may be a notebook's, which is no file of the system."""
    is_error = False
    for line in stream:
        said.append(line)
        # The exception says it.
        is_error = is_error or line.startswith(b"error: ")
        if not is_error:
            sys.stderr.write(line.decode("utf-8", "replace"))
            sys.stderr.flush()


def _feed(stream: Any, data: bytes) -> None:
    try:
        stream.write(data)
        stream.close()
    except BrokenPipeError:
        pass  # The program says why it stopped reading.
