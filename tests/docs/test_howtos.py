"""The how-to pages work as an operator types them: each block that runs here is run."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests import outside
from tests.docs.walk import Walk, blocks

if TYPE_CHECKING:
    from pathlib import Path

# Pages, and a word that each block that is typed prints; "" for a block that prints nothing.
PAGES = {
    "container.md": ["", "", '"duplicate":false'],
    "converse.md": ["juliet@chat.example.com", "", "sid="],
    "cors.md": ["", "", "Access-Control-Allow-Origin: https://app.example.com"],
    "install.md": ["pushhub ", "", "", '"duplicate":false', "3"],
    "sessions.md": ["app.py", "", "", "", '"duplicate":false', "on its way", "403"],
}
# Commands that need a container engine, a network or a proxy of one's own are shown as `text`.
NOT_HERE = {"text", "nginx", "html", "toml", "json"}


@pytest.mark.parametrize("page", PAGES)
def test_a_page_does_what_it_says(page: str, tmp_path: Path) -> None:
    outside.require("curl")
    (tmp_path / "password").write_text("c0rrect horse\n")
    with ExitStack() as open_after:
        said = [words for _, words in Walk(tmp_path, open_after).walks(page)]
    assert len(said) == len(PAGES[page])
    for words, expected in zip(said, PAGES[page], strict=True):
        assert expected.lower() in words.lower()


@pytest.mark.parametrize("page", [*PAGES, "nginx.md", "tutorial.md"])
def test_no_block_is_left_out(page: str) -> None:
    assert {block.language for block in blocks(page)} <= {"sh", "python"} | NOT_HERE


def test_the_lines_for_nginx_are_those_of_the_tested_file() -> None:
    config = (outside.ROOT / "deploy" / "proxies" / "nginx.conf").read_text()
    lines = {line.strip() for line in config.splitlines()}
    (block,) = (one for one in blocks("nginx.md") if one.language == "nginx")
    assert set(block.text.splitlines()) <= lines
