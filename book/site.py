"""Makes a site of the repository's pages. mdBook calls it as a preprocessor, before it renders pages, and as a renderer, after.

As a preprocessor: pages outside docs/ get a path inside the site, and links between pages follow. As a renderer: files of the
repository that pages link to are copied, and every link and anchor of the site is checked.
"""

import html.parser
import json
import os
import pathlib
import re
import shutil
import sys
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parent.parent
FENCE = re.compile(r"^( *```.*?^ *```)", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(\]\()([^)\s]+)(\))")


def in_repository(page, target=""):
    """The path from the root of the repository of a link on a page that SUMMARY.md names."""
    return os.path.normpath(os.path.join("docs", os.path.dirname(page) if target else page, target))


def in_site(path):
    """Where a page of the repository is in the site: docs/ is its root, and README.md is the first page of its folder."""
    path = os.path.relpath(path, "docs") if path.startswith("docs/") else path
    folder, name = os.path.split(path)
    return os.path.join(folder, "index.md") if name == "README.md" else path


def chapters(items):
    for item in items:
        if isinstance(item, dict) and "Chapter" in item:
            yield item["Chapter"]
            yield from chapters(item["Chapter"]["sub_items"])


def preprocess(book):
    pages = {in_repository(c["source_path"]) for c in chapters(book["items"]) if c["source_path"]}
    for chapter in chapters(book["items"]):
        page = chapter["source_path"]
        place = in_site(in_repository(page))

        def moved(match):
            target, _, anchor = match[2].partition("#")
            if not target or ":" in target:
                return match[0]
            path = in_repository(page, target)
            if not (ROOT / path).exists():
                sys.exit(f"docs/{page}: the link `{match[2]}` leads to no file")
            path = os.path.relpath(in_site(path) if path in pages else path.removeprefix("docs/"), os.path.dirname(place) or ".")
            return match[1] + path + ("#" + anchor if anchor else "") + match[3]

        chapter["path"] = place
        chapter["content"] = "".join(
            part if part.lstrip().startswith("```") else LINK.sub(moved, part) for part in FENCE.split(chapter["content"])
        )
    return book


class Page(html.parser.HTMLParser):
    """What a page links to, and the places in it that can be linked to."""

    def __init__(self, path):
        super().__init__()
        self.links, self.places = set(), {"", "top"}
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name == "id" or (name == "name" and tag == "a"):
                self.places.add(value)
            if value and name in ("href", "src"):
                self.links.add(value)


def check(site):
    """Copies what is linked and not there, and gives the links that lead nowhere. Pages that were copied are not checked."""
    pages = {path: Page(path) for path in sorted(site.rglob("*.html")) if path.name not in ("404.html", "toc.html")}
    wrong = []
    for path, page in pages.items():
        for link in sorted(page.links):
            parts = urllib.parse.urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = pathlib.Path(os.path.normpath(path.parent / urllib.parse.unquote(parts.path))) if parts.path else path
            inside = target.relative_to(site) if target.is_relative_to(site) else None
            if inside and not target.exists() and (ROOT / inside).is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                # A page of HTML comes with its folder.
                if target.suffix == ".html":
                    shutil.copytree((ROOT / inside).parent, target.parent, dirs_exist_ok=True)
                else:
                    shutil.copyfile(ROOT / inside, target)
            if not inside or not target.is_file():
                wrong.append(f"{path.relative_to(site)}: `{link}` leads to no file")
            elif target in pages and urllib.parse.unquote(parts.fragment) not in pages[target].places:
                wrong.append(f"{path.relative_to(site)}: `{link}` leads to no place on that page")
    return len(pages), wrong


if __name__ == "__main__":
    if sys.argv[1:2] == ["supports"]:
        sys.exit(0 if sys.argv[2] == "html" else 1)
    message = json.load(sys.stdin)
    if isinstance(message, list):
        json.dump(preprocess(message[1]), sys.stdout)
        sys.exit()
    count, wrong = check(pathlib.Path(message["destination"]).resolve().parent / "html")
    print("\n".join(wrong), file=sys.stderr)
    if wrong or count < 20:
        sys.exit(f"{len(wrong)} wrong links on {count} pages")
    print(f"every link of {count} pages leads to a page or a file", file=sys.stderr)
