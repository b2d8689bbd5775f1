"""A poller's preferences: whether it waits, for how long, and which validator or cursor it has."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from pushhub.http.date import parse_date
from pushhub.http.etag import parse_tags
from pushhub.http.prefer import bounded_wait, parse_seconds, preferred
from pushhub.origin.shared.condition import Modified, Since, Tags, Version, WaitCondition

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pushhub.settings.route import Route

# COMPAT: restful-react's `Poll` sends `Prefer: wait=60s;index=…`, the X-Polling-Index of the
# response before.
_INDEX = re.compile(r"(?:^|,)\s*wait\s*=[^,;]*;\s*index=\"?([^\",;\s]+)", re.IGNORECASE)

# A header wins over a parameter, and `Prefer` over `Wait`.
_OPT_INS = ("prefer", "wait", "wait-param", "timeout-param")


@dataclass(frozen=True, slots=True)
class WaitRequest:
    """The parsed wait of a GET.

    `wait` is the granted wait in seconds, None if the client did not opt in. `condition` is None if
    the client has nothing yet. `query` is the query for the origin: without the parameters that
    only ask pushhub to wait. `context` is the request's trace context, where the hub is traced.
    """

    wait: int | None
    condition: WaitCondition | None
    query: str
    context: str = ""

    @property
    def passes(self) -> bool:
        """Whether the request is a plain poll by date, which the origin serves better."""
        return self.wait is None and isinstance(self.condition, Modified)


def parse_wait_request(
    route: Route, query: str, headers: Mapping[str, str], max_wait: int
) -> WaitRequest:
    """Parse a GET by the opt-ins and the cursor of its route. `max_wait` bounds the granted wait,
    in seconds.
    """
    parameters = dict(parse_qsl(query, keep_blank_values=True)) if query else {}
    return WaitRequest(
        bounded_wait(_seconds(route, headers, parameters), max_wait),
        _condition(route, headers, parameters),
        _upstream_query(route, query),
    )


def _upstream_query(route: Route, query: str) -> str:
    """The query without the parameters by which the route's clients opt in."""
    ours = {name.partition("-")[0] for name in route.opt_in if name.endswith("-param")}
    if not ours:
        return query
    return "&".join(part for part in query.split("&") if part.partition("=")[0] not in ours)


def _seconds(
    route: Route, headers: Mapping[str, str], parameters: Mapping[str, str]
) -> float | None:
    """The requested wait, before it is bounded; None without an opt-in."""
    for name in sorted(route.opt_in, key=_OPT_INS.index):
        if name == "prefer" and "prefer" in headers:
            seconds = preferred(headers["prefer"])
        elif name == "wait" and "wait" in headers:
            seconds = parse_seconds(headers["wait"])
        elif name == "wait-param" and "wait" in parameters:
            seconds = parse_seconds(parameters["wait"])
        elif name == "timeout-param" and "timeout" in parameters:
            seconds = parse_seconds(parameters["timeout"])
            if seconds is not None and route.timeout_unit == "ms":
                seconds /= 1000
        else:
            continue
        if seconds is not None:
            return seconds
    return None


def _condition(
    route: Route, headers: Mapping[str, str], parameters: Mapping[str, str]
) -> WaitCondition | None:
    # Every route reads entity tags: one may be a tag that pushhub generated.
    if tags := parse_tags(headers.get("if-none-match", "")):
        return Tags(tags)
    if index := _INDEX.search(headers.get("prefer", "")):
        return Tags(frozenset({index[1]}))
    cursor = parameters.get(route.since_param)
    if cursor is not None and route.cursor == "since":
        return Since(cursor, route.items_field, route.next_field)
    if cursor is not None and route.cursor == "version" and route.version_field is not None:
        return Version(cursor, route.version_field)
    # If-None-Match overrides If-Modified-Since (RFC 9110 §13.1.3).
    if "if-none-match" not in headers:
        since = parse_date(headers.get("if-modified-since", ""))
        return None if since is None else Modified(since)
    return None
