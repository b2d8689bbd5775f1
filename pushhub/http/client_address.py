"""Client addresses, where limits count by address: their networks, and which of them count."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pushhub.http.forwarded import TrustedProxies

# RFC 4291 §2.5.4: the first 64 bits name a network, and its owner draws the other 64 freely
# (RFC 8981), a new address for each connection. Providers give their customers at least this much
# (RFC 6177).
NETWORK_BYTES = 8

# The networks of private use, in which unnamed proxies are. `ip_address(…).is_private` has the
# networks of documentation too, but not RFC 6598.
_PRIVATE = (
    *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10"),
    *("fc00::/7", "fe80::/10"),
)
PRIVATE_NETWORKS = tuple(map(ip_network, _PRIVATE))


def client_network(address: str) -> str:
    """The network of an IPv6 address, `2001:db8:1:2::/64`; an IPv4 address itself, also one that
    is written as IPv6 (RFC 4291 §2.5.5.2). Other text is returned as it is."""
    if ":" not in address:
        return address
    try:
        parsed = IPv6Address(address)
    except ValueError:
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    network = parsed.packed[:NETWORK_BYTES]
    return f"{IPv6Address(network.ljust(16, bytes(1)))}/{8 * NETWORK_BYTES}"


# A client sends many requests from one address; 1,024 entries of about 250 bytes are 256 KiB.
@lru_cache(maxsize=1024)
def counts_address(address: str, trusted: TrustedProxies) -> bool:
    """Whether limits by address apply to a client. `address` is resolved by `trusted`.

    A loopback address and the address of a trusted proxy never count: all users of a proxy that
    names no clients have that address. Other private addresses count only if `trusted` names a
    proxy beyond loopback, because an unnamed proxy usually has a private address (RFC 1918, RFC
    4193, RFC 3927, RFC 6598). Text that is no address does not count.
    """
    if (parsed := _parsed(address)) is None:
        return False
    if parsed.is_loopback or parsed.is_unspecified or trusted.trusts(str(parsed)):
        return False
    return trusted.names_proxy or not _is_private(parsed)


def counted_network(address: str, trusted: TrustedProxies) -> str:
    """The network under which limits count a client; empty if they do not count its address."""
    return client_network(address) if counts_address(address, trusted) else ""


# As above.
@lru_cache(maxsize=1024)
def may_be_proxy(address: str) -> bool:
    """Whether an address is one of this machine or of a private network, where unnamed proxies
    are.
    """
    parsed = _parsed(address)
    return parsed is not None and (parsed.is_loopback or _is_private(parsed))


def _is_private(address: IPv4Address | IPv6Address) -> bool:
    return any(
        address.version == network.version and address in network for network in PRIVATE_NETWORKS
    )


def is_loopback(address: str) -> bool:
    """Whether an address is one of this machine (RFC 1122 §3.2.1.3, RFC 4291 §2.5.3)."""
    parsed = _parsed(address)
    return parsed is not None and parsed.is_loopback


def _parsed(address: str) -> IPv4Address | IPv6Address | None:
    """An address, as IPv4 if it is written as IPv6 (RFC 4291 §2.5.5.2); None for other text."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return parsed if mapped is None else mapped
