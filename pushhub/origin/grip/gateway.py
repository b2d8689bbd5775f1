"""GRIP between proxied exchanges and the hub: carries out the instructs of an origin.

One request to the origin serves each hold, and all identical ones (`coalescer.py`). A hold misses
nothing that is published during that request (`position.py`). `hold.py` holds a response, and
`stream.py` continues a stream.
"""

from __future__ import annotations

import asyncio
from itertools import count
from typing import TYPE_CHECKING

import structlog

from pushhub.grip.held_response import HeldInstruct, HeldResponse
from pushhub.grip.instruct import HoldMode
from pushhub.grip.item import RECOVER_CHANNEL
from pushhub.http.problem import Problem
from pushhub.http.response import BODILESS
from pushhub.hub.subscription import Subscription
from pushhub.origin.grip.coalescer import Coalescer
from pushhub.origin.grip.hold import ResponseHold
from pushhub.origin.grip.position import find_hold_position
from pushhub.origin.grip.stream import GripResponseStream
from pushhub.origin.grip.upstream import GripUpstream

if TYPE_CHECKING:
    from pushhub.auth.grip_signature import GripKey
    from pushhub.grip.instruct import Instruct
    from pushhub.http.response import Response
    from pushhub.hub.hold import Hold
    from pushhub.hub.hub import Hub
    from pushhub.hub.stream import EventStream
    from pushhub.origin.client.response import UpstreamResponse
    from pushhub.origin.grip.coalescer import InFlight
    from pushhub.origin.grip.position import HoldPosition
    from pushhub.origin.grip.upstream import GripOrigin, LastIds
    from pushhub.origin.request import Pairs, ProxiedRequest

log = structlog.get_logger(__name__)


class GripGateway:
    """The holds and streams of one process.

    Args:
        key: signs requests to the origin; None sends no signature.
        min_timeout: the shortest hold, in seconds.
        concurrency: the number of repeated requests for holds at one time.
    """

    def __init__(
        self, hub: Hub, origin: GripOrigin, key: GripKey | None, min_timeout: int, concurrency: int
    ) -> None:
        self.hub = hub
        self.spawn = origin.spawn
        self.upstream = GripUpstream(origin, key, min_timeout)
        self.coalescer = Coalescer(hub)
        self.holds: set[ResponseHold] = set()
        self._slots = asyncio.Semaphore(concurrency)
        # If an order to recover may have been lost, the gateway recovers.
        self._subscription = Subscription(
            hub, RECOVER_CHANNEL, lambda _: self._recover(), lost=self._recover
        )

    def open(self) -> None:
        """Begin to receive orders to recover."""
        self._subscription.start()

    def close(self) -> None:
        """Stop receiving orders to recover."""
        self._subscription.stop()

    # Outcomes of an exchange

    async def outcome(
        self, request: ProxiedRequest, response: UpstreamResponse, in_flight: InFlight
    ) -> Response | Hold | EventStream:
        """The outcome for the client, in place of a response with an instruct.

        Raises:
            Problem: the instruct is invalid, or the log cannot be read.
        """
        instruct = await self.upstream.read_instruct(response)
        if instruct.mode is HoldMode.RESPONSE:
            position = await find_hold_position(self.hub, instruct, in_flight.began)
            poll = _poll(instruct, position)
            if not position.gap:
                in_flight.settle(poll)
                return self.hold(request, poll)
            # The origin names an item that is not in the log: only the origin knows the items after
            # it.
            in_flight.settle(None)
            hold = ResponseHold(self, request, poll)
            hold.fetch_again(poll.last_ids())
            return hold
        in_flight.settle(None)
        return self._unheld(request, instruct, response, in_flight.began)

    def hold(self, request: ProxiedRequest, poll: HeldResponse) -> ResponseHold:
        """Hold a request with a poll."""
        hold = ResponseHold(self, request, poll)
        hold.wait_on(poll)
        return hold

    def _unheld(
        self, request: ProxiedRequest, instruct: Instruct, response: UpstreamResponse, began: float
    ) -> Response | EventStream:
        """A response that is not held, with the stream or the links that continue it."""
        if instruct.response.status in BODILESS:
            return instruct.response
        return GripResponseStream(self.hub, self.upstream, self.spawn, request, instruct, response,
                                  began)  # fmt: skip

    # Fetches for holds

    def start_refetch(self, hold: ResponseHold, last_ids: LastIds) -> asyncio.Task[None]:
        """Send the request of a hold to the origin again, and go on with the response."""
        return self.spawn(self._refetch(hold, last_ids))

    async def _refetch(self, hold: ResponseHold, last_ids: LastIds) -> None:
        try:
            await self._fetch_for(hold, last_ids)
        except Problem as problem:
            hold.complete(problem.response())
        except Exception:
            self.hub.log.exception(log, "grip.failed")
            hold.complete(Problem("internal", "Internal error; see the server log.").response())

    async def _fetch_for(self, hold: ResponseHold, last_ids: LastIds) -> None:
        request = hold.request
        pairs = self.upstream.headers(request, last_ids)
        key = self.coalescer.key(request, pairs)
        poll = await self.coalescer.join(key)
        if poll is not None:
            hold.wait_on(poll)
            return
        in_flight = self.coalescer.begin(key, request)
        response = None
        try:
            response = await self._get_with_retries(hold, pairs)
            instruct = await self.upstream.read_instruct(response)
            if instruct.mode is HoldMode.RESPONSE:
                position = await find_hold_position(
                    self.hub, instruct, in_flight.began, trusted=True
                )
                poll = _poll(instruct, position)
                in_flight.settle(poll)
                hold.wait_on(poll)
            else:
                in_flight.settle(None)
                outcome = self._unheld(request, instruct, response, in_flight.began)
                if not hold.complete(outcome) and isinstance(outcome, GripResponseStream):
                    outcome.close()
        finally:
            in_flight.settle(None, retry=True)
            if response is not None and not response.is_streamed:
                response.close()

    async def _get_with_retries(self, hold: ResponseHold, pairs: Pairs) -> UpstreamResponse:
        """GET until the origin responds, as long as the client waits: it may be restarting."""
        for tries in count():
            try:
                async with self._slots:
                    response = await self.upstream.get(hold.request, pairs)
                break
            except Problem as problem:
                hold.problem = problem
            await asyncio.sleep(2**tries + self.hub.uniform(0, 1))
        hold.problem = None
        return response

    def _recover(self) -> None:
        """Fetch again for every hold whose origin named a `prev-id`."""
        self.coalescer.clear()
        for hold in list(self.holds):
            hold.recover()

    def __repr__(self) -> str:
        return f"<GripGateway {len(self.holds)} held responses, {self.coalescer!r}>"


def _poll(instruct: Instruct, position: HoldPosition) -> HeldResponse:
    return HeldResponse(
        HeldInstruct.of(instruct), position.cursors, position.sequences, instruct.timeout
    )
