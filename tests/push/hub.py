"""A hub on this machine: commits, branches and pull requests of models and datasets, with the storage of large files as a server of
its own. It answers what `huggingface_hub` and `datasets` ask, and fails where it is told to.

    with Hub() as hub:
        hub.fail("POST", r"/commit/", "500-after")     # the next commit is stored, and answered with status 500

The dictionaries are the store: `hub.repositories["models", "org/name"].files("main")`.
"""

import base64
import collections
import hashlib
import http.server
import json
import re
import threading
import time
import urllib.parse

# What a token may do.
TOKENS = {"write-token-of-the-tests": "write", "read-token-of-the-tests": "read"}
WRITE, READ = TOKENS
# The endings that the hub stores apart in a new repository.
APART = set(
    "7z arrow bin bz2 ckpt ftz gz h5 joblib mlmodel model msgpack npy npz onnx ot parquet pb pickle pkl pt pth rar safetensors tar "
    "tflite tgz wasm xz zip zst".split()
)
LARGE = 10 << 20
PART = 1 << 20


class Refused(Exception):
    """An answer that is no success: status, message, and the code of the hub's own."""

    def __init__(self, status, message="", code=None):
        super().__init__(message)
        self.status, self.message, self.code = status, message, code


class File:
    """Bytes of a file, and how they are stored."""

    def __init__(self, content, apart):
        self.content, self.apart, self.size = content, apart, len(content)
        self.sha256 = hashlib.sha256(content).hexdigest()
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {self.size}\n".encode()
        blob = pointer if apart else content
        self.oid = hashlib.sha1(b"blob %d\0" % len(blob) + blob).hexdigest()


class Repository:
    def __init__(self, private):
        self.private, self.commits, self.refs, self.pulls, self.titles = private, {}, {}, [], []
        attributes = "".join(f"*.{e} filter=lfs diff=lfs merge=lfs -text\n" for e in sorted(APART))
        self.commit("main", "initial commit", {".gitattributes": File(attributes.encode(), False)})

    def commit(self, ref, title, files):
        named = "".join(f"{name} {file.oid}\n" for name, file in sorted(files.items()))
        oid = hashlib.sha1(f"{self.refs.get(ref)}\n{title}\n{len(self.commits)}\n{named}".encode()).hexdigest()
        self.commits[oid], self.refs[ref] = files, oid
        self.titles.append(title)
        return oid

    def find(self, revision):
        oid = self.refs.get(revision, revision)
        if oid not in self.commits:
            raise Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return oid

    def files(self, revision="main"):
        """Bytes by path, without what the hub itself puts there."""
        files = self.commits[self.find(revision)]
        return {name: file.content for name, file in files.items() if name != ".gitattributes"}


