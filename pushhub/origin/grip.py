"""GRIP between a passage and the hub: what an origin instructs is done.

One request to the origin for each hold, and one for all identical ones (`grip_share.py`); nothing
that is published meanwhile is missed (`grip_look.py`). A response is held by `grip_hold.py`, a
stream goes on in `grip_stream.py`.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from pushhub.origin.grip_hold import ResponseHold
from pushhub.origin.grip_link import headers as link_headers
from pushhub.origin.grip_link import target
from pushhub.origin.grip_look import look
from pushhub.origin.grip_share import Question, Shares
from pushhub.origin.grip_stream import Course
from pushhub.origin.headers import end_to_end, to_origin
from pushhub.protocol.answer import BODILESS
from pushhub.protocol.grip_field import GripError
from pushhub.protocol.grip_filter import FEATURES
from pushhub.protocol.grip_headers import PREFIX, is_document, is_instruct, parse_instruct
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
    from pushhub.origin.origin import Origin
    from pushhub.origin.response import Response
    from pushhub.origin.routes import Found
    from pushhub.protocol.answer import Answer
    from pushhub.protocol.event import Event

log = structlog.get_logger(__name__)

_FEATURE = (b"Grip-Feature", ", ".join(FEATURES).encode())


class Grip:
    """What GRIP makes of passages.

    Args:
        key: signs what the origin is asked; None sends no signature.
        min_timeout: the shortest hold, in seconds.
    """

    def __init__(self, hub: Hub, origin: Origin, key: GripKey | None, min_timeout: int) -> None:
        self.hub = hub
        self.origin = origin
        self._key = key
        self._min_timeout = min_timeout
        self.shares = Shares(lambda: hub.now())
        self.holds: set[ResponseHold] = set()

    async def open(self) -> None:
        """Listen to what the nodes tell each other.

        Raises:
            StoreUnavailable: the store cannot say yet.
        """
        await self.hub.ears.listen(RECOVER_CHANNEL, self._recover)

    # What a passage asks

    def request(self, pairs: Pairs, last: tuple[tuple[str, str], ...] = ()) -> Pairs:
        """The headers of a request with GRIP's own, and without those that a client sent."""
        kept = tuple(pair for pair in pairs if pair[0][:5].lower() != PREFIX)
        added = [_FEATURE]
        if self._key is not None:
            added.append((b"Grip-Sig", self._key.sig()))
        added += [(b"Grip-Last", f"{name}; last-id={item}".encode()) for name, item in last]
        return (*kept, *added)

    async def join(self, found: Found, asked: Asked, pairs: Pairs) -> Hold | None:
        """The hold of a request whose like was asked a moment ago; None if the origin is to be
        asked.
        """
        key = self.shares.key(found, asked, pairs)
        poll = await self.shares.join(key, (found.target, asked.path))
        return None if poll is None else self._hold(found, asked, poll)

    def ask(self, found: Found, asked: Asked, pairs: Pairs) -> Question:
        """The origin is about to be asked; whatever comes, the question is to be settled."""
        return self.shares.ask(self.shares.key(found, asked, pairs))

    def concerns(self, response: Response) -> bool:
        """Whether a response has anything of GRIP."""
        return is_instruct(_head(response))

    async def outcome(
        self, found: Found, asked: Asked, response: Response, question: Question
    ) -> Answer | Hold | Stream:
        """What the client gets instead of the response.

        Raises:
            Problem: the instruct makes no sense, or the log cannot be read.
        """
        instruct = await self.read(response)
        if instruct.mode is Mode.RESPONSE and asked.method != "HEAD":
            stand = await self.look(instruct, question.began)
            if not stand.gap:
                poll = self._poll(instruct, stand)
                self.shares.holds((found.target, asked.path))
                question.settle(poll if instruct.gone is None else None)
                return self._hold(found, asked, poll)
            # The log does not know the item that the origin knows: what came after it, only the
            # origin can tell.
            self.shares.forget(question)
            question.settle(None, again=True)
            poll = self._poll(instruct, stand)
            hold = ResponseHold(self, found, asked, poll)
            hold.ask(poll.last_ids())
            return hold
        question.settle(None)
        return self._plain(found, asked, instruct, response, question.began)

    def _hold(self, found: Found, asked: Asked, poll: GripResponse) -> ResponseHold:
        hold = ResponseHold(self, found, asked, poll)
        hold.wait_on(poll)
        return hold

    def _plain(
        self, found: Found, asked: Asked, instruct: Instruct, response: Response, began: float
    ) -> Answer | Stream:
        """What is not held: the response itself, and, where the instruct says so, what follows."""
        if asked.method == "HEAD" or instruct.response.status in BODILESS:
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
            raise Problem("store-unavailable", str(error)) from None

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
            log.exception("grip.failed")
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
        poll = await self.shares.join(key, (found.target, asked.path))
        if poll is not None:
            hold.wait_on(poll)
            return
        question = self.shares.ask(key)
        response = None
        try:
            response = await self.origin.client.ask(
                asked.method, found.target + asked.target, pairs
            )
            instruct = await self.read(response)
            if instruct.mode is Mode.RESPONSE:
                stand = await self.look(instruct, question.began, trusted=True)
                poll = self._poll(instruct, stand)
                question.settle(poll if instruct.gone is None else None)
                hold.wait_on(poll)
            else:
                told = self._plain(found, asked, instruct, response, question.began)
                if not hold.complete(told) and isinstance(told, Course):
                    told.close()
        finally:
            question.settle(None, again=True)
            if response is not None and not response.kept:
                response.close()

    def tell_gone(self, found: Found, asked: Asked, uri: str) -> None:
        """Tell the origin that a client has gone, as well as that can be."""
        self.origin.keep(self._tell_gone(found, asked, uri))

    async def _tell_gone(self, found: Found, asked: Asked, uri: str) -> None:
        try:
            (await self.follow("POST", found, asked, asked.target, uri)).close()
        except Problem as problem:
            log.info("grip.gone-not-told", why=problem.detail)

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
        body = b"" if method == "POST" else None
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
                body = await read_body(response, MAX_ANSWER_BYTES)
                plain = Verbatim(plain.status, plain.headers, body, reason=plain.reason)
            instruct = parse_instruct(plain, self._min_timeout)
            if instruct is None:
                return Instruct(plain)
            if instruct.mode is Mode.RESPONSE and not is_document(plain):
                body = await read_body(response, MAX_HOLD_BODY_BYTES)
                instruct = replace(instruct, response=instruct.response.with_body(body))
        except GripError as error:
            log.warning("grip.refused", why=str(error))
            raise Problem("bad-gateway", f"The origin's instruct: {error}") from None
        return instruct

    # Everybody

    def _recover(self, event: Event) -> None:
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
