"""The paths of routes: what they say, and what the path of a request can mean."""

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushhub.http.path_pattern import PatternError, parse_pattern, readings


def values(pattern: str, path: str) -> dict[str, str] | None:
    """What the names are, for a path that has one meaning."""
    [meaning] = readings(path)
    return parse_pattern(pattern).values(meaning)


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("/", "/", {}),
        ("/", "/a", None),
        ("/*", "/", {}),
        ("/*", "/a/b/", {}),
        ("/orders", "/orders", {}),
        ("/orders", "/orders/", None),
        ("/orders", "/Orders", None),
        ("/orders/", "/orders/", {}),
        ("/orders*", "/orders", {}),
        ("/orders*", "/orders-of-7/x", {}),
        ("/orders/*", "/orders", None),
        ("/orders/*", "/orders/", {}),
        ("/orders/*", "/orders/7/lines", {}),
        ("/orders/{id}", "/orders/7", {"id": "7"}),
        ("/orders/{id}", "/orders/", None),
        ("/orders/{id}", "/orders/7/", None),
        ("/orders/{id}", "/orders/a%20b", {"id": "a b"}),
        ("/orders/{id}.json", "/orders/7.json", {"id": "7"}),
        ("/orders/{id}.json", "/orders/.json", None),
        ("/orders/o-{id}/*", "/orders/o-7/lines", {"id": "7"}),
        ("/{a}/x/{b}", "/1/x/2", {"a": "1", "b": "2"}),
        ("/{a}/x/{b}", "/1/y/2", None),
        ("/caf%C3%A9", "/caf%c3%a9", {}),
        ("/caf%C3%A9/*", "/caf%c3%a9/x", {}),
        ("/~me", "/%7Eme", {}),
        ("/%7Bid%7D", "/%7bid%7d", {}),
    ],
)
def test_what_a_pattern_matches(pattern: str, path: str, expected: dict[str, str] | None) -> None:
    assert values(pattern, path) == expected


@pytest.mark.parametrize(
    ("pattern", "sentence"),
    [
        ("", "starts with '/'"),
        ("orders", "starts with '/'"),
        ("/caf\u00e9", "percent-encoded"),
        ("/a b", "percent-encoded"),
        ("/a?b=1", "Only the path selects"),
        ("/a#b", "Only the path selects"),
        ("/*/a", "last character"),
        ("/**", "last character"),
        ("/100%", "two hexadecimal digits"),
        ("/{id", "A brace itself is %7B"),
        ("/{}", "at most one {name}"),
        ("/{a b}", "percent-encoded"),
        ("/{1}", "of letters, digits"),
        ("/{a}-{b}", "at most one {name}"),
        ("/{a}/{a}", "is another"),
        ("/{id}*", "write /{id}/* instead"),
        ("//a", "in different ways"),
        ("/a//*", "in different ways"),
        ("/a/../b", "in different ways"),
        ("/./a", "in different ways"),
        ("/a/%2e%2e/b", "in different ways"),
        ("/a;v=1", "in different ways"),
        ("/a%2Fb", "in different ways"),
        ("/a\\b", "in different ways"),
        ("/{id}/..", "in different ways"),
    ],
)
def test_what_is_no_pattern_is_a_sentence(pattern: str, sentence: str) -> None:
    with pytest.raises(PatternError) as caught:
        parse_pattern(pattern)
    assert sentence in str(caught.value)
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", ["/"]),
        ("/orders/7", ["/orders/7"]),
        ("/orders/7/", ["/orders/7/"]),
        ("/caf%C3%A9", ["/caf\u00e9"]),
        ("/a.b/.c", ["/a.b/.c"]),
        ("/a/../b", ["/a/../b", "/b"]),
        ("/a/%2e%2E/b", ["/a/../b", "/b"]),
        ("/a/.%2e/b", ["/a/../b", "/b"]),
        ("/a/.", ["/a/.", "/a/"]),
        ("/a/..", ["/a/..", "/"]),
        ("/../../b", ["/../../b", "/b"]),
        ("//b", ["//b", "/b"]),
        ("/a//b//", ["/a//b//", "/a/b/"]),
        ("/a/;x/b", ["/a/;x/b", "/a/b"]),
        ("/a/..;/b", ["/a/..;/b", "/b"]),
        ("/b;v=1", ["/b;v=1", "/b"]),
        ("/a%5c..%5cb", ["/a\\..\\b", "/b"]),
        ("/a\\b", ["/a\\b", "/a/b"]),
        ("/a/%252e%252e/b", ["/a/%2e%2e/b", "/b"]),
    ],
)
def test_what_a_path_can_mean(path: str, expected: list[str]) -> None:
    assert ["/" + "/".join(meaning) for meaning in readings(path)] == expected


def test_an_encoded_slash_is_one_segment_or_two() -> None:
    assert readings("/a%2Fb") == [("a/b",), ("a", "b")]
    assert readings("/a/..%2fb") == [("a", "../b"), ("b",)]


@given(st.text("ab./%;\\2eEfF5cC", max_size=12))
def test_every_path_means_something_and_none_escapes_the_root(text: str) -> None:
    meanings = readings("/" + text)
    assert 1 <= len(meanings) <= 3
    assert meanings[0] == tuple(readings("/" + text)[0])
    for meaning in meanings[1:]:
        assert meaning


@given(st.lists(st.text(min_size=1), min_size=1, max_size=4))
def test_an_encoded_path_matches_itself(segments: list[str]) -> None:
    path = "/" + "/".join(quote(segment, safe="") for segment in segments)
    meanings = readings(path)
    assert meanings[0] == tuple(segments)
    if len(meanings) == 1 and not path.endswith("*"):
        assert parse_pattern(path.replace("*", "%2A")).values(meanings[0]) == {}


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("/*", "/*", True),
        ("/*", "/{a}/b", True),
        ("/a*", "/ab/*", True),
        ("/a/*", "/a", False),
        ("/a/*", "/a*", False),
        ("/a/*", "/a/{b}", True),
        ("/a/b*", "/a/{b}", False),
        ("/{a}", "/b", True),
        ("/b", "/{a}", False),
        ("/{a}", "/b*", False),
        ("/{a}/c", "/b/c", True),
        ("/{a}/c", "/b/d", False),
        ("/{a}.json", "/x-{b}.json", True),
        ("/x-{a}", "/{b}", False),
        ("/{a}/*", "/{b}/c", True),
    ],
)
def test_what_leaves_nothing_to_another(one: str, other: str, expected: bool) -> None:
    assert parse_pattern(one).covers(parse_pattern(other)) is expected
