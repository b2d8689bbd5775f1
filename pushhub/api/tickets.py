"""`POST /v1/tickets`, and the use of tickets: credentials for `EventSource`, which cannot send
headers.

A ticket is signed, short-lived, and works once. The store makes it single-use: its id is an
idempotency key on an internal channel, so of all workers and nodes only the first one that appends
it gets no duplicate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from pushhub.api.needs import may_get_ticket
from pushhub.api.service import store_unavailable
from pushhub.auth.tickets import Tickets
from pushhub.http.caching import NO_STORE
from pushhub.http.problem import Problem
from pushhub.http.response import Response
from pushhub.hub.hold import ChainedHold
from pushhub.log.cursor import Start
from pushhub.log.event import BINARY, Draft
from pushhub.log.read import Page
from pushhub.polls.feed import JSON
from pushhub.store.base import NO_VALUE, REGISTER, Append, Appended, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushhub.api.service import Service
    from pushhub.auth.revocation import Revocations
    from pushhub.http.request import Request
    from pushhub.hub.hold import Hold
    from pushhub.hub.hub import Hub
    from pushhub.hub.stream import EventStream
    from pushhub.log.grant import Grant
    from pushhub.store.base import Outcome

SECRET_CHANNEL = "$secret:tickets"
USED_CHANNEL = "$tickets"
SECRET_BYTES = 32


def ticket(service: Service, request: Request, grant: Grant) -> Response:
    """Exchange a token for a ticket that reads what the token reads."""
    may_get_ticket(service, request, grant, "")
    assert service.tickets is not None
    body = {
        "ticket": service.tickets.mint(grant, service.hub.clock()),
        "expires_in": service.settings.ticket_seconds,
    }
    return Response(200, (JSON, NO_STORE), orjson.dumps(body))


def redeem(
    service: Service,
    request: Request,
    text: str,
    run: Callable[[Grant], Response | Hold | EventStream],
) -> Hold:
    """Use a ticket up, then run the request with its grant.

    Raises:
        Problem: the ticket is invalid, or has expired.
    """
    assert service.tickets is not None
    grant, id = service.tickets.open(text, service.hub.clock())
    request.grant = grant
    hold = ChainedHold()

    def used(outcomes: list[Outcome]) -> None:
        (outcome,) = outcomes
        if hold.done:
            return
        if isinstance(outcome, StoreError):
            hold.complete(service.refuse(store_unavailable(outcome)))
        elif isinstance(outcome, Appended) and not outcome.duplicate:
            hold.follow(run(grant))
        else:
            detail = "This ticket was used before. A ticket opens one stream; get another one."
            hold.complete(service.refuse(Problem("unauthorized", detail), request))

    service.hub.record([Append(USED_CHANNEL, Draft(b"{}"), REGISTER, key=id)], used)
    return hold


async def open_tickets(
    hub: Hub,
    ticket_seconds: int,
    random_bytes: Callable[[int], bytes],
    revocations: Revocations,
) -> Tickets:
    """The tickets of this hub's store. The first process makes the secret, and all read it."""
    draft = Draft(random_bytes(SECRET_BYTES), BINARY)
    await hub.recorded(Append(SECRET_CHANNEL, draft, REGISTER, NO_VALUE))
    page = await hub.store.read(SECRET_CHANNEL, Start.LAST, 1)
    assert isinstance(page, Page)
    return Tickets(page.events[-1].data, ticket_seconds, random_bytes, revocations)
