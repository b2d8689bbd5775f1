"""Whom an address counts as."""

import pytest

from pushhub.http.client_address import client_network, counts_address
from pushhub.http.forwarded import TrustedProxies

LOOPBACK = TrustedProxies(["127.0.0.0/8", "::1"])
NONE = TrustedProxies([])
PRIVATE_PROXY = TrustedProxies(["127.0.0.0/8", "10.0.0.5"])


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("::1", "::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("a:b", "a:b"),
        ("unix:", "unix:"),
    ],
)
def test_whom_an_address_counts_as(address: str, counted: str) -> None:
    assert client_network(address) == counted


@pytest.mark.parametrize("trusted", [NONE, LOOPBACK, PRIVATE_PROXY])
@pytest.mark.parametrize(
    ("address", "counts"),
    [
        ("198.51.100.7", True),
        ("::ffff:198.51.100.7", True),
        ("2001:db8::1", True),
        ("127.0.0.1", False),
        ("127.3.2.1", False),
        ("::1", False),
        ("::ffff:127.0.0.1", False),
        ("0.0.0.0", False),
        ("", False),
        ("unix:", False),
    ],
)
def test_public_addresses_count_and_loopback_never(
    address: str, counts: bool, trusted: TrustedProxies
) -> None:
    assert counts_address(address, trusted) is counts


@pytest.mark.parametrize(
    "address",
    ["10.1.2.3", "172.31.0.1", "192.168.1.1", "169.254.0.9", "100.64.0.1", "fd00::1", "fe80::1"],
)
def test_private_addresses_count_only_beside_a_named_proxy(address: str) -> None:
    assert not counts_address(address, NONE)
    assert not counts_address(address, LOOPBACK)
    assert counts_address(address, PRIVATE_PROXY)


def test_the_address_of_a_trusted_proxy_does_not_count() -> None:
    assert not counts_address("10.0.0.5", PRIVATE_PROXY)
    assert counts_address("10.0.0.6", PRIVATE_PROXY)
    assert not counts_address("198.51.100.1", TrustedProxies(["198.51.100.0/24"]))
