"""A case of the conformance test, and the table of all cases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pushhub.conformance.stage import Stage

CASE_SECONDS = 60.0
"""The longest time of one case, the client's start included. The longest pause in a case is that
before a request is abandoned: the wait and 10 s."""

MODES = {
    "feed": "one channel, without a stream",
    "many": "several channels in one request, without a stream",
    "stream": "one channel, as Server-Sent Events",
    "value": "a value, with its ETag",
}
"""What a case has the client do."""


class NotConforming(Exception):
    """The client violates the contract; the message is a sentence about what it did."""


@dataclass(frozen=True, slots=True)
class ConformanceCase:
    """One case.

    Args:
        name: its name on the command line.
        mode: one of `MODES`.
        rule: a sentence: what the client must do.
        section: the heading of docs/protocol.md that has the rule.
        run: plays the case; raises `NotConforming`.
    """

    name: str
    mode: str
    rule: str
    section: str
    run: Callable[[Stage], Awaitable[None]]


SECTIONS = (
    "Positions",
    "Waiting",
    "Gaps and epochs",
    "Many channels",
    "Values",
    "Streams",
    "Failures and pauses",
    "Credentials and redirects",
    "The end",
    "A real hub",
)
"""The headings of docs/protocol.md that have rules, in their order."""

CASES: dict[str, ConformanceCase] = {}
"""All cases by their names."""


def case(
    name: str, mode: str, section: str, rule: str
) -> Callable[[Callable[[Stage], Awaitable[None]]], Callable[[Stage], Awaitable[None]]]:
    """Add the function below to the table of cases."""

    def add(
        run: Callable[[Stage], Awaitable[None]],
    ) -> Callable[[Stage], Awaitable[None]]:
        CASES[name] = ConformanceCase(name, mode, rule, section, run)
        return run

    return add


def check(holds: bool, sentence: str) -> None:
    """Raise the sentence unless the condition holds.

    Raises:
        NotConforming: it does not hold.
    """
    if not holds:
        raise NotConforming(sentence)
