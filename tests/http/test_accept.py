import time

import pytest

from pushhub.http.accept import (
    accepted_codings,
    accepts_gzip,
    directives,
    elements,
    negotiate,
)

OFFERED = ("application/json", "text/event-stream")


@pytest.mark.parametrize(
    ("header", "chosen"),
    [
        (None, "application/json"),
        ("", "application/json"),
        (" , ,", None),
        ("*", "application/json"),
        ("*/*;q=0", None),
        ("text/plain", None),
        ("text/event-stream;q=1.000", "text/event-stream"),
        ("text/event-stream;q=.5, application/json;q=0.49", "text/event-stream"),
        ("text/event-stream;q=0.123456789", "text/event-stream"),
        ("text/event-stream;q=1.5", None),
        ("text/event-stream;q=-1", None),
        ("text/event-stream;q=", None),
        ("text/event-stream;Q=0", None),
        ("text/event-stream;a=1;q=0", None),
        ("text/event-stream ; q = 0 , */*", "application/json"),
        ("text/event-stream;q=0, text/*", None),
        ("text/*;q=0, */*", "application/json"),
        ("text/*;q=0, text/event-stream", "text/event-stream"),
        ('text/html;a="x, text/event-stream;q=1, y"', None),
        ('text/html;a="\\", text/event-stream', None),
        ('"text/event-stream', None),
        (";;;", None),
    ],
)
def test_negotiation(header: str | None, chosen: str | None) -> None:
    assert negotiate(header, OFFERED) == chosen


def test_elements_beyond_the_bound_are_ignored() -> None:
    header = ", ".join(["x/y"] * 64 + ["text/event-stream"])
    assert negotiate(header, OFFERED) is None
    assert len(list(elements("," * 16000 + "a"))) == 1


@pytest.mark.parametrize(
    "unit", [",", '"', '\\"', '",', "a/b,", ";", ";q=", '"\\', "a/b;q=0.1111,", '";"', "*/*,"]
)
@pytest.mark.slow
def test_negotiation_is_linear(unit: str) -> None:
    def seconds(size: int) -> float:
        text = (unit * size)[:size]
        best = 1e9
        for _ in range(3):
            begun = time.process_time()
            negotiate(text, OFFERED)
            accepts_gzip(text)
            best = min(best, time.process_time() - begun)
        return best

    # Sixteen times the length in far less than 256 times the time; the floor is the clock's.
    assert seconds(160_000) < max(100 * seconds(10_000), 0.1)


@pytest.mark.parametrize(
    ("header", "takes"),
    [
        (None, False),
        ("", False),
        ("gzip", True),
        ("x-gzip", True),
        ("GZIP;q=0.1", True),
        ("*", True),
        ("*;q=0", False),
        ("gzip;q=0, *", False),
        ("*;q=0, gzip", True),
        ("gzip;q=0.000", False),
        ("gzip ; q=0", False),
        ("br, deflate", False),
        ("notgzip", False),
        ("identity;q=1, gzip;q=0", False),
    ],
)
def test_gzip(header: str | None, takes: bool) -> None:
    assert accepts_gzip(header) is takes


def test_codings_come_in_the_order_of_the_offer() -> None:
    assert accepted_codings("zstd, br;q=0.1, gzip;q=0", ("br", "gzip", "zstd")) == ("br", "zstd")


@pytest.mark.parametrize(
    ("header", "names"),
    [
        ("", set()),
        ("Private, max-age=0", {"private", "max-age"}),
        ('private="set-cookie, x-a", no-store', {"private", "no-store"}),
        ('ext="private", nonprivate', {"ext", "nonprivate"}),
        ("a," * 1000 + "private", {"a", "private"}),
    ],
)
def test_directives(header: str, names: set[str]) -> None:
    assert directives(header) == names
