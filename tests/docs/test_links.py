"""Every link between the repository's pages leads to a file, and to a heading where it names one."""

import os
import re
import unittest
import urllib.parse

import pages


class Links(unittest.TestCase):
    def test_links_lead_somewhere(self):
        wrong, seen = [], 0
        for page in pages.documents():
            for number, line in pages.read(page)[1]:
                for target in re.findall(r"\]\(<?([^)>\s]+)", re.sub(r"`[^`]*`", "", line)):
                    if re.match(r"[a-z]+:", target):
                        continue
                    path, _, anchor = urllib.parse.unquote(target).partition("#")
                    path = os.path.normpath(os.path.join(os.path.dirname(page), path)) if path else page
                    seen += 1
                    if not (pages.ROOT / path).exists():
                        wrong.append(f"{page}:{number}: `{target}` leads to no file")
                    elif anchor and anchor not in pages.anchors(path):
                        wrong.append(f"{page}:{number}: `{target}` leads to no heading; {path} has {sorted(pages.anchors(path))}")
        self.assertEqual(wrong, [])
        self.assertGreater(seen, 100)

    def test_every_page_of_docs_is_in_the_summary(self):
        listed = re.findall(r"\]\(([^)]+)\)", (pages.ROOT / "docs/SUMMARY.md").read_text(encoding="utf-8"))
        listed = {os.path.normpath(os.path.join("docs", path)) for path in listed}
        self.assertEqual([p for p in pages.guides() if p not in listed and p != "docs/SUMMARY.md"], [])


if __name__ == "__main__":
    unittest.main()
