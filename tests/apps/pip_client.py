"""pip, the client of an index of packages."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.apps.own_client import Visit


def versions(visit: Visit, index: str) -> str:
    """The versions of a package that pip finds in an index."""
    return visit.program(
        *(visit.place.command("python"), "-m", "pip", "--isolated", "--no-cache-dir"),
        *("--disable-pip-version-check", "index", "versions", "shop"),
        *("--index-url", visit.url + index),
    )
