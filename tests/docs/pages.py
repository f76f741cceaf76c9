"""What the pages of the documentation hold: blocks of code, headings and links."""

import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]


def documents():
    """Every Markdown page for people; not texts that the program renders or that are part of a built release."""
    tracked = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    other = ("templates/mine/", "templates/release/", "templates/submission/", "templates/training-card.md", "tests/reference/")
    return [p for p in tracked.split() if not p.startswith(other) and "/releases/" not in p]


def guides():
    """The pages whose commands a reader types."""
    return [p for p in documents() if p.startswith("docs/") or p in ("README.md", "CONTRIBUTING.md")]


class Block:
    """A fenced block: `language` and `mark` are the two parts of what follows the fence."""

    def __init__(self, page, line, info, text):
        self.place, self.text = f"{page}:{line}", text
        self.language, _, self.mark = info.partition(",")


def read(page):
    """The blocks of a page, and its lines outside of them as `(number, line)`."""
    blocks, prose, fence, lines = [], [], None, []
    for number, line in enumerate((ROOT / page).read_text(encoding="utf-8").split("\n"), 1):
        mark = re.match(r"( *)(```+)(.*)", line)
        if fence is None and mark:
            fence, start, lines = mark, number, []
        elif fence is None:
            prose.append((number, line))
        elif mark and mark[2] == fence[2] and not mark[3].strip():
            blocks.append(Block(page, start, fence[3].strip(), "\n".join(lines) + "\n"))
            fence = None
        else:
            lines.append(line.removeprefix(fence[1]))
    assert fence is None, f"{page}:{start}: this block has no end"
    return blocks, prose


def anchors(page):
    """The places of a page that a link can name, as GitHub and mdBook name headings."""
    found = set()
    for _, line in read(page)[1]:
        heading = re.match(r"#{1,6} +(.*)", line)
        if heading:
            text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1]).lower()
            name = re.sub(r"[^\w\- ]", "", text).strip().replace(" ", "-")
            found.add(name if name not in found else next(f"{name}-{n}" for n in range(1, 99) if f"{name}-{n}" not in found))
    return found
