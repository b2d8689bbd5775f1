"""SASLprep (RFC 4013): how clients of RFC 5802 and RFC 4616 prepare a password.

RFC 8265 replaced it by OpaqueString, the form in which pushhub stores passwords. The two differ:
SASLprep replaces compatibility characters (a ligature, a full-width letter) and drops soft hyphens.
"""

from __future__ import annotations

import stringprep
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

# RFC 4013 §2.3.
_PROHIBITED: tuple[Callable[[str], bool], ...] = (
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


def saslprep(text: str) -> str | None:
    """The prepared text; None if SASLprep prohibits it, so that its clients cannot send it.

    Characters newer than Unicode 3.2 are allowed, as in queries (RFC 3454 §7).
    """
    mapped = "".join(
        " " if stringprep.in_table_c12(char) else char
        for char in text
        if not stringprep.in_table_b1(char)
    )
    prepared = unicodedata.ucd_3_2_0.normalize("NFKC", mapped)
    if not prepared or any(prohibits(char) for char in prepared for prohibits in _PROHIBITED):
        return None
    return prepared if _is_one_way(prepared) else None


def _is_one_way(text: str) -> bool:
    """Whether right-to-left text is right-to-left as a whole (RFC 3454 §6)."""
    right = [stringprep.in_table_d1(char) for char in text]
    if not any(right):
        return True
    return right[0] and right[-1] and not any(map(stringprep.in_table_d2, text))
