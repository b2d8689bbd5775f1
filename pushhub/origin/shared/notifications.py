"""Change notifications: a back end names changed resources, and every node receives it."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote_to_bytes

import orjson
import structlog

from pushhub.http.problem import Problem
from pushhub.hub.subscription import Subscription
from pushhub.log.event import Draft
from pushhub.log.json_body import JsonError, load
from pushhub.origin.shared.scope import refusal
from pushhub.store.base import Append, Appended, Retention, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushhub.hub.hub import Hub
    from pushhub.log.event import Event
    from pushhub.origin.shared.table import ResourceTable
    from pushhub.store.base import Outcome

log = structlog.get_logger(__name__)

CHANNEL = "$origin:notices"
# A node that was disconnected for longer fetches every resource again.
RETENTION = Retention(events=1000, age=300)
# The longest time for which the response to a write waits for the store: as `ack_seconds` allows.
SETTLE_SECONDS = 2.0
# One write of a back end rarely touches more; a prefix or `*` says the rest.
MAX_RESOURCES = 100
# The visible ASCII characters: a URL has them as they are (and `{name}` is a pattern's).
ON_THE_WIRE = "".join(map(chr, range(0x21, 0x7F)))


class Notifications:
    """The channel by which nodes pass notifications on to each other."""

    def __init__(self, hub: Hub, table: ResourceTable) -> None:
        self._hub = hub
        self.table = table
        self._subscription = Subscription(hub, CHANNEL, self._receive, lost=table.mark_all_changed)

    def open(self) -> None:
        """Begin to receive notifications."""
        self._subscription.start()

    def close(self) -> None:
        """Stop receiving notifications."""
        self._subscription.stop()

    def broadcast(
        self, resources: list[str], done: Callable[[list[Outcome]], None], key: str = ""
    ) -> None:
        """Notify every node, this one included. `done` is called when the store has the event. A
        second notification with the same idempotency `key` has no effect.
        """
        draft = Draft(orjson.dumps(resources))
        self._hub.publish([Append(CHANNEL, draft, RETENTION, key=key)], done)

    def report(self, resources: list[str], key: str = "") -> None:
        """Notify every node, for a sender that does not wait. Without the store only this node is
        notified, and the log says so.
        """

        def done(outcomes: list[Outcome]) -> None:
            (outcome,) = outcomes
            if isinstance(outcome, StoreError):
                self._notify_here(resources, outcome.public)

        self.broadcast(resources, done, key)

    def _notify_here(self, resources: list[str], why: str) -> None:
        self._hub.log.warning(log, "origin.notified_here_only", why=why)
        self.table.notified(resources, "")

    async def settle(self, resources: list[str]) -> None:
        """Notify every node, and return when no request to this node gets an older response: the
        response to a write, which waits for this, comes before the read of the same client.

        Without the store only this node is notified, and the log says so. If the caller is
        cancelled, the notification is made nevertheless.
        """
        received = asyncio.get_running_loop().create_future()
        reason = "the store did not respond in time"
        try:
            self.broadcast(resources, partial(self._settled, resources, received))
            async with asyncio.timeout(SETTLE_SECONDS):
                reason = await received
        except TimeoutError:
            pass
        if reason:
            self._notify_here(resources, reason)

    def _settled(
        self, resources: list[str], received: asyncio.Future[str], outcomes: list[Outcome]
    ) -> None:
        """The store has an event, or has refused it: then the future gets the reason."""

        def end(reason: str = "") -> None:
            if not received.done():
                received.set_result(reason)
            elif reason:
                # The caller waits no more: its client disconnected, or the store took too long.
                self._notify_here(resources, reason)

        (outcome,) = outcomes
        if isinstance(outcome, Appended):
            self._subscription.after(outcome.position, end)
        else:
            end(outcome.public if isinstance(outcome, StoreError) else "the store refused it")

    def _receive(self, event: Event) -> None:
        self.table.notified(orjson.loads(event.data), f"notice:{event.cursor}")


def parse_notification(body: bytes) -> list[str]:
    """The resources that a notification names: `{"resources": ["/orders/7", "/orders/*"]}`.

    Raises:
        Problem: the body is no notification; the sentence says what is expected.
    """
    try:
        parsed = load(body)
    except JsonError as error:
        raise Problem("bad-body", f"A notification must be JSON: {error}.") from None
    resources = parsed.get("resources") if isinstance(parsed, dict) else None
    if not isinstance(resources, list) or not resources:
        raise Problem("bad-body", 'A notification must be {"resources": ["/path", …]}.')
    return _checked(resources)


def resources_of_query(query_string: str) -> list[str] | None:
    """The resources in `?resources=/orders/7,/customers/*`; None without the parameter. A comma, a
    `&` and a `%` of a path are percent-encoded once more (`%2C`, `%26`, `%25`). A character that
    no path has on the wire, such as `é`, stands for its percent-encoding.

    Raises:
        Problem: a resource is no path, or there are too many.
    """
    values = [
        value
        for name, _, value in (part.partition("=") for part in query_string.split("&"))
        if name == "resources"
    ]
    if not values:
        return None
    # Not as a form: a `+` of a path is a `+`.
    texts = [unquote_to_bytes(text) for value in values for text in value.split(",") if text]
    if not texts:
        raise Problem("bad-request", "'resources' names at least one path: /orders/7,/customers/*.")
    return _checked([quote(text, safe=ON_THE_WIRE) for text in texts])


def _checked(resources: list[str]) -> list[str]:
    if len(resources) > MAX_RESOURCES:
        raise Problem(
            "too-large",
            f"A notification names at most {MAX_RESOURCES} resources; a final '*' covers many.",
            limit=MAX_RESOURCES,
        )
    for resource in resources:
        if why := refusal(resource):
            raise Problem("bad-body", why)
    return resources
