"""Suggestions as TOML, ready to paste: each line of a route below the reason for it."""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pushhub.advice.suggestion import Suggestion

WIDTH = 96


def toml_lines(suggestions: list[Suggestion]) -> list[str]:
    """The lines. Without a usable suggestion there is none, except comments."""
    usable = [one for one in suggestions if not one.problem]
    targets = {one.survey.target for one in usable}
    lines = [f"origin = {_value(targets.pop())}"] if len(targets) == 1 else []
    # A fact of all URLs is written once.
    common = [fact for fact in usable[0].facts if len(usable) > 1] if usable else []
    common = [fact for fact in common if all(fact in one.facts for one in usable)]
    for fact in common:
        lines += _comment(fact)
    written: list[tuple[str, dict[str, Any]]] = []
    for suggestion in suggestions:
        lines += ["", *_comment(_heading(suggestion))]
        if suggestion.problem:
            lines += _comment(suggestion.problem)
            continue
        route = (suggestion.survey.target, suggestion.options)
        if route in written:
            lines += _comment("The route above is for this URL, too.")
            continue
        written.append(route)
        lines += _route(suggestion, common, with_target=bool(targets))
    return lines[1:] if lines and not lines[0] else lines


def _heading(suggestion: Suggestion) -> str:
    survey = suggestion.survey
    if suggestion.problem or not survey.given:
        return survey.url
    last = survey.given[-1]
    kind = last.header(b"content-type").partition(";")[0] or "no Content-Type"
    return (
        f"{survey.url}: {last.status}, {kind}, {len(last.body):,} bytes in {survey.seconds:.3f} s"
    )


def _route(suggestion: Suggestion, common: list[str], *, with_target: bool) -> Iterator[str]:
    for fact in suggestion.facts:
        if fact not in common:
            yield from _comment(fact)
    if suggestion.unshared:
        yield from _comment(f"Not shared: {suggestion.unshared}")
    yield "[[routes]]"
    yield f"path = {_value(suggestion.path)}"
    if with_target:
        yield f"target = {_value(suggestion.survey.target)}"
    yield f"step = {_value(suggestion.step)}"
    reason = ""
    for line in suggestion.lines:
        if line.reason != reason:
            yield from _comment(f"{line.option}: {line.reason}.")
        reason = line.reason
        yield f"{'' if line.active else '# '}{line.option} = {_value(line.value)}"


def _comment(text: str) -> list[str]:
    # An origin's text has no part in the lines but in comments, which a line end would leave.
    plain = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    return textwrap.wrap(
        plain, WIDTH, initial_indent="# ", subsequent_indent="#   ", break_long_words=False
    )


def _value(value: Any) -> str:
    """A value in TOML: its basic strings escape as JSON's do, and add DEL."""
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, str) and "\\" in value and "'" not in value and value.isprintable():
        # A pattern, as its author would write it.
        return f"'{value}'"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
