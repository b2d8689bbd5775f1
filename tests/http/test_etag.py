import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushhub.http.etag import ANY, MAX_TAGS, parse_tags
from pushhub.log.cursor import Cursor
from tests.log.test_cursor import cursors


@pytest.mark.parametrize(
    ("header", "tags"),
    [
        ('"e1-5"', {"e1-5"}),
        ('W/"e1-5"', {"e1-5"}),
        ("e1-5", {"e1-5"}),
        ("W/e1-5", {"e1-5"}),
        ('"e1-5-gzip"', {"e1-5"}),
        ('W/"e1-5-gzip"', {"e1-5"}),
        ('"e1-5--gzip"', {"e1-5"}),
        ('"e1-5-br"', {"e1-5"}),
        ('"e1-5-zstd"', {"e1-5"}),
        ('"e1-5-deflate"', {"e1-5"}),
        ("e1-5-gzip", {"e1-5"}),
        ('"a", "b"', {"a", "b"}),
        ('"a","b"', {"a", "b"}),
        (' "a" , W/"b" ,c', {"a", "b", "c"}),
        (', ,"a",', {"a"}),
        ('"a,b", "c"', {"a,b", "c"}),
        ('"a;b"', {"a;b"}),
        ('"é"', {"é"}),
        ('""', {""}),
        ("*", {ANY}),
        (" * ", {ANY}),
        # What is no tag is skipped.
        ("", set()),
        ('*, "a"', {"a"}),
        ('"', set()),
        ('"a', set()),
        ('"a" b, "c"', {"c"}),
        ('w/"a", "c"', {"c"}),
        ('"a\x00", "c"', {"c"}),
        ('"a b", "c"', {"c"}),
        ("a b", set()),
        ("{}", set()),
    ],
)
def test_tags(header: str, tags: set[str]) -> None:
    assert parse_tags(header) == tags


@given(cursors, st.sampled_from(["{}", "W/{}", " {} ", '"x", {}', '{}, "x"']))
def test_a_cursor_comes_back(cursor: Cursor, form: str) -> None:
    assert str(cursor) in parse_tags(form.format(cursor.etag))


@given(st.text())
def test_anything_may_be_sent(header: str) -> None:
    assert len(parse_tags(header)) <= MAX_TAGS


def test_tags_are_bounded() -> None:
    assert len(parse_tags(",".join(f'"{n}"' for n in range(10_000)))) == MAX_TAGS


@pytest.mark.parametrize(
    "header",
    [
        '"' * 200_000,
        '"' + "a" * 200_000,
        '"a,' * 60_000,
        ',"' * 100_000,
        "," * 200_000,
        " " * 200_000 + "!",
        "a" * 100_000 + " " * 100_000 + "!",
        "a " * 100_000,
        " ," * 100_000 + '"',
        "W/" * 100_000,
    ],
    ids=lambda header: repr(header[:4]),
)
def test_a_hostile_header_costs_little(header: str) -> None:
    begun = time.process_time()
    parse_tags(header)
    assert time.process_time() - begun < 2, "it takes minutes where the work is quadratic"
