"""Identical requests that are held share one request to the origin.

Two requests are identical when the origin could not tell them apart: the same address and the same
headers, every one of them, credentials and forwarded addresses included. (A route says so if less
will do. With `share_addresses` it may have come from another client, by another way:
`origin/way.py`. If its `identity` is empty it is the same for everybody: there the address, the
conditions and what counts by `origin/key.py` do.) Only a GET without a body is shared, and only an
instruct that holds a response for all who ask alike: what an answer says now is each client's own
to ask for.

Who comes while an identical request is under way waits for the head of its answer; so the first
crowd of all costs one request. If nothing is held there each goes on by itself, and where that was
so nobody waits the next time: what passes through is late at most once.

Sharing is safe because all who share stand where the first one stood, and nothing was published
since: what was may be what they have just been given, so then the origin is asked again. And it
lasts no longer than SHARED_SECONDS after the origin was asked, so nobody waits on an answer that is
older than the shortest hold there is.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from itertools import islice
from typing import TYPE_CHECKING

from pushhub.hub.wheel import OFF
from pushhub.origin.fetching import shared
from pushhub.origin.key import counts
from pushhub.origin.way import without_hops, without_way

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

    from pushhub.hub.hub import Hub
    from pushhub.origin.asked import Asked, Pairs
    from pushhub.origin.routes import Found
    from pushhub.protocol.grip_instruct import Instruct
    from pushhub.protocol.grip_response import GripResponse
    from pushhub.settings.origin import Route

# Pushpin's shortest hold.
SHARED_SECONDS = 5.0
# An origin that holds says so at once. Who waits for longer asks by itself: a request that hangs
# keeps nobody.
PATIENCE_SECONDS = 2.0
# How many questions of others a request waits for, one after the other, if each comes to nothing:
# an origin that fails slowly would have the last of a crowd wait for all before it.
MAX_JOINS = 3
# Held answers that may be shared, of 100,000 bytes at most.
MAX_HELD = 1000
# Requests that were not held, by a number of 64 bits each.
MAX_PLAIN = 10_000
# How many are looked at for each that comes, so that those that are too old go.
SWEEP = 2

# What makes another answer beside what makes another resource.
_CONDITIONS = frozenset(
    {
        "accept-encoding",
        "cache-control",
        "grip-last",
        "host",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-range",
        "if-unmodified-since",
        "pragma",
        "prefer",
        "range",
        "wait",
    }
)


class Question:
    """What is asked of an origin, and the poll that came of it: that of a held response, or None.

    `again` then says whether somebody else may try for all: the one who asked has gone.
    """

    __slots__ = ("_personal", "_route", "_shares", "again", "began", "key", "poll")

    def __init__(
        self, shares: Shares, key: Hashable, began: float, found: Found, asked: Asked
    ) -> None:
        self.key = key
        self.began = began
        self.again = False
        self.poll: asyncio.Future[GripResponse | None] = asyncio.get_running_loop().create_future()
        self._shares = shares
        self._route = found.route
        self._personal = any(asked.headers.get(name) for name in found.route.identity)

    def settle(self, poll: GripResponse | None, *, again: bool = False) -> None:
        """Tell who waits; the first word counts."""
        if not self.poll.done():
            if poll is not None and not self._is_for_all(poll.held.instruct):
                poll = None
            self.again = again
            self.poll.set_result(poll)
            self._shares.settled(self)

    def _is_for_all(self, instruct: Instruct) -> bool:
        """Whether all who ask alike may be held by it. An origin that wants to know when each of
        them goes is to be asked by each.
        """
        vary = shared(instruct.response.headers, personal=self._personal)
        return (
            instruct.gone is None
            and not isinstance(vary, str)
            and all(_matters(name, self._route) for name in vary)
        )


class Shares:
    """The questions under way, and those of the last seconds that were answered with a hold."""

    __slots__ = ("_asked", "_held", "_hub", "_plain", "tick")

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        # The wheel's: one deadline, of the oldest response that is kept.
        self.tick = OFF
        self._asked: dict[Hashable, Question] = {}
        self._held: OrderedDict[Hashable, Question] = OrderedDict()
        self._plain: OrderedDict[int, None] = OrderedDict()

    def key(self, found: Found, asked: Asked, pairs: Pairs) -> Hashable | None:
        """What identical requests have in common; None for one that is not shared.

        Args:
            asked: without a body.
            pairs: what the origin is sent.
        """
        if asked.method != "GET" or "content-length" in asked.headers:
            return None
        route = found.route
        if not route.identity:
            same = tuple(_mattering(pairs, route))
        else:
            # The signature changes by the minute.
            same = tuple(pair for pair in pairs if pair[0].lower() != b"grip-sig")
            same = without_way(same, route) if route.share_addresses else same
        return found.target, asked.target, same

    def ask(self, key: Hashable | None, found: Found, asked: Asked) -> Question:
        """Begin a question, which is to be settled whatever comes; who comes next may join it."""
        question = Question(self, key, self._hub.now(), found, asked)
        if key is not None and hash(key) not in self._plain:
            self._asked[key] = question
        return question

    async def join(self, key: Hashable | None) -> GripResponse | None:
        """The poll of an identical request; None if there is none: the origin is to be asked."""
        if key is None:
            return None
        for _ in range(MAX_JOINS):
            question = self._asked.get(key) or self._held.get(key)
            if question is None or question.began + SHARED_SECONDS < self._hub.now():
                return None
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    poll = await asyncio.shield(question.poll)
            except TimeoutError:
                return None
            if poll is None and not question.again:
                return None
            if poll is not None and self._is_at_end(poll):
                return poll
            self.forget(question)
        return None

    def settled(self, question: Question) -> None:
        """It is known what came of a question."""
        key, poll = question.key, question.poll.result()
        if self._asked.get(key) is question:
            del self._asked[key]
        if key is None or question.again:
            return
        if poll is None:
            self._plain[hash(key)] = None
            if len(self._plain) > MAX_PLAIN:
                self._plain.popitem(last=False)
            return
        self._plain.pop(hash(key), None)
        self._held[key] = question
        self._held.move_to_end(key)
        for oldest in list(islice(self._held.values(), SWEEP)):
            if len(self._held) > MAX_HELD or oldest.began + SHARED_SECONDS < self._hub.now():
                del self._held[oldest.key]
        self._expect()

    def expire(self) -> None:
        """Remove held responses that are too old to be shared."""
        before = self._hub.now() - SHARED_SECONDS
        while self._held and (oldest := next(iter(self._held.values()))).began <= before:
            del self._held[oldest.key]
        self._expect()

    def _expect(self) -> None:
        oldest = next(iter(self._held.values()), None)
        if oldest is not None and not self.tick:
            self._hub.wheel.set(self, oldest.began + SHARED_SECONDS)

    def _is_at_end(self, poll: GripResponse) -> bool:
        """Whether nothing was published on its channels since it stands there."""
        shelf = self._hub.shelf
        for want in poll.wants:
            channel = shelf.get(want.channel)
            if channel is None or not channel.ends_at(want.since):
                return False
        return not self._hub.doubt.deaf

    def clear(self) -> None:
        """Whatever was answered is out of date."""
        self._asked.clear()
        self._held.clear()

    def forget(self, question: Question) -> None:
        """Its answer is out of date."""
        for questions in (self._asked, self._held):
            if questions.get(question.key) is question:
                del questions[question.key]

    def __repr__(self) -> str:
        return f"<Shares {len(self._asked)} asked, {len(self._held)} held>"


def _mattering(pairs: Pairs, route: Route) -> Iterator[tuple[bytes, bytes]]:
    """What of a request makes another answer where everybody is the same."""
    for name, value in pairs:
        lower = name.decode("latin-1").lower()
        if _matters(lower, route):
            yield name, value
        elif lower == "forwarded":
            # It is sent, and may name another host.
            yield name, without_hops(value)


def _matters(name: str, route: Route) -> bool:
    """Whether a header makes another answer where everybody is the same."""
    return name in _CONDITIONS or counts(name, route)