class Hub:
    """Starts when it is entered. `address` is that of the hub, `storage` that of the large files."""

    def __init__(self):
        self.repositories, self.stored, self.parts, self.requests, self.failures = {}, {}, {}, [], []
        # Requests that the hub does not understand.
        self.wrong = []
        self.limit, self.multipart, self.lock = None, 64 << 20, threading.RLock()

    def __enter__(self):
        self.servers = [http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"hub": self})) for _ in range(2)]
        for server in self.servers:
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        # Another host by its name: clients stay on the one and carry no token to the other.
        names = ("127.0.0.1", "localhost")
        self.address, self.storage = (f"http://{name}:{server.server_address[1]}" for name, server in zip(names, self.servers, strict=True))
        return self

    def __exit__(self, *_):
        for server in self.servers:
            server.shutdown()
            server.server_close()

    def fail(self, method, pattern, how, times=1):
        """The next requests of this method whose path holds the pattern fail: with a status (`"500"`, `"429"`, `"403:why"`) before
        anything is done, with a status after it was done (`"500-after"`), without an answer (`"silent"`), with half of an answer
        (`"cut"`), with a redirect on this host or to the storage (`"moved"`, `"elsewhere"`); `"slow"` waits a moment, `"corrupt"` changes what is stored, and a function is called before the request is answered."""
        self.failures.append([method, re.compile(pattern), how, times])

    def failure(self, method, path):
        with self.lock:
            for failure in self.failures:
                if failure[3] > 0 and failure[0] == method and failure[1].search(path):
                    failure[3] -= 1
                    return failure[2]
        return None

    def count(self, method, pattern):
        return sum(1 for m, path, _ in self.requests if m == method and re.search(pattern, path))


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub = None
    ROUTES = [
        ("POST", r"/api/repos/create", "create"),
        ("GET", r"/api/whoami-v2", "whoami"),
        ("POST", r"/api/validate-yaml", "validate"),
        ("GET", r"/api/(models|datasets)/([^/]+/[^/]+)", "info"),
        ("GET", r"/api/(models|datasets)/([^/]+/[^/]+)/revision/([^/]+)", "info"),
        ("GET", r"/api/(models|datasets)/([^/]+/[^/]+)/tree/([^/]+)(?:/(.*))?", "tree"),
        ("POST", r"/api/(models|datasets)/([^/]+/[^/]+)/paths-info/([^/]+)", "paths"),
        ("GET", r"/api/(models|datasets)/([^/]+/[^/]+)/refs", "refs"),
        ("GET", r"/api/(models|datasets)/([^/]+/[^/]+)/discussions", "discussions"),
        ("POST", r"/api/(models|datasets)/([^/]+/[^/]+)/branch/([^/]+)", "branch"),
        ("POST", r"/api/(models|datasets)/([^/]+/[^/]+)/preupload/([^/]+)", "preupload"),
        ("POST", r"/api/(models|datasets)/([^/]+/[^/]+)/commit/([^/]+)", "commit"),
        ("POST", r"/(datasets/)?([^/]+/[^/]+)\.git/info/lfs/objects/batch", "batch"),
        ("GET", r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)", "resolve"),
        ("PUT", r"/lfs/([0-9a-f]{64})(?:/(\d+))?", "store"),
        ("POST", r"/lfs/([0-9a-f]{64})", "complete"),
        ("POST", r"/lfs/([0-9a-f]{64})/verify", "verify"),
        ("GET", r"/lfs/([0-9a-f]{64})", "stored"),
    ]

    def handle(self):
        try:
            super().handle()
        except ConnectionError:
            # Who asked was killed.
            pass

    def handle_any(self):
        url = urllib.parse.urlsplit(self.path)
        method = "GET" if self.command == "HEAD" else self.command
        with self.hub.lock:
            self.hub.requests.append((self.command, self.path, self.headers))
        self.query = urllib.parse.parse_qs(url.query)
        length = int(self.headers.get("Content-Length", 0))
        self.body = self.rfile.read(length)
        how = self.hub.failure(self.command, self.path) or ""
        if callable(how):
            how()
            how = ""
        if len(self.body) < length or how == "silent":
            self.close_connection = True
            return
        if how == "slow":
            time.sleep(0.3)
        if how in ("moved", "elsewhere"):
            self.say(307, b"", {"Location": (self.hub.address if how == "moved" else self.hub.storage) + self.path})
            return
        self.corrupt = how == "corrupt"
        status, _, message = how.partition(":")
        if status.isdigit():
            self.say(int(status), {"error": message or f"told to fail with {status}"}, {"Retry-After": "0"} if status == "429" else {})
            return
        answer = self.dispatch(method, url.path)
        if how == "500-after":
            answer = 500, {"error": "told to fail after it was done"}, {}
        self.say(*answer, cut=how == "cut")

    do_GET = do_HEAD = do_POST = do_PUT = handle_any

    def dispatch(self, method, path):
        for of, pattern, name in self.ROUTES:
            match = re.fullmatch(pattern, path)
            if match and of == method:
                parts = [None if part is None else urllib.parse.unquote(part) for part in match.groups()]
                try:
                    # What reads is let through while another request is read.
                    with self.hub.lock:
                        return getattr(self, name)(*parts)
                except Refused as e:
                    headers = {"X-Error-Message": e.message} | ({"X-Error-Code": e.code} if e.code else {})
                    return e.status, {"error": e.message}, headers
                except (AssertionError, KeyError, TypeError, ValueError) as e:
                    self.hub.wrong.append(f"{self.command} {self.path}: {e!r}")
                    return 400, {"error": f"a request that the hub does not understand: {e!r}"}, {}
        return 404, {"error": f"no such address: {path}"}, {}

    def say(self, status, value, headers=None, cut=False):
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        for name, value in {"Content-Length": len(body), "Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[: len(body) // 2] if cut else body)
        self.close_connection |= cut

    def log_message(self, *_):
        pass

    # Who asks.

    def right(self):
        given = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if given and given not in TOKENS:
            raise Refused(401, f"Invalid credentials in Authorization header: {given}")
        return TOKENS.get(given)

    def may_write(self):
        right = self.right()
        if right != "write":
            raise Refused(403 if right else 401, "You need a token with write access to this repository")

    def repository(self, kind, name):
        right = self.right()
        found = self.hub.repositories.get((kind, name))
        if found is None or found.private and not right:
            raise Refused(404 if right else 401, "Repository not found", "RepoNotFound")
        return found

    # Repositories.

    def create(self):
        self.may_write()
        asked = json.loads(self.body)
        key = asked.get("type", "model") + "s", f"{asked['organization']}/{asked['name']}"
        if key in self.hub.repositories:
            raise Refused(409, "You already created this repo")
        self.hub.repositories[key] = Repository(asked["visibility"] == "private")
        return 200, {"url": f"{self.hub.address}/{key[1]}", "name": key[1]}, {}

    def whoami(self):
        if not self.right():
            raise Refused(401, "Invalid username or password.")
        return 200, {"type": "user", "name": "tester", "orgs": []}, {}

    def validate(self):
        return 200, {"errors": [], "warnings": []}, {}

    def info(self, kind, name, revision="main"):
        repository = self.repository(kind, name)
        oid = repository.find(revision)
        blobs = "blobs" in self.query

        def sibling(path, file):
            more = {"size": file.size, "blobId": file.oid}
            if file.apart:
                more["lfs"] = {"sha256": file.sha256, "size": file.size, "pointerSize": 130}
            return {"rfilename": path} | (more if blobs else {})

        files = sorted(repository.commits[oid].items())
        return 200, {
            "_id": "0", "id": name, "author": name.split("/")[0], "sha": oid, "private": repository.private, "gated": False, "disabled": False,
            "lastModified": "2026-01-01T00:00:00.000Z", "createdAt": "2026-01-01T00:00:00.000Z", "tags": [], "downloads": 0, "likes": 0,
            "siblings": [sibling(*file) for file in files],
        }, {}  # fmt: skip

    def entry(self, path, file):
        entry = {"type": "file", "path": path, "size": file.size, "oid": file.oid}
        if file.apart:
            entry["lfs"] = {"oid": file.sha256, "size": file.size, "pointerSize": 130}
        return entry

    def entries(self, files):
        """Files and folders by path."""
        entries = {path: self.entry(path, file) for path, file in files.items()}
        for path in files:
            for n in range(1, path.count("/") + 1):
                folder = "/".join(path.split("/")[:n])
                entries[folder] = {"type": "directory", "path": folder, "size": 0, "oid": hashlib.sha1(folder.encode()).hexdigest()}
        return entries

    def tree(self, kind, name, revision, folder=None):
        repository = self.repository(kind, name)
        entries = self.entries(repository.commits[repository.find(revision)])
        if folder and entries.get(folder, {}).get("type") != "directory":
            raise Refused(404, f"{folder} does not exist", "EntryNotFound")
        start = f"{folder}/" if folder else ""
        recursive = self.query.get("recursive", ["false"])[0].lower() in ("true", "1")
        below = (e for p, e in sorted(entries.items()) if p.startswith(start))
        return 200, [e for e in below if recursive or "/" not in e["path"][len(start) :]], {}

    def paths(self, kind, name, revision):
        repository = self.repository(kind, name)
        entries = self.entries(repository.commits[repository.find(revision)])
        is_json = "json" in self.headers.get("Content-Type", "")
        asked = json.loads(self.body)["paths"] if is_json else urllib.parse.parse_qs(self.body.decode())["paths"]
        return 200, [entries[path] for path in asked if path in entries], {}

    def refs(self, kind, name):
        refs = self.repository(kind, name).refs.items()
        pulls = [{"name": n, "ref": n, "targetCommit": oid} for n, oid in refs if n.startswith("refs/")]
        branches = [{"name": n, "ref": f"refs/heads/{n}", "targetCommit": oid} for n, oid in refs if not n.startswith("refs/")]
        return 200, {"branches": branches, "converts": [], "tags": [], "pullRequests": pulls}, {}

    def discussions(self, kind, name):
        pulls = self.repository(kind, name).pulls
        return 200, {"discussions": pulls, "count": len(pulls), "start": 0}, {}

    def branch(self, kind, name, branch):
        self.may_write()
        repository = self.repository(kind, name)
        if branch in repository.refs:
            raise Refused(409, "Reference already exists")
        repository.refs[branch] = repository.find(json.loads(self.body).get("startingPoint", "main"))
        return 200, {}, {}

    # Commits.

    def preupload(self, kind, name, revision):
        self.may_write()
        repository = self.repository(kind, name)
        here = repository.commits[repository.find(revision)]
        ignored = [line for line in here[".gitignore"].content.decode().split()] if ".gitignore" in here else []

        def mode(file):
            text = b"\0" not in base64.b64decode(file["sample"])
            apart = file["path"].rsplit(".", 1)[-1] in APART or file["size"] > LARGE or not text
            same = here.get(file["path"])
            return {
                "path": file["path"], "uploadMode": "lfs" if apart else "regular", "shouldIgnore": file["path"] in ignored,
                "oid": same and (same.sha256 if same.apart else same.oid),
            }  # fmt: skip

        return 200, {"files": [mode(file) for file in json.loads(self.body)["files"]]}, {}

    def commit(self, kind, name, revision):
        self.may_write()
        repository = self.repository(kind, name)
        head, *lines = (json.loads(line) for line in self.body.splitlines())
        assert self.headers["Content-Type"] == "application/x-ndjson" and head["key"] == "header"
        pull = "create_pr" in self.query
        parent = repository.find(head["value"].get("parentCommit") or revision)
        if not pull and parent != repository.find(revision):
            raise Refused(412, "A commit has happened since. Please refresh and try again.")
        files = dict(repository.commits[parent])
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = File(base64.b64decode(value["content"], validate=True), False)
            elif line["key"] == "lfsFile":
                content = self.hub.stored.get(value["oid"])
                if content is None or len(content) != value["size"]:
                    raise Refused(400, f"LFS pointer pointed to a file that does not exist: {value['path']}")
                files[value["path"]] = File(content, True)
            elif line["key"] == "deletedFile":
                del files[value["path"]]
            else:
                raise Refused(400, f"unknown key {line['key']}")
        page = f"{self.hub.address}/{'datasets/' if kind == 'datasets' else ''}{name}"
        summary = head["value"]["summary"]
        number = len(repository.pulls) + 1
        oid = repository.commit(f"refs/pr/{number}" if pull else revision, summary, files)
        answer = {"success": True, "commitOid": oid, "commitUrl": f"{page}/commit/{oid}", "hookOutput": ""}
        if pull:
            repository.pulls.append({
                "num": number, "title": summary, "status": "open", "isPullRequest": True, "author": {"name": "tester"},
                "createdAt": "2026-01-01T00:00:00.000Z", "repo": {"name": name, "type": kind[:-1]},
            })  # fmt: skip
            answer["pullRequestUrl"] = f"{page}/discussions/{number}"
        return 200, answer, {}

    # Large files.

    def batch(self, kind, name):
        self.may_write()
        self.repository("datasets" if kind else "models", name)
        asked = json.loads(self.body)
        assert asked["operation"] == "upload" and asked["hash_algo"] == "sha256"
        if self.hub.limit is not None and sum(o["size"] for o in asked["objects"]) > self.hub.limit:
            raise Refused(403, "Private repository storage limit reached, please upgrade your plan")

        def actions(oid, size):
            if self.corrupt:
                return {"oid": oid, "size": size, "error": {"code": 422, "message": "the object cannot be stored"}}
            if oid in self.hub.stored:
                return {"oid": oid, "size": size}
            upload = {"href": f"{self.hub.storage}/lfs/{oid}?signed", "header": {}}
            if size > self.hub.multipart:
                urls = {f"{n + 1:05}": f"{self.hub.storage}/lfs/{oid}/{n}?signed" for n in range(-(-size // PART))}
                upload["header"] = {"chunk_size": str(PART), **urls}
            return {"oid": oid, "size": size, "actions": {"upload": upload, "verify": {"href": f"{self.hub.address}/lfs/{oid}/verify"}}}

        return 200, {"transfer": "basic", "objects": [actions(**o) for o in asked["objects"]]}, {}

    def put(self, oid, content):
        if self.corrupt:
            content = content[:-1] + bytes([content[-1] ^ 1])
        if hashlib.sha256(content).hexdigest() != oid:
            raise Refused(400, "XAmzContentSHA256Mismatch")
        self.hub.stored[oid] = content
        return 200, b"", {"ETag": f'"{hashlib.md5(content).hexdigest()}"'}

    def store(self, oid, part=None):
        if part is None:
            return self.put(oid, self.body)
        self.hub.parts[oid, int(part)] = self.body
        return 200, b"", {"ETag": f'"part-{part}"'}

    def complete(self, oid):
        asked = json.loads(self.body)
        if asked["oid"] != oid or [p["etag"] for p in asked["parts"]] != [f'"part-{n}"' for n in range(len(asked["parts"]))]:
            raise Refused(400, "InvalidPart")
        return self.put(oid, b"".join(self.hub.parts.pop((oid, n)) for n in range(len(asked["parts"]))))

    def verify(self, oid):
        self.may_write()
        if len(self.hub.stored.get(oid, b"")) != json.loads(self.body)["size"]:
            raise Refused(400, "the object was not stored")
        return 200, {}, {}

    def stored(self, oid):
        return self.part_of(self.hub.stored[oid], {})

    def resolve(self, kind, name, revision, path):
        repository = self.repository("datasets" if kind else "models", name)
        oid = repository.find(revision)
        file = repository.commits[oid].get(path)
        if file is None:
            raise Refused(404, "Entry not found", "EntryNotFound")
        headers = {"X-Repo-Commit": oid, "ETag": f'"{file.oid}"'}
        if not file.apart:
            return self.part_of(file.content, headers)
        linked = {"X-Linked-Size": file.size, "X-Linked-ETag": f'"{file.sha256}"', "Location": f"{self.hub.storage}/lfs/{file.sha256}"}
        return 302, b"", headers | linked

    def part_of(self, content, headers):
        """The bytes, or those of the range that is asked for."""
        headers = headers | {"Accept-Ranges": "bytes", "Content-Type": "application/octet-stream"}
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not asked:
            return 200, content, headers
        first, last = int(asked[1]), min(int(asked[2] or len(content)), len(content) - 1)
        return 206, content[first : last + 1], headers | {"Content-Range": f"bytes {first}-{last}/{len(content)}"}


def tokens_sent(hub):
    """By which server a token was seen: the hub's own address and no other."""
    seen = collections.Counter()
    for _, _, headers in hub.requests:
        seen[headers.get("Host"), bool(headers.get("Authorization"))] += 1
    return seen
