"""The findings of `doctor --through` that no proxy of the tests causes."""

from typing import Any

import pytest

from pushhub.doctor import through_findings as findings
from pushhub.doctor.through_findings import RequestArrival, Stream, Wait

SEEN: dict[str, Any] = {
    "client": "198.51.100.7",
    "peer": "10.0.0.3:4711",
    "peer_trusted": True,
    "forwarded_for": "198.51.100.7",
    "secure": True,
    "http": "1.1",
    "keep_alive_seconds": 75.0,
}


def arrival(own: str = "198.51.100.7:5000", **seen: Any) -> RequestArrival:
    return RequestArrival({**SEEN, **seen}, own)


@pytest.mark.parametrize(
    ("one", "level", "says"),
    [
        (arrival(), "ok", "at its address, 198.51.100.7"),
        (arrival("192.168.1.5:5000"), "ok", "a NAT is between"),
        (arrival(client="10.0.0.3", peer_trusted=False), "bad", "10.0.0.3 is not in trusted"),
        (arrival(client="10.0.0.3", forwarded_for=None), "bad", "no X-Forwarded-For arrives"),
        (arrival(peer="198.51.100.7:5000"), "ok", "at its address"),
    ],
)
def test_addresses(one: RequestArrival, level: str, says: str) -> None:
    finding = findings.address(one)
    assert (finding.level, finding.check) == (level, "address")
    assert says in finding.sentence


def test_the_scheme_must_arrive() -> None:
    assert findings.scheme(arrival(secure=True), True) is None
    assert findings.scheme(arrival(secure=False), False) is None
    missing = findings.scheme(arrival(secure=False), True)
    assert missing is not None
    assert missing.level == "bad"
    forged = findings.forged(arrival(secure=False), {**SEEN}, {**SEEN})
    assert (forged.level, "X-Forwarded-Proto" in forged.sentence) == ("bad", True)


def test_http_2_over_tls() -> None:
    assert findings.http2(True, True).level == "ok"
    assert findings.http2(True, False).level == "warn"
    assert "only over TLS" in findings.http2(False, False).sentence


@pytest.mark.parametrize(
    ("ends", "watched", "found", "level", "says"),
    [
        ([75.0, 75.1], 77.0, 6, "bad", "The hub closes idle connections of the proxy"),
        ([60.4, None], 77.0, 6, "ok", "after about 60 s, before the hub"),
        ([74.0], 77.0, 6, "warn", "hardly before"),
        ([0.4], 22.0, 6, "ok", "within a second"),
        ([], 40.0, 6, "warn", "for 40 s or longer"),
        ([], 77.0, 6, "warn", "all the time"),
        ([], 77.0, 0, "warn", "no record"),
    ],
)
def test_idle_connections(
    ends: list[float | None], watched: float, found: int, level: str, says: str
) -> None:
    finding = findings.idle(arrival(), ends, watched, found)
    assert (finding.level, says in finding.sentence) == (level, True), finding


@pytest.mark.parametrize(
    ("waits", "asked", "level", "says"),
    [
        ([Wait(50.0, 504), Wait(46.1, 200)], 55, "bad", "after 50.0 s with 504"),
        ([Wait(30.2, 0)], 55, "bad", "by closing the connection"),
        ([Wait(0.1, 200)], 55, "warn", "with an empty response"),
        ([Wait(50.0, 200, is_applied=False)], 55, "warn", "removes Prefer"),
        ([Wait(24.0, 200)], 25, "warn", "did not leave time"),
        ([Wait(46.0, 200), Wait(53.0, 200)], 55, "ok", "53.0 s gets through"),
    ],
)
def test_waits(waits: list[Wait], asked: int, level: str, says: str) -> None:
    finding = findings.wait(waits, asked, 55)
    assert (finding.level, says in finding.sentence) == (level, True), finding


@pytest.mark.parametrize(
    ("measured", "level", "says"),
    [
        (Stream(200, 0.1, (0.2, 0.01)), "ok", "10 ms"),
        (Stream(200, 0.1, (0.21, 0.2)), "warn", "200 ms late"),
        (Stream(200, 0.1, (0.01, None)), "bad", "within 3 s"),
        (Stream(200, None, ()), "bad", "gets 200"),
        (Stream(0, None, ()), "bad", "does not begin"),
        (Stream(502, None, ()), "bad", "gets 502"),
    ],
)
def test_streams(measured: Stream, level: str, says: str) -> None:
    for finding in (findings.stream(measured), findings.compression(measured)):
        assert (finding.level, says in finding.sentence) == (level, True), finding


def test_headers_that_break_the_connection() -> None:
    assert "breaks the connection" in findings.headers(7168, {12288: 0}).sentence
    assert findings.headers(2048, {4096: 431}).level == "bad"


def test_slash_that_names_another_channel() -> None:
    assert "arrives as 'a'" in findings.slash(200, "a", "a/b").sentence
