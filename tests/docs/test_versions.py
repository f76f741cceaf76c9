"""Files that must agree do."""

import re
import unittest

from pages import ROOT


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

    def test_what_is_copied_into_an_image_is_there(self):
        lines = (ROOT / ".dockerignore").read_text().splitlines()
        for line in lines:
            if line.startswith("!"):
                self.assertTrue((ROOT / line[1:]).exists(), line)


if __name__ == "__main__":
    unittest.main()
