"""The documentation site in a real browser: widths, light and dark, search, copy buttons."""

from __future__ import annotations

import http.server
import threading
from functools import partial
from typing import TYPE_CHECKING

import pytest

from scripts.site_build import build
from tests import outside
from tests.browser_pages.browser import drive

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAGES = ["", "settings/", "tutorial/", "bosh-peers/"]


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    """The address of the built site."""
    outside.require("site")
    generator = outside.ROOT / ".outside" / "site" / "bin" / "zensical"
    assert build(outside.ROOT, tmp_path / "site", generator) == []
    handler = partial(_Quiet, directory=str(tmp_path / "site" / "html"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.timeout(300)
def test_the_site_in_a_browser(site: str) -> None:
    found = drive("site", url=site, pages=PAGES)
    assert found["wider"] == {}, "no page is wider than its window"
    # Chromium itself lets Tab reach a region that scrolls; the theme has two navigations.
    assert set(found["barriers"]) <= {"scrollable-region-focusable", "landmark-unique"}
    assert set(found["copies"].values()) == {0}, "each block has a button that copies it"
    assert found["copied"].startswith("# api.py\nimport json\n")
    assert found["backgrounds"]["light"] != found["backgrounds"]["dark"]
    assert found["toggled"] != found["backgrounds"]["light"], "the reader can choose"
    assert found["results"] >= 1
    assert found["reached"].endswith("#a-gap-is-an-honest-answer")
