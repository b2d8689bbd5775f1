"""The network of an address, where limits count by address."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address

# RFC 4291 §2.5.4: the first 64 bits name a network, and its owner draws the other 64 freely
# (RFC 8981), a new address for each connection. Providers give their customers at least this much
# (RFC 6177).
NETWORK_BYTES = 8


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


def is_loopback(address: str) -> bool:
    """Whether an address is one of this machine (RFC 1122 §3.2.1.3, RFC 4291 §2.5.3)."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return (mapped or parsed).is_loopback
