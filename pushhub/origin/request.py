"""A request for the origin, as its client sent it."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

Pairs = tuple[tuple[bytes, bytes], ...]


class ProxiedRequest:
    """What a client asked of the origin: everything but the body.

    `target` is the path and the query as on the wire; `pairs` are the headers with their names as
    sent, in their order. `client` is the address of the peer, `scheme` what it spoke. `upgrades`
    says that the connection is to become a WebSocket.
    """

    __slots__ = (
        "__dict__",
        "client",
        "http_1_0",
        "method",
        "pairs",
        "scheme",
        "target",
        "trusted",
        "upgrades",
    )

    def __init__(
        self,
        method: str,
        target: str,
        pairs: Pairs,
        *,
        client: str = "",
        trusted: bool = False,
        scheme: str = "http",
        http_1_0: bool = False,
        upgrades: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.method = method
        self.target = target
        self.pairs = pairs
        self.client = client
        self.trusted = trusted
        self.scheme = scheme
        self.http_1_0 = http_1_0
        self.upgrades = upgrades
        if headers is not None:
            # The driver has them already.
            self.__dict__["headers"] = headers

    @property
    def path(self) -> str:
        """The path, still percent-encoded; `*` for OPTIONS of the server as a whole."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """What follows the `?`."""
        return self.target.partition("?")[2]

    @property
    def host(self) -> str:
        """The host asked for, without the port, in lower case."""
        host = self.headers.get("host", "")
        if host.startswith("["):
            return host.partition("]")[0].lower() + "]"
        return host.partition(":")[0].lower()

    @cached_property
    def headers(self) -> Mapping[str, str]:
        """The values by lower-case name; those of a repeated header joined (RFC 9110 §5.3)."""
        headers: dict[str, str] = {}
        for raw_name, raw_value in self.pairs:
            name, value = raw_name.decode("ascii").lower(), raw_value.decode("latin-1")
            if name in headers:
                joint = "; " if name == "cookie" else ", "
                headers[name] += joint + value
            else:
                headers[name] = value
        return headers

    def __repr__(self) -> str:
        return f"<Asked {self.method} {self.target}>"


def pairs_of(head: bytes) -> Pairs:
    """The header lines of a head that was checked before: one a line, no folding, no bare LF."""
    lines = head.rstrip(b"\r\n").split(b"\r\n")[1:]
    return tuple(
        (name, value.strip(b" \t")) for name, _, value in (line.partition(b":") for line in lines)
    )
