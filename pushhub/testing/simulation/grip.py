"""A scripted origin that speaks GRIP: it has numbered items by topic, and says who is held.

/grip/hold/TOPIC?after=N      the items after N, or a held response that ends after a while
/grip/stream/TOPIC?after=N    a stream that begins with the items after N
/grip/next/TOPIC              the next part of a stream, from the item that `Grip-Last` names
"""

from __future__ import annotations

import re
from collections import defaultdict

HOLD_SECONDS = 20
KEEP_ALIVE_SECONDS = 15

_LAST_ID = re.compile(r"last-id=\"?(\d+)")


def channel_of(topic: str) -> str:
    """The GRIP channel of a topic."""
    return f"grip-{topic}"


def is_exact(topic: str) -> bool:
    """Whether the origin and the publishers of a topic name the last item (`prev-id`)."""
    return int(topic[1:]) % 2 == 1


class GripScript:
    """What the origin has. Publishers write here before they publish."""

    def __init__(self) -> None:
        self.written: dict[str, int] = defaultdict(int)
        """The last item of each topic; the first is 1."""
        self.published: dict[str, list[tuple[int, float]]] = defaultdict(list)
        """Items whose publish was acknowledged, and when."""

    def respond(self, path: str, headers: dict[str, str]) -> bytes:
        """The response to a request."""
        _, _, kind, rest = path.split("/")
        topic, _, query = rest.partition("?")
        last = self.written[topic]
        found = _LAST_ID.search(headers.get("grip-last", ""))
        after = int(found[1]) if found else int(query.removeprefix("after=") or last)
        items = "".join(f"{n}\n" for n in range(after + 1, last + 1))
        prev = f"; prev-id={last}" if is_exact(topic) else ""
        lines = []
        if kind == "hold" and not items:
            lines = [
                "grip-hold: response",
                f"grip-channel: {channel_of(topic)}{prev}",
                f"grip-timeout: {HOLD_SECONDS}",
            ]
        elif kind != "hold":
            lines = [
                "grip-hold: stream",
                f"grip-channel: {channel_of(topic)}{prev}",
                f"grip-keep-alive: .\\n; format=cstring; timeout={KEEP_ALIVE_SECONDS}",
                f"grip-link: </grip/next/{topic}>; rel=next; timeout=120",
            ]
        head = ["HTTP/1.1 200 OK", "content-type: text/plain", *lines]
        return "\r\n".join([*head, f"content-length: {len(items)}", "", items]).encode()
