"""Files that must agree do."""

import json
import re
import subprocess
import unittest

from pages import ROOT


def step(name):
    """The script of a step of the release workflow."""
    workflow = (ROOT / "docs/workflows/release.yml").read_text(encoding="utf-8")
    [script] = re.findall(rf"^      - name: {re.escape(name)}\n(?:        .*\n)*?        run: \|\n((?:          .*\n|\n)+)", workflow, re.MULTILINE)
    return re.sub(r"^ {10}", "", script, flags=re.MULTILINE)


class Versions(unittest.TestCase):
    def test_images_and_workflows_build_what_the_repository_builds(self):
        image = (ROOT / "containers/Dockerfile").read_text(encoding="utf-8")
        workflow = (ROOT / "docs/workflows/release.yml").read_text(encoding="utf-8")
        channel = re.search(r'channel = "(\d+\.\d+)', (ROOT / "rust-toolchain.toml").read_text())[1]
        self.assertIn(f"/rust:{channel}-alpine ", image)
        # A static program cannot load ONNX Runtime.
        [features] = set(re.findall(r"--no-default-features --features [\w,]+", image + workflow))
        known = re.findall(r"^(\w+) = \[", (ROOT / "Cargo.toml").read_text().split("[features]")[1].split("[dependencies]")[0], re.MULTILINE)
        self.assertEqual(set(features.split()[-1].split(",")), set(known) - {"default", "onnxruntime", "cuda", "nccl"})

    def test_a_release_is_made_in_the_repository_of_the_packages_only(self):
        metadata = ["cargo", "metadata", "--locked", "--offline", "--no-deps", "--format-version=1"]
        packages = json.loads(subprocess.run(metadata, cwd=ROOT, check=True, capture_output=True, text=True).stdout)["packages"]
        self.assertEqual(len(packages), 14)
        [address] = {p["repository"] for p in packages} | {p["homepage"] for p in packages}
        [_] = {p["documentation"] for p in packages}
        server, owner, name = re.fullmatch(r"(https://[^/]+)/([^/]+)/([^/]+)", address).groups()
        script = step("The repository is that of Cargo.toml")
        for repository, accepted in ((f"{owner}/{name}", True), (f"fork/{name}", False), (f"{owner}/{name}-fork", False), ("", False)):
            facts = {"PATH": "/usr/bin:/bin", "GITHUB_SERVER_URL": server, "GITHUB_REPOSITORY": repository}
            done = subprocess.run(["bash", "-e", "-c", script], cwd=ROOT, env=facts, capture_output=True, text=True)
            self.assertEqual(done.returncode == 0, accepted, done.stdout)
            if not accepted:
                self.assertIn(f"::error::this is {server}/{repository} and Cargo.toml has {address}: change `repository`", done.stdout)

    def test_no_page_downloads_from_the_address_before_a_release_is_there(self):
        [address] = re.findall(r'^repository = "(.*)"', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)
        for page in ("README.md", "install.sh", "action.yml", *(str(p.relative_to(ROOT)) for p in (ROOT / "docs").rglob("*.md"))):
            self.assertNotIn(address, (ROOT / page).read_text(encoding="utf-8"), page)

    def test_what_is_copied_into_an_image_is_there(self):
        lines = (ROOT / ".dockerignore").read_text().splitlines()
        for line in lines:
            if line.startswith("!"):
                self.assertTrue((ROOT / line[1:]).exists(), line)


if __name__ == "__main__":
    unittest.main()
