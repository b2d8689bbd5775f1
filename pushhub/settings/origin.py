"""The user's REST server behind pushhub: where it is, and how much it takes part, by route."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from pushhub.http.forwarded import TrustedProxies
from pushhub.http.path_pattern import parse_pattern
from pushhub.log.channel import check_name
from pushhub.settings.field import ORIGIN, SERVER, setting

_TARGET = re.compile(r"https?://(?:[0-9A-Za-z._-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?/?")
_HOST = re.compile(r"(?:\*\.)?[0-9A-Za-z_-][0-9A-Za-z._-]*|\*|\[[0-9A-Fa-f:.]+\]")
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
_LISTEN = re.compile(r"(?:[0-9A-Za-z._-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}")
_PREFIX = re.compile(r"/[0-9A-Za-z._~-]+(?:/[0-9A-Za-z._~-]+)*")
# The last port there is.
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


def _network(text: str) -> str:
    try:
        TrustedProxies([text])
    except ValueError:
        raise ValueError(f"{text!r} is no address and no network such as 10.0.0.0/8.") from None
    return text


Network = Annotated[str, AfterValidator(_network)]
Target = Annotated[str, AfterValidator(_target)]
HeaderName = Annotated[str, AfterValidator(_header)]
# A client that asks more often than once in 50 ms wants a notification; a day is as good as never.
Interval = Annotated[float, Field(ge=0.05, le=86_400)]

OptIn = Literal["prefer", "wait", "wait-param", "timeout-param"]


class Route(BaseModel):
    """Which requests, where they go, and how much the origin takes part in pushing. The first
    route that matches counts.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: Annotated[
        str,
        Field(
            description="The host asked for, without port: exact, `*.example.com` for all below "
            "it, or `*` for any.",
            max_length=255,
        ),
    ] = "*"
    path: Annotated[
        str,
        Field(
            description="The path asked for: exact, with `{name}` for a segment or a part of one "
            "(`/orders/{id}.json`), or with a final `*` for everything that begins so.",
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
            "the origin for all of them; `notify` holds them until it is told of a change; with "
            "`grip` the origin decides by its answers."
        ),
    ] = "grip"
    interval: Annotated[
        Interval, Field(description="`poll`: seconds between two fetches while a request waits.")
    ] = 1.0
    slowest: Annotated[
        Interval | None,
        Field(
            description="`poll`: up to how many seconds the pause grows while the resource does "
            "not change; `interval` unless given, so that a change is seen as soon after a quiet "
            "hour as after another change."
        ),
    ] = None
    # A poller is away between two polls.
    linger: Annotated[
        float,
        Field(
            gt=0,
            le=3600,
            description="For how many seconds after its last request a resource is remembered.",
        ),
    ] = 10.0
    max_age: Annotated[
        float,
        Field(
            ge=0,
            le=3600,
            description="For how many seconds plain polls may be answered from the last fetch; 0 "
            "always asks the origin.",
        ),
    ] = 0
    opt_in: Annotated[
        tuple[OptIn, ...],
        Field(
            description="What asks for a wait: `prefer` (`Prefer: wait=25`), `wait` (`Wait: 25`), "
            "`wait-param` (`?wait=25`), `timeout-param` (`?timeout=25`).",
            min_length=1,
        ),
    ] = ("prefer",)
    timeout_unit: Annotated[
        Literal["s", "ms"], Field(description="What `?timeout=` counts, seconds or milliseconds.")
    ] = "s"
    cursor: Annotated[
        Literal["etag", "since", "version"],
        Field(
            description="How a client says what it has: by the `ETag`, by a parameter of its "
            "query (`since_param`), or by a version in the body (`version_field`)."
        ),
    ] = "etag"
    since_param: Annotated[
        str, Field(min_length=1, max_length=64, description="The parameter of `cursor = since`.")
    ] = "since"
    next_field: Annotated[
        str | None,
        Field(description="Where the body has the next cursor, as `meta.next`; for `since`."),
    ] = None
    items_field: Annotated[
        str | None,
        Field(description="Where the body has its list, which is empty when nothing is new."),
    ] = None
    version_field: Annotated[
        str | None, Field(description="Where the body has its version; for `version`.")
    ] = None
    nothing: Annotated[
        Literal["304", "204", "same"],
        Field(
            description="What the end of a wait answers: 304, 204, or the `same` answer as the "
            "origin's last one."
        ),
    ] = "304"
    vary: Annotated[
        tuple[HeaderName, ...],
        Field(
            description="Request headers that make another resource, beside what `Vary` says and "
            "all those that are not known to say nothing of it (as `user-agent`)."
        ),
    ] = ("accept", "accept-language")
    identity: Annotated[
        tuple[HeaderName, ...],
        Field(
            description="Request headers that say who asks; what one is given, no other gets. An "
            "empty list is for resources that are the same for everybody."
        ),
    ] = ("authorization", "cookie")
    share_addresses: Annotated[
        bool,
        Field(
            description="`grip`: whether requests that differ only in the client's address, or in "
            "the number that a proxy gave them, share one question to the origin. For an origin "
            "that looks at neither; it sees those of the first."
        ),
    ] = False
    channel: Annotated[
        str | None,
        Field(
            description="A channel whose events say that a resource changed, with `{name}` from "
            "the path: `orders:{id}`."
        ),
    ] = None

    @property
    def longest_pause(self) -> float:
        """The longest pause between two fetches while a request waits."""
        return self.interval if self.slowest is None else self.slowest

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if not _HOST.fullmatch(self.host):
            raise ValueError(
                f"{self.host!r} is no host; write a name without port, *.example.com, or *."
            )
        names = parse_pattern(self.path).names
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
        if self.cursor == "version" and self.version_field is None:
            raise ValueError("cursor = 'version' needs 'version_field', where the body has it.")
        if self.channel is not None:
            check_name(self.channel)
            if unknown := sorted(set(re.findall(r"\{(\w+)\}", self.channel)) - set(names)):
                raise ValueError(f"The path has no {{{unknown[0]}}}, which the channel names.")
        return self


