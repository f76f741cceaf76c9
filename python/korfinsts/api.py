"""What most programs need: evaluate, compare, encode, coverage."""

from __future__ import annotations

import contextlib
import json
import os
from typing import Any, Sequence

from ._model import ServedModel
from ._results import Results
from ._run import Error, command, flags

Source = Any


def _is_named(model: Source) -> bool:
    return isinstance(model, (str, os.PathLike))


@contextlib.contextmanager
def _sources(models: Sequence[Source], name: str | None, revision: str | None, batch_size: int):
    """What the program is given for each model; objects are served while the block runs."""
    with contextlib.ExitStack() as stack:
        served = []
        sources = []
        for model in models:
            if _is_named(model):
                sources.append(os.fspath(model))
                continue
            if not isinstance(model, ServedModel):
                model = ServedModel(model, name=name, revision=revision, batch_size=batch_size)
            served.append(stack.enter_context(model))
            sources.append(model.source)
        try:
            yield sources, bool(served)
        except Error as error:
            # What the model raised says more than what the program saw of it.
            cause = next((s.error for s in served if s.error), None)
            raise error from cause


def _environment(is_served: bool) -> dict[str, str]:
    if not is_served:
        return {}
    # A proxy cannot reach what listens on this machine.
    return {
        key: ",".join(filter(None, [os.environ.get(key), "127.0.0.1"])) for key in ("NO_PROXY", "no_proxy")
    }


def evaluate(
    model: Source | Sequence[Source],
    suites: Sequence[str] | str | None = None,
    *,
    protocol: str | None = None,
    name: str | None = None,
    revision: str | None = None,
    batch_size: int = 32,
    **options: Any,
) -> Results:
    """Evaluates one model or several, and returns their records.

    Args:
        model: A path, a hub id (``org/name``), an address, a function of a list of texts, an object with
            ``encode(list of texts)``, or a list of these.
        suites: Ids of suites, names of mteb's tasks, or folders with a ``suite.toml``. Default: all on disk.
        protocol: ``native``, ``raw``, ``mteb`` or ``finmteb``.
        name: Name of an object in its records. Default: what the object says of itself.
        revision: 40-digit commit of an object's weights, where you know it.
        batch_size: Texts per call of an object's ``encode``.
        options: Every other option of ``korfinsts eval``: ``max_tokens=256`` is ``--max-tokens 256``.

    An object's weights cannot be hashed, so nothing that an earlier run encoded is used for it, and its records
    name Python as the server. Raises :class:`Error` with the program's message and hint.
    """
    models = list(model) if isinstance(model, (list, tuple)) else [model]
    suites = [suites] if isinstance(suites, str) else suites
    with _sources(models, name, revision, batch_size) as (sources, is_served):
        if is_served:
            options.setdefault("no_resume", True)
        arguments = ["eval", "--format=json", *flags({"protocol": protocol, **options})]
        if suites is not None:
            arguments.append("--suite=" + ",".join(map(str, suites)))
        records = command([*arguments, "--", *sources], environment=_environment(is_served))
    return Results(json.loads(records))


def compare(a: str, b: str, **options: Any) -> dict[str, Any]:
    """Compares two models whose records are in a folder of results (``results=…``), pair by pair: differences with
    intervals and p-values, as ``korfinsts compare --format json`` gives them."""
    return json.loads(command(["compare", "--format=json", *flags(options), "--", str(a), str(b)]))


def encode(model: str | os.PathLike[str], texts: Sequence[str], **options: Any) -> Any:
    """Embeddings of texts, ``[texts, width]``: a float32 array where numpy is installed, else a list of lists."""
    lines = "".join(json.dumps(text, ensure_ascii=False) + "\n" for text in texts)
    arguments = ["encode", "--input=-", "--input-format=jsonl", "--output=-", *flags(options)]
    output = command([*arguments, "--", os.fspath(model)], stdin=lines.encode("utf-8"))
    rows = [json.loads(line)["embedding"] for line in output.splitlines()]
    try:
        import numpy
    except ModuleNotFoundError:
        return rows
    return numpy.asarray(rows, dtype=numpy.float32)


def coverage(tokenizers: str | Sequence[str], **options: Any) -> list[dict[str, Any]]:
    """What tokenizers cover and how they split text, as ``korfinsts tokenizer coverage --format json`` gives it."""
    named = [tokenizers] if isinstance(tokenizers, (str, os.PathLike)) else list(tokenizers)
    arguments = ["tokenizer", "coverage", "--format=json", *flags(options), "--", *map(os.fspath, named)]
    return json.loads(command(arguments))
