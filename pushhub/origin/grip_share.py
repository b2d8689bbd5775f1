"""Identical requests that are held share one request to the origin.

Two requests are identical when the origin could not tell them apart: the same address and the same
headers, every one of them, credentials and forwarded addresses included. (A route whose `identity`
is empty is the same for everybody: there the address, the headers of `vary` and the conditions
count.) Only GET is shared, and only an instruct that holds a response: what an answer says now is
each client's own to ask for.

Sharing is safe because all who share stand where the first one stood: whatever was published since
the origin was asked is behind their position. And it lasts no longer than SHARED_SECONDS after the
origin was asked, so nobody waits on an answer that is older than the shortest hold there is.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from pushhub.origin.asked import Asked, Pairs
    from pushhub.origin.routes import Found
    from pushhub.protocol.grip_response import GripResponse

# Pushpin's shortest hold.
SHARED_SECONDS = 5.0
# Paths that were held lately, and questions that may be shared: a URL for each of many users.
MAX_PATHS = 10_000
MAX_QUESTIONS = 10_000

# What makes another answer, whoever asks.
_CONDITIONS = frozenset(
    {
        b"accept",
        b"if-match",
        b"if-modified-since",
        b"if-none-match",
        b"if-unmodified-since",
        b"host",
        b"last-event-id",
        b"origin",
        b"prefer",
        b"range",
        b"wait",
    }
)


class Question:
    """What is asked of an origin, and the poll that came of it.

    `poll` is settled once: with the poll of a held response, or None. `again` then says whether
    somebody else may try for all: the one who asked has gone.
    """

    __slots__ = ("again", "began", "key", "poll")

    def __init__(self, key: Hashable, began: float) -> None:
        self.key = key
        self.began = began
        self.again = False
        self.poll: asyncio.Future[GripResponse | None] = asyncio.get_running_loop().create_future()

    def settle(self, poll: GripResponse | None, *, again: bool = False) -> None:
        """Tell who waits; the first word counts."""
        if not self.poll.done():
            self.again = again
            self.poll.set_result(poll)


class Shares:
    """The questions under way, and those of the last seconds. `now` gives the loop's seconds."""

    __slots__ = ("_now", "_paths", "_questions")

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._questions: OrderedDict[Hashable, Question] = OrderedDict()
        # Where responses are held: only there is it worth while to wait for another's answer.
        self._paths: OrderedDict[tuple[str, str], None] = OrderedDict()

    def key(self, found: Found, asked: Asked, pairs: Pairs) -> Hashable | None:
        """What identical requests have in common; None for one that is not shared."""
        if asked.method != "GET" or any(name.lower() == b"content-length" for name, _ in pairs):
            return None
        if found.route.identity:
            # The signature changes by the minute.
            same = tuple(pair for pair in pairs if pair[0].lower() != b"grip-sig")
        else:
            names = _CONDITIONS | {name.encode() for name in found.route.vary} | {b"grip-last"}
            same = tuple(pair for pair in pairs if pair[0].lower() in names)
        return found.target, asked.target, same

    def ask(self, key: Hashable | None) -> Question:
        """Begin a question; who comes next may join it."""
        now = self._now()
        question = Question(key, now)
        if key is not None:
            self._questions[key] = question
            self._questions.move_to_end(key)
        while self._questions:
            oldest = next(iter(self._questions.values()))
            old = oldest.poll.done() and oldest.began + SHARED_SECONDS < now
            if not old and len(self._questions) <= MAX_QUESTIONS:
                break
            self._questions.popitem(last=False)
        return question

    async def join(self, key: Hashable | None, path: tuple[str, str]) -> GripResponse | None:
        """The poll of an identical request; None if there is none: the origin is to be asked."""
        while key is not None and path in self._paths:
            question = self._questions.get(key)
            if question is None or question.began + SHARED_SECONDS < self._now():
                return None
            poll = await asyncio.shield(question.poll)
            if poll is not None or not question.again:
                return poll
            if self._questions.get(key) is question:
                del self._questions[key]
        return None

    def holds(self, path: tuple[str, str]) -> None:
        """A response was held here."""
        self._paths[path] = None
        self._paths.move_to_end(path)
        if len(self._paths) > MAX_PATHS:
            self._paths.popitem(last=False)

    def clear(self) -> None:
        """Whatever was answered is out of date."""
        self._questions.clear()

    def forget(self, question: Question) -> None:
        """Its answer is out of date."""
        if self._questions.get(question.key) is question:
            del self._questions[question.key]

    def __repr__(self) -> str:
        return f"<Shares {len(self._questions)} questions>"
