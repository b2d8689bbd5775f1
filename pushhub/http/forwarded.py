"""The client of a request behind a proxy: the headers of a trusted proxy name it.

`X-Forwarded-*` headers of any other sender are ignored.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# A longer chain of proxies is not one of ours.
MAX_HOPS = 32
# Values of X-Forwarded-For whose client is remembered, if they are this short: two IPv6 addresses
# have at most 80 characters, and a usual value has one or two. An entry takes at most 500 bytes,
# measured with `tracemalloc` and rounded up: 2 MiB. A value with more than this is parsed again.
MAX_REMEMBERED = 4096
MAX_REMEMBERED_CHARACTERS = 96

# nginx's `$request_id` has 32 digits, a UUID 36 characters; no character needs an escape in a log.
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)


class TrustedProxies:
    """The networks of our own proxies.

    Raises:
        ValueError: a text that is no address and no network.
    """

    __slots__ = ("_networks", "_remembered", "names_proxy", "trusts")

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = tuple(ip_network(text, strict=False) for text in networks)
        # The default has loopback only, where a proxy may or may not be.
        self.names_proxy = any(not network.is_loopback for network in self._networks)
        # Proxies are few, and each brings many requests.
        self.trusts = lru_cache(maxsize=1024)(self._trusts)
        # A proxy sends the same value with each request of a client, and a request needs its client
        # more than once.
        self._remembered = lru_cache(maxsize=MAX_REMEMBERED)(self._last_stranger)

    def _trusts(self, address: str) -> bool:
        """Whether `address` is one of our proxies; a text that is no address is not."""
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._networks)

    def client(self, peer: str, headers: Mapping[str, str]) -> str:
        """The client's address: the last hop of `X-Forwarded-For` that is no trusted proxy."""
        hops = headers.get("x-forwarded-for")
        if hops is None or not self.trusts(peer):
            return peer
        short = len(hops) <= MAX_REMEMBERED_CHARACTERS
        return (self._remembered(hops) if short else self._last_stranger(hops)) or peer

    def _last_stranger(self, hops: str) -> str:
        """The client that the hops of a trusted proxy name; empty if they name none."""
        client = ""
        for hop in reversed(hops.split(",")[-MAX_HOPS:]):
            address = hop.strip()
            if not _is_address(address):
                break
            client = address
            if not self.trusts(address):
                break
        return client

    def is_secure(self, peer: str, headers: Mapping[str, str]) -> bool:
        """Whether a trusted proxy says that its client uses TLS."""
        return headers.get("x-forwarded-proto", "").lower() == "https" and self.trusts(peer)

    def request_id(self, peer: str, headers: Mapping[str, str]) -> str:
        """The id that a trusted proxy has given a request; empty without one."""
        given = headers.get("x-request-id")
        if given is None or not _REQUEST_ID.fullmatch(given) or not self.trusts(peer):
            return ""
        return given

    def __repr__(self) -> str:
        return f"<Proxies {', '.join(map(str, self._networks))}>"


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
