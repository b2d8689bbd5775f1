"""Advice on what counts as a change: the validator, and the lines `ignore` and `compare`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pushhub.advice.json_noise import general_paths, json_differences
from pushhub.advice.observation import RequestForm
from pushhub.advice.suggested_line import SuggestedLine
from pushhub.advice.text_noise import text_patterns
from pushhub.advice.versions import version_candidates
from pushhub.http.selector import SelectorError, parse_selector
from pushhub.origin.shared.change_rule import WHOLE, ChangeRule
from pushhub.settings.route import MAX_SELECTORS

if TYPE_CHECKING:
    from pushhub.advice.json_noise import ValueDifference
    from pushhub.advice.observation import Observation, Survey
    from pushhub.advice.versions import VersionCandidate

# Values that a sentence shows, and the characters of one.
MAX_SHOWN = 3
MAX_VALUE = 40


@dataclass(slots=True)
class ChangeAdvice:
    """Lines of the route, sentences, and the rule that the active lines make."""

    lines: list[SuggestedLine] = field(default_factory=list)
    facts: list[str] = field(default_factory=list)
    rule: ChangeRule = WHOLE
    always_new: bool = False


def change_advice(survey: Survey) -> ChangeAdvice:
    """What counts as a change of the surveyed resource."""
    advice = ChangeAdvice()
    given = survey.given
    bodies = {one.tag(WHOLE) for one in given}
    tags = [one.representation().own_tag for one in given]
    has_tags = all(tags)
    if has_tags and len(set(tags)) == 1 and len(bodies) > 1:
        advice.facts.append(
            f"The API's own ETag stays although the body differs{_where(given)}: the API says that "
            "this is no change."
        )
    elif len(bodies) > 1:
        _differing(given, advice)
    elif has_tags and len(set(tags)) > 1:
        advice.lines.append(
            SuggestedLine(
                "ignore", ["header:etag"], "the ETag differs each time, and the body never does"
            )
        )
        advice.rule = ChangeRule(("header:etag",))
    if len(bodies) == 1:
        advice.facts.append(f"{len(given)} responses in {survey.span:.0f} s have the same body.")
    elif advice.rule and len({one.tag(advice.rule) for one in given}) == 1:
        advice.facts.append(
            f"Without the ignored parts, {len(given)} responses in {survey.span:.0f} s are "
            "the same."
        )
    _validator(survey, advice, tags)
    if not all(tags):
        _compression(survey, advice)
    return advice


def _differing(given: list[Observation], advice: ChangeAdvice) -> None:
    differences = json_differences(given)
    if differences is None:
        _differing_text(given, advice)
        return
    noise = [entry for entry in general_paths(differences) if _is_selector(entry[0])]
    if not differences:
        advice.facts.append(
            "The bodies differ in their form alone, such as the order of members; pushhub compares "
            "the values as soon as the route has an 'ignore'."
        )
        return
    data = [one for one in differences if not one.noise]
    ignored = tuple(selector for selector, _ in noise)[:MAX_SELECTORS]
    versions = version_candidates(given, ignored[: MAX_SELECTORS - 1])
    if noise:
        advice.rule = ChangeRule(ignored)
        reasons = [
            f"{selector} is {one.noise}{_example(one)}" for selector, one in noise[:MAX_SHOWN]
        ]
        if len(noise) > MAX_SHOWN:
            reasons.append("the others likewise")
        advice.lines.append(SuggestedLine("ignore", list(ignored), "; ".join(reasons)))
    always = [one for one in data if one.always]
    if always and len(given) > 2:
        _always_new(always, versions, advice)
    elif data:
        advice.facts.append(
            f"A change was seen: {_changed(data[0])}"
            + (f", and {len(data) - 1} more" if len(data) > 1 else "")
            + "."
        )
    proved = [one for one in versions if one.together and not one.alone and not one.missed]
    if proved and noise and not always:
        best = proved[0]
        advice.lines.append(
            SuggestedLine(
                "compare", [best.selector], "instead of 'ignore': it changed with the rest "
                f"{_times(best.together)}, and never alone", active=False,
            )
        )  # fmt: skip


def _always_new(
    always: list[ValueDifference], versions: list[VersionCandidate], advice: ChangeAdvice
) -> None:
    """Data that differs in each response: only the owner can say what counts."""
    advice.always_new = True
    names = ", ".join(one.path for one in always[:MAX_SHOWN])
    more = ", …" if len(always) > MAX_SHOWN else ""
    advice.facts.append(
        f"Always new: {names}{more} differs in each response ({_changed(always[0])}). If that is "
        "what clients wait for, a wait is no better than a poll; else leave it out."
    )
    stay = [one for one in versions if not one.together and not one.alone]
    if stay:
        advice.lines.append(
            SuggestedLine(
                "compare", [stay[0].selector], f"it stayed {_shown(stay[0].value)}; take this line "
                "if it changes with each change", active=False,
            )
        )  # fmt: skip
    kept = [line.value for line in advice.lines if line.option == "ignore"]
    selectors = [
        *(kept[0] if kept else []),
        *(one.path for one in always if _is_selector(one.path)),
    ]
    if len(selectors) <= MAX_SELECTORS and always:
        advice.lines.append(
            SuggestedLine(
                "ignore", selectors, "take this line instead if clients need none of these values",
                active=False,
            )
        )  # fmt: skip


def _differing_text(given: list[Observation], advice: ChangeAdvice) -> None:
    patterns = text_patterns([one.decoded.decode("utf-8", "replace") for one in given])
    if patterns:
        advice.rule = ChangeRule(tuple(patterns))
        advice.lines.append(
            SuggestedLine("ignore", patterns, "this text differs each time, and nothing else does")
        )
    elif len({one.tag(WHOLE) for one in given}) == len(given):
        advice.always_new = True
        advice.facts.append(
            "Always new: the text differs each time, in more than numbers. A wait is no better "
            "than a poll, unless 'ignore' leaves out what clients do not need."
        )
    else:
        advice.facts.append("A change was seen: the text differs.")


def _validator(survey: Survey, advice: ChangeAdvice, tags: list[str]) -> None:
    last = survey.given[-1]
    conditional = survey.of(RequestForm.CONDITIONAL)
    saves = any(one.status == 304 for one in conditional)
    ignores = any(line.option == "ignore" and line.active for line in advice.lines)
    if all(tags) and not ignores:
        text = f"Validator: the API's own ETag, {last.header(b'etag')}"
        if saves:
            text += f"; it answers 304 to it, which saves {len(last.body):,} bytes a fetch"
        advice.facts.append(text + ".")
        return
    what = "what is left of the body" if ignores else "the body"
    own = " Its own ETag differs each time." if all(tags) else ""
    if not all(tags):
        modified = last.header(b"last-modified")
        own = (
            f" The API has no ETag, only Last-Modified ({modified}), which has whole seconds."
            if modified
            else " The API has no ETag."
        )
    advice.facts.append(f"Validator: pushhub makes an ETag from {what}.{own}")


def _compression(survey: Survey, advice: ChangeAdvice) -> None:
    zipped = [one for one in survey.of(RequestForm.COMPRESSED) if one.status == 200]
    if len(zipped) < 2 or not any(one.header(b"content-encoding") for one in zipped):
        return
    sent = {one.body for one in zipped}
    same = {one.tag(advice.rule) for one in zipped}
    if len(sent) > 1 and len(same) == 1 and len({one.decoded for one in zipped}) == 1:
        advice.facts.append(
            "The same body is compressed in another way each time; pushhub compares it decoded."
        )


def _example(one: ValueDifference) -> str:
    """Two values; none of what may be a secret, because these lines end in a file."""
    if isinstance(one.after, str) and not one.is_time:
        return ""
    return f": {_shown(one.before)}, then {_shown(one.after)}"


def _where(given: list[Observation]) -> str:
    differences = json_differences(given)
    return f" ({differences[0].path})" if differences else ""


def _is_selector(text: str) -> bool:
    try:
        parse_selector(text)
    except SelectorError:
        return False
    return True


def _changed(one: ValueDifference) -> str:
    return f"{one.path}, {_shown(one.before)} → {_shown(one.after)}"


def _shown(value: Any) -> str:
    # Ten digits are the seconds since 1970.
    text = f"{value:.10g}" if isinstance(value, float) else str(value)
    text = f'"{value}"' if isinstance(value, str) else text
    return text if len(text) <= MAX_VALUE else text[: MAX_VALUE - 1] + "…"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
