"""The parameters of a session: requested by the client, limited by the policy (XEP-0124 §7)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pushhub.bosh.body import XMPP_VERSION, attributes_of
from pushhub.bosh.condition import BoshCondition
from pushhub.xml import XBOSH

if TYPE_CHECKING:
    from pushhub.bosh.body import BoshBody

# The implemented version of XEP-0124 [D5].
VERSION = (1, 11)

# [C11] The response content types that a client may choose. With an arbitrary value a page could
# turn a response into HTML of its own; with a line break it could inject headers (CWE-113).
DEFAULT_CONTENT = "text/xml; charset=utf-8"
_CONTENTS = re.compile(
    r"(?:text/xml|application/xml|text/plain)(?:; ?charset=\"?utf-8\"?)?", re.IGNORECASE
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

_VERSION = re.compile(r"([0-9]{1,4})(?:\.([0-9]{1,4}))?")


@dataclass(frozen=True, slots=True)
class BoshPolicy:
    """The limits of this server. All but `hold` are in seconds.

    The settings `max_wait`, `bosh_inactivity`, `bosh_maxpause` and `bosh_polling` set four of them,
    and document the sources of the defaults. The others need no change.
    """

    wait: int = 55
    """As for every other hold: proxies close a silent response after 60 seconds."""
    hold: int = 1
    """Prosody, ejabberd and MongooseIM hold one request, whatever the client requests [C15]."""
    inactivity: int = 150
    """How long a client may have no open request [G4]: more than twice the 60 s between two
    wake-ups of a hidden tab in Chrome."""
    maxpause: int = 300
    """0 disables pauses."""
    polling: int = 2
    """For polling sessions only, as in ejabberd [H4]; 0 allows any frequency."""
    compression: bool = True
    """Whether compressed requests are accepted [D6]."""


@dataclass(frozen=True, slots=True)
class Negotiation:
    """The negotiated parameters of one session, in seconds except for `hold` and `requests`."""

    wait: int
    hold: int
    inactivity: int
    maxpause: int
    polling: int = 0
    """The minimum time between two polls of a polling session; 0 for none."""
    acks: bool = False
    """Whether the client acknowledges responses [C10], and gets acknowledgements [F1]."""
    legacy: bool = False
    """Whether the client does not read conditions [N]."""
    content: str = DEFAULT_CONTENT

    @property
    def requests(self) -> int:
        """How many requests the client may have open at one time [D4]."""
        return self.hold + 1

    @property
    def polls(self) -> bool:
        """Whether no request is held: a polling session [C7]."""
        return self.wait == 0 or self.hold == 0


def negotiate(body: BoshBody, policy: BoshPolicy) -> Negotiation:
    """Negotiate the parameters of a creation request.

    Raises:
        BindingError: the request has no `to`, or an invalid attribute.
    """
    if not (body.get("to") or "").strip():
        # [C13] A `route` alone is not enough: this server routes to no other [C8].
        detail = "'to' names the domain of the session."
        raise body.refused(detail, BoshCondition.IMPROPER_ADDRESSING)
    wait, hold = body.number("wait"), body.number("hold")
    # [C15] Without `wait` or `hold` the server chooses, as in ejabberd.
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


def opening(body: BoshBody, negotiated: Negotiation, policy: BoshPolicy, sid: str) -> bytes:
    """The attributes of the creation response [D2] [D5], each once [I5]."""
    attributes: list[tuple[str, object]] = [
        ("sid", sid),
        ("wait", negotiated.wait),
        ("requests", negotiated.requests),
        ("hold", negotiated.hold),
        ("inactivity", negotiated.inactivity),  # [G3]
        ("from", (body.get("to") or "").strip()),  # [D10]
    ]
    version = _version(body)
    if version is not None:
        major, minor = min(version, VERSION)
        attributes.append(("ver", f"{major}.{minor}"))
    if negotiated.polling:
        attributes.append(("polling", negotiated.polling))
    if negotiated.maxpause:
        attributes.append(("maxpause", negotiated.maxpause))  # [D8]
    if negotiated.acks:
        attributes.append(("ack", body.rid))  # [D7] [F2]
    if policy.compression:
        attributes.append(("accept", "deflate,gzip"))  # [D6]
    attributes.append(("xmlns:xmpp", XBOSH))
    if body.get(XMPP_VERSION) is not None:
        attributes.append(("xmpp:version", "1.0"))  # [D12] [P5]
    attributes.append(("xmpp:restartlogic", "true"))  # [P12]
    return attributes_of(attributes)


def _version(body: BoshBody) -> tuple[int, int] | None:
    """The client's version as two numbers [C4]; None for a legacy client, which sends none."""
    text = body.get("ver")
    if text is None:
        return None
    found = _VERSION.fullmatch(text.strip())
    if found is None:
        raise body.refused("'ver' is two numbers with a point between them.")
    return int(found[1]), int(found[2] or 0)


def _content(body: BoshBody) -> str:
    """The content type of responses: the client's choice, if it is harmless [C11]."""
    content = body.get("content")
    if content is None:
        return DEFAULT_CONTENT
    if _CONTROL.search(content):
        raise body.refused("'content' is a media type.")
    return content if _CONTENTS.fullmatch(content) else DEFAULT_CONTENT
