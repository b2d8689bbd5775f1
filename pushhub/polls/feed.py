"""The feed of one channel: a list of events after a cursor, and the cursor after them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushhub.http.caching import NO_STORE, VARY
from pushhub.http.problem import Problem
from pushhub.http.response import Response
from pushhub.log.event import join_json
from pushhub.log.read import Gap, Page, Read
from pushhub.polls.base import NO_HINT, ChannelPoll, ChannelRead, Hint, Positions, wait_headers

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from pushhub.log.cursor import Since

JSON = (b"content-type", b"application/json")


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


class FeedPoll(ChannelPoll):
    """A poll of one channel's events."""

    __slots__ = ("channel", "variant", "wait")

    def __init__(self, channel: str, since: Since, limit: int, wait: int | None = None) -> None:
        self.channel = channel
        self.reads = (ChannelRead(channel, since, limit),)
        self.wait = wait
        self.variant: Hashable = (wait, limit)

    @property
    def kind(self) -> str:
        """`long-poll`, or `poll` without a wait."""
        return "long-poll" if self.wait else "poll"

    def reply(self, reads: Mapping[str, Read], hint: Hint = NO_HINT) -> Response | None:
        read = reads[self.channel]
        if isinstance(read, Gap):
            problem = gap_problem(self.channel, read).response()
            return problem.with_headers(VARY, *wait_headers(self.wait, hint))
        if not read.events and self.wait:
            return None
        return self._page(read, hint)

    def empty(self, at: Positions, hint: Hint) -> Response:
        return self._page(Page((), at[self.channel], up_to_date=hint.sure), hint)

    def error(self, problem: Problem) -> Response:
        return problem.response()

    def _page(self, page: Page, hint: Hint) -> Response:
        tail = b'],"cursor":"%b"%b%b}' % (
            str(page.cursor).encode(),
            b',"up_to_date":true' if page.up_to_date else b"",
            b',"retry_ms":%d' % hint.retry_ms if hint.retry_ms is not None else b"",
        )
        epoch = page.cursor.epoch
        body = join_json(b'{"events":[', [event.json_in(epoch) for event in page.events], tail)
        return Response(
            200, (JSON, NO_STORE, VARY, *wait_headers(self.wait, hint)), body, len(page.events)
        )
