"""An object that turns texts into vectors, as a server on this machine that the program asks."""

from __future__ import annotations

import base64
import importlib.metadata
import json
import sys
import threading
from array import array
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Callable, Sequence

Rows = Sequence[Any]


def _is_of(model: Any, package: str) -> bool:
    return any(base.__module__.split(".")[0] == package for base in type(model).__mro__)


def _adapted(model: Any, batch_size: int) -> tuple[Callable[[list[str]], Rows], list[str]]:
    """The function that encodes with ``model``, and the packages that take part.

    Prompts are put before the texts by the program, so a model's default prompt is switched off.
    """
    if hasattr(model, "mteb_model_meta") and hasattr(model, "encode"):
        return _mteb(model, batch_size), ["mteb"]
    if _is_of(model, "sentence_transformers") and hasattr(model, "encode"):
        return (
            lambda texts: model.encode(texts, prompt="", batch_size=batch_size, show_progress_bar=False)
        ), ["sentence-transformers", "transformers", "torch"]
    if hasattr(model, "encode"):
        return model.encode, []
    if callable(model):
        return model, []
    raise TypeError(
        f"a model is a path, a hub id, an address, a function of a list of texts, or an object with "
        f"`encode(list of texts)`; found {type(model).__name__}"
    )


def _mteb(model: Any, batch_size: int) -> Callable[[list[str]], Rows]:
    """A model of mteb 2: it reads batches from a loader, and puts its own prompts before the texts."""
    import mteb
    from datasets import Dataset
    from torch.utils.data import DataLoader

    task = mteb.get_task("STSBenchmark").metadata

    def encode(texts: list[str]) -> Rows:
        loader = DataLoader(Dataset.from_dict({"text": texts}), batch_size=batch_size)
        return model.encode(
            loader,
            task_metadata=task,
            hf_split="test",
            hf_subset="default",
            prompt_type=None,
            batch_size=batch_size,
            show_progress_bar=False,
        )

    return encode


def _rows(output: Any, n: int) -> list[bytes]:
    """Little-endian float32 of each vector."""
    if hasattr(output, "detach"):
        output = output.detach().float().cpu().numpy()
    rows = [row.detach().float().cpu().numpy() if hasattr(row, "detach") else row for row in output]
    if len(rows) != n:
        raise ValueError(f"the model gave {len(rows)} vectors for {n} texts")
    packed = []
    for row in rows:
        values = array("f", [float(v) for v in row])
        if sys.byteorder == "big":
            values.byteswap()
        packed.append(values.tobytes())
    return packed


class ServedModel:
    """Serves a model on loopback while it is open; ``source`` is what the program is given.

    ``with ServedModel(model, name="mine") as served: korfinsts.command(["eval", served.source])``
    """

    def __init__(
        self,
        model: Any,
        *,
        name: str | None = None,
        revision: str | None = None,
        batch_size: int = 32,
    ) -> None:
        self._encode, packages = _adapted(model, batch_size)
        self.name = name or _name_of(model)
        #: What the model raised, if it did.
        self.error: BaseException | None = None
        self._lock = threading.Lock()
        self._facts: dict[str, Any] = {
            "id": self.name,
            "object": "model",
            "owned_by": ", ".join(["Python", *filter(None, map(_versioned, packages))]),
        }
        if revision:
            self._facts["revision"] = revision
        if packages[:1] == ["sentence-transformers"]:
            self._facts |= _facts_of(model)
        self._server: ThreadingHTTPServer | None = None

    @property
    def source(self) -> str:
        """The name under which the program finds the model."""
        if self._server is None:
            raise RuntimeError("the model is not served: use it in a `with` block")
        return f"http://127.0.0.1:{self._server.server_port}#{self.name}"

    def __enter__(self) -> ServedModel:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def _embeddings(self, body: dict[str, Any]) -> dict[str, Any]:
        texts = body["input"]
        with self._lock:
            rows = _rows(self._encode(list(texts)), len(texts))
        coded = body.get("encoding_format") == "base64"

        def one(row: bytes) -> Any:
            if coded:
                return base64.b64encode(row).decode("ascii")
            values = array("f", row)
            if sys.byteorder == "big":
                values.byteswap()
            return values.tolist()

        data = [{"object": "embedding", "index": i, "embedding": one(row)} for i, row in enumerate(rows)]
        return {"object": "list", "model": self.name, "data": data}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        served = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                pass

            def reply(self, status: int, value: dict[str, Any]) -> None:
                content = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def refused(self) -> bool:
                # Not what a page in a browser can reach under another name.
                if self.headers.get("Host", "").split(":")[0] in ("127.0.0.1", "localhost"):
                    return False
                self.reply(403, {"error": {"message": "only this machine is served"}})
                return True

            def do_GET(self) -> None:
                if self.refused():
                    return
                if self.path == "/v1/models":
                    self.reply(200, {"object": "list", "data": [served._facts]})
                else:
                    self.reply(404, {"error": {"message": "not found"}})

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if self.refused():
                    return
                if self.path != "/v1/embeddings":
                    self.reply(404, {"error": {"message": "not found"}})
                    return
                try:
                    answer = served._embeddings(json.loads(body))
                except Exception as error:  # What the user's model raises is told to the program and to the caller.
                    served.error = error
                    # A status that is not tried again.
                    self.reply(422, {"error": {"message": f"{type(error).__name__}: {error}"}})
                else:
                    self.reply(200, answer)

        return Handler


def _versioned(package: str) -> str | None:
    try:
        return f"{package} {importlib.metadata.version(package)}"
    except importlib.metadata.PackageNotFoundError:
        return None


def _name_of(model: Any) -> str:
    card = getattr(model, "model_card_data", None)
    for name in (
        getattr(getattr(model, "mteb_model_meta", None), "name", None),
        getattr(card, "model_id", None),
        getattr(card, "base_model", None),
        getattr(model, "__name__", None),
    ):
        if isinstance(name, str) and name.strip("<>") and name != "<lambda>":
            return name
    return type(model).__name__


def _facts_of(model: Any) -> dict[str, Any]:
    """What a SentenceTransformer says of itself."""
    facts: dict[str, Any] = {
        "max_model_len": getattr(model, "max_seq_length", None),
        "prompts": {k: v for k, v in (getattr(model, "prompts", None) or {}).items() if v},
        "default_prompt_name": getattr(model, "default_prompt_name", None),
        "similarity_fn_name": getattr(model, "similarity_fn_name", None),
    }
    try:
        facts["dtype"] = str(next(model.parameters()).dtype).removeprefix("torch.")
    except StopIteration:
        pass
    return {key: value for key, value in facts.items() if value}
