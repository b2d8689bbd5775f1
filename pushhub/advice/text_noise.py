"""Noise in HTML and other text: patterns for numbers and random values that always differ."""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise

from pushhub.http.selector import MAX_SELECTOR_CHARS, TextSelector, parse_selector

# Pieces of a text that are compared, and patterns that are tried: a log page has more, and is data.
MAX_PIECES = 20_000
MAX_PATTERNS = 8
# The characters beside a number that make its pattern find only this number.
CONTEXT = 24

_PIECE = re.compile(r"[^>\n]*[>\n]?")
_WORD = re.compile(r"[\w.+/=-]")
_DIGITS = re.compile(r"\d+")
_RANDOM = re.compile(r"[\w+/=.-]{8,512}")
# A word that the bound of the context has cut: the first of the text, or of the reversed text.
_CUT = re.compile(r"\w+")
_TAG = re.compile(r"</?\w*>?")
_LETTERS = re.compile(r"[A-Za-z]")


def text_patterns(texts: list[str]) -> list[str] | None:
    """Selectors whose removal makes the texts equal; None if they differ in anything else."""
    patterns: dict[str, None] = {}
    for before, after in pairwise(texts):
        one, other = _PIECE.findall(before), _PIECE.findall(after)
        if len(one) != len(other) or len(one) > MAX_PIECES:
            return None
        counts: Counter[str] = Counter()
        last = ""
        for mine, its in zip(one, other, strict=True):
            if mine != its:
                pattern = _pattern(mine, its, last)
                if pattern is None or len(patterns) >= MAX_PATTERNS:
                    return None
                patterns[pattern] = None
                counts[pattern] += 1
            # Beside a part that differs, too, there is no context.
            last = mine if mine == its else ""
        if any(_matches(pattern, before) > count for pattern, count in counts.items()):
            # It would remove data that did not differ.
            return None
    return list(patterns) if _settles(list(patterns), texts) else None


def _matches(pattern: str, text: str) -> int:
    selector = parse_selector(pattern)
    assert isinstance(selector, TextSelector)
    return len(selector.take(text) or ())


def _settles(patterns: list[str], texts: list[str]) -> bool:
    """Whether the texts are equal without the matches, as a route with these patterns sees them."""
    rest = set()
    for text in texts:
        for pattern in patterns:
            selector = parse_selector(pattern)
            assert isinstance(selector, TextSelector)
            text = found if (found := selector.remove(text)) is not None else text
        rest.add(text)
    return len(rest) == 1


def _pattern(one: str, other: str, last: str) -> str | None:
    """A pattern for the part in which two pieces differ, after the piece before them; None if it is
    no number and not random.
    """
    begin, most = 0, min(len(one), len(other))
    while begin < most and one[begin] == other[begin]:
        begin += 1
    end = 0
    while end < most - begin and one[-1 - end] == other[-1 - end]:
        end += 1
    while begin and _WORD.match(one[begin - 1]):
        begin -= 1
    while end and _WORD.match(one[len(one) - end]):
        end -= 1
    mine, its = one[begin : len(one) - end], other[begin : len(other) - end]
    if not (middle := _general(mine, its)):
        return None
    before, after = last + one[:begin], one[len(one) - end :]
    if len(before) > CONTEXT:
        before = _without_cut(before[-CONTEXT:])
    if len(after) > CONTEXT:
        after = _without_cut(after[:CONTEXT][::-1])[::-1]
    before, after = before[before.rfind("\n") + 1 :], after.partition("\n")[0]
    if not _LETTERS.search(_TAG.sub("", before + after)):
        # Without a word beside it the pattern would remove every number.
        return None
    pattern = f"/{_escaped(before)}{middle}{_escaped(after)}/"
    return pattern if len(pattern) <= MAX_SELECTOR_CHARS else None


def _without_cut(text: str) -> str:
    cut = _CUT.match(text)
    return text[cut.end() :] if cut else text


def _general(one: str, other: str) -> str:
    """A pattern for both; empty without one."""
    numbers = _numbers(one)
    if numbers == _numbers(other) and numbers != _escaped(one):
        return numbers
    if _RANDOM.fullmatch(one) and _RANDOM.fullmatch(other):
        return r"[\w+/=.-]+"
    return ""


def _numbers(text: str) -> str:
    return r"\d+".join(_escaped(part) for part in _DIGITS.split(text))


def _escaped(text: str) -> str:
    return re.escape(text).replace("\\ ", " ").replace("\\-", "-")
