import tracemalloc
from ipaddress import ip_address

import pytest

from pushhub.http import forwarded
from pushhub.http.forwarded import TrustedProxies

OURS = TrustedProxies(["127.0.0.1", "10.0.0.0/8", "::1"])


@pytest.mark.parametrize(
    ("address", "trusted"),
    [
        ("127.0.0.1", True),
        ("127.0.0.2", False),
        ("10.9.8.7", True),
        ("::1", True),
        ("192.0.2.1", False),
        ("", False),
        ("unix:", False),
    ],
)
def test_whose_word_counts(address: str, trusted: bool) -> None:
    assert OURS.trusts(address) is trusted


@pytest.mark.parametrize(
    ("peer", "hops", "client"),
    [
        ("127.0.0.1", None, "127.0.0.1"),
        ("127.0.0.1", "192.0.2.1", "192.0.2.1"),
        ("127.0.0.1", "192.0.2.66, 192.0.2.1", "192.0.2.1"),
        ("127.0.0.1", "192.0.2.66, 192.0.2.1, 10.0.0.7", "192.0.2.1"),
        ("127.0.0.1", "10.0.0.9, 10.0.0.7", "10.0.0.9"),
        ("127.0.0.1", "2001:db8::1", "2001:db8::1"),
        ("127.0.0.1", "somebody", "127.0.0.1"),
        ("127.0.0.1", "somebody, 10.0.0.7", "10.0.0.7"),
        ("127.0.0.1", "", "127.0.0.1"),
        ("192.0.2.9", "127.0.0.1", "192.0.2.9"),
        ("127.0.0.1", ", ".join(["192.0.2.66", *["10.0.0.7"] * 50]), "10.0.0.7"),
    ],
)
def test_the_client_is_the_last_untrusted_hop(peer: str, hops: str | None, client: str) -> None:
    headers = {} if hops is None else {"x-forwarded-for": hops}
    assert OURS.client(peer, headers) == client


def test_a_trusted_proxy_says_that_its_client_uses_tls() -> None:
    assert OURS.is_secure("10.0.0.1", {"x-forwarded-proto": "HTTPS"})
    assert not OURS.is_secure("10.0.0.1", {"x-forwarded-proto": "http"})
    assert not OURS.is_secure("10.0.0.1", {})
    assert not OURS.is_secure("192.0.2.1", {"x-forwarded-proto": "https"})


def test_what_is_no_network() -> None:
    with pytest.raises(ValueError, match="does not appear to be"):
        TrustedProxies(["somewhere"])
    assert repr(OURS) == "<Proxies 127.0.0.1/32, 10.0.0.0/8, ::1/128>"


def test_the_client_of_a_repeated_value_is_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []

    def counting(address: str) -> object:
        parsed.append(address)
        return ip_address(address)

    proxies = TrustedProxies(["127.0.0.1"])
    monkeypatch.setattr(forwarded, "ip_address", counting)
    headers = {"x-forwarded-for": "192.0.2.66, 192.0.2.1"}
    clients = {proxies.client("127.0.0.1", headers) for _ in range(100)}
    assert clients == {"192.0.2.1"}
    assert parsed.count("192.0.2.1") <= 2


def test_the_memory_of_values_is_bounded() -> None:
    proxies = TrustedProxies(["127.0.0.1"])

    def read(number: int, size: int) -> None:
        hops = f"hop-{number}".ljust(size, ",") + "192.0.2.1"
        assert proxies.client("127.0.0.1", {"x-forwarded-for": hops}) == "192.0.2.1"

    read(0, 10)
    tracemalloc.start()
    try:
        for number in range(6000):
            read(number, 80)
            # A client adds what it likes before the value of the proxy.
            read(number, 8000)
        size = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert size < forwarded.MAX_REMEMBERED * 500
