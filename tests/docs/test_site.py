"""The documentation site is built, and a page that is wrong ends the build."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING

import pytest

from scripts.site_build import build, nav_pages
from scripts.site_check import check
from tests import outside

if TYPE_CHECKING:
    from pathlib import Path

TREE = {
    "zensical.toml": """
[project]
site_name = "a site"
site_description = "A description."
docs_dir = "pages"
site_dir = "html"
nav = [
  { "Home" = "index.md" },
  { "More" = [{ "One" = "one.md" }, { "Away" = "project/deploy/README.md" }] },
]
[project.theme]
font = false
""",
    "docs/index.md": "# Home\n\nSee [one](one.md#a-part) and [away](../deploy/README.md).\n",
    "docs/one.md": "# One\n\nThe first sentence. Another.\n\n## A part\n\nText:\n- a list\n"
    "\n```python a.py\nx = 1\n```\n\n| a table |\n|---|\n| `x\\|y` |\n",
    "deploy/README.md": "# Away\n\n[Back](../docs/one.md), and [a file](a.conf).\n",
    "deploy/a.conf": "# a file\n",
}


@pytest.fixture
def generator() -> Path:
    outside.require("site")
    return outside.ROOT / ".outside" / "site" / "bin" / "zensical"


def tree(folder: Path, **changes: str) -> Path:
    """A small repository; `changes` are appended to the pages of docs/."""
    for name, text in TREE.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for name, text in changes.items():
        with (folder / "docs" / f"{name}.md").open("a") as page:
            page.write(text)
    return folder


def test_the_site_of_this_repository(tmp_path: Path, generator: Path) -> None:
    assert build(outside.ROOT, tmp_path / "site", generator) == []
    project = tomllib.loads((outside.ROOT / "zensical.toml").read_text())["project"]
    html = tmp_path / "site" / "html"
    listed = (html / "llms.txt").read_text()
    for _, title, page in nav_pages(project["nav"]):
        found = re.search(
            rf"^- \[{re.escape(title)}\]\({re.escape(page)}\): (.+)$", listed, re.MULTILINE
        )
        assert found, page
        assert 3 <= len(found[1].split()) <= 60, f"{page}: {found[1]}"
        assert (html / page).read_text().strip(), "the Markdown is beside the page"
    assert (html / "search.json").stat().st_size > 100_000


def test_a_small_site(tmp_path: Path, generator: Path) -> None:
    root = tree(tmp_path)
    assert build(root, tmp_path / "site", generator) == []
    html = tmp_path / "site" / "html"
    assert (html / "llms.txt").read_text() == (
        "# a site\n\n> A description.\n\n- [Home](index.md): See one and away.\n\n## More\n\n"
        "- [One](one.md): The first sentence.\n"
        "- [Away](project/deploy/README.md): Back, and a file.\n"
    )
    page = (html / "one" / "index.html").read_text()
    assert "<li>a list</li>" in page, "as the forge shows it"
    assert '<span class="filename">a.py</span>' in page
    assert "<td><code>x|y</code></td>" in page
    assert (html / "project" / "deploy" / "a.conf").read_text() == "# a file\n"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"one": "[gone](gone.md)"}, "docs/one.md links to gone.md"),
        ({"one": "[gone](../gone.conf)"}, "docs/one.md links to ../gone.conf"),
        ({"one": "[gone](../.outside/x)"}, "docs/one.md links to ../.outside/x"),
        ({"two": "# Two\n"}, "nav has no entry for two.md"),
        ({"index": "[part](one.md#no-part)"}, "no-part"),
        ({"index": "[part](#no-part)"}, "no-part"),
        ({"one": "![picture](https://example.com/a.png)"}, "loads https://example.com/a.png"),
        ({"one": "\n# One more\n"}, "2 first headings"),
    ],
)
def test_what_is_wrong_ends_the_build(
    changes: dict[str, str], error: str, tmp_path: Path, generator: Path
) -> None:
    errors = build(tree(tmp_path, **changes), tmp_path / "site", generator)
    assert len(errors) == 1
    assert error in errors[0]


def test_a_page_of_the_navigation_that_is_not_there(tmp_path: Path, generator: Path) -> None:
    root = tree(tmp_path)
    (root / "docs" / "one.md").unlink()
    (root / "docs" / "index.md").write_text("# Home\n\n[away](../deploy/README.md)\n")
    (root / "deploy" / "README.md").write_text("# Away\n")
    errors = build(root, tmp_path / "site", generator)
    assert errors == ["zensical.toml: nav names one.md, which is no page"]


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ('<a href="../one/#part">x</a><a href="/one/">x</a><a href="#top">x</a>', ""),
        ('<a href="https://example.com/gone">x</a><img src="data:,">', ""),
        ('<a href="../two/">x</a>', "links to ../two/, which is not there"),
        ('<a href="../one/#gone">x</a>', "links to ../one/#gone, which is not there"),
        ('<a href="#gone">x</a>', "links to #gone, which is not there"),
        ('<a href="../../../outside">x</a>', "links to ../../../outside, which is not there"),
        ('<script src="//example.com/x.js"></script>', "loads //example.com/x.js from elsewhere"),
        ('<link rel="stylesheet" href="a.css">', "loads a.css, which is not there"),
    ],
)
def test_what_is_wrong_in_the_built_site(body: str, error: str, tmp_path: Path) -> None:
    pages = {"one": "<h1 id=part>One</h1>", "page": f"<h1 id=top>Page</h1>{body}"}
    for name, text in pages.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "index.html").write_text(text)
    found = check(tmp_path, {"one.md", "page.md"})
    assert found == ([f"page/index.html {error}"] if error else [])


def test_a_page_that_was_not_built(tmp_path: Path) -> None:
    assert check(tmp_path, {"a.md"}) == ["a.md is not built"]
