import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushhub.log.cursor import Cursor, CursorError, Start, parse_cursor, parse_since

epochs = st.text("0123456789abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=32)
cursors = st.builds(Cursor, epochs, st.integers(0, 10**18 - 1))


@given(cursors)
def test_cursors_round_trip(cursor: Cursor) -> None:
    assert parse_cursor(str(cursor)) == cursor
    assert parse_since(str(cursor)) == cursor
    assert cursor.etag == f'"{cursor}"'


@given(st.text())
def test_what_is_read_is_what_was_written(text: str) -> None:
    try:
        cursor = parse_cursor(text)
    except CursorError:
        return
    assert str(cursor) == text


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("-", id="dash"),
        pytest.param("e1", id="no offset"),
        pytest.param("e1-", id="empty offset"),
        pytest.param("-1", id="no epoch"),
        pytest.param("e1--1", id="negative"),
        pytest.param("e1-01", id="leading zero"),
        pytest.param("e1-00", id="two zeros"),
        pytest.param("e1-+1", id="sign"),
        pytest.param("e1-1.0", id="fraction"),
        pytest.param("e1-1e3", id="exponent"),
        pytest.param("e1-1_0", id="underscore"),
        pytest.param("e1-١", id="arabic digit"),
        pytest.param("e1-１", id="full-width digit"),
        pytest.param("é-1", id="epoch not ASCII"),
        pytest.param("E1-1", id="epoch in capitals"),
        pytest.param(" e1-1", id="space before"),
        pytest.param("e1-1 ", id="space after"),
        pytest.param("e1-1\n", id="line end"),
        pytest.param('"e1-1"', id="quoted"),
        pytest.param("e1-1-1", id="three parts"),
        pytest.param("a" * 33 + "-1", id="long epoch"),
        pytest.param("e1-" + "1" * 19, id="19 digits"),
        pytest.param("e1-" + "9" * 100_000, id="100 kB"),
        pytest.param("e1-1\x00", id="NUL"),
        pytest.param("last", id="a word that is not of the wire"),
        pytest.param("NOW", id="a word in capitals"),
    ],
)
def test_garbage(text: str) -> None:
    with pytest.raises(CursorError, match="not a cursor"):
        parse_cursor(text)
    with pytest.raises(CursorError, match="not a cursor"):
        parse_since(text)


def test_words() -> None:
    assert parse_since("earliest") is Start.EARLIEST
    assert parse_since("now") is Start.NOW
    with pytest.raises(CursorError):
        parse_cursor("now")
