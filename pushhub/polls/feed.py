"""The feed of one channel: a list of events after a cursor, and the cursor after them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushhub.http.caching import NO_STORE, VARY
from pushhub.http.problem import Problem
from pushhub.http.response import Headers, Response
from pushhub.log.event import enlist
from pushhub.log.read import Gap, Page, Read
from pushhub.polls.base import AT_ONCE, ChannelRead, Hint, Positions

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from pushhub.log.cursor import Cursor, Since

JSON = (b"content-type", b"application/json")


def applied(wait: int | None, hint: Hint = AT_ONCE) -> Headers:
    """The header that says a wait was honoured (RFC 7240 §3): the granted one, not yet shortened.

    Without it a client keeps its old interval, and so it must when the hub had no room; then it
    hears for how long.
    """
    if not hint.waited:
        return poll_interval(hint)
    return ((b"preference-applied", b"wait=%d" % wait),) if wait else ()


def poll_interval(hint: Hint) -> Headers:
    """The server's hint for the next request, in whole seconds, for who reads no `retry_ms`."""
    if hint.retry_ms is None:
        return ()
    return ((b"x-poll-interval", b"%d" % max(1, round(hint.retry_ms / 1000))),)


def gap_problem(channel: str, gap: Gap) -> Problem:
    """A gap as a 410, with the cursors from which to go on."""
    return Problem(
        "gap",
        "Events after this cursor may be lost. Reload your data, then continue from 'oldest' to "
        "read all events that are kept, or from 'latest' to skip them.",
        channel=channel,
        reason=gap.reason,
        oldest=str(gap.oldest),
        latest=str(gap.latest),
    )


class FeedPoll:
    """A poll of one channel's events."""

    __slots__ = ("channel", "variant", "wait", "wants")

    def __init__(self, channel: str, since: Since, limit: int, wait: int | None = None) -> None:
        self.channel = channel
        self.wants = (ChannelRead(channel, since, limit),)
        self.wait = wait
        self.variant: Hashable = (wait, limit)

    @property
    def kind(self) -> str:
        """`long-poll`, or `poll` of who does not wait."""
        return "long-poll" if self.wait else "poll"

    def answer(self, reads: Mapping[str, Read], hint: Hint = AT_ONCE) -> Response | None:
        read = reads[self.channel]
        if isinstance(read, Gap):
            problem = gap_problem(self.channel, read).answer()
            return problem.with_headers(VARY, *applied(self.wait, hint))
        if not read.events and self.wait:
            return None
        return self._page(read, hint)

    def position(self, channel: str, read: Read) -> Cursor:
        return read.cursor if isinstance(read, Page) else read.latest

    def nothing(self, at: Positions, hint: Hint) -> Response:
        return self._page(Page((), at[self.channel], up_to_date=hint.sure), hint)

    def refuse(self, problem: Problem) -> Response:
        return problem.answer()

    def _page(self, page: Page, hint: Hint) -> Response:
        tail = b'],"cursor":"%b"%b%b}' % (
            str(page.cursor).encode(),
            b',"up_to_date":true' if page.up_to_date else b"",
            b',"retry_ms":%d' % hint.retry_ms if hint.retry_ms is not None else b"",
        )
        epoch = page.cursor.epoch
        body = enlist(b'{"events":[', [event.json_in(epoch) for event in page.events], tail)
        return Response(
            200, (JSON, NO_STORE, VARY, *applied(self.wait, hint)), body, len(page.events)
        )
