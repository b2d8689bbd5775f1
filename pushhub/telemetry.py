"""Logging: events with fields, one a line, on standard error. Published data is never logged.

uvicorn and other libraries log through the standard library; their lines come out in the same form.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, TextIO

import structlog

if TYPE_CHECKING:
    from structlog.typing import Processor

# Below this level pushhub logs the events of uvicorn itself, or they are of no use.
_LIBRARY_LEVEL = logging.WARNING


def configure(
    level: str = "info",
    format: str = "auto",
    *,
    stream: TextIO | None = None,
) -> None:
    """Set logging up for the whole process; a second call replaces the first.

    Args:
        level: `debug`, `info`, `warning` or `error`.
        format: `console` for people, `json` for machines, `auto` by whether `stream` is a terminal.
        stream: the destination; standard error by default.
    """
    stream = sys.stderr if stream is None else stream
    is_json = format == "json" or (format == "auto" and not stream.isatty())
    least = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,  # a logger used before this call would keep its form
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_renderers(is_json, stream.isatty()),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(least)
    for name in ("uvicorn", "uvicorn.error", "asyncio"):
        _route(name, max(least, _LIBRARY_LEVEL))
    # Audit lines are whole JSON lines already, and no level hides them.
    _route("pushhub.audit", logging.INFO)
    audit = logging.getLogger("pushhub.audit")
    audit.propagate = False
    audit.addHandler(logging.StreamHandler(stream))
    _route("uvicorn.access", logging.CRITICAL)


def _renderers(is_json: bool, colors: bool) -> list[Processor]:
    if is_json:
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    # The default formatter prints the values of local variables, which can be secrets.
    formatter = structlog.dev.plain_traceback
    return [structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=formatter)]


def _route(name: str, level: int) -> None:
    logger = logging.getLogger(name)
    logger.handlers.clear()
    logger.propagate = True
    logger.setLevel(level)
