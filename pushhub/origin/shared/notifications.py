"""Change notifications: a back end names changed resources, and every node receives it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from pushhub.http.path_pattern import PatternError, parse_pattern
from pushhub.http.problem import Problem
from pushhub.hub.subscription import Subscription
from pushhub.log.event import Draft
from pushhub.log.json_body import JsonError, load
from pushhub.store.base import Append, Retention

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushhub.hub.hub import Hub
    from pushhub.log.event import Event
    from pushhub.origin.shared.table import ResourceTable
    from pushhub.store.base import Outcome

CHANNEL = "$origin:notices"
# A node that was disconnected for longer fetches every resource again.
RETENTION = Retention(events=1000, age=300)
# One write of a back end rarely touches more; a prefix or `*` says the rest.
MAX_RESOURCES = 100
# As long as the longest URL that the server accepts.
MAX_PATH = 8 * 1024


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

    def broadcast(self, resources: list[str], done: Callable[[list[Outcome]], None]) -> None:
        """Notify every node, this one included. `done` is called when the store has the event."""
        draft = Draft(orjson.dumps(resources))
        self._hub.publish([Append(CHANNEL, draft, RETENTION)], done)

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
    if len(resources) > MAX_RESOURCES:
        raise Problem(
            "too-large",
            f"A notification names at most {MAX_RESOURCES} resources; a final '*' covers many.",
            limit=MAX_RESOURCES,
        )
    for resource in resources:
        _check(resource)
    return resources


def _check(resource: object) -> None:
    if not isinstance(resource, str) or not resource.startswith("/") or len(resource) > MAX_PATH:
        raise Problem(
            "bad-body", "A resource must be a path that begins with '/', as clients request it."
        )
    if "*" in resource or "{" in resource:
        try:
            parse_pattern(resource)
        except PatternError as error:
            raise Problem("bad-body", str(error)) from None
