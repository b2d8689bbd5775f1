import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushhub.log.channel import (
    MAX_NAME_BYTES,
    ChannelNameError,
    Patterns,
    check_name,
    decode_segment,
    encode_segment,
    namespace,
    public_name,
)

GOOD = {
    "one character": "a",
    "space": "a b",
    "slash": "a/b",
    "namespaced": "news:eu:1",
    "star": "a*",
    "percent": "100%",
    "dollar inside": "a$",
    "greek": "νέα",
    "emoji": "🚀",
    "after C1": "\xa0",
    "line separator": "a\u2028b",
    "255 ASCII bytes": "a" * 255,
    "255 bytes of UTF-8": "é" * 127 + "a",
}
BAD = {
    "empty": "",
    "NUL": "a\x00",
    "line feed": "a\n",
    "carriage return": "\ra",
    "unit separator": "\x1f",
    "DEL": "a\x7f",
    "NEL": "a\x85",
    "last of C1": "\x9f",
    "lone surrogate": "a\ud800",
    "256 ASCII bytes": "a" * 256,
    "256 bytes of UTF-8": "é" * 128,
    "a megabyte": "a" * 1_000_000,
}

names = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=60).filter(
    lambda name: not name.startswith("$")
)


@pytest.mark.parametrize("name", GOOD.values(), ids=GOOD.keys())
def test_a_name(name: str) -> None:
    assert check_name(name) == name
    assert public_name(name) == name


@pytest.mark.parametrize("name", BAD.values(), ids=BAD.keys())
def test_no_name(name: str) -> None:
    with pytest.raises(ChannelNameError, match=r"A channel name .*\.$"):
        check_name(name)
    with pytest.raises(ChannelNameError):
        public_name(name)


def test_a_private_name_is_a_name_but_not_a_public_one() -> None:
    assert check_name("$accounts") == "$accounts"
    with pytest.raises(ChannelNameError, match="pushhub's own"):
        public_name("$accounts")


@pytest.mark.parametrize(
    ("segment", "name"),
    [
        ("news", "news"),
        ("a%2Fb", "a/b"),
        ("a%2fb", "a/b"),
        ("a+b", "a+b"),
        ("a%20b", "a b"),
        ("a%253", "a%3"),
        ("%CE%BD%CE%AD%CE%B1", "νέα"),
        ("νέα", "νέα"),
        ("%E2%82%AC€", "€€"),
        ("a%24", "a$"),
        ("100%", "100%"),
        ("a%zz", "a%zz"),
        ("%61" * 255, "a" * 255),
    ],
)
def test_a_segment_is_decoded_once(segment: str, name: str) -> None:
    assert decode_segment(segment) == name


@pytest.mark.parametrize(
    "segment",
    [
        pytest.param("", id="empty"),
        pytest.param("a%00", id="NUL"),
        pytest.param("a%0A", id="line feed"),
        pytest.param("%C2%85", id="NEL"),
        pytest.param("%FF", id="no UTF-8"),
        pytest.param("%C3", id="half a character"),
        pytest.param("%C0%AF", id="overlong slash"),
        pytest.param("%ED%A0%80", id="encoded surrogate"),
        pytest.param("a\udcff", id="surrogate of a driver"),
        pytest.param("$a", id="private"),
        pytest.param("%24a", id="private, encoded"),
        pytest.param("%61" * 256, id="256 bytes"),
    ],
)
def test_a_segment_that_is_no_public_name(segment: str) -> None:
    with pytest.raises(ChannelNameError):
        decode_segment(segment)


@given(names)
def test_segments_round_trip(name: str) -> None:
    segment = encode_segment(name)
    assert segment.isascii()
    assert not set(segment) & set("/?#% ") - {"%"}
    if len(name.encode()) <= MAX_NAME_BYTES:
        assert decode_segment(segment) == name


@pytest.mark.parametrize(
    ("name", "space"),
    [("news:eu", "news"), ("a:b:c", "a"), (":a", ""), ("news", ""), ("news:", "news")],
)
def test_namespace(name: str, space: str) -> None:
    assert namespace(name) == space


@pytest.mark.parametrize(
    ("patterns", "name", "covered"),
    [
        (["news"], "news", True),
        (["news"], "news:eu", False),
        (["news"], "new", False),
        (["news:*"], "news:eu", True),
        (["news:*"], "news:", True),
        (["news:*"], "news", False),
        (["news:*"], "NEWS:eu", False),
        (["a", "b*"], "bc", True),
        (["*"], "anything", True),
        (["*"], "$accounts", False),
        ([], "news", False),
        (["a*"], "a*", True),
        (["a" * 255 + "*"], "a" * 255, True),
    ],
)
def test_patterns_cover(patterns: list[str], name: str, covered: bool) -> None:
    assert Patterns(patterns).match(name) is covered


@pytest.mark.parametrize(
    "pattern", ["a*b", "**", "*a", "", "a\n*", "a" * 256 + "*", "$accounts", "$*", "\ud800*"]
)
def test_no_pattern(pattern: str) -> None:
    with pytest.raises(ChannelNameError):
        Patterns([pattern])


def test_patterns_are_a_set() -> None:
    assert Patterns(["a", "b*"]) == Patterns(["b*", "a", "a"])
    assert hash(Patterns(["a", "b"])) == hash(Patterns(["b", "a"]))
    assert Patterns(["a"]) != Patterns(["a*"])
    assert Patterns(["a"]) != "a"
    assert Patterns(["a"])
    assert not Patterns()
    assert repr(Patterns(["a", "b*"])) == "Patterns(['a', 'b*'])"


TEXTS = st.lists(
    st.text("ab", min_size=0, max_size=3).flatmap(
        lambda stem: st.sampled_from([stem + "*", stem] if stem else ["*"])
    ),
    max_size=6,
)


@given(TEXTS, st.text("ab", max_size=2), st.text("ab", max_size=3))
def test_patterns_within_a_prefix_cover_the_same_names_in_order(
    texts: list[str], prefix: str, after: str
) -> None:
    names = sorted("".join(t) for size in range(1, 5) for t in itertools.product("ab", repeat=size))
    patterns = Patterns(texts)
    walked = [
        name
        for text in patterns.within(prefix, after)
        for name in names
        if name > after and (name == text or (text[-1] == "*" and name.startswith(text[:-1])))
    ]
    assert walked == [
        name for name in names if patterns.match(name) and name.startswith(prefix) and name > after
    ]
