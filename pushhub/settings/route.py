"""The settings of a route: a pattern of requests, their origin, and how they wait."""

from __future__ import annotations

import re
from functools import cached_property
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from pushhub.http.path_pattern import parse_pattern, readings
from pushhub.http.selector import parse_selector
from pushhub.log.channel import check_name

_TARGET = re.compile(r"https?://(?:[0-9A-Za-z._-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?/?")
_HOST = re.compile(r"(?:\*\.)?[0-9A-Za-z_-][0-9A-Za-z._-]*|\*|\[[0-9A-Fa-f:.]+\]")
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
# RFC 6265 §4.1.1 has tokens; PHP and others also use `user[id]` and the like, which all browsers
# take (§5.2). The case counts.
COOKIE_NAME = re.compile(r"[!#-+\-:<>-~]{1,128}")
# The most names in `identity` and in `drop_set_cookie`.
MAX_NAMES = 32
# Selectors of `ignore`, and of `compare`.
MAX_SELECTORS = 32
_CANARY = re.compile(r"/[!$-\[\]-~]*")
_METHOD = re.compile(r"[A-Z][A-Z-]{0,31}")
# Methods that write by definition, or whose response is no representation (RFC 9110 §9.3).
_NO_READS = frozenset({"CONNECT", "DELETE", "HEAD", "OPTIONS", "PATCH", "PUT", "TRACE", "TRACK"})
# In `identity`: one cookie, and not all of them.
COOKIE = "cookie:"
# The highest port.
_MAX_PORT = 65_535


def _target(url: str) -> str:
    found = _TARGET.fullmatch(url)
    if found is None or not 0 < int(found[1] or 80) <= _MAX_PORT:
        raise ValueError(f"An origin is http://host:port or https://host, no path; not {url!r}.")
    return url.removesuffix("/")


def _header(name: str) -> str:
    if not _HEADER.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a header.")
    return name.lower()


def _identity(name: str) -> str:
    if not name.startswith(COOKIE):
        return _header(name)
    if not COOKIE_NAME.fullmatch(name.removeprefix(COOKIE)):
        raise ValueError(f"{name!r} names no cookie; write cookie:sessionid.")
    return name


def _method(name: str) -> str:
    if not _METHOD.fullmatch(name):
        raise ValueError(f"{name!r} is no method; write it in capitals, such as POST.")
    if name in _NO_READS:
        raise ValueError(f"{name} does not read a resource, so it cannot wait.")
    return name


def _cookie(name: str) -> str:
    if not COOKIE_NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a cookie.")
    return name


def _selector(text: str) -> str:
    parse_selector(text)
    return text


Target = Annotated[str, AfterValidator(_target)]
SelectorText = Annotated[str, AfterValidator(_selector)]
IdentityName = Annotated[str, AfterValidator(_identity)]
Method = Annotated[str, AfterValidator(_method)]
CookieName = Annotated[str, AfterValidator(_cookie)]
HeaderName = Annotated[str, AfterValidator(_header)]
# An interval below 50 ms needs notifications instead; one above a day is nearly never.
Interval = Annotated[float, Field(ge=0.05, le=86_400)]

OptIn = Literal["prefer", "wait", "wait-param", "timeout-param"]


