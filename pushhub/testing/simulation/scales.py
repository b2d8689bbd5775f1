"""How many bytes a node keeps, and where: all objects that its application can reach.

Rule 1: no structure is listed by hand, so a new cache is weighed by itself.

Rule 2: the weight of an attribute is the length of the texts and bytes in it, and a pointer for
each entry of its containers. What Python itself adds depends on history, and is left out.

Rule 3: what only a cache keeps alive belongs to the cache. `LIMITS` names all caches; whatever is
not there must be empty again when all have left.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import re
import types
from collections import Counter, deque
from random import Random
from typing import TYPE_CHECKING

import structlog
from pydantic import BaseModel

from pushhub.auth.audit import MAX_REPEATS
from pushhub.auth.limits import MAX_KEYS
from pushhub.auth.rate_limit import KEY_BYTES, MAX_ADDRESSES
from pushhub.auth.tokens import MAX_TOKEN_BYTES, REMEMBERED
from pushhub.console.auth import MAX_KNOWN
from pushhub.hub.channels import MAX_TAILS_BYTES
from pushhub.origin.grip.coalescer import MAX_UNHELD
from pushhub.server.http1.head import MAX_HEAD_BYTES
from pushhub.server.http1.request_cache import GENERATION, MAX_HEADERS_BYTES
from pushhub.store.memory import MemoryStore
from pushhub.testing.simulation.log import SharedLog
from pushhub.xmpp.storage.acquaintances import MAX_PARSED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

POINTER_BYTES = 8
KIB = 1024
# A key and a number, or a digest.
ENTRY_BYTES = 128
# What a place that has been used once may have on top: a cursor, a name.
WOBBLE_BYTES = 64
# Caches, and how many bytes each may have when all have left (ARCHITECTURE.md, Memory).
LIMITS: dict[str, int] = {
    # Events at the end of channels that pushhub itself follows.
    "Tail.events": MAX_TAILS_BYTES,
    # A parsed line or head, and what was made of it, take some times their bytes.
    "GenerationCache._young": GENERATION * 4 * MAX_HEADERS_BYTES,
    "GenerationCache._old": GENERATION * 4 * MAX_HEADERS_BYTES,
    "Tokens._good": REMEMBERED * MAX_TOKEN_BYTES,
    "RateLimit._tats": MAX_ADDRESSES * KEY_BYTES,
    "SharedRateLimit._leases": MAX_KEYS * KEY_BYTES,
    # Action, actor and target of repeated lines of the audit log.
    "AuditLog._repeats": MAX_REPEATS * 4 * ENTRY_BYTES,
    # Credentials in use: no more than tokens are remembered, and four names each.
    "KeyedRef.key": REMEMBERED * 4 * ENTRY_BYTES,
    "WeakValueDictionary.data": REMEMBERED * ENTRY_BYTES,
    # A counter for each limit; `CountLimit._counts` must be empty when all have left.
    "Limits.limited": 4 * KIB,
    "ConsoleAuth._known": MAX_KNOWN * ENTRY_BYTES,
    "Coalescer._unheld": MAX_UNHELD * ENTRY_BYTES,
    # Parsed rosters: an address of 60 characters each.
    "Acquaintances._parsed": MAX_PARSED * ENTRY_BYTES,
    # One event of at most 256 KiB, as data, as JSON, and as XML with its escapes.
    "Subscribers._last": 8 * 256 * KIB,
    # The last head that was parsed.
    "HeadParser._pairs": MAX_HEAD_BYTES,
    # One poll that a trace has met.
    "Tracer.decided": 4 * KIB,
    # An entry for each problem type, and each of a few paths.
    "Service.rejected": 8 * KIB,
    "Misdirected._logged": KIB,
    # Starlette makes its middleware at the first request for a page.
    "App.pages": 1024 * KIB,
}
# What is not the application's memory: code, the world around a node, and the log, whose own
# retention is checked elsewhere. Tasks are counted, and hold what runs.
_OUTSIDE = (
    *(type, types.ModuleType, types.CodeType, types.FrameType, types.BuiltinFunctionType),
    *(asyncio.AbstractEventLoop, asyncio.Future, asyncio.Handle, asyncio.Transport),
    *(MemoryStore, SharedLog, Random, re.Pattern, logging.Logger, BaseModel),
    structlog.stdlib.BoundLogger,
)
_MAPPINGS = (dict, types.MappingProxyType)
_LISTS = (list, tuple, set, frozenset, deque)


def weigh(roots: Iterable[object]) -> Counter[str]:
    """The bytes that can be reached from `roots`, by `Class.attribute`."""
    weights: Counter[str] = Counter()
    seen: dict[int, object] = {}
    todo: list[tuple[str, object]] = [("", root) for root in roots]
    caches: list[tuple[str, object]] = []
    while todo or caches:
        if not todo:
            todo.append(caches.pop())
        place, thing = todo.pop()
        if thing is None or isinstance(thing, bool | int | float):
            continue
        if isinstance(thing, bytes | bytearray | str):
            weights[place] += len(thing)
            continue
        if id(thing) in seen or _is_outside(thing):
            continue
        # Kept until the end, so that no other object gets its id.
        seen[id(thing)] = thing
        parts: list[object] = []
        if isinstance(thing, _MAPPINGS):
            parts = [part for pair in list(thing.items()) for part in pair]
        elif isinstance(thing, _LISTS):
            parts = list(thing)
        elif isinstance(thing, types.MethodType | functools.partial | types.FunctionType):
            todo += [(place, part) for part in _bound(thing)]
        weights[place] += POINTER_BYTES * len(parts)
        todo += [(place, part) for part in parts]
        for name, value in _attributes(thing):
            if place in LIMITS:
                todo.append((place, value))
            elif name in LIMITS:
                caches.append((name, value))
            else:
                todo.append((name, value))
    return weights


def grown(
    before: Mapping[str, int], now: Mapping[str, int], limits: Mapping[str, int]
) -> dict[str, str]:
    """What weighs more than before, and than its limit. Names with a dot are bytes, all others are
    counted.
    """
    return {
        what: f"{before.get(what, 0)} -> {count}"
        for what, count in sorted(now.items())
        if count > before.get(what, 0) + (WOBBLE_BYTES if "." in what else 0)
        and count > limits.get(what, 0)
    }


def _is_outside(thing: object) -> bool:
    if isinstance(thing, _OUTSIDE):
        return True
    module = thing.__module__ if isinstance(thing, types.FunctionType) else type(thing).__module__
    return module.startswith("pushhub.testing.")


def _bound(thing: object) -> Iterable[object]:
    """What a method, a partial or a closure keeps alive."""
    match thing:
        case types.MethodType():
            return [thing.__self__]
        case functools.partial():
            return [thing.func, thing.args, thing.keywords]
        case types.FunctionType():
            return [_content(cell) for cell in thing.__closure__ or ()]
    return []


def _content(cell: types.CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:
        return None


def _attributes(thing: object) -> Iterator[tuple[str, object]]:
    """What an object has, by its class's name and the attribute's."""
    kind = type(thing)
    for name, value in list(getattr(thing, "__dict__", {}).items()):
        yield f"{kind.__name__}.{name}", value
    for slots in (vars(base).get("__slots__", ()) for base in kind.__mro__):
        for name in (slots,) if isinstance(slots, str) else slots:
            yield f"{kind.__name__}.{name}", getattr(thing, name, None)
