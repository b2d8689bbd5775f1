"""The settings of the origin, the REST server behind pushhub, and of the routes to it."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, model_validator

from pushhub.http.forwarded import TrustedProxies
from pushhub.settings.change_source import ChangeSource
from pushhub.settings.field import ORIGIN, SERVER, setting
from pushhub.settings.route import Route, Target

_LISTEN = re.compile(r"(?:[0-9A-Za-z._-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}")
_PREFIX = re.compile(r"/[0-9A-Za-z._~-]+(?:/[0-9A-Za-z._~-]+)*")


def _network(text: str) -> str:
    try:
        TrustedProxies([text])
    except ValueError:
        raise ValueError(f"{text!r} is no address and no network such as 10.0.0.0/8.") from None
    return text


Network = Annotated[str, AfterValidator(_network)]

# Each is a check of its own with three series, and a few requests of each process in each round.
MAX_CANARY_ROUTES = 20


class OriginSettings(BaseModel):
    """The settings of the origin; part of `Settings`."""

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
            "its root. On loopback it needs no key.",
        ),
    ] = None
    prefix: Annotated[
        str, setting(ORIGIN, "The path prefix of pushhub's own routes, if there is an origin.")
    ] = "/_pushhub"
    routes: Annotated[
        list[Route],
        setting(
            ORIGIN,
            "The routes of requests to origins, and the requests that may wait; the first match "
            "counts.",
            max_length=1000,
            reload=True,
        ),
    ] = []
    sources: Annotated[
        list[ChangeSource],
        setting(
            ORIGIN,
            "The sources of notifications beside the API keys, such as webhooks with a signature.",
            secret=True,
            max_length=100,
            reload=True,
        ),
    ] = []
    trusted_proxies: Annotated[
        tuple[Network, ...],
        setting(
            SERVER,
            "The addresses and networks of the proxies in front. Their `X-Forwarded-For` and "
            "`-Proto` are trusted; those headers of other clients are not.",
            max_length=1000,
        ),
    ] = ("127.0.0.0/8", "::1")
    forwarded: Annotated[
        Literal["x-forwarded", "forwarded", "both", "none"],
        setting(
            ORIGIN,
            "The headers that name the client to the origin: `X-Forwarded-For`, `-Proto` and "
            "`-Host`, or `Forwarded` (RFC 7239).",
        ),
    ] = "x-forwarded"
    # A server on the same network responds to a SYN in milliseconds; three lost ones take 7 s.
    origin_connect_seconds: Annotated[
        float,
        setting(ORIGIN, "The longest time to connect to the origin.", unit="s", gt=0, le=300),
    ] = 5.0
    # nginx's proxy_read_timeout.
    origin_seconds: Annotated[
        float,
        setting(
            ORIGIN, "The longest time without a byte from the origin.", unit="s", gt=0, le=3600
        ),
    ] = 60.0
    origin_connections: Annotated[
        int,
        setting(
            ORIGIN,
            "The largest number of connections of one process to each origin. A request without a "
            "free connection waits for one, up to `origin_connect_seconds`.",
            ge=1,
            le=65_535,
        ),
    ] = 512
    origin_fetches: Annotated[
        int,
        setting(
            ORIGIN,
            "The largest number of concurrent fetches for waiting requests, in one process.",
            ge=1,
            le=10_000,
        ),
    ] = 32
    # A server that fails at ten requests a second has other troubles.
    fetch_rate: Annotated[
        float,
        setting(
            ORIGIN,
            "The number of shared fetches a second that all processes and nodes together may send "
            "to each origin, however few requests wait. Beyond this budget the interval of all "
            "resources is stretched.",
            unit="/s",
            ge=0.01,
            le=100_000,
            reload=True,
        ),
    ] = 10.0
    # README and docs/polling-upgrade.md compare with clients that poll every 5 s.
    replaces: Annotated[
        float,
        setting(
            ORIGIN,
            "The interval at which clients polled before they waited. While more than `fetch_rate` "
            "times this number of requests wait on the resources of an origin, the budget is one "
            "fetch in this time for each of them, so that a crowd costs no more than its polling "
            "did.",
            unit="s",
            ge=0.1,
            le=86_400,
            reload=True,
        ),
    ] = 5.0
    grip_key: Annotated[
        str | None,
        setting(
            ORIGIN,
            "The secret of GRIP. It signs `Grip-Sig` for the origin, and verifies publishers' "
            "tokens. A binary secret is `base64:…`.",
            secret=True,
            min_length=1,
        ),
    ] = None
    # Pushpin's; an origin without a timeout must not be fetched in a loop.
    grip_min_seconds: Annotated[
        int,
        setting(
            ORIGIN,
            "The shortest hold that an origin's `Grip-Timeout` can request.",
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
        """Host and port of the second listener; None without one."""
        if self.control is None:
            return None
        host, _, port = self.control.rpartition(":")
        return host.strip("[]"), int(port)

    def unsigned(self) -> str | None:
        """The warning that an origin with GRIP cannot verify the proxy; None if it can."""
        # Requests without a route go to the origin with GRIP.
        takes_all = any(route.host == "*" and route.path == "/*" for route in self.routes)
        is_grip = any(route.step == "grip" for route in self.routes) or (
            self.origin is not None and not takes_all
        )
        if self.grip_key is not None or not is_grip:
            return None
        return (
            "Without a grip_key GRIP is not signed: the origin cannot distinguish requests through "
            "pushhub from others, and libraries may hold nothing. Set grip_key here and in the "
            "origin, or step = 'pass' for routes that hold nothing."
        )

    def without_clients(self) -> str | None:
        """The note that GRIP's requests on some routes have no credentials; None without such."""
        paths = [route.path for route in self.routes if route.step == "grip" and not route.identity]
        if not paths:
            return None
        return (
            f"GETs of the routes with GRIP and identity = [] ({', '.join(paths)}) go to the origin "
            "without Cookie, Authorization and the client's address, because one response serves "
            "all clients."
        )

    @model_validator(mode="after")
    def _behind(self) -> Self:
        if self.control is not None and not _LISTEN.fullmatch(self.control):
            raise ValueError("'control' is host:port, such as 127.0.0.1:5561.")
        if self.control_address is not None and self.control_address[1] > 65_535:
            raise ValueError("The port of 'control' is at most 65535.")
        if not _PREFIX.fullmatch(self.prefix):
            raise ValueError("'prefix' is a path such as /_pushhub, without a final slash.")
        canaries = [(r.host, r.canary) for r in self.routes if r.canary is not None]
        if len(canaries) > MAX_CANARY_ROUTES:
            raise ValueError(f"At most {MAX_CANARY_ROUTES} routes have a 'canary'.")
        if len(set(canaries)) < len(canaries):
            raise ValueError("Two routes have the same 'canary'; each has its own.")
        names = [source.name for source in self.sources]
        if len(set(names)) < len(names):
            raise ValueError("Two sources have the same name; each has its own.")
        if self.origin is None:
            for index, route in enumerate(self.routes):
                if route.target is None:
                    raise ValueError(
                        f"Route {index + 1} ({route.path}) has no target; give it one, or set "
                        f"'origin' for all."
                    )
        return self
