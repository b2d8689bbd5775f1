"""pushhub: a realtime push service for HTTP. A poll is a read of a log that is allowed to wait.

The names below are the public Python API; everything else may change. They are imported when they
are first used, so that `import pushhub` is cheap.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pushhub.embedding.publisher import Receipt
    from pushhub.embedding.push_hub import PushHub
    from pushhub.http.problem import Problem
    from pushhub.log.cursor import Cursor
    from pushhub.log.event import Event
    from pushhub.log.read import Gap
    from pushhub.settings import Settings

__version__ = "0.2.0"

__all__ = [
    "Cursor",
    "Event",
    "Gap",
    "Problem",
    "PushHub",
    "Receipt",
    "Settings",
    "__version__",
]

_MODULES = {
    "Cursor": "pushhub.log.cursor",
    "Event": "pushhub.log.event",
    "Gap": "pushhub.log.read",
    "Problem": "pushhub.http.problem",
    "PushHub": "pushhub.embedding.push_hub",
    "Receipt": "pushhub.embedding.publisher",
    "Settings": "pushhub.settings",
}


def __getattr__(name: str) -> Any:
    """Import a name of the public API when it is first used (PEP 562)."""
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module 'pushhub' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(module), name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
