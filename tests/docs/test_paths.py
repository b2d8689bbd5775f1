"""Every file, link and anchor that the documents name exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "ARCHITECTURE.md",
    ROOT / "SECURITY.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    ROOT / "deploy" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "deploy").rglob("*.md")),
]
ROOMS = {path.name for path in (ROOT / "pushhub").iterdir() if path.is_dir()}
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
# A path whose first part is a folder of the repository, or a room of the package.
FOLDERS = ("benchmarks", "clients", "deploy", "docs", "examples", "pushhub", "scripts", "tests")
NAMED = re.compile(rf"`(?:\./)?((?:{'|'.join([*FOLDERS, *sorted(ROOMS)])})/[\w./-]*)")
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
# Members of an npm or Python package, and the paths of a built client.
BUILT = re.compile(r"^clients/(?:js/dist|python/dist)|\.venv")


def text_of(page: Path) -> str:
    """A page without its blocks of code, which are run elsewhere."""
    return FENCE.sub("", page.read_text())


def anchors(page: Path) -> set[str]:
    """The anchors of a page, as GitHub makes them of headings, and those written by hand."""
    text = text_of(page)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    made = {re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings}
    return made | set(re.findall(r'<a (?:id|name)="([^"]+)"', text))


def missing_paths(text: str) -> list[str]:
    """The named paths that exist neither in the repository nor in the package."""
    named = {path.rstrip("/.") for path in NAMED.findall(text) if not BUILT.search(path)}
    return sorted(
        path
        for path in named
        if not any((root / path).exists() for root in (ROOT, ROOT / "pushhub"))
    )


def missing_links(page: Path, text: str) -> list[str]:
    """The relative links that lead to no file, or to no heading of a page."""
    missing = []
    for link in LINK.findall(text):
        if re.match(r"[a-z]+:", link):
            continue
        target, _, anchor = link.partition("#")
        file = page.parent / target if target else page
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file)):
            missing.append(link)
    return missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_paths_of_a_page_exist(page: Path) -> None:
    assert not missing_paths(text_of(page))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    assert not missing_links(page, text_of(page))


def test_a_wrong_path_and_a_wrong_link_are_found() -> None:
    assert missing_paths("`hub/doubt.py` and `tests/hub/test_hub.py`") == ["hub/doubt.py"]
    readme = ROOT / "README.md"
    links = "[a](docs/api.md#tokens) [b](docs/none.md) [c](docs/api.md#none) [d](https://x.org)"
    assert missing_links(readme, links) == ["docs/none.md", "docs/api.md#none"]
