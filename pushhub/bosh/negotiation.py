"""What a session's client asked for, and what it was granted (XEP-0124 §7)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pushhub.bosh.body import XMPP_VERSION, lines
from pushhub.bosh.condition import BoshCondition
from pushhub.xml import XBOSH

if TYPE_CHECKING:
    from pushhub.bosh.body import BoshBody

# The version of XEP-0124 that is kept to here [D5].
VERSION = (1, 11)

# [C11] What a client may have answers labelled as. An arbitrary value in a header would let a page
# make its own HTML of what it gets; a line break would let it write headers (CWE-113).
DEFAULT_CONTENT = "text/xml; charset=utf-8"
_CONTENTS = re.compile(
    r"(?:text/xml|application/xml|text/plain)(?:; ?charset=\"?utf-8\"?)?", re.IGNORECASE
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

_VERSION = re.compile(r"([0-9]{1,4})(?:\.([0-9]{1,4}))?")


@dataclass(frozen=True, slots=True)
class BoshPolicy:
    """What this server grants at most. All but `hold` are seconds.

    The settings `max_wait`, `bosh_inactivity`, `bosh_maxpause` and `bosh_polling` say four of them,
    and where their defaults come from; nobody has a reason to change the others.
    """

    wait: int = 55
    """As for every other hold: proxies cut a silent response after 60 seconds."""
    hold: int = 1
    """Prosody, ejabberd and MongooseIM hold one request, whatever is asked for [C15]."""
    inactivity: int = 150
    """How long nothing may be open [G4]; more than twice the 60 s between two wake-ups of a hidden
    tab in Chrome."""
    maxpause: int = 300
    """0 for no pauses."""
    polling: int = 2
    """For polling sessions only, as with ejabberd [H4]; 0 for any frequency."""
    compression: bool = True
    """Whether compressed requests are read [D6]."""


@dataclass(frozen=True, slots=True)
class Negotiation:
    """What holds for one session. Seconds, except for `hold` and `requests`."""

    wait: int
    hold: int
    inactivity: int
    maxpause: int
    polling: int = 0
    """The least time between two polls of a polling session; 0 for any."""
    acks: bool = False
    """Whether the client acknowledges responses [C10], and is acknowledged in turn [F1]."""
    legacy: bool = False
    """Whether the client reads no conditions [N]."""
    content: str = DEFAULT_CONTENT

    @property
    def requests(self) -> int:
        """How many requests the client may have open at one time [D4]."""
        return self.hold + 1

    @property
    def polls(self) -> bool:
        """Whether nothing is ever held: a polling session [C7]."""
        return self.wait == 0 or self.hold == 0


def negotiate(body: BoshBody, policy: BoshPolicy) -> Negotiation:
    """Decide on a creation request.

    Raises:
        BindingError: it has no `to`, or an attribute that cannot be read.
    """
    if not (body.get("to") or "").strip():
        # [C13] A `route` alone is not enough: this server is the only one that there is [C8].
        detail = "'to' names the domain of the session."
        raise body.refused(detail, BoshCondition.IMPROPER_ADDRESSING)
    wait, hold = body.number("wait"), body.number("hold")
    # [C15] Without `wait` or `hold` the client leaves them to the server, as with ejabberd.
    wait = policy.wait if wait is None else min(wait, policy.wait)  # [C5] [D3]
    hold = min(1 if hold is None else hold, policy.hold)  # [C6] [D5]
    polls = wait == 0 or hold == 0
    return Negotiation(
        wait=wait,
        hold=hold,
        # [I2] The increase exceeds `polling`.
        inactivity=policy.inactivity + (2 * policy.polling + 1 if polls else 0),
        maxpause=policy.maxpause,
        polling=policy.polling if polls else 0,
        acks=body.get("ack") == "1",  # COMPAT: gloox sends ack='0', which means nothing.
        legacy=_version(body) is None,
        content=_content(body),
    )


def opening(body: BoshBody, terms: Negotiation, policy: BoshPolicy, sid: str) -> bytes:
    """The attributes of the creation response [D2] [D5], each named once [I5]."""
    attributes: list[tuple[str, object]] = [
        ("sid", sid),
        ("wait", terms.wait),
        ("requests", terms.requests),
        ("hold", terms.hold),
        ("inactivity", terms.inactivity),  # [G3]
        ("from", (body.get("to") or "").strip()),  # [D10]
    ]
    version = _version(body)
    if version is not None:
        major, minor = min(version, VERSION)
        attributes.append(("ver", f"{major}.{minor}"))
    if terms.polling:
        attributes.append(("polling", terms.polling))
    if terms.maxpause:
        attributes.append(("maxpause", terms.maxpause))  # [D8]
    if terms.acks:
        attributes.append(("ack", body.rid))  # [D7] [F2]
    if policy.compression:
        attributes.append(("accept", "deflate,gzip"))  # [D6]
    attributes.append(("xmlns:xmpp", XBOSH))
    if body.get(XMPP_VERSION) is not None:
        attributes.append(("xmpp:version", "1.0"))  # [D12] [P5]
    attributes.append(("xmpp:restartlogic", "true"))  # [P12]
    return lines(attributes)


def _version(body: BoshBody) -> tuple[int, int] | None:
    """The client's version as two numbers [C4]; None for a legacy client, that gives none."""
    text = body.get("ver")
    if text is None:
        return None
    found = _VERSION.fullmatch(text.strip())
    if found is None:
        raise body.refused("'ver' is two numbers with a point between them.")
    return int(found[1]), int(found[2] or 0)


def _content(body: BoshBody) -> str:
    """How answers are labelled: as the client wants it, if that is harmless [C11]."""
    content = body.get("content")
    if content is None:
        return DEFAULT_CONTENT
    if _CONTROL.search(content):
        raise body.refused("'content' is a media type.")
    return content if _CONTENTS.fullmatch(content) else DEFAULT_CONTENT
