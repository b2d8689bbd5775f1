"""One proxied exchange: a request on its way to the origin, and the response on its way back.

The exchange adds and removes nothing but the headers of a single connection (RFC 9110 §7.6), so a
client cannot detect pushhub. The driver of the client's connection takes part as a `ClientWriter`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import structlog

from pushhub.http.problem import Problem
from pushhub.http.traceparent import TRACEPARENT
from pushhub.origin.announcement import is_write, named, written
from pushhub.origin.cross_origin import Preflight
from pushhub.origin.headers import to_origin
from pushhub.origin.misdirected import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import AsyncIterable

    from pushhub.http.response import Response
    from pushhub.hub.hold import Hold
    from pushhub.hub.stream import EventStream
    from pushhub.origin.client.response import UpstreamResponse
    from pushhub.origin.grip.gateway import GripGateway
    from pushhub.origin.origin import Origin
    from pushhub.origin.request import Pairs, ProxiedRequest
    from pushhub.origin.shared.resource import Resource
    from pushhub.origin.tunnels import Tunnel

log = structlog.get_logger(__name__)

# An origin responds to TRACE with the request that it received (RFC 9110 §9.3.8), and IIS to TRACK
# too. So these requests pass without the signature of GRIP, which the client must not see.
ECHOED = frozenset({"TRACE", "TRACK"})

# The problems of a request of which the origin has received nothing.
UNSENT = frozenset({"origin-unreachable", "overloaded", "too-many-requests"})


class ClientWriter(Protocol):
    """The client's side of an exchange: writes the response to its connection."""

    @property
    def framed(self) -> bool:
        """Whether it writes a chunked body as it is on the wire."""

    def inform(self, head: bytes) -> None:
        """Write a 1xx response, which comes before the final one."""

    def open(self, response: UpstreamResponse) -> None:
        """Write the head."""

    async def write(self, piece: bytes) -> None:
        """Write a piece of the body; returns when the connection takes another one."""

    def end(self) -> None:
        """The response is complete."""

    def switch(self, response: UpstreamResponse, tunnel: Tunnel) -> None:
        """Join both connections: they use another protocol from now on."""

    def refuse(self, problem: Problem) -> None:
        """Respond with an error; after the head, break the response off visibly."""

    def become(self, outcome: Response | Hold | EventStream) -> None:
        """Respond with something else than the origin's response, now or when it completes."""


