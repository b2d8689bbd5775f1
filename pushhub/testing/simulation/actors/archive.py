"""An account's message archive (XEP-0313), as a client reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pushhub.testing.simulation.bosh import BoshClient
    from pushhub.xml import Element

MAM = "urn:xmpp:mam:2"
RSM = "http://jabber.org/protocol/rsm"
CARBONS = "urn:xmpp:carbons:2"
DELAY = "urn:xmpp:delay"
FORWARD = "urn:xmpp:forward:0"


class ArchiveReader:
    """Reads an archive page by page. Its client hands it every message."""

    def __init__(self) -> None:
        self._page: list[tuple[str, str]] = []

    def take(self, message: Element) -> bool:
        """Take a message if it is a part of the archive; whether it is."""
        result = message.find("result", MAM)
        if result is None:
            return False
        inner = forwarded(result)
        if inner is not None:
            self._page.append((inner.get("id") or "", result.get("id") or ""))
        return True

    async def read(self, session: BoshClient) -> set[str]:
        """The ids of all messages that the archive has."""
        found: set[str] = set()
        after = ""
        while True:
            self._page.clear()
            page = f"<max>50</max>{f'<after>{after}</after>' if after else ''}"
            answer = await session.iq(
                "set", f"<query xmlns='{MAM}'><set xmlns='{RSM}'>{page}</set></query>"
            )
            found.update(id for id, _ in self._page)
            fin = answer.find("fin", MAM)
            if fin is None or fin.get("complete") == "true" or not self._page:
                return found
            after = self._page[-1][1]


def forwarded(element: Element) -> Element | None:
    """The message that another one has inside (XEP-0297)."""
    inside = element.find("forwarded", FORWARD)
    return inside.find("message", "jabber:client") if inside is not None else None


def copies(message: Element) -> Iterator[tuple[str, str, bool]]:
    """The direction and the id of the message in a carbon copy (XEP-0280), and if it is late."""
    for which in ("received", "sent"):
        copy = message.find(which, CARBONS)
        inner = forwarded(copy) if copy is not None else None
        if inner is not None:
            yield which, inner.get("id") or "", inner.find("delay", DELAY) is not None
