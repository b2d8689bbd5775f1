"""The grammar of GRIP's headers: values with parameters, quoted strings and escapes.

    Grip-Channel: news; prev-id=7; filter=skip-self, sport
    Grip-Set-Meta: user="al\\"ice"
    Grip-Keep-Alive: \\n; format=cstring; timeout=30

A comma separates values, a semicolon separates the parameters of one, and inside a quoted string
(RFC 9110 §5.6.4) neither does. Every step is linear in the header's length.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# One parameter up to the next semicolon or comma; a quoted string hides both.
_QUOTED = re.compile(r'"([^"\\]*(?:\\.[^"\\]*)*)"[ \t]*', re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_CSTRING = re.compile(rb"\\(?:([\\rn])|x([0-9A-Fa-f]{2}))?")
_CONTROLS = {b"\\": b"\\", b"r": b"\r", b"n": b"\n"}


class GripError(ValueError):
    """An invalid instruct or item; the message is a sentence for its author."""


@dataclass(frozen=True, slots=True)
class Field:
    """One value of a header, and its parameters in order. Names are in lower case."""

    value: str
    parameters: tuple[tuple[str, str], ...] = ()

    def get(self, name: str) -> str | None:
        """The first parameter of this name."""
        return next((value for key, value in self.parameters if key == name), None)

    def all(self, name: str) -> tuple[str, ...]:
        """Every parameter of this name."""
        return tuple(value for key, value in self.parameters if key == name)


def parse_fields(text: str, header: str, *, list: bool = True) -> tuple[Field, ...]:
    """Read a header's values. Without `list` a comma is an ordinary character.

    Raises:
        GripError: a quoted string does not end, or something follows it.
    """
    fields = []
    position = 0
    while position <= len(text):
        value, position, end = _piece(text, position, header, list)
        parameters = []
        while end == ";":
            name, equals, position, end = _name(text, position, list)
            if equals:
                given, position, end = _piece(text, position, header, list)
            else:
                given = ""
            if name:
                parameters.append((name.lower(), given))
        if value or parameters or not list:
            fields.append(Field(value, tuple(parameters)))
    return tuple(fields)


def parse_pairs(text: str, header: str) -> tuple[tuple[str, str], ...]:
    """Read `key="value", key2=value2`. Keys keep their case.

    Raises:
        GripError: a quoted string does not end, or a key is missing.
    """
    pairs = []
    position = 0
    while position <= len(text):
        name, equals, position, end = _name(text, position, True)
        if equals:
            value, position, end = _piece(text, position, header, True)
        else:
            value = ""
        while end == ";":
            # Parameters of a pair have no meaning here.
            _, position, end = _piece(text, position, header, True)
        if name:
            pairs.append((name, value))
        elif equals:
            raise GripError(f"'{header}' has a value without a name.")
    return tuple(pairs)


def _name(text: str, position: int, commas: bool) -> tuple[str, bool, int, str]:
    """A name up to the next `=` or separator, whether there is an `=`, the next position, and the
    separator.
    """
    end = position
    stops = "=;," if commas else "=;"
    while end < len(text) and text[end] not in stops:
        end += 1
    stop = text[end] if end < len(text) else ""
    return text[position:end].strip(), stop == "=", end + 1, stop


def _piece(text: str, position: int, header: str, commas: bool) -> tuple[str, int, str]:
    """A token or quoted string, the next position, and the separator that ended it."""
    while text[position : position + 1] in (" ", "\t"):
        position += 1
    if text[position : position + 1] == '"':
        found = _QUOTED.match(text, position)
        if found is None:
            raise GripError(f"'{header}' has a quoted string that does not end.")
        end = found.end()
        stop = text[end : end + 1]
        if stop and stop != ";" and not (commas and stop == ","):
            raise GripError(f"'{header}' has something right after a quoted string.")
        return _ESCAPED.sub(r"\1", found[1]), end + 1, stop
    end = position
    while end < len(text) and text[end] != ";" and not (commas and text[end] == ","):
        end += 1
    return text[position:end].strip(), end + 1, text[end : end + 1]


def unescape(text: bytes, what: str) -> bytes:
    r"""Read a `cstring`: `\n`, `\r`, `\\` and `\x0a`.

    Raises:
        GripError: an unknown escape, or an incomplete one.
    """

    def control(found: re.Match[bytes]) -> bytes:
        if found[1]:
            return _CONTROLS[found[1]]
        if found[2]:
            return bytes.fromhex(found[2].decode())
        raise GripError(f"{what} has an escape other than \\n, \\r, \\\\ and \\x and two digits.")

    return _CSTRING.sub(control, text)
