"""`install.sh` against a server of published files on this machine."""

import functools
import hashlib
import http.server
import io
import os
import pathlib
import shutil
import subprocess
import tarfile
import tempfile
import threading
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = b"#!/bin/sh\necho korfinsts 9.9.9\n"
TARGETS = ("x86_64-unknown-linux-musl", "x86_64-unknown-linux-gnu", "aarch64-unknown-linux-musl", "aarch64-apple-darwin")
SHELLS = [s for s in ("dash", "bash", "busybox") if shutil.which(s)]


def archive(program=PROGRAM, name="korfinsts"):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as file:
        info = tarfile.TarInfo(name)
        info.size, info.mode = len(program), 0o755
        file.addfile(info, io.BytesIO(program))
    return buffer.getvalue()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


class Install(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="korfinsts-install-")
        self.addCleanup(folder.cleanup)
        self.home = pathlib.Path(folder.name)
        self.published = self.home / "published"
        self.published.mkdir()
        sums = ""
        for target in TARGETS:
            (self.published / f"korfinsts-{target}.tar.gz").write_bytes(archive())
            sums += f"{hashlib.sha256(archive()).hexdigest()}  korfinsts-{target}.tar.gz\n"
        (self.published / "SHA256SUMS").write_text(sums)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=self.published))
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{server.server_address[1]}"

    def install(self, shell="sh", uname=None, **environment):
        kept = {k: v for k, v in os.environ.items() if not k.startswith("KORFINSTS") and not k.lower().endswith("_proxy")}
        kept |= {"HOME": str(self.home), "KORFINSTS_URL": self.url} | environment
        if uname:
            (self.home / "fake").mkdir(exist_ok=True)
            (self.home / "fake/uname").write_text(f"#!/bin/sh\ntest \"$1\" = -s && echo {uname[0]} || echo {uname[1]}\n")
            (self.home / "fake/uname").chmod(0o755)
            kept["PATH"] = f"{self.home / 'fake'}:{kept['PATH']}"
        command = ["busybox", "sh"] if shell == "busybox" else [shell]
        return subprocess.run([*command, ROOT / "install.sh"], env=kept, capture_output=True, text=True)

    def nothing_is_left(self):
        found = [p for p in (self.home / ".local/bin").glob("*")] if (self.home / ".local").exists() else []
        self.assertEqual(found + list((self.home / ".local/bin").glob(".*")), [])

    def refused(self, *said, **facts):
        done = self.install(**facts)
        self.assertNotEqual(done.returncode, 0, done.stdout)
        for text in (*said, "hint: "):
            self.assertIn(text, done.stderr)
        self.nothing_is_left()

    def test_every_shell_installs(self):
        for shell in ["sh", *SHELLS]:
            done = self.install(shell, uname=("Linux", "x86_64"))
            self.assertEqual(done.returncode, 0, f"{shell}: {done.stderr}")
            program = self.home / ".local/bin/korfinsts"
            self.assertEqual(done.stdout.splitlines()[0], f"korfinsts 9.9.9: {program}")
            self.assertIn("export PATH=", done.stdout)
            self.assertEqual(subprocess.run([program], capture_output=True, text=True).stdout, "korfinsts 9.9.9\n")
            self.assertEqual([p.name for p in program.parent.iterdir()], ["korfinsts"])

    def test_the_kind_of_machine_is_guessed(self):
        for uname, target in {("Linux", "aarch64"): "aarch64-unknown-linux-musl", ("Darwin", "arm64"): "aarch64-apple-darwin"}.items():
            (self.published / f"korfinsts-{target}.tar.gz").write_bytes(b"another file")
            self.refused(f"korfinsts-{target}.tar.gz has SHA-256", uname=uname)
        self.refused("no build is published for the processor `riscv64`", uname=("Linux", "riscv64"))
        self.refused("this script does not know the system `MINGW64_NT`", uname=("MINGW64_NT", "x86_64"))
        done = self.install(KORFINSTS_TARGET="x86_64-unknown-linux-gnu", KORFINSTS_BIN_DIR=str(self.home / "a folder"))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue((self.home / "a folder/korfinsts").exists())

    def test_what_is_damaged_is_not_installed(self):
        linux = {"uname": ("Linux", "x86_64")}
        name = f"korfinsts-{TARGETS[0]}.tar.gz"
        good = (self.published / "SHA256SUMS").read_text()
        (self.published / name).write_bytes(archive(b"#!/bin/sh\necho replaced\n"))
        self.refused(f"{name} has SHA-256", "nothing was installed", **linux)
        (self.published / name).write_bytes(archive()[:-20])
        self.refused(f"{name} has SHA-256", **linux)
        (self.published / name).unlink()
        self.refused(f"cannot download {self.url}/{name}", **linux)
        for sums in ("", "x" * 64 + f"  {name}\n", good + f"{'0' * 64}  {name}\n", good.replace(name, name + ".old")):
            (self.published / "SHA256SUMS").write_text(sums)
            self.refused("SHA256SUMS does not", **linux)
        (self.published / "SHA256SUMS").unlink()
        self.refused(f"cannot download {self.url}/SHA256SUMS", **linux)

    def test_a_program_that_does_not_start_is_not_installed(self):
        content = archive(b"#!/bin/sh\nexit 127\n")
        name = f"korfinsts-{TARGETS[0]}.tar.gz"
        (self.published / name).write_bytes(content)
        (self.published / "SHA256SUMS").write_text(f"{hashlib.sha256(content).hexdigest()}  {name}\n")
        self.refused("does not start on this machine", uname=("Linux", "x86_64"))

    def test_every_kind_that_is_guessed_is_published(self):
        workflow = (ROOT / "docs/workflows/release.yml").read_text(encoding="utf-8")
        for target in TARGETS:
            self.assertIn(f"target: {target},", workflow)
        self.assertIn('dist/korfinsts-$TARGET.tar.gz" -C stage korfinsts', workflow)
        self.assertIn("sha256sum -- *", workflow)

    def test_addresses_are_safe(self):
        self.refused("`KORFINSTS_URL` is not set", KORFINSTS_URL="")
        for url in ("http://example.org/x", "ftp://example.org", "file:///etc", "example.org"):
            self.refused("is not an address with https", KORFINSTS_URL=url)


if __name__ == "__main__":
    unittest.main()
