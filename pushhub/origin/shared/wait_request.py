"""What a poller wishes of a resource: whether it waits, for how long, and what it has."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from pushhub.http.date import parse_date
from pushhub.http.etag import parse_tags
from pushhub.http.prefer import grant, parse_seconds, preferred
from pushhub.origin.shared.condition import Modified, Since, Tags, Version, WaitCondition

if TYPE_CHECKING:
    from pushhub.origin.request import ProxiedRequest
    from pushhub.settings.origin import Route

# What `Poll` of restful-react says it has: `Prefer: wait=60s;index=…`, the X-Polling-Index of the
# answer before.
_INDEX = re.compile(r"(?:^|,)\s*wait\s*=[^,;]*;\s*index=\"?([^\",;\s]+)", re.IGNORECASE)

# A part, a body, or conditions under which there is another answer than the resource as it is
# (RFC 9110 §13.1, §14.2).
_MORE = frozenset(
    {"content-length", "if-match", "if-range", "if-unmodified-since", "range", "transfer-encoding"}
)


@dataclass(frozen=True, slots=True)
class WaitRequest:
    """`wait` is the granted seconds, None if the client did not opt in. `condition` is None where
    it has nothing yet, and takes whatever there is.
    """

    wait: int | None
    condition: WaitCondition | None

    @property
    def passes(self) -> bool:
        """Whether it is a plain poll that the origin answers better: by a date of its own."""
        return self.wait is None and isinstance(self.condition, Modified)


def wait_request(route: Route, asked: ProxiedRequest, cap: int) -> WaitRequest:
    """Read a GET in the terms of its route's API; `cap` is the longest wait that is granted."""
    query = dict(parse_qsl(asked.query, keep_blank_values=True)) if asked.query else {}
    return WaitRequest(grant(_seconds(route, asked, query), cap), _condition(route, asked, query))


def wants_more(asked: ProxiedRequest) -> bool:
    """Whether a GET is for something else than the resource as it is now, which only the origin can
    give.
    """
    return asked.upgrades or not _MORE.isdisjoint(asked.headers)


def without_wait(route: Route, query: str) -> str:
    """The query as the origin is to see it: without a parameter that was for us."""
    ours = {name.partition("-")[0] for name in route.opt_in if name.endswith("-param")}
    if not ours:
        return query
    return "&".join(part for part in query.split("&") if part.partition("=")[0] not in ours)


def _seconds(route: Route, asked: ProxiedRequest, query: dict[str, str]) -> float | None:
    """What the client asks for. A header wins over a parameter, `Prefer` over `Wait`."""
    for name in sorted(route.opt_in, key=("prefer", "wait", "wait-param", "timeout-param").index):
        if name == "prefer" and "prefer" in asked.headers:
            found = preferred(asked.headers["prefer"])
        elif name == "wait" and "wait" in asked.headers:
            found = parse_seconds(asked.headers["wait"])
        elif name == "wait-param" and "wait" in query:
            found = parse_seconds(query["wait"])
        elif name == "timeout-param" and "timeout" in query:
            found = parse_seconds(query["timeout"])
            if found is not None and route.timeout_unit == "ms":
                found /= 1000
        else:
            continue
        if found is not None:
            return found
    return None


def _condition(route: Route, asked: ProxiedRequest, query: dict[str, str]) -> WaitCondition | None:
    # A tag is understood on every route: it may be one that we gave.
    if tags := parse_tags(asked.headers.get("if-none-match", "")):
        return Tags(tags)
    if index := _INDEX.search(asked.headers.get("prefer", "")):
        return Tags(frozenset({index[1]}))
    cursor = query.get(route.since_param)
    if cursor is not None and route.cursor == "since":
        return Since(cursor, route.items_field, route.next_field)
    if cursor is not None and route.cursor == "version" and route.version_field is not None:
        return Version(cursor, route.version_field)
    # Beside If-None-Match a date counts for nothing (RFC 9110 §13.1.3).
    if "if-none-match" not in asked.headers:
        since = parse_date(asked.headers.get("if-modified-since", ""))
        return None if since is None else Modified(since)
    return None
