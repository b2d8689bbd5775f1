"""Access to the console, for an admin key or token that is sent as `Authorization`.

The console accepts no cookie, so another page's request cannot carry the credential (CWE-352). It
also refuses requests that a browser marks as coming from another site. Wrong credentials are
throttled by address (CWE-307). A key has 256 random bits and cannot be guessed; the throttle bounds
the cost of guessing, and the log has the addresses.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from pushhub.auth.rate_limit import Rate, RateLimit
from pushhub.http.problem import Problem
from pushhub.http.rate_limit_fields import too_many
from pushhub.log.grant import EVERYTHING, Grant

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushhub.api.service import Service
    from pushhub.http.request import Request

# Wrong keys that an address may send immediately, such as pasted ones, and then one every so many
# seconds (OWASP's authentication guide speaks of 3 to 10 tries).
BURST = 5
SECONDS_A_TRY = 10.0
# Addresses that are remembered.
MAX_ADDRESSES = 10_000
# Credentials that were accepted recently. The throttle of their address does not stop them.
MAX_KNOWN = 1_000


class ConsoleAuth:
    """The check of each request to the console."""

    __slots__ = ("_known", "_limit", "_now")

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._limit = RateLimit(Rate(SECONDS_A_TRY, BURST), MAX_ADDRESSES)
        self._known: dict[bytes, None] = {}

    def admit(self, service: Service, request: Request) -> Grant:
        """The grant of an operator.

        Raises:
            Problem: `misdirected`, `forbidden` or `unauthorized`; `too-many-requests` after
                wrong credentials.
        """
        service.guard.check_host(request.headers)
        site = request.headers.get("sec-fetch-site", "same-origin")
        if site not in ("same-origin", "none"):
            raise Problem("forbidden", "The console accepts requests from its own pages only.")
        if service.settings.dev or request.trusted:
            request.grant = EVERYTHING
            return EVERYTHING
        credential = request.headers.get("authorization", "")
        if not credential:
            raise Problem("unauthorized", "The console needs a key that manages '*'.")
        digest = hashlib.sha256(credential.encode("latin-1", "replace")).digest()
        # Empty if limits do not count the address: a client behind a proxy that names none would
        # keep all others out.
        address = service.client_key(request.client)
        if (
            address
            and digest not in self._known
            and (seconds := self._limit.wait(address, self._now()))
        ):
            raise too_many(
                "console-keys",
                "Too many wrong keys came from your address; wait before you try the next one.",
                BURST,
                "",
                int(seconds) + 1,
                int(BURST * SECONDS_A_TRY),
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
        except Problem:
            if address:
                self._limit.spend(address, self._now())
            raise
        return grant

    def __repr__(self) -> str:
        return f"<ConsoleAuth {self._limit!r}>"
