"""The verdicts of the canary: the state of each check, and its age."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection


# The age of a last success that is red whatever the last verdict was, in rounds, and at least so
# many seconds: the alert of deploy/prometheus/rules.yml, for the default interval.
OLD_ROUNDS = 2.5
OLD_SECONDS = 150.0
# Characters of a reason that the console shows.
MAX_REASON = 300


class Change(NamedTuple):
    """A check that has failed after a success, or works again."""

    check: str
    reason: str
    """Why the check fails; empty if it works again."""
    seconds: float
    """The seconds since the last success before this verdict."""


class CheckState:
    """The state of one check. `ok` is None until its first verdict."""

    __slots__ = ("good_at", "ok", "reason", "seconds")

    def __init__(self, now: float) -> None:
        self.ok: bool | None = None
        self.good_at = now
        self.reason = ""
        self.seconds: float | None = None

    def state(self, now: float, oldest: float) -> str:
        """`failing`, `old`, `ok`, or `pending` before the first verdict."""
        if self.ok is False:
            return "failing"
        if now - self.good_at > oldest:
            return "old"
        return "pending" if self.ok is None else "ok"


class CanaryBoard:
    """The states of all checks. A check that has never succeeded has its age from its beginning."""

    __slots__ = ("checks",)

    def __init__(self) -> None:
        self.checks: dict[str, CheckState] = {}

    def expect(self, names: Collection[str], now: float) -> None:
        """The checks from now on; the states of all others are dropped."""
        self.checks = {name: self.checks.get(name) or CheckState(now) for name in names}

    def settle(self, name: str, now: float, seconds: float, reason: str = "") -> Change | None:
        """Record a verdict: a success after `seconds`, or a failure for a `reason`. Returns the
        change, if the check was red before and is not now, or the reverse.
        """
        state = self.checks.get(name)
        if state is None:
            return None  # A reload has removed the check meanwhile.
        before, age = state.ok, now - state.good_at
        state.ok, state.reason = not reason, reason
        if reason:
            return Change(name, reason, age) if before is not False else None
        state.good_at, state.seconds = now, seconds
        return Change(name, "", age) if before is False else None

    def ok(self) -> dict[str, float]:
        """1 for each check whose last verdict is a success, 0 for the others."""
        return {name: int(its.ok) for name, its in self.checks.items() if its.ok is not None}

    def ages(self, now: float) -> dict[str, float]:
        """The seconds since the last success of each check."""
        return {name: round(now - its.good_at, 3) for name, its in self.checks.items()}

    def states(self, now: float, interval: float) -> list[dict[str, Any]]:
        """All of each check, for the console. A check whose last success is two rounds and a half
        ago is `old`, also if no round has failed: the canary has stopped.
        """
        oldest = max(OLD_SECONDS, OLD_ROUNDS * interval)
        return [
            {
                "check": name,
                "state": its.state(now, oldest),
                "ago": round(now - its.good_at, 1) if its.seconds is not None else None,
                "seconds": its.seconds,
                "reason": its.reason[:MAX_REASON],
            }
            for name, its in self.checks.items()
        ]

    def seconds(self) -> dict[str, float]:
        """The duration of the last success of each check."""
        return {
            name: round(its.seconds, 6)
            for name, its in self.checks.items()
            if its.seconds is not None
        }
