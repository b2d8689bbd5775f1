"""JSON bodies: one bound on depth for all of them, and readers that change no value.

orjson is fast, but reads 18446744073709551616 as a float, cuts long decimals and keeps only the
last of two members with the same name. Published data must not change, so the parts of a body are
slices of its own bytes, or are parsed with numbers that keep their text.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal, InvalidOperation
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterator

# .NET's System.Text.Json and Newtonsoft.Json read 64 levels, Ruby 100, Rust's serde_json 128, PHP
# and Perl 512, Python and Jackson about 1,000. A feed or a poll puts an event's data 3 levels deep,
# and one level is left for a program that stores the response.
MAX_JSON_DEPTH = 60

# orjson's own limit, which does the counting here: a body inside so many lists less the bound is
# refused exactly if the body is too deep.
_PARSER_DEPTH = 1024

_SPACE = re.compile(r"[ \t\n\r]*")
# Numbers become floats in C, whatever their length: only their ends in the text are needed.
_scan = json.JSONDecoder(parse_int=float).scan_once  # type: ignore[attr-defined]


class JsonError(ValueError):
    """The body is no usable JSON; the message is a sentence's end for its sender."""


class TooDeep(JsonError):
    """The body is nested too deeply."""

    def __init__(self) -> None:
        super().__init__(f"JSON is nested at most {MAX_JSON_DEPTH} levels deep")


def load(body: bytes, around: int = 0) -> Any:
    """Parse a body. `around` is how many levels of its own it has around the data that it carries.

    Raises:
        JsonError: malformed JSON.
        TooDeep: more than `MAX_JSON_DEPTH` levels.
    """
    most = MAX_JSON_DEPTH + around
    shallow = body.count(b"[") + body.count(b"{") <= most
    lists = 0 if shallow else _PARSER_DEPTH - most
    try:
        document = orjson.loads(body if shallow else b"[" * lists + body + b"]" * lists)
    except orjson.JSONDecodeError as error:
        if not shallow:
            _explain(body)
        raise JsonError(str(error)) from None
    for _ in range(lists):
        # Brackets may make one of two documents: `1],[2` is none, though it is inside of a list.
        if len(document) != 1:
            raise JsonError("unexpected data after the document")
        document = document[0]
    return document


def check_depth(text: bytes) -> None:
    """Refuse JSON that is nested too deeply; of JSON that `load` has read as a part of a body.

    Raises:
        TooDeep: more than `MAX_JSON_DEPTH` levels.
    """
    if text.count(b"[") + text.count(b"{") > MAX_JSON_DEPTH:
        load(text)


def _explain(body: bytes) -> None:
    """Raise what is wrong with a body that could not be read inside of lists."""
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if "depth" in str(error):
            raise TooDeep from None
        raise JsonError(str(error)) from None
    raise TooDeep


def raw_members(body: bytes) -> Iterator[dict[str, bytes]]:
    """The members of an object, or of each object in a list, as the bytes that the body has for
    their values. `load` must have read the body before. A value that is no object has no members.

    Raises:
        JsonError: an object has two members with the same name.
    """
    text = body.decode()
    at = _after_space(text, 0)
    if text[at] != "[":
        yield _object(text, at)[0]
        return
    at = _after_space(text, at + 1)
    while text[at] != "]":
        if text[at] == "{":
            members, at = _object(text, at)
            yield members
        else:
            at = _scan(text, at)[1]
            yield {}
        at = _after_space(text, at)
        if text[at] == ",":
            at = _after_space(text, at + 1)


def _object(text: str, at: int) -> tuple[dict[str, bytes], int]:
    members: dict[str, bytes] = {}
    if text[at] != "{":
        return members, at
    at = _after_space(text, at + 1)
    while text[at] != "}":
        name, at = scanstring(text, at + 1)
        begin = _after_space(text, _after_space(text, at) + 1)
        end = _scan(text, begin)[1]
        if name in members:
            raise JsonError(f"an object has the member {name!r} twice")
        members[name] = text[begin:end].encode()
        at = _after_space(text, end)
        if text[at] == ",":
            at = _after_space(text, at + 1)
    return members, at + 1


def _after_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    assert found is not None
    return found.end()


class Number:
    """A number that no int or float reproduces exactly; it is written as it was read."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __eq__(self, other: object) -> bool:
        if isinstance(other, bool) or not isinstance(other, Number | int | float):
            return NotImplemented
        theirs = other.text if isinstance(other, Number) else repr(other)
        try:
            return Decimal(self.text) == Decimal(theirs)
        except InvalidOperation:
            # Its exponent is beyond those of Decimal.
            return self.text == theirs

    # Equal numbers may have different texts, and none is ever a key.
    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Number({self.text})"


def load_exact(body: bytes, around: int = 0) -> Any:
    """Parse a body so that `dump_exact` writes equal values: long numbers are `Number`s.

    Raises:
        JsonError: malformed JSON, or an object with two members of the same name.
        TooDeep: more than `MAX_JSON_DEPTH` levels.
    """
    load(body, around)
    return _exact.decode(body.decode())


def dump_exact(document: Any, *, sort: bool = False) -> bytes:
    """Write what `load_exact` read; with `sort`, the members of each object by their names.

    Raises:
        TypeError: it holds something else than JSON, or is nested too deeply.
    """
    return orjson.dumps(document, default=_text, option=orjson.OPT_SORT_KEYS if sort else None)


def _text(number: object) -> orjson.Fragment:
    if not isinstance(number, Number):
        raise TypeError(f"{type(number).__name__} is no JSON")
    return orjson.Fragment(number.text.encode())


def _int(text: str) -> int | Number:
    # Up to 18 digits fit 64 bits.
    return int(text) if len(text) <= 18 and text != "-0" else Number(text)


def _float(text: str) -> float | Number:
    value = float(text)
    return value if orjson.dumps(value) == text.encode() else Number(text)


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise JsonError("an object has two members with the same name")
    return members


_exact = json.JSONDecoder(parse_int=_int, parse_float=_float, object_pairs_hook=_pairs)
