import time

import pytest

from pushhub.http.prefer import MAX_WAIT, bounded_wait, granted_wait, parse_seconds
from tests.log.sample import get

NONE = None


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        ("wait=10", 10),
        ("Wait=10", 10),
        ("WAIT=10", 10),
        (" wait = 10 ", 10),
        ("wait\t=\t10", 10),
        ('wait="10"', 10),
        ('wait="10', 10),
        ("wait=30s", 30),
        ("wait=30S", 30),
        ("wait=010", 10),
        ("wait=2.9", 2),
        ("wait=0.2", 1),
        ("wait=1", 1),
        ("wait=55", 55),
        ("wait=56", 55),
        ("wait=1e9", 55),
        ("wait=1E9", 55),
        ("wait=1e99", 55),
        ("wait=1e999999999", 55),
        ("wait=99999999999999999999", 55),
        ("wait=" + "9" * 5000, 55),
        ("wait=5, return=minimal", 5),
        ("return=minimal, wait=5", 5),
        ("respond-async,wait=5", 5),
        ("wait=5; foo=bar", 5),
        ("wait=5 ;wait=9", 5),
        ("wait=5, wait=10", 5),
        (", ,wait=5", 5),
        ('foo="a, b"; c="d", wait=7', 7),
        # Not asked for, or not readable: answered at once.
        ("", NONE),
        ("wait", NONE),
        ("wait=", NONE),
        ('wait=""', NONE),
        ("wait=0", NONE),
        ("wait=0.0", NONE),
        ("wait=-1", NONE),
        ("wait=+1", NONE),
        ("wait=abc", NONE),
        ("wait=5x", NONE),
        ("wait=5ss", NONE),
        ("wait=5 0", NONE),
        ("wait=1_0", NONE),
        ("wait=.5", NONE),
        ("wait=5.", NONE),
        ("wait=inf", NONE),
        ("wait=nan", NONE),
        ("wait=0x10", NONE),
        ("wait=٥", NONE),
        ("wait=５", NONE),
        ("wait=5ſ", NONE),
        ("wait=abc, wait=5", NONE),
        ("wait=0, wait=5", NONE),
        ("wait:5", NONE),
        ("await=5", NONE),
        ("wait-for=5", NONE),
        ("return=minimal; wait=5", NONE),
        ("return=minimal", NONE),
        ('foo="a, wait=5"', NONE),
        ('foo="a, wait=5, b"', NONE),
        (r'foo="a\", wait=5, b"', NONE),
        ('foo="wait=5', NONE),
        ('"wait"=5', NONE),
    ],
)
def test_prefer(header: str, wait: int | None) -> None:
    assert granted_wait(get(prefer=header)) == wait


@pytest.mark.parametrize(
    ("query", "headers", "wait"),
    [
        ("", {}, NONE),
        ("since=now", {}, NONE),
        ("wait=5", {}, 5),
        ("a=1&wait=30s", {}, 30),
        ("wait=1e9", {}, 55),
        ("wait=abc", {}, NONE),
        ("wait=-1", {}, NONE),
        ("wait", {}, NONE),
        ("await=5", {}, NONE),
        ("", {"wait": "5"}, 5),
        ("", {"wait": " 5 "}, 5),
        ("", {"wait": "5, 6"}, NONE),
        ("wait=9", {"wait": "5"}, 5),
        ("wait=9", {"wait": "0"}, NONE),
        ("wait=9", {"wait": "abc"}, NONE),
        ("wait=9", {"wait": "8", "prefer": "wait=7"}, 7),
        ("wait=9", {"prefer": "wait=0"}, NONE),
        ("wait=9", {"prefer": "wait=abc"}, NONE),
        ("wait=9", {"wait": "8", "prefer": "return=minimal"}, 8),
        ("wait=9", {"prefer": "return=minimal"}, 9),
    ],
)
def test_prefer_overrides_wait_and_the_query(
    query: str, headers: dict[str, str], wait: int | None
) -> None:
    assert granted_wait(get(query, **headers)) == wait


def test_only_prefer_counts_for_a_url_of_the_origin() -> None:
    assert granted_wait(get("wait=9", wait="8"), aliases=False) is None
    assert granted_wait(get("wait=9", prefer="wait=7"), aliases=False) == 7


@pytest.mark.parametrize(
    ("asked", "cap", "wait"),
    [
        (None, 55, None),
        (0, 55, None),
        (-1, 55, None),
        (0.001, 55, 1),
        (1.9, 55, 1),
        (10, 55, 10),
        (10, 5, 5),
        (float("inf"), 55, 55),
        (1e300, 20, 20),
    ],
)
def test_grant(asked: float | None, cap: int, wait: int | None) -> None:
    assert bounded_wait(asked, cap) == wait


def test_the_cap_is_below_every_proxy() -> None:
    assert MAX_WAIT == 55
    assert granted_wait(get(prefer="wait=10"), cap=5) == 5


def test_seconds() -> None:
    assert parse_seconds("2.5s") == 2.5
    assert parse_seconds("1e2") == 100
    assert parse_seconds('"5"') is None


@pytest.mark.parametrize(
    "header",
    [
        '"' * 300_000,
        '"\\' * 150_000,
        '"' + '\\"' * 150_000,
        "," * 300_000,
        "wait=" + "9" * 300_000,
        "wait=" + "9" * 300_000 + "x",
        'wait="' + "9" * 300_000,
        "wait=0." + "9" * 150_000 + "e" + "9" * 150_000,
        "wait=" + " " * 300_000 + "5",
    ],
    ids=lambda header: header[:9],
)
def test_a_hostile_header_costs_little(header: str) -> None:
    begun = time.process_time()
    granted_wait(get(prefer=header, wait=header))
    assert time.process_time() - begun < 2, "it takes minutes where the work is quadratic"
