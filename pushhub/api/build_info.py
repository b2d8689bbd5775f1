"""The facts of a process that change with its installation."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

from pushhub import __version__

if TYPE_CHECKING:
    from pushhub.api.service import Service


def build_info(service: Service) -> dict[str, str]:
    """The versions of pushhub and Python, and the kind of the store."""
    return {
        "version": __version__,
        "python": platform.python_version(),
        "store": store_kind(service.settings.store),
    }


def store_kind(url: str) -> str:
    """`memory`, `sqlite` or `redis`, however Redis is reached."""
    scheme = url.partition("://")[0].partition("+")[0]
    return {"rediss": "redis", "unix": "redis"}.get(scheme, scheme)