class OriginSettings(BaseModel):
    """What is set of the origin."""

    origin: Annotated[
        Target | None,
        setting(
            ORIGIN,
            "The REST server behind pushhub, `http://host:port`: every path belongs to it, except "
            "those under `prefix`.",
        ),
    ] = None
    control: Annotated[
        str | None,
        setting(
            ORIGIN,
            "A second address, `host:port`, for publishers and operators: pushhub's own routes at "
            "its root. On loopback it asks for no key.",
        ),
    ] = None
    prefix: Annotated[
        str, setting(ORIGIN, "Where pushhub's own routes live when there is an origin.")
    ] = "/_pushhub"
    routes: Annotated[
        list[Route],
        setting(
            ORIGIN,
            "Which requests go where, and which of them may wait; the first that matches counts. "
            "Read again on SIGHUP.",
            max_length=1000,
        ),
    ] = []
    trusted_proxies: Annotated[
        tuple[Network, ...],
        setting(
            SERVER,
            "The addresses and networks of the proxies in front, whose `X-Forwarded-For` and "
            "`-Proto` are believed; what others say there is not.",
            max_length=1000,
        ),
    ] = ("127.0.0.0/8", "::1")
    forwarded: Annotated[
        Literal["x-forwarded", "forwarded", "both", "none"],
        setting(
            ORIGIN,
            "How the origin is told who asks: `X-Forwarded-For`, `-Proto` and `-Host`, or "
            "`Forwarded` (RFC 7239).",
        ),
    ] = "x-forwarded"
    # A server on the same network answers a SYN in milliseconds; three lost ones take 7 s.
    origin_connect_seconds: Annotated[
        float,
        setting(ORIGIN, "In what time a connection to the origin is made.", unit="s", gt=0, le=300),
    ] = 5.0
    # nginx's proxy_read_timeout.
    origin_seconds: Annotated[
        float,
        setting(ORIGIN, "For how long the origin may say nothing.", unit="s", gt=0, le=3600),
    ] = 60.0
    origin_connections: Annotated[
        int,
        setting(
            ORIGIN,
            "How many connections to each origin one process has at most; who finds none free "
            "waits for one as long as for a connection.",
            ge=1,
            le=65_535,
        ),
    ] = 512
    origin_fetches: Annotated[
        int,
        setting(
            ORIGIN,
            "How many fetches for those who wait are under way at one time, in one process.",
            ge=1,
            le=10_000,
        ),
    ] = 32
    grip_key: Annotated[
        str | None,
        setting(
            ORIGIN,
            "The secret of GRIP: signs `Grip-Sig` for the origin, and verifies publishers' tokens. "
            "`base64:…` for a binary one.",
            secret=True,
            min_length=1,
        ),
    ] = None
    # Pushpin's; an origin that forgets to set one must not be asked in a loop.
    grip_min_seconds: Annotated[
        int,
        setting(
            ORIGIN,
            "The shortest hold that an origin's `Grip-Timeout` can ask for.",
            unit="s",
            ge=1,
            le=55,
        ),
    ] = 5
    grip_issuer: Annotated[
        str, setting(ORIGIN, "The `iss` of `Grip-Sig`.", min_length=1, max_length=255)
    ] = "pushhub"

    @property
    def control_address(self) -> tuple[str, int] | None:
        """Host and port of the second listener, if there is to be one."""
        if self.control is None:
            return None
        host, _, port = self.control.rpartition(":")
        return host.strip("[]"), int(port)

    def unsigned(self) -> str | None:
        """Why an origin that is asked by GRIP cannot know who asks it; None if it can."""
        # Requests that no route takes go to the origin with GRIP.
        takes_all = any(route.host == "*" and route.path == "/*" for route in self.routes)
        is_grip = any(route.step == "grip" for route in self.routes) or (
            self.origin is not None and not takes_all
        )
        if self.grip_key is not None or not is_grip:
            return None
        return (
            "Without a grip_key GRIP is not signed: the origin cannot tell requests that come "
            "through pushhub from others, and libraries may hold nothing. Set grip_key here and in "
            "the origin, or step = 'pass' for what holds nothing."
        )

    @model_validator(mode="after")
    def _behind(self) -> Self:
        if self.control is not None and not _LISTEN.fullmatch(self.control):
            raise ValueError("'control' is host:port, such as 127.0.0.1:5561.")
        if self.control_address is not None and self.control_address[1] > 65_535:
            raise ValueError("The port of 'control' is at most 65535.")
        if not _PREFIX.fullmatch(self.prefix):
            raise ValueError("'prefix' is a path such as /_pushhub, without a final slash.")
        if self.origin is None:
            for index, route in enumerate(self.routes):
                if route.target is None:
                    raise ValueError(
                        f"Route {index + 1} ({route.path}) has no target; give it one, or set "
                        f"'origin' for all."
                    )
        return self
