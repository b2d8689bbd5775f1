"""A smaller plan that fails in the same way: fewer phases, fewer actors, fewer nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushhub.testing.simulation.plan import Plan


def shrink(plan: Plan, fails: Callable[[Plan], bool], go_on: Callable[[], bool]) -> Plan:
    """The smallest plan found for which `fails` holds, as long as `go_on` says so.

    Every actor has a generator of its own, so what is left does nearly what it did before.
    """
    smaller = True
    while smaller and go_on():
        smaller = False
        for candidate in plan.smaller():
            if not go_on():
                break
            if fails(candidate):
                plan, smaller = candidate, True
                break
    return plan
