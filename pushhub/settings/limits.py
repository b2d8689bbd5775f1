"""The settings of the limits: their names, scopes, units and defaults.

`pushhub/auth/limits.py` makes the decisions.
"""

from __future__ import annotations

import difflib
from typing import Annotated, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pushhub.settings.field import LIMITS, setting

# No honest use has more; a larger number is a mistake of units.
MAX_RATE = 1e9
MAX_COUNT = 10_000_000

# The scopes of limits.
ADDRESS, SUBJECT, KEY = "address", "subject", "key"
SCOPES = {
    ADDRESS: "one address, or one IPv6 network (/64)",
    SUBJECT: "the `sub` of a token",
    KEY: "an API key",
}


class LimitSpec(NamedTuple):
    """One limit. A rate has `rate` tokens a second and `burst`; a count has `most` at a time."""

    scope: str
    what: str
    unit: str
    rate: float = 0.0
    burst: float = 0.0
    most: int = 0
    is_count: bool = False

    @property
    def default(self) -> str:
        """The default, for documents."""
        if not (self.most if self.is_count else self.rate):
            return "off"
        if self.is_count:
            return f"{self.most:,}"
        return f"{number(self.rate)}/s, burst {number(self.burst)}"


def number(value: float) -> str:
    """A number for people: without an exponent, and with no more digits than it has."""
    return f"{value:,.0f}" if value == int(value) else f"{value:,}"


def _rate(scope: str, what: str, unit: str, rate: float, burst: float) -> LimitSpec:
    return LimitSpec(scope, what, unit, rate, burst)


def _count(scope: str, what: str, unit: str, most: int) -> LimitSpec:
    return LimitSpec(scope, what, unit, most=most, is_count=True)


# An address may be the NAT of 10,000 users. All may connect, and all may return after an event,
# together; the rates fill that burst again in 10 s. One address at its rate uses about a twentieth
# of a core (`benchmarks/limits.py`). A subject is one user, with some devices and tabs. API keys
# are back ends, whose limits are off.
LIMIT_SPECS: dict[str, LimitSpec] = {
    "address-connects": _rate(ADDRESS, "new connections", "connections", 1_000, 10_000),
    "address-connections": _count(ADDRESS, "open connections", "connections", 20_000),
    "address-requests": _rate(ADDRESS, "requests, except polls that wait", "requests", 1000, 10000),
    "address-publishes": _rate(ADDRESS, "published events", "events", 1000, 10_000),
    "address-bytes": _rate(ADDRESS, "bytes of request bodies", "bytes", 10e6, 100e6),
    "address-creations": _rate(ADDRESS, "new channels", "channels", 100, 10_000),
    "address-holds": _count(ADDRESS, "requests that wait, and streams", "requests", 10_000),
    "address-channels": _count(ADDRESS, "channels that these wait on", "channels", 100_000),
    "address-sessions": _count(ADDRESS, "BOSH sessions", "sessions", 1000),
    "subject-requests": _rate(SUBJECT, "requests, except polls that wait", "requests", 100, 1000),
    "subject-publishes": _rate(SUBJECT, "published events", "events", 100, 1000),
    "subject-bytes": _rate(SUBJECT, "bytes of request bodies", "bytes", 1e6, 16e6),
    "subject-creations": _rate(SUBJECT, "new channels", "channels", 10, 1000),
    "subject-holds": _count(SUBJECT, "requests that wait, and streams", "requests", 100),
    "subject-channels": _count(SUBJECT, "channels that these wait on", "channels", 10_000),
    "key-requests": _rate(KEY, "requests, except polls that wait", "requests", 0, 0),
    "key-publishes": _rate(KEY, "published events", "events", 0, 0),
    "key-bytes": _rate(KEY, "bytes of request bodies", "bytes", 0, 0),
    "key-creations": _rate(KEY, "new channels", "channels", 0, 0),
    "key-holds": _count(KEY, "requests that wait, and streams", "requests", 0),
    "key-channels": _count(KEY, "channels that these wait on", "channels", 0),
}


class Limit(BaseModel):
    """One limit's own numbers; missing ones are the default's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rate: Annotated[
        float | None,
        Field(ge=0, le=MAX_RATE, description="Tokens a second, of a rate; 0 turns it off."),
    ] = None
    burst: Annotated[
        float | None,
        Field(
            ge=1,
            le=MAX_RATE,
            description="Tokens at once, of a rate; by default ten seconds of `rate`, at least 1.",
        ),
    ] = None
    most: Annotated[
        int | None,
        Field(ge=0, le=MAX_COUNT, description="The largest number, of a count; 0 turns it off."),
    ] = None

    @model_validator(mode="after")
    def _says_something(self) -> Limit:
        if self.rate is None and self.burst is None and self.most is None:
            raise ValueError("A limit has 'rate' and 'burst', or 'most'.")
        return self


class LimitSettings(BaseModel):
    """A part of `Settings`."""

    limits: Annotated[
        dict[str, Limit],
        setting(
            LIMITS,
            "Limits by address, token subject and API key that differ from the defaults "
            "in [limits.md](limits.md). A rate has `rate` and `burst`, a count `most`; 0 turns a "
            "limit off.",
            reload=True,
        ),
    ] = {}
    limits_shared: Annotated[
        bool,
        setting(
            LIMITS,
            "Counts rates in Redis for all workers and nodes, where the store is Redis; otherwise "
            "each process counts its own.",
        ),
    ] = True

    @model_validator(mode="after")
    def _limits_exist(self) -> LimitSettings:
        for name, own in self.limits.items():
            spec = LIMIT_SPECS.get(name)
            if spec is None:
                near = difflib.get_close_matches(name, LIMIT_SPECS, 1)
                end = f"; did you mean {near[0]!r}?" if near else " (docs/limits.md lists them)."
                raise ValueError(f"There is no limit {name[:100]!r}{end}")
            if spec.is_count is not (own.most is not None) or (own.most is not None and own.burst):
                keys = "'most'" if spec.is_count else "'rate' and 'burst'"
                raise ValueError(f"The limit {name} is set by {keys}.")
        return self

    def limit(self, name: str) -> LimitSpec:
        """A limit with the numbers of these settings."""
        spec, own = LIMIT_SPECS[name], self.limits.get(name)
        if own is None:
            return spec
        if spec.is_count:
            return spec._replace(most=own.most or 0)
        rate = spec.rate if own.rate is None else own.rate
        usual = spec.burst if own.rate is None else max(1.0, 10 * rate)
        return spec._replace(rate=rate, burst=own.burst or usual)