class ProxyExchange:
    """One routed request. `resource` is the shared resource that it is for, if any, and `preflight`
    the preflight for an opt-in that it is, if it is one.
    """

    __slots__ = ("origin", "preflight", "request", "resource", "writer")

    def __init__(
        self,
        origin: Origin,
        request: ProxiedRequest,
        resource: Resource | None,
        writer: ClientWriter,
    ) -> None:
        self.origin = origin
        self.request = request
        self.resource = resource
        self.writer = writer
        self.preflight: Preflight | None = None

    async def run(self, body: AsyncIterable[bytes] | bytes | None) -> None:
        """Send the request to the origin, or share a fetch, and write the response."""
        origin, request, resource = self.origin, self.request, self.resource
        origin.warn_of_unnamed_proxy(request)
        if request.method == "OPTIONS" and (preflight := Preflight.of(request)) is not None:
            self.preflight = preflight
            request = self.request = preflight.request
        grip = None
        if (
            request.match.route.step == "grip"
            and not request.upgrades
            and request.method.upper() not in ECHOED
        ):
            grip = origin.grip
        try:
            outcome: Response | Hold | None = None
            if resource is None and origin.resources is not None and request.method != "GET":
                resource = origin.resources.get_with_body(request, body)
                if resource is not None:
                    wait = request.wait_request
                    outcome = resource.serve_from_memory(wait.wait, wait.condition)
            if resource is not None and outcome is None:
                wait_request = request.wait_request
                if origin.is_traced and (context := request.headers.get(TRACEPARENT)):
                    wait_request = replace(wait_request, context=context)
                outcome = await resource.serve_after_fetch(wait_request)
            if outcome is not None:
                self.writer.become(outcome)
            elif request.upgrades:
                await self._switch_or_pass(to_origin(request, origin.forwarded))
            elif grip is None:
                await self._pass(to_origin(request, origin.forwarded), body)
            else:
                await self._pass_or_hold(grip, grip.upstream.headers(request), body)
        except Problem as problem:
            self.writer.refuse(problem)

    async def _pass(self, pairs: Pairs, body: AsyncIterable[bytes] | bytes | None) -> None:
        response = await self._send(pairs, body)
        try:
            await self._write(response)
        finally:
            response.close()

    async def _switch_or_pass(self, pairs: Pairs) -> None:
        tunnels = self.origin.tunnels
        tunnel: Tunnel | None = tunnels.begin(self.origin.client_key(self.request))
        try:
            response = await self._send(pairs, None)
            try:
                if response.status == 101:
                    assert tunnel is not None
                    self.writer.switch(response, tunnel)
                    tunnel = None
                else:
                    await self._write(response)
            finally:
                response.close()
        finally:
            if tunnel is not None:
                tunnel.end()

    async def _pass_or_hold(
        self, grip: GripGateway, pairs: Pairs, body: AsyncIterable[bytes] | bytes | None
    ) -> None:
        """Pass the response through, or do what its GRIP instruct says."""
        request = self.request
        key = grip.coalescer.key(request, pairs) if body is None else None
        poll = await grip.coalescer.join(key)
        if poll is not None:
            self.writer.become(grip.hold(request, poll))
            return
        in_flight = grip.coalescer.begin(key, request)
        try:
            response = await self._send(pairs, body)
            try:
                if not grip.upstream.has_instruct(response):
                    in_flight.settle(None)
                    await self._write(response)
                elif request.method == "HEAD":
                    response = grip.upstream.head_response(response)
                    await self._write(response)
                else:
                    self.writer.become(await grip.outcome(request, response, in_flight))
            finally:
                # A stream may still be reading it.
                if not response.is_streamed:
                    response.close()
        finally:
            # Without a response, the requests that wait for it may try themselves.
            in_flight.settle(None, retry=True)

    async def _send(
        self, pairs: Pairs, body: AsyncIterable[bytes] | bytes | None
    ) -> UpstreamResponse:
        request = self.request
        try:
            response = await self.origin.client.request(
                request.method,
                request.url,
                pairs,
                body,
                self.writer.inform,
                self.origin.client_key(request),
            )
        except BaseException as error:
            is_unsent = isinstance(error, Problem) and error.slug in UNSENT
            if is_write(request) and not is_unsent:
                self.origin.spawn(self.origin.announce(written(request, None)))
            raise
        if response.notified or is_write(request):
            await self._announce(response)
        if response.status in UNKNOWN:
            self.origin.misdirected.refused(request, response.status)
        if response.status == 101 and not request.upgrades:
            response.close()
            raise Problem(
                "bad-gateway", "The origin switches protocols without a request to upgrade."
            )
        return response if self.preflight is None else self.preflight.complete(response)

    async def _announce(self, response: UpstreamResponse) -> None:
        """Notify of the resources that a response reports as changed, before its client sees it."""
        origin = self.origin
        resources, wrong = named(response.notified)
        if wrong:
            origin.log.warning(log, "origin.bad_notify", path=self.request.path, why=wrong)
        if is_write(self.request):
            resources += written(self.request, response)
        try:
            await origin.announce(resources)
        except BaseException:
            response.close()
            raise

    async def _write(self, response: UpstreamResponse) -> None:
        writer = self.writer
        writer.open(response)
        read = response.read_raw if writer.framed else response.read
        while piece := await read():
            await writer.write(piece)
        # First, so that the client's next request finds the connection idle.
        response.close()
        writer.end()
