"""A proxied request: as its client sent it, with its route and its requested wait."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from pushhub.origin.shared.wait_request import parse_wait_request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pushhub.origin.routes import RouteMatch
    from pushhub.origin.shared.wait_request import WaitRequest

Pairs = tuple[tuple[bytes, bytes], ...]

# A range, a body or a precondition (RFC 9110 §13.1, §14.2): the response may be another one than
# the resource's representation, so only the origin can give it.
_ORIGIN_ONLY = frozenset(
    {"content-length", "if-match", "if-range", "if-unmodified-since", "range", "transfer-encoding"}
)
# The same for a request whose body is a part of the resource's identity.
_BODY_ORIGIN_ONLY = _ORIGIN_ONLY - {"content-length"}


class ProxiedRequest:
    """A request for the origin: everything but the body.

    `target` is the path and the query as on the wire. `pairs` are the headers in their order, with
    their names as sent. `client` is the address of the peer, `scheme` the scheme that it used.
    `upgrades` says that the connection is to become a WebSocket. `match` is set when the request
    is routed, and `wait_request` by `parse_wait`, once.
    """

    __slots__ = (
        "__dict__",
        "client",
        "http_1_0",
        "match",
        "method",
        "pairs",
        "scheme",
        "target",
        "trusted",
        "upgrades",
        "wait_request",
    )

    match: RouteMatch
    wait_request: WaitRequest

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
            # The driver has parsed them already.
            self.__dict__["headers"] = headers

    def parse_wait(self, max_wait: int) -> WaitRequest:
        """Parse the wait and the validators of a routed GET. `max_wait` is the longest wait that
        is granted, in seconds.
        """
        self.wait_request = parse_wait_request(self.match.route, self.query, self.headers, max_wait)
        return self.wait_request

    def with_header(self, name: bytes, value: bytes) -> ProxiedRequest:
        """The same parsed request with one more header, which has no part in its wait."""
        request = self.with_pairs((*self.pairs, (name, value)))
        request.wait_request = self.wait_request
        return request

    def with_pairs(self, pairs: Pairs) -> ProxiedRequest:
        """The same routed request with other headers. Its wait is not parsed."""
        request = ProxiedRequest(
            self.method,
            self.target,
            pairs,
            client=self.client,
            trusted=self.trusted,
            scheme=self.scheme,
            http_1_0=self.http_1_0,
        )
        request.match = self.match
        return request

    @property
    def url(self) -> str:
        """The URL at the origin, with the target as the client sent it."""
        return self.match.target + self.target

    @property
    def path(self) -> str:
        """The path, still percent-encoded; `*` for OPTIONS of the server as a whole."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """The part after the `?`."""
        return self.target.partition("?")[2]

    @property
    def host(self) -> str:
        """The host of the Host header, without the port, in lower case."""
        host = self.headers.get("host", "")
        if host.startswith("["):
            return host.partition("]")[0].lower() + "]"
        return host.partition(":")[0].lower()

    @property
    def needs_origin(self) -> bool:
        """Whether only the origin can respond: the request has a body, a range, a precondition or
        an upgrade. A body is part of the identity where the route's methods have one.
        """
        needs = _ORIGIN_ONLY if self.method == "GET" else _BODY_ORIGIN_ONLY
        return self.upgrades or not needs.isdisjoint(self.headers)

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
        return f"<ProxiedRequest {self.method} {self.target}>"


def pairs_of(head: bytes) -> Pairs:
    """The header lines of a head that was checked before: one a line, no folding, no bare LF."""
    lines = head.rstrip(b"\r\n").split(b"\r\n")[1:]
    return tuple(
        (name, value.strip(b" \t")) for name, _, value in (line.partition(b":") for line in lines)
    )
