"""Limits at the endpoints: of a credential's requests, of bodies, publishes and new channels.

The server has counted the request by its address before. A refusal is a 429 that names the limit.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pushhub.http.response import Response
from pushhub.hub.hold import ChainedHold, Hold
from pushhub.store.base import NO_VALUE, Append, Appended, Expect, Mismatch

if TYPE_CHECKING:
    from pushhub.api.service import Service
    from pushhub.auth.caller import Caller
    from pushhub.auth.limit_fields import LimitRefusal
    from pushhub.http.problem import Problem
    from pushhub.http.request import Request
    from pushhub.http.response import Headers
    from pushhub.hub.stream import EventStream
    from pushhub.log.grant import Grant
    from pushhub.store.base import Outcome as AppendOutcome

    Outcome = Response | Hold | EventStream


# The condition of an append whose client may create no channel now: an event is there. It is an
# object of its own, since a publisher may have the same condition.
EXISTING = Expect(None)


def count_credential(service: Service, request: Request, grant: Grant) -> None:
    """Count a request, and the bytes of its body, by its credential.

    Raises:
        Problem: one is too much.
    """
    before: Caller | None = request.caller
    caller = service.callers.with_grant(before, grant)
    if caller is not before:
        assert caller is not None
        request.caller = caller
        if before is not None and not caller.address:
            # A back end may have the address of its users.
            before.charge(-1)
        _refuse(caller.credential_request())
    if caller is not None and request.body:
        _refuse(caller.body(len(request.body)))


def count_publish(request: Request, appends: list[Append]) -> list[Append]:
    """Count the events of a publish; returns the appends. If the client may create no channel now,
    they only append to channels that exist.

    Raises:
        Problem: they are too many.
    """
    caller: Caller | None = request.caller
    if caller is None:
        return appends
    _refuse(caller.publish(len(appends)))
    if caller.may_create:
        return appends
    if any(append.expect is NO_VALUE for append in appends):
        _refuse(caller.creation())
    return [
        replace(append, expect=EXISTING) if append.expect is None else append for append in appends
    ]


def count_event(request: Request) -> None:
    """Count a request that appends one event to a channel of the server itself.

    Raises:
        Problem: it is one too many.
    """
    caller: Caller | None = request.caller
    if caller is not None:
        _refuse(caller.publish(1))


def count_created(request: Request, outcomes: list[AppendOutcome]) -> None:
    """Count the channels that a publish has created."""
    caller: Caller | None = request.caller
    if caller is not None:
        created = sum(isinstance(outcome, Appended) and outcome.created for outcome in outcomes)
        if created:
            caller.created(created)


def refused_creation(request: Request, append: Append, outcome: AppendOutcome) -> Problem | None:
    """The problem if only the limit on new channels has kept an event from the log."""
    caller: Caller | None = request.caller
    if caller is None or append.expect is not EXISTING or not isinstance(outcome, Mismatch):
        return None
    refusal = caller.creation()
    return None if refusal is None else refusal.problem()


def publish_fields(request: Request) -> Headers:
    """The header fields that describe the limit of the client's publishes, if there is one."""
    caller: Caller | None = request.caller
    return () if caller is None else caller.publish_fields()


def counted(caller: Caller, outcome: Outcome, service: Service) -> Outcome:
    """Count the outcome of a request if it waits, or is a stream; a refusal takes its place. The
    hold behind an access check is counted when the check is over.
    """
    if isinstance(outcome, Response | ChainedHold):
        return outcome
    retries = False
    if not isinstance(outcome, Hold):
        refusal = caller.stream()
        if refusal is not None:
            outcome.leave()
    elif outcome.waits:
        refusal = caller.hold(outcome)
        if refusal is not None:
            retries = outcome.retries
            outcome.drop()
        elif outcome.is_parked:
            # Its event or its deadline sets the rate of such requests.
            caller.charge(-1)
    else:
        return outcome
    if refusal is None:
        return outcome
    problem = refusal.problem()
    return service.refuse(problem.retried() if retries else problem)


def charge_abandoned(caller: Caller | None, hold: Hold) -> None:
    """Count a request whose wait its client ends: a parked one was not counted before."""
    if caller is not None and hold.caller is not None:
        caller.charge()


def _refuse(refusal: LimitRefusal | None) -> None:
    if refusal is not None:
        raise refusal.problem()
