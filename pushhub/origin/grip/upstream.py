"""The origin as GRIP sees it: signed requests, instructs in its responses, and its links."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import structlog

from pushhub.grip.fields import GripError
from pushhub.grip.filters import FEATURES
from pushhub.grip.headers import INSTRUCT, PREFIX, is_document, parse_instruct
from pushhub.grip.instruct import MAX_HOLD_BODY_BYTES, HoldMode, Instruct
from pushhub.http.problem import Problem
from pushhub.http.raw_response import RawResponse
from pushhub.log.read import MAX_RESPONSE_BYTES
from pushhub.origin.client.response import UpstreamResponse
from pushhub.origin.grip.coalescer import without_client
from pushhub.origin.grip.link import link_headers, link_target
from pushhub.origin.headers import end_to_end, to_origin

if TYPE_CHECKING:
    from asyncio import Task
    from collections.abc import Coroutine

    from pushhub.auth.grip_signature import GripKey
    from pushhub.hub.counted_log import CountedLog
    from pushhub.origin.client.pool import OriginClient
    from pushhub.origin.headers import ForwardedStyle
    from pushhub.origin.request import Pairs, ProxiedRequest

log = structlog.get_logger(__name__)

# Item ids by channel, in order: the last items that a client has seen.
LastIds = tuple[tuple[str, str], ...]

_FEATURE = (b"Grip-Feature", ", ".join(FEATURES).encode())

# The test of `is_instruct`, on bytes: it runs for every response that passes through.
_HAS_INSTRUCT = re.compile(
    rb"\n(?:%b|content-type:[ \t]*%b)" % (PREFIX, INSTRUCT.encode()), re.IGNORECASE
)


class GripOrigin(Protocol):
    """The part of the origin that GRIP uses."""

    client: OriginClient
    forwarded: ForwardedStyle
    log: CountedLog

    def spawn(self, work: Coroutine[None, None, None]) -> Task[None]:
        """Run a coroutine in a task of its own."""


class GripUpstream:
    """Requests to an origin that speaks GRIP, and the instructs of its responses.

    Args:
        key: signs the requests; None sends no signature.
        min_timeout: the shortest hold, in seconds.
    """

    def __init__(self, origin: GripOrigin, key: GripKey | None, min_timeout: int) -> None:
        self._origin = origin
        self._key = key
        self._min_timeout = min_timeout

    # Requests

    def headers(self, request: ProxiedRequest, last_ids: LastIds = ()) -> Pairs:
        """The headers with which a client's request is sent to the origin."""
        pairs = without_client(to_origin(request, self._origin.forwarded), request)
        return self.signed(pairs, last_ids)

    def signed(self, pairs: Pairs, last_ids: LastIds = ()) -> Pairs:
        """Headers with GRIP's own, and without those that a client sent."""
        # Servers that pass headers on as CGI does map `_` and `-` to one name (RFC 3875 §4.1.18).
        kept = tuple(pair for pair in pairs if pair[0][:5].lower() not in (PREFIX, b"grip_"))
        added = [_FEATURE]
        if self._key is not None:
            added.append((b"Grip-Sig", self._key.sig()))
        added += [(b"Grip-Last", f"{name}; last-id={item}".encode()) for name, item in last_ids]
        return (*kept, *added)

    async def get(self, request: ProxiedRequest, pairs: Pairs) -> UpstreamResponse:
        """Send a client's GET again."""
        return await self._origin.client.request("GET", request.url, pairs)

    async def follow(
        self,
        method: str,
        request: ProxiedRequest,
        base: str,
        uri: str,
        last_ids: LastIds = (),
    ) -> UpstreamResponse:
        """Follow a link.

        Raises:
            Problem: the link leads to another server, or the origin does not respond.
        """
        target = link_target(request, base, uri)
        pairs = self.signed(link_headers(to_origin(request, self._origin.forwarded)), last_ids)
        body = None
        if method == "POST":
            # COMPAT: servers without chunked coding (Python's http.server, WSGI servers) would take
            # the end of an empty chunked body for the next request on the connection.
            body = b""
            pairs = (*pairs, (b"Content-Length", b"0"))
        url = request.match.target + target
        return await self._origin.client.request(method, url, pairs, body)

    def notify_gone(self, request: ProxiedRequest, uri: str) -> None:
        """Notify the origin, by its `gone` link, that a client has disconnected; once, without a
        retry.
        """
        self._origin.spawn(self._notify_gone(request, uri))

    async def _notify_gone(self, request: ProxiedRequest, uri: str) -> None:
        try:
            (await self.follow("POST", request, request.target, uri)).close()
        except Problem as problem:
            self._origin.log.info(log, "grip.gone-not-told", why=problem.detail)

    # Responses

    def has_instruct(self, response: UpstreamResponse) -> bool:
        """Whether a response has a GRIP header or document."""
        return _HAS_INSTRUCT.search(response.raw) is not None

    async def read_instruct(self, response: UpstreamResponse) -> Instruct:
        """The instruct of a response; for a response without GRIP, one that passes it on.

        The body of a document or of a held response is read here; any other body is left unread.

        Raises:
            Problem: the instruct is invalid; the sentence is for the origin's developer.
        """
        head = _head(response)
        try:
            if is_document(head):
                head = head.with_body(await read_body(response, MAX_RESPONSE_BYTES))
            instruct = parse_instruct(head, self._min_timeout) or Instruct(head)
            if instruct.mode is HoldMode.RESPONSE and not is_document(head):
                body = await read_body(response, MAX_HOLD_BODY_BYTES)
                instruct = replace(instruct, response=instruct.response.with_body(body))
        except GripError as error:
            raise self._refused(error) from None
        return instruct

    def head_response(self, response: UpstreamResponse) -> UpstreamResponse:
        """The response to HEAD, which is never held: without GRIP, and with the Content-Length that
        the origin gives for a GET.

        Raises:
            Problem: the instruct is invalid.
        """
        head, length = _head(response), response.length
        if is_document(head):
            # The document is not the body of the client's response.
            kept = tuple(
                (name, value)
                for name, value in head.headers
                if name.lower() != b"content-type" and name[:5].lower() != PREFIX
            )
            head, length = RawResponse(head.status, kept, reason=head.reason), None
        else:
            try:
                instruct = parse_instruct(head, self._min_timeout)
            except GripError as error:
                raise self._refused(error) from None
            head = head if instruct is None else instruct.response
        has_length = any(name.lower() == b"content-length" for name, _ in response.pairs)
        line = b"content-length: %d\r\n" % length if has_length and length is not None else b""
        plain = UpstreamResponse(head.opening(line), "HEAD")
        plain.connection, response.connection = response.connection, None
        return plain

    def _refused(self, error: GripError) -> Problem:
        """Log an invalid instruct, which an origin may send in every response."""
        self._origin.log.warning(log, "grip.refused", why=str(error))
        return Problem("bad-gateway", f"The origin's instruct: {error}")


def _head(response: UpstreamResponse) -> RawResponse:
    return RawResponse(response.status, end_to_end(response.pairs), reason=response.reason)


async def read_body(response: UpstreamResponse, limit: int) -> bytes:
    """The whole body.

    Raises:
        GripError: the body has more than `limit` bytes.
        Problem: the body broke off.
    """
    body = bytearray()
    while piece := await response.read():
        body += piece
        if len(body) > limit:
            raise GripError(f"a body that is held has at most {limit} bytes.")
    return bytes(body)
