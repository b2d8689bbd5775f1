"""Who may use the console: the holder of an admin key or token, sent as `Authorization`.

No cookie opens it, so no other page's request can be made to carry the right (CWE-352); requests
that a browser says come from another site are refused besides. Wrong credentials are throttled by
address (CWE-307). A key has 256 random bits and cannot be guessed; the throttle bounds what trying
costs, and the log says who tries.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import structlog

from pushhub.http.client_address import counted_as
from pushhub.http.problem import Problem, retry_after
from pushhub.log.grant import EVERYTHING, Grant

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushhub.api.service import Service
    from pushhub.http.request import Request

log = structlog.get_logger(__name__)

# Slips of somebody who pastes the wrong key, and then one try every so many seconds (OWASP's
# authentication guide speaks of 3 to 10 tries).
BURST = 5
SECONDS_A_TRY = 10.0
# Addresses that are remembered, 100 bytes each; the oldest is forgotten first.
MAX_ADDRESSES = 10_000
# Credentials that were good lately. They pass whatever others at their address do.
MAX_KNOWN = 1_000


class LoginThrottle:
    """How many wrong credentials each address, of IPv6 each network, may still send. `now` gives
    seconds."""

    __slots__ = ("_now", "_spent")

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        # Address → when all its tries will be back.
        self._spent: dict[str, float] = {}

    def wait(self, address: str) -> float:
        """Seconds until the address may try again; 0 if it may now."""
        back = self._spent.get(counted_as(address), 0.0) - self._now()
        return max(0.0, back - (BURST - 1) * SECONDS_A_TRY)

    def failed(self, address: str) -> None:
        """A try was wrong."""
        address, now = counted_as(address), self._now()
        back = max(self._spent.pop(address, now), now) + SECONDS_A_TRY
        self._spent[address] = back
        if len(self._spent) > MAX_ADDRESSES:
            del self._spent[next(iter(self._spent))]

    def __repr__(self) -> str:
        return f"<Throttle of {len(self._spent)} addresses>"


class ConsoleAuth:
    """Lets operators in."""

    __slots__ = ("_known", "_throttle")

    def __init__(self, now: Callable[[], float]) -> None:
        self._throttle = LoginThrottle(now)
        self._known: dict[bytes, None] = {}

    def admit(self, service: Service, request: Request) -> Grant:
        """The grant of an operator.

        Raises:
            Problem: `forbidden` or `unauthorized`; `too-many-requests` after wrong credentials.
        """
        site = request.headers.get("sec-fetch-site", "same-origin")
        if site not in ("same-origin", "none"):
            raise Problem("forbidden", "The console accepts requests from its own pages only.")
        if service.settings.dev or request.trusted:
            return EVERYTHING
        credential = request.headers.get("authorization", "")
        if not credential:
            raise Problem("unauthorized", "The console needs a key that manages '*'.")
        digest = hashlib.sha256(credential.encode("latin-1", "replace")).digest()
        address = request.client
        if digest not in self._known and (seconds := self._throttle.wait(address)):
            raise Problem(
                "too-many-requests",
                "Too many wrong keys came from your address; wait before you try the next one.",
                headers=(retry_after(int(seconds) + 1),),
            )
        grant = self._grant(service, request, address)
        self._known[digest] = None
        if len(self._known) > MAX_KNOWN:
            del self._known[next(iter(self._known))]
        return grant

    def _grant(self, service: Service, request: Request, address: str) -> Grant:
        try:
            grant = service.authority.grant(request)
            if not grant.is_admin:
                raise Problem(
                    "forbidden",
                    "The console needs a key that manages '*'; this key does not.",
                )
        except Problem as problem:
            self._throttle.failed(address)
            log.warning("console.refused", client=address, reason=problem.slug)
            raise
        return grant

    def __repr__(self) -> str:
        return f"<Door {self._throttle!r}>"
