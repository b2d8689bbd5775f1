"""What both subscriptions have in common: positions and states."""

import logging
from collections.abc import Callable

from .core.feed import Feed
from .cursors import CursorKeeper
from .messages import Message, State

_log = logging.getLogger("pushhub_client")


class Reading:
    """A feed, the cursors that are kept of it, and the caller that hears of its states."""

    def __init__(
        self, feed: Feed, keeper: CursorKeeper, on_state: Callable[[State], None] | None
    ) -> None:
        self._feed = feed
        self._keeper = keeper
        self._on_state = on_state
        feed.on_state = self._changed

    @property
    def state(self) -> State:
        """What the subscription does; see `State`."""
        return self._feed.state

    @property
    def error(self) -> Exception | None:
        """The last failure, if any."""
        return self._feed.error

    @property
    def cursors(self) -> dict[str, str]:
        """The position that was read to, for each channel."""
        return self._feed.cursors

    def commit(self) -> None:
        """Count the last message as read now, for example before the loop ends."""
        self._feed.commit()
        self._keeper.keep(self._feed.cursors)

    def _take(self) -> Message | None:
        """The next message; the one before is read, and its cursor kept."""
        message = self._feed.take()
        self._keeper.keep(self._feed.cursors)
        return message

    def _changed(self, state: State) -> None:
        if state == "offline":
            _log.warning("The subscription is offline and retries: %s", self._feed.error)
        if self._on_state:
            self._on_state(state)
