"""What the pages find in the network, on this machine: a hub whose every model is a tiny one and that takes what is pushed, and servers of
embeddings.

The server is a proxy too, so a host that a page names (`gpu-host:8000`) is this one, and nothing else is reached.
"""

import array
import base64
import http.server
import json
import re
import sys
import threading
import urllib.parse
import zlib

from pages import ROOT

sys.path.append(str(ROOT / "tests/push"))
import hub  # noqa: E402

COMMIT = "89abcdef0123456789abcdef0123456789abcdef"
MODEL = ROOT / "tests/reference/encoders/bert-mean"
WIDTH = 32


def embedding(text):
    """Counts of three letters in a row, hashed."""
    counts = [0.0] * WIDTH
    for at in range(len(text)):
        counts[zlib.crc32(text[at : at + 3].encode()) % WIDTH] += 1.0
    return counts


class Handler(hub.Handler):
    hub = hub.Hub()

    def do_CONNECT(self):
        self.send_response(200)
        self.end_headers()

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        tei = self.headers["Host"] == "host:8080"
        resolve = re.fullmatch(rf"/[\w.-]+/[\w.-]+/resolve/{COMMIT}/(.+)", url.path)
        if re.fullmatch(r"/api/models/[\w.-]+/[\w.-]+/revision/main", url.path) and not url.query:
            names = [p.relative_to(MODEL).as_posix() for p in MODEL.rglob("*") if p.is_file() and "golden" not in p.name]
            self.tell({"sha": COMMIT, "siblings": [{"rfilename": name} for name in names]})
        elif resolve and (MODEL / resolve[1]).is_file():
            self.send((MODEL / resolve[1]).read_bytes(), etag=f'"of-{zlib.crc32(resolve[1].encode())}"')
        elif tei and url.path == "/info":
            self.tell({"model_id": "org/served", "model_sha": COMMIT, "version": "1.8", "max_input_length": 512, "max_client_batch_size": 32})
        elif not tei and url.path == "/v1/models":
            self.tell({"object": "list", "data": [{"id": "served", "object": "model"}]})
        else:
            self.handle_any()

    do_HEAD = do_GET

    def do_POST(self):
        if self.path.startswith(("/api/", "/lfs/")) or self.path.endswith("/info/lfs/objects/batch"):
            self.handle_any()
            return
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path.endswith("/embed"):
            self.tell([embedding(text) for text in asked["inputs"]])
            return
        texts = asked["input"] if isinstance(asked["input"], list) else [asked["input"]]
        rows = [embedding(text) for text in texts]
        if asked.get("encoding_format") == "base64":
            rows = [base64.b64encode(array.array("f", row).tobytes()).decode() for row in rows]
        self.tell({"data": [{"index": n, "embedding": row} for n, row in enumerate(rows)], "usage": {"prompt_tokens": 1, "total_tokens": 1}})

    def tell(self, value):
        self.send(json.dumps(value).encode())

    def send(self, body, **headers):
        self.send_response(200)
        for name, value in {"Content-Length": len(body), **headers}.items():
            self.send_header(name, str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def start():
    """Starts the server; gives it and the variables that make a program find it."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    Handler.hub.address = Handler.hub.storage = url
    return server, {"HF_ENDPOINT": url, "HF_TOKEN": hub.WRITE, "ALL_PROXY": url, "OPENAI_BASE_URL": f"{url}/v1", "OPENAI_API_KEY": "key"}
