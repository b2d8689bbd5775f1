"""The README as a package index shows it, and the one place of address and switch."""

import re
from pathlib import Path

import pytest

from hatch_build import PUBLISHED, check_home, index_readme, project_urls, tag_of
from tests.release.inspecting import relative_links
from tests.release.readiness import configuration

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
READMES = {
    str(path.relative_to(ROOT).parent): path.read_text()
    for path in (ROOT / "clients").glob("*/README.md")
} | {".": README}
HOME = "https://forge.example/owner/name"
# What a stranger could register while the names are not the project's.
NAMED = re.compile(
    r"pip install (?:-\S+ )*pushhub(?:-client)?(?![\w\[-])|npm (?:install|i) (?:-\S+ )*pushhub\b"
)


@pytest.mark.parametrize("folder", READMES)
@pytest.mark.parametrize("home", ["", HOME])
def test_no_link_is_relative(folder: str, home: str) -> None:
    text = READMES[folder]
    assert folder != "." or relative_links(text), "the README of the repository has some"
    shown = index_readme(text, home=home, tag="v1.0.0", published=False, folder=folder)
    assert not relative_links(shown)


def test_links_lead_to_the_tag_and_pictures_to_their_bytes() -> None:
    text = "![a](img/a.png) [b](../../docs/b.md#c) [d](https://e.example) [f](#g)\n"
    shown = index_readme(text, home=HOME, tag="v1.0.0", published=False, folder="clients/js")
    assert shown == (
        f"![a]({HOME}/raw/v1.0.0/clients/js/img/a.png) [b]({HOME}/blob/v1.0.0/docs/b.md#c) "
        f"[d](https://e.example) [f]({HOME}/blob/v1.0.0/clients/js/README.md#g)\n"
    )


def test_without_a_home_no_address_is_invented() -> None:
    text = "![a](img/a.png)\n\n[b](docs/b.md) [d](https://e.example)\n"
    shown = index_readme(text, home="", tag="v1.0.0", published=False)
    assert shown == "\n\nb [d](https://e.example)\n"
    assert project_urls("", "v1.0.0") == {}


def test_code_stays_as_it_is() -> None:
    text = "[a](b.md)\n\n```js\nx[0](y)\n```\n\n[a](b.md)\n"
    assert (
        index_readme(text, home="", tag="v1", published=False) == "a\n\n```js\nx[0](y)\n```\n\na\n"
    )


def test_a_link_out_of_the_repository_is_refused() -> None:
    with pytest.raises(ValueError, match="leads out of the repository"):
        index_readme("[a](../b.md)", home=HOME, tag="v1", published=False)


@pytest.mark.parametrize("folder", PUBLISHED)
def test_one_switch_names_the_package_on_the_index(folder: str) -> None:
    text = (ROOT / folder / "README.md").read_text()
    before = index_readme(text, home=HOME, tag="v1", published=False, folder=folder)
    after = index_readme(text, home=HOME, tag="v1", published=True, folder=folder)
    assert re.search(r"pip install \.", before)
    assert not NAMED.search(before)
    assert PUBLISHED[folder] in after
    assert NAMED.search(after)
    assert not re.search(r"pip install \.", after)
    assert "<!--" not in before + after


def test_no_document_names_the_index_before_the_switch() -> None:
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("deploy/**/*.md")]
    pages += [*ROOT.glob("examples/**/*.md"), *ROOT.glob("clients/*/*.md")]
    # What a release says of its own commands.
    pages.remove(ROOT / "docs" / "releasing.md")
    found = [str(p.relative_to(ROOT)) for p in pages if NAMED.search(p.read_text())]
    assert not found or configuration(ROOT)["published"]


def test_a_named_package_is_found() -> None:
    for text in ("pip install pushhub", "pip install --upgrade pushhub", "npm install pushhub"):
        assert NAMED.search(f"`{text}`")
    for text in ("pip install .", "pip install 'pushhub[otel]'", "pip install ./clients/python"):
        assert not NAMED.search(f"`{text}`")


def test_the_address_is_in_one_place() -> None:
    """A copy of it elsewhere would stay when the repository moves."""
    home = check_home(configuration(ROOT)["home"])
    if home:
        texts = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("clients/*/package.json")]
        assert not [path.name for path in texts if home in path.read_text()]


@pytest.mark.parametrize("home", ["http://a.example/b/c", "https://a.example", f"{HOME}/"])
def test_a_wrong_address_is_refused(home: str) -> None:
    with pytest.raises(ValueError, match="no address of a repository"):
        check_home(home)


def test_project_urls_are_made_of_the_address() -> None:
    urls = project_urls(check_home(HOME), tag_of(ROOT))
    assert set(urls) == {"Homepage", "Documentation", "Source", "Issues", "Changelog"}
    assert all(url.startswith(HOME) for url in urls.values())