class Route(BaseModel):
    """A pattern of requests, their origin, and the part of the origin in pushing. The first route
    that matches counts.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: Annotated[
        str,
        Field(
            description="The host of the request, without port: exact, `*.example.com` for all "
            "hosts below it, or `*` for any host.",
            max_length=255,
        ),
    ] = "*"
    path: Annotated[
        str,
        Field(
            description="The path of the request: exact, with `{name}` for a segment or a part of "
            "one (`/orders/{id}.json`), or with a final `*` for all paths with that beginning.",
            max_length=1024,
        ),
    ] = "/*"
    target: Annotated[
        Target | None, Field(description="The origin; without it, the setting `origin`.")
    ] = None
    step: Annotated[
        Literal["pass", "poll", "notify", "grip"],
        Field(
            description="`pass` only passes through; `poll` also holds opted-in requests and polls "
            "the origin for all of them; `notify` holds them until a notification of a change; "
            "with `grip` the origin decides by its responses."
        ),
    ] = "grip"
    interval: Annotated[
        Interval, Field(description="`poll`: seconds between two fetches while a request waits.")
    ] = 1.0
    slowest: Annotated[
        Interval | None,
        Field(
            description="`poll`: the longest pause, in seconds, while the resource does not "
            "change; `interval` unless given, so that a change after a quiet hour is noticed as "
            "early as a change after another change."
        ),
    ] = None
    # A client of the resource is absent between two polls.
    linger: Annotated[
        float,
        Field(
            gt=0,
            le=3600,
            description="The number of seconds for which a resource is remembered after its last "
            "request.",
        ),
    ] = 10.0
    max_age: Annotated[
        float,
        Field(
            ge=0,
            le=3600,
            description="The number of seconds for which plain polls may be served from the last "
            "fetch; with 0 each goes to the origin.",
        ),
    ] = 0
    opt_in: Annotated[
        tuple[OptIn, ...],
        Field(
            description="The forms of the opt-in to a wait: `prefer` (`Prefer: wait=25`), `wait` "
            "(`Wait: 25`), `wait-param` (`?wait=25`), `timeout-param` (`?timeout=25`).",
            min_length=1,
        ),
    ] = ("prefer",)
    timeout_unit: Annotated[
        Literal["s", "ms"], Field(description="The unit of `?timeout=`: seconds or milliseconds.")
    ] = "s"
    cursor: Annotated[
        Literal["etag", "since", "version"],
        Field(
            description="The form in which a client names its present copy: the `ETag`, a "
            "parameter of its query (`since_param`), or a version in the body (`version_field`)."
        ),
    ] = "etag"
    since_param: Annotated[
        str,
        Field(min_length=1, max_length=64, description="The query parameter of `cursor = since`."),
    ] = "since"
    next_field: Annotated[
        str | None,
        Field(
            description="The path of the next cursor in the body, such as `meta.next`; for `since`."
        ),
    ] = None
    items_field: Annotated[
        str | None,
        Field(
            description="The path of the list in the body; the list is empty when nothing is new."
        ),
    ] = None
    version_field: Annotated[
        str | None, Field(description="The path of the version in the body; for `version`.")
    ] = None
    ignore: Annotated[
        tuple[SelectorText, ...],
        Field(
            description="Parts of a response whose change is no change of the resource: a value in "
            "JSON (`query_ms`, `data.result[*].value[0]`, `$..uptime`), text by a pattern "
            "(`/\\d+ sec ago/`), or a header (`header:etag`).",
            max_length=MAX_SELECTORS,
        ),
    ] = ()
    compare: Annotated[
        tuple[SelectorText, ...],
        Field(
            description="The parts of a response that alone count as a change of the resource, in "
            "the form of `ignore`, such as a version: `rev`, `header:x-etcd-index`. A response "
            "with none of them counts as a whole.",
            max_length=MAX_SELECTORS,
        ),
    ] = ()
    nothing: Annotated[
        Literal["304", "204", "same"],
        Field(
            description="The response at the end of a wait: 304, 204, or the `same` response as "
            "the origin's last one."
        ),
    ] = "304"
    vary: Annotated[
        tuple[HeaderName, ...],
        Field(
            description="Request headers that select another resource, in addition to those in "
            "`Vary` and to all headers outside the fixed ignore list (such as `user-agent`)."
        ),
    ] = ("accept", "accept-language")
    identity: Annotated[
        tuple[IdentityName, ...],
        Field(
            description="Request headers that identify the client; a response for one client never "
            "goes to another. `cookie:sessionid` names one cookie: shared fetches then have the "
            "named cookies alone, and all others make no difference. An empty list is for "
            "resources that are the same for all clients; their shared fetches have no `Cookie` "
            "and no `Authorization`.",
            max_length=MAX_NAMES,
        ),
    ] = ("authorization", "cookie")
    methods: Annotated[
        tuple[Method, ...],
        Field(
            description="The methods of requests that may wait. Name another one than GET (`POST` "
            "for a query language, `PROPFIND`, `REPORT`) only where it reads: pushhub repeats such "
            "a request, with its body, as it repeats a GET.",
            min_length=1,
            max_length=8,
        ),
    ] = ("GET",)
    # A query is rarely longer, and each resource keeps its body.
    share_body_bytes: Annotated[
        int,
        Field(
            ge=0,
            le=65_536,
            description="The largest body of a request that may wait; a request with a larger one, "
            "or with a chunked one, passes through.",
        ),
    ] = 16_384
    drop_set_cookie: Annotated[
        tuple[CookieName, ...],
        Field(
            description="Cookies whose `Set-Cookie` is taken off shared responses, such as "
            "`csrftoken`, which a response renews: a response that sets no other cookie can be "
            "shared. Requests that pass through still receive them.",
            max_length=MAX_NAMES,
        ),
    ] = ()
    share_addresses: Annotated[
        bool,
        Field(
            description="`grip`: requests that differ only in the client's address, or in the "
            "number that a proxy gave them, share one fetch. For an origin that uses neither; it "
            "receives those of the first request."
        ),
    ] = False
    notify_writes: Annotated[
        bool,
        Field(
            description="Whether a `POST`, `PUT`, `PATCH` or `DELETE` that passes through and "
            "succeeds (2xx) notifies of a change of its own path, of the collection around it, and "
            "of the `Location` of a 201."
        ),
    ] = False
    channel: Annotated[
        str | None,
        Field(
            description="A channel whose events notify of a change of the resource, with `{name}` "
            "from the path: `orders:{id}`."
        ),
    ] = None

    canary: Annotated[
        str | None,
        Field(
            description="The path of a resource, perhaps with a query, that the canary of each "
            "process requests in each round, without credentials: `/orders/1`.",
            max_length=1024,
        ),
    ] = None

    @property
    def longest_pause(self) -> float:
        """The longest pause between two fetches while a request waits."""
        return self.interval if self.slowest is None else self.slowest

    @cached_property
    def identity_cookies(self) -> frozenset[str]:
        """The cookies that identify the client; empty if `identity` names none."""
        return frozenset(
            name.removeprefix(COOKIE) for name in self.identity if name.startswith(COOKIE)
        )

    @cached_property
    def identity_headers(self) -> tuple[str, ...]:
        """The headers that identify the client."""
        headers = [name for name in self.identity if not name.startswith(COOKIE)]
        return (*headers, "cookie") if self.identity_cookies else tuple(headers)

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if not _HOST.fullmatch(self.host):
            raise ValueError(
                f"{self.host!r} is no host; write a name without port, *.example.com, or *."
            )
        pattern = parse_pattern(self.path)
        names = pattern.names
        if self.slowest is not None and self.slowest < self.interval:
            raise ValueError("'slowest' is at least 'interval'.")
        if self.max_age and self.step not in ("poll", "notify"):
            raise ValueError(
                f"'max_age' needs step = 'poll' or 'notify'; with {self.step!r} every plain "
                f"request asks the origin."
            )
        if self.share_addresses and self.step != "grip":
            raise ValueError(
                f"'share_addresses' needs step = 'grip'; with {self.step!r} no address makes a "
                f"difference."
            )
        if self.methods != ("GET",) and self.step not in ("poll", "notify"):
            raise ValueError(f"'methods' needs step = 'poll' or 'notify', not {self.step!r}.")
        if self.identity_cookies and "cookie" in self.identity:
            raise ValueError("'identity' has 'cookie', all cookies, or single ones, not both.")
        if self.identity_cookies and self.step not in ("poll", "notify"):
            raise ValueError(
                f"'cookie:NAME' in 'identity' needs step = 'poll' or 'notify'; with {self.step!r} "
                f"the origin receives all cookies."
            )
        if self.ignore and self.compare:
            raise ValueError("A route has 'ignore' or 'compare'; 'compare' leaves all else out.")
        if self.cursor == "version" and self.version_field is None:
            raise ValueError("cursor = 'version' needs 'version_field', where the body has it.")
        if self.canary is not None:
            # Characters that need no escape as a label of a metric.
            path = self.canary.partition("?")[0]
            ways = readings(path) if _CANARY.fullmatch(self.canary) else []
            if len(ways) != 1 or pattern.values(ways[0]) is None:
                raise ValueError(
                    f"'canary' is a path of the route {self.path}, percent-encoded, such as "
                    f"/orders/1; not {self.canary!r}."
                )
        if self.channel is not None:
            check_name(self.channel)
            if unknown := sorted(set(re.findall(r"\{(\w+)\}", self.channel)) - set(names)):
                raise ValueError(f"The path has no {{{unknown[0]}}}, which the channel names.")
        return self
