"""`report.html` by what is on it: it stays one file without script, whatever makes it.

Its outline is pinned on the raw samples of the committed release, so that no measurement decides
what is on it.
"""

import base64
import hashlib
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from tests.golden.conftest import Built, Run
from tests.golden.contracts import HERE, compare

_COUNTED = ("svg", "table", "details", "figure", "nav", "main", "script", "link", "img", "iframe")
_TITLES = {"title", "h1", "h2", "h3", "h4", "th", "caption", "summary", "figcaption"}


class Page(HTMLParser):
    """What is on a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.titles: list[tuple[str, str]] = []
        self.metas: list[dict[str, str | None]] = []
        self.outside: list[str] = []
        self.handlers: list[str] = []
        self.html: dict[str, str | None] = {}
        self._drawing = 0
        self._open: list[tuple[str, list[str]]] = []
        self.text = path.read_text("utf-8")
        self.feed(self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        given = dict(attrs)
        if tag == "html":
            self.html = given
        if tag == "meta":
            self.metas.append(given)
        for name, value in attrs:
            if name in {"src", "href", "action"} and not (value or "").startswith(("#", "data:")):
                self.outside.append(value or "")
            if name.startswith("on"):
                self.handlers.append(name)
        self._drawing += tag == "svg"
        if tag in _TITLES and not self._drawing and given.get("scope") != "row":
            self._open.append((tag, []))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_data(self, data: str) -> None:
        for _, words in self._open:
            words.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._drawing -= tag == "svg"
        if self._open and self._open[-1][0] == tag:
            _, words = self._open.pop()
            self.titles.append((tag, " ".join("".join(words).split())))


def outline(page: Page) -> dict[str, Any]:
    """Return what a reader finds, without numbers that were measured."""
    return {
        "language": page.html.get("lang"),
        "metas": [
            {
                name: re.sub(r"sha256-[\w+/=]+", "sha256-#", value or "")
                for name, value in one.items()
            }
            for one in page.metas
        ],
        "titles": [f"{tag} {_plain(words)}" for tag, words in page.titles],
        "elements": {tag: page.tags[tag] for tag in _COUNTED},
    }


def _plain(words: str) -> str:
    return re.sub(r"\d[\d.,]*", "#", words)


def test_a_proven_page_has_the_same_outline(run: Run, old: Path, tmp_path: Path) -> None:
    aim = ("--objective", "size", "--matrix", HERE / "two.toml")
    ran = run("validate", old, "--replay", *aim, "--overlay", tmp_path / "overlay")
    assert ran.code == 0, ran.stderr
    (made,) = (tmp_path / "overlay").glob("reports/*/report.html")
    assert made.read_bytes() != (old / "report.html").read_bytes()
    compare("report-page", outline(Page(made)))


def test_a_page_without_proof_has_the_same_outline(structural: Path) -> None:
    compare("report-page-structural", outline(Page(structural / "report.html")))


def test_nothing_runs_and_nothing_is_loaded(proven: Built, structural: Path) -> None:
    for folder in (proven.folder, structural):
        page = Page(folder / "report.html")
        assert not page.handlers
        assert page.tags["script"] == page.tags["link"] == page.tags["iframe"] == 0
        assert all(re.match(r"(https?://|evidence/|[\w.-]+$)", one) for one in page.outside)
        assert "url(http" not in page.text
        assert "@import" not in page.text
        (policy,) = (m["content"] for m in page.metas if m.get("http-equiv"))
        assert policy
        assert "default-src 'none'" in policy
        assert "script-src" not in policy
        for style in re.findall(r"<style[^>]*>(.*?)</style>", page.text, re.DOTALL):
            digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
            assert f"'sha256-{digest}'" in policy


def test_it_is_readable_in_light_and_in_dark(proven: Built) -> None:
    text = Page(proven.folder / "report.html").text
    assert re.search(r"color-scheme:\s*light dark", text)
    assert re.search(r"prefers-color-scheme:\s*dark", text)
