"""CHANGELOG.md, read by its rule: Keep a Changelog 1.1."""

import datetime
import re
from dataclasses import dataclass, field

KINDS = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
"""The kinds of a change, in the order of Keep a Changelog."""
_VERSION = re.compile(r"^## \[(?P<name>Unreleased|\d+\.\d+\.\d+)\](?: - (?P<date>\S+))?$")


@dataclass(slots=True)
class Section:
    """One version: its lines by kind, and what stands before the first kind."""

    name: str
    date: str | None
    intro: list[str] = field(default_factory=list)
    kinds: dict[str, list[str]] = field(default_factory=dict)

    @property
    def number(self) -> tuple[int, ...]:
        return tuple(map(int, self.name.split(".")))


def parse(text: str) -> list[Section]:
    """The sections, newest first. A ValueError names the line that breaks the rule."""
    sections: list[Section] = []
    lines: list[str] | None = None
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("## "):
            found = _VERSION.match(line)
            if not found:
                raise ValueError(f"line {number}: write `## [1.2.3] - 2026-01-31`, not {line!r}")
            sections.append(Section(found["name"], found["date"]))
            lines = sections[-1].intro
        elif line.startswith("### "):
            kind = line.removeprefix("### ")
            if not sections or kind not in KINDS or kind in sections[-1].kinds:
                raise ValueError(f"line {number}: {kind!r} is no kind of a change, or is repeated")
            lines = sections[-1].kinds[kind] = []
        elif lines is not None and line:
            lines.append(line)
    return sections


def problems(text: str) -> list[str]:
    """What breaks the rule, in sentences; empty if nothing does."""
    try:
        sections = parse(text)
    except ValueError as error:
        return [str(error)]
    found: list[str] = []
    if not sections or sections[0].name != "Unreleased" or sections[0].date:
        return ["the first section is `## [Unreleased]`, without a date"]
    versions = sections[1:]
    for section in sections:
        kinds = list(section.kinds)
        if kinds != sorted(kinds, key=KINDS.index):
            found.append(f"{section.name}: the order is {', '.join(KINDS)}")
        for kind, lines in section.kinds.items():
            if not lines or any(not line.startswith(("- ", "  ")) for line in lines):
                found.append(f"{section.name}, {kind}: a list with `- ` and two spaces")
    if sections[0].intro:
        found.append("Unreleased: a change belongs under one of its kinds")
    for version in versions:
        try:
            datetime.date.fromisoformat(version.date or "")
        except ValueError:
            found.append(f"{version.name}: it needs its date, as 2026-01-31")
        if not version.kinds:
            found.append(f"{version.name}: it has no change")
    numbers = [version.number for version in versions]
    if numbers != sorted(set(numbers), reverse=True):
        found.append("each version is there once, the newest first")
    dates = [version.date or "" for version in versions]
    if dates != sorted(dates, reverse=True):
        found.append("no version has an earlier date than the version before it")
    return found
