"""Evaluate sentence encoders on Korean financial text.

>>> import korfinsts
>>> results = korfinsts.evaluate("path/to/model.onnx", ["korsts"])  # doctest: +SKIP

:func:`evaluate` takes a path, a hub id, the address of a server, or any object that turns texts into
vectors: a ``SentenceTransformer`` with code of its own, a model of mteb, a function. The work is done by the
program ``korfinsts``, which is part of this package.
"""

from ._model import ServedModel
from ._results import Results
from ._run import Error, binary, command, version
from .api import compare, coverage, encode, evaluate

__all__ = [
    "Error",
    "Results",
    "ServedModel",
    "binary",
    "command",
    "compare",
    "coverage",
    "encode",
    "evaluate",
    "version",
]
