"""Checks a built site: every link leads to a file and an anchor of it, and no page loads anything
from elsewhere, so that it can be read in a closed network.
"""

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src"}
# A browser does not load a `link` with one of these names.
NAMED = {"canonical", "prev", "next", "alternate", "edit"}


class _Page(HTMLParser):
    """The ids, links and loaded files of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.headings = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value for name, value in attrs if value is not None}
        self.headings += tag == "h1"
        self.ids |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        named = tag == "link" and not NAMED.isdisjoint(given.get("rel", "").split())
        if (url := given.get(LOADED.get(tag, ""))) and not named:
            self.loads.append(url)


def check(html: Path, pages: set[str]) -> list[str]:
    """What is wrong with a site; `pages` are the sources, one of which each page has."""
    found = {path: _Page(path.read_text()) for path in html.rglob("*.html")}
    errors = [f"{page} is not built" for page in sorted(pages) if built(html, page) not in found]
    for path, page in sorted(found.items()):
        name = path.relative_to(html)
        if path.name == "404.html":
            continue  # its links begin at the site's address
        if page.headings != 1:
            errors.append(f"{name} has {page.headings} first headings, not one")
        for url in page.loads:
            if urlsplit(url).netloc:
                errors.append(f"{name} loads {url} from elsewhere")
            elif not url.startswith("data:") and not leads(path, url, html, found):
                errors.append(f"{name} loads {url}, which is not there")
        errors += [
            f"{name} links to {url}, which is not there"
            for url in page.links
            if not leads(path, url, html, found)
        ]
    return errors


def built(html: Path, page: str) -> Path:
    """The file that is built of a page."""
    stem = page.removesuffix(".md")
    folder, _, last = stem.rpartition("/")
    return (
        html / folder / "index.html" if last in ("index", "README") else html / stem / "index.html"
    )


def leads(path: Path, url: str, html: Path, found: dict[Path, _Page]) -> bool:
    """Whether a link of a page leads to something; one to another host is not followed."""
    parts = urlsplit(url)
    if parts.scheme or parts.netloc:
        return True
    place = unquote(parts.path)
    target = (
        path if not place else html / place[1:] if place.startswith("/") else path.parent / place
    )
    target = target.resolve()
    if target.is_dir():
        target /= "index.html"
    if not target.is_relative_to(html.resolve()) or not target.is_file():
        return False
    page = found.get(html / target.relative_to(html.resolve()))
    anchor = unquote(parts.fragment)
    return not anchor or page is None or anchor in page.ids
