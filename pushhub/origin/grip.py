"""GRIP between a passage and the hub: what an origin instructs is done.

One request to the origin for each hold, and one for all identical ones (`grip_share.py`); nothing
that is published meanwhile is missed (`grip_look.py`). A response is held by `grip_hold.py`, a
stream goes on in `grip_stream.py`.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING

import structlog

from pushhub.hub.follow import Follow
from pushhub.origin.grip_hold import ResponseHold
from pushhub.origin.grip_link import headers as link_headers
from pushhub.origin.grip_link import target
from pushhub.origin.grip_look import look
from pushhub.origin.grip_share import Shares
from pushhub.origin.grip_stream import Course
from pushhub.origin.headers import end_to_end, to_origin
from pushhub.origin.response import Response
from pushhub.protocol.answer import BODILESS
from pushhub.protocol.grip_field import GripError
from pushhub.protocol.grip_filter import FEATURES
from pushhub.protocol.grip_headers import INSTRUCT, PREFIX, is_document, parse_instruct
from pushhub.protocol.grip_instruct import MAX_HOLD_BODY_BYTES, Instruct, Mode
from pushhub.protocol.grip_item import RECOVER_CHANNEL
from pushhub.protocol.grip_response import GripResponse, held
from pushhub.protocol.page import MAX_ANSWER_BYTES
from pushhub.protocol.problem import Problem
from pushhub.protocol.verbatim import Verbatim
from pushhub.store.base import StoreError

if TYPE_CHECKING:
    from pushhub.auth.grip import GripKey
    from pushhub.hub.hold import Hold
    from pushhub.hub.hub import Hub
    from pushhub.hub.stream import Stream
    from pushhub.origin.asked import Asked, Pairs
    from pushhub.origin.grip_look import Stand
    from pushhub.origin.grip_share import Question
    from pushhub.origin.origin import Origin
    from pushhub.origin.routes import Found
    from pushhub.protocol.answer import Answer

log = structlog.get_logger(__name__)

_FEATURE = (b"Grip-Feature", ", ".join(FEATURES).encode())

# As `is_instruct` has it, of the bytes: every response that passes through is looked at.
_CONCERNS = re.compile(
    rb"\n(?:%b|content-type:[ \t]*%b)" % (PREFIX, INSTRUCT.encode()), re.IGNORECASE
)


class Grip:
    """What GRIP makes of passages.

    Args:
        key: signs what the origin is asked; None sends no signature.
        min_timeout: the shortest hold, in seconds.
        at_once: for how many that are held the origin is asked again at one time.
    """

    def __init__(
        self, hub: Hub, origin: Origin, key: GripKey | None, min_timeout: int, at_once: int
    ) -> None:
        self.hub = hub
        self.origin = origin
        self._key = key
        self._min_timeout = min_timeout
        self._turns = asyncio.Semaphore(at_once)
        self.shares = Shares(hub)
        self.holds: set[ResponseHold] = set()
        # Where a wish to recover may have been lost, there was one.
        self._follow = Follow(hub, RECOVER_CHANNEL, lambda _: self._recover(), lost=self._recover)

    def open(self) -> None:
        """Listen to what the nodes tell each other."""
        self._follow.start()

    def close(self) -> None:
        """Listen no more."""
        self._follow.stop()

    # What a passage asks

    def request(self, pairs: Pairs, last: tuple[tuple[str, str], ...] = ()) -> Pairs:
        """The headers of a request with GRIP's own, and without those that a client sent."""
        # Who reads headers as CGI does takes an underscore for a hyphen (RFC 3875 §4.1.18).
        kept = tuple(pair for pair in pairs if pair[0][:5].lower() not in (PREFIX, b"grip_"))
        added = [_FEATURE]
        if self._key is not None:
            added.append((b"Grip-Sig", self._key.sig()))
        added += [(b"Grip-Last", f"{name}; last-id={item}".encode()) for name, item in last]
        return (*kept, *added)

    def concerns(self, response: Response) -> bool:
        """Whether a response has anything of GRIP."""
        return _CONCERNS.search(response.raw) is not None

    def head(self, response: Response) -> Response:
        """The response to HEAD, which is never held: without GRIP, and with the length that it says
        a GET's has.

        Raises:
            Problem: the instruct makes no sense.
        """
        plain, length = _head(response), response.length
        if is_document(plain):
            # The document is not what the client would get, and is not here.
            kept = tuple(
                (name, value)
                for name, value in plain.headers
                if name.lower() != b"content-type" and name[:5].lower() != PREFIX
            )
            plain, length = Verbatim(plain.status, kept, reason=plain.reason), None
        else:
            try:
                instruct = parse_instruct(plain, self._min_timeout)
            except GripError as error:
                raise self._refused(error) from None
            plain = plain if instruct is None else instruct.response
        told = any(name.lower() == b"content-length" for name, _ in response.pairs)
        line = b"content-length: %d\r\n" % length if told and length is not None else b""
        head = Response(plain.opening(line), "HEAD")
        head.link, response.link = response.link, None
        return head

    async def outcome(
        self, found: Found, asked: Asked, response: Response, question: Question
    ) -> Answer | Hold | Stream:
        """What the client gets instead of the response.

        Raises:
            Problem: the instruct makes no sense, or the log cannot be read.
        """
        instruct = await self.read(response)
        if instruct.mode is Mode.RESPONSE:
            stand = await self.look(instruct, question.began)
            if not stand.gap:
                poll = self._poll(instruct, stand)
                question.settle(poll)
                return self.hold(found, asked, poll)
            # The log does not know the item that the origin knows: what came after it, only the
            # origin can tell.
            question.settle(None)
            poll = self._poll(instruct, stand)
            hold = ResponseHold(self, found, asked, poll)
            hold.ask(poll.last_ids())
            return hold
        question.settle(None)
        return self._plain(found, asked, instruct, response, question.began)

    def hold(self, found: Found, asked: Asked, poll: GripResponse) -> ResponseHold:
        """A client that waits as a poll says."""
        hold = ResponseHold(self, found, asked, poll)
        hold.wait_on(poll)
        return hold

    def _plain(
        self, found: Found, asked: Asked, instruct: Instruct, response: Response, began: float
    ) -> Answer | Stream:
        """What is not held: the response itself, and, where the instruct says so, what follows."""
        if instruct.response.status in BODILESS:
            return instruct.response
        return Course(self, found, asked, instruct, response, began)

    def _poll(self, instruct: Instruct, stand: Stand) -> GripResponse:
        return GripResponse(held(instruct), stand.cursors, stand.orders, instruct.timeout)

    async def look(self, instruct: Instruct, began: float, *, trusted: bool = False) -> Stand:
        """Where a hold stands.

        Raises:
            Problem: the log cannot be read.
        """
        try:
            return await look(self.hub, instruct, began, trusted=trusted)
        except StoreError as error:
            raise Problem("store-unavailable", error.public) from None

    # Asking again

    async def ask_again(
        self,
        hold: ResponseHold,
        found: Found,
        asked: Asked,
        last: tuple[tuple[str, str], ...],
    ) -> None:
        """Ask the origin anew for one that is held, and go on with what it says."""
        try:
            await self._ask_again(hold, found, asked, last)
        except Problem as problem:
            hold.complete(problem.answer())
        except Exception:
            self.hub.log.exception(log, "grip.failed")
            hold.complete(Problem("internal", "pushhub made a mistake; its log has more.").answer())

    async def _ask_again(
        self,
        hold: ResponseHold,
        found: Found,
        asked: Asked,
        last: tuple[tuple[str, str], ...],
    ) -> None:
        pairs = self.request(to_origin(asked, self.origin.forwarded), last)
        key = self.shares.key(found, asked, pairs)
        poll = await self.shares.join(key)
        if poll is not None:
            hold.wait_on(poll)
            return
        question = self.shares.ask(key, found, asked)
        response = None
        try:
            response = await self._answered(hold, found.target + asked.target, pairs)
            instruct = await self.read(response)
            if instruct.mode is Mode.RESPONSE:
                stand = await self.look(instruct, question.began, trusted=True)
                poll = self._poll(instruct, stand)
                question.settle(poll)
                hold.wait_on(poll)
            else:
                question.settle(None)
                told = self._plain(found, asked, instruct, response, question.began)
                if not hold.complete(told) and isinstance(told, Course):
                    told.close()
        finally:
            question.settle(None, again=True)
            if response is not None and not response.kept:
                response.close()

    async def _answered(self, hold: ResponseHold, url: str, pairs: Pairs) -> Response:
        """Ask until the origin answers, for as long as its client waits: it restarts, perhaps."""
        for tries in count():
            try:
                async with self._turns:
                    response = await self.origin.client.ask("GET", url, pairs)
                break
            except Problem as problem:
                hold.problem = problem
            await asyncio.sleep(2**tries + self.hub.uniform(0, 1))
        hold.problem = None
        return response

    def tell_gone(self, found: Found, asked: Asked, uri: str) -> None:
        """Tell the origin that a client has gone, as well as that can be."""
        self.origin.keep(self._tell_gone(found, asked, uri))

    async def _tell_gone(self, found: Found, asked: Asked, uri: str) -> None:
        try:
            (await self.follow("POST", found, asked, asked.target, uri)).close()
        except Problem as problem:
            self.hub.log.info(log, "grip.gone-not-told", why=problem.detail)

    async def follow(
        self,
        method: str,
        found: Found,
        asked: Asked,
        base: str,
        uri: str,
        last: tuple[tuple[str, str], ...] = (),
    ) -> Response:
        """Ask where a link leads.

        Raises:
            Problem: it leads to another server, or the origin does not answer.
        """
        place = target(found, asked, base, uri)
        pairs = self.request(link_headers(to_origin(asked, self.origin.forwarded)), last)
        body = None
        if method == "POST":
            # COMPAT: what knows no chunks (Python's http.server, WSGI servers) takes the end of an
            # empty body of chunks for the next request on the connection.
            body = b""
            pairs = (*pairs, (b"Content-Length", b"0"))
        return await self.origin.client.ask(method, found.target + place, pairs, body)

    # Reading responses

    async def read(self, response: Response) -> Instruct:
        """The instruct of a response; one without GRIP is its own.

        A body that has to be known is read here. Another one stays where it is.

        Raises:
            Problem: the instruct makes no sense; the sentence is for whoever wrote the origin.
        """
        plain = _head(response)
        try:
            if is_document(plain):
                plain = plain.with_body(await read_body(response, MAX_ANSWER_BYTES))
            instruct = parse_instruct(plain, self._min_timeout) or Instruct(plain)
            if instruct.mode is Mode.RESPONSE and not is_document(plain):
                body = await read_body(response, MAX_HOLD_BODY_BYTES)
                instruct = replace(instruct, response=instruct.response.with_body(body))
        except GripError as error:
            raise self._refused(error) from None
        return instruct

    def _refused(self, error: GripError) -> Problem:
        """Log the mistake of an origin; it may be in each of its responses."""
        self.hub.log.warning(log, "grip.refused", why=str(error))
        return Problem("bad-gateway", f"The origin's instruct: {error}")

    # Everybody

    def _recover(self) -> None:
        self.shares.clear()
        for hold in list(self.holds):
            hold.recover()

    def is_current(self, task: asyncio.Task[None]) -> bool:
        """Whether it is this task that runs now."""
        return asyncio.current_task() is task

    def __repr__(self) -> str:
        return f"<Grip {len(self.holds)} held responses, {self.shares!r}>"


def _head(response: Response) -> Verbatim:
    return Verbatim(response.status, end_to_end(response.pairs), reason=response.reason)


async def read_body(response: Response, limit: int) -> bytes:
    """The whole body.

    Raises:
        GripError: it has more than `limit` bytes.
        Problem: the origin stopped in the middle of it.
    """
    body = bytearray()
    while piece := await response.piece():
        body += piece
        if len(body) > limit:
            raise GripError(f"a body that is held has at most {limit} bytes.")
    return bytes(body)
