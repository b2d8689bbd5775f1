"""Noise in JSON: values that differ between two responses although nothing has changed.

Only what can be named is noise: a time, a duration, a count of requests, a random value. Any other
value that differs is data, whose change a client waits for.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pushhub.http.date import parse_date
from pushhub.log.json_body import JsonError, load
from pushhub.origin.shared.body_difference import changed_values

if TYPE_CHECKING:
    from pushhub.advice.observation import Observation

# Paths with one last name, from which on `$..name` is shorter: two may be a coincidence.
GENERAL = 3
# Clocks of two machines, and time zones that a text leaves out, are settled by differences; this
# bounds only the words "of the response".
NEAR_SECONDS = 120.0
# Jitter of a response, for values with a fraction and for values in whole seconds.
JITTER = 0.3
WHOLE_SECOND = 1.05
# So much longer than the jitter is a time that proves something: a count would pass for a time
# in milliseconds.
EVIDENCE = 4
_UNITS = (1.0, 1e3, 1e6, 1e9)

_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_DURATION = frozenset(
    {
        "uptime",
        "age",
        "elapsed",
        "duration",
        "took",
        "latency",
        "ms",
        "millis",
        "milliseconds",
        "msec",
        "seconds",
        "secs",
        "ns",
        "us",
        "runtime",
        "timing",
        "ago",
        "idle",
    }
)
_CLOCK = _DURATION | frozenset(
    {
        "time",
        "timestamp",
        "ts",
        "now",
        "date",
        "datetime",
        "clock",
        "epoch",
        "at",
        "generated",
        "served_at",
    }
)
_COUNT = frozenset({"requests", "hits", "served", "queries", "calls"})
_RANDOM = frozenset(
    {"csrf", "xsrf", "nonce", "trace", "span", "uuid", "guid", "correlation", "request"}
)
_DIGEST = frozenset(
    {"etag", "hash", "digest", "checksum", "sha", "sha1", "sha256", "md5", "signature"}
)
_RANDOM_VALUE = re.compile(r"[0-9A-Za-z_+/=.:-]{8,512}")
_DIGITS = re.compile(r"\d+(?:\.\d+)?")
_TIME_WORDS = re.compile(
    r"(?i)\d\s?(?:ms|s|secs?|seconds?|m|mins?|minutes?|h|hours?|days?|weeks?)\b|\d:\d\d"
)


@dataclass(frozen=True, slots=True)
class ValueDifference:
    """A value that differs: its path, the pairs of responses in which it does, and examples.
    `noise` says what it is; empty for data.
    """

    path: str
    times: int
    pairs: int
    before: Any
    after: Any
    noise: str = ""

    @property
    def is_time(self) -> bool:
        """Whether it is a time, and so no secret."""
        return "time" in self.noise

    @property
    def always(self) -> bool:
        """Whether it differs in each pair of responses."""
        return self.times == self.pairs


@dataclass(frozen=True, slots=True)
class _Step:
    """A value in two responses, one after the other."""

    before: Any
    after: Any
    first: Observation
    second: Observation


def json_differences(observations: list[Observation]) -> list[ValueDifference] | None:
    """The values that differ between one response and the next; None if a body is no JSON."""
    roots = [_root(one) for one in observations]
    if not all(isinstance(root, dict | list) for root in roots):
        return None
    steps: dict[str, list[_Step]] = defaultdict(list)
    in_pairs: Counter[str] = Counter()
    pairs = list(zip(observations, observations[1:], roots, roots[1:], strict=False))
    for first, second, before, after in pairs:
        paths = set()
        for path, one, other in changed_values(before, after):
            steps[path].append(_Step(one, other, first, second))
            paths.add(path)
        in_pairs.update(paths)
    found = []
    for path, all_steps in steps.items():
        always = in_pairs[path] == len(pairs)
        difference = ValueDifference(
            _selector(path), in_pairs[path], len(pairs), all_steps[-1].before, all_steps[-1].after,
            _noise(path, all_steps, always=always),
        )  # fmt: skip
        found.append(difference)
    return found


def general_paths(differences: list[ValueDifference]) -> list[tuple[str, ValueDifference]]:
    """The selectors of noise, each with an example: `$..age` for several paths with one name."""
    last = {one.path: one.path.rpartition(".")[2] for one in differences}
    data = {last[one.path] for one in differences if not one.noise}
    counts = Counter(last[one.path] for one in differences if one.noise)
    selectors: dict[str, ValueDifference] = {}
    for one in differences:
        if one.noise:
            name = last[one.path]
            is_general = counts[name] >= GENERAL and name not in data and name.isidentifier()
            selectors.setdefault(f"$..{name}" if is_general else one.path, one)
    return list(selectors.items())


def _root(observation: Observation) -> Any:
    try:
        return load(observation.decoded)
    except JsonError:
        return None


def _selector(path: str) -> str:
    return path.removeprefix("$.") if path.startswith("$.") else path.removeprefix("$")


def _noise(path: str, steps: list[_Step], *, always: bool) -> str:
    """What a value is, if it is noise; else empty."""
    named = words(path)
    if always and (moving := _moving(steps, named)):
        return moving
    values = [value for step in steps for value in (step.before, step.after)]
    if all(_is_number(value) for value in values):
        # By the last word: `seconds` of `cpu_seconds` is one, and `age_limit` is none.
        if named and named[-1] in _DURATION:
            return "a duration"
        if always and all(_counts_requests(step) for step in steps):
            return "a count of the requests"
        if not _COUNT.isdisjoint(named) and all(step.after > step.before for step in steps):
            return "a count of requests"
        return ""
    if not all(isinstance(value, str) for value in values):
        return ""
    if all(_is_time_text(step) for step in steps):
        return "a time in words"
    if all(_RANDOM_VALUE.fullmatch(value) and _is_mixed(value) for value in values):
        if not _DIGEST.isdisjoint(named):
            return "a digest, which differs with the whole" if always else ""
        if len(set(values)) > len(steps) and (always or not _RANDOM.isdisjoint(named)):
            return "a random value"
    return ""


def words(path: str) -> list[str]:
    """The words of the last name of a path, in lower case."""
    name = path.rpartition(".")[2].partition("[")[0] or path
    return [word.lower() for word in _WORDS.findall(name)]


def _moving(steps: list[_Step], named: list[str]) -> str:
    """What a value is that advances with the clock."""
    for unit in _UNITS:
        times = [(_seconds(step.before, unit), _seconds(step.after, unit)) for step in steps]
        if any(before is None or after is None for before, after in times):
            return ""
        is_near = all(
            abs(after - step.second.clock) < NEAR_SECONDS
            for (_, after), step in zip(times, steps, strict=True)
            if after is not None
        )
        if is_near:
            return "the time of the response"
        is_text = any(isinstance(step.after, str) for step in steps)
        whole = all(float(after or 0).is_integer() for _, after in times)
        if whole and not is_text and unit == 1.0 and _CLOCK.isdisjoint(named):
            # A number that grows by one each second may be data.
            continue
        jitter = WHOLE_SECOND if unit == 1.0 and whole else JITTER
        if sum(step.second.clock - step.first.clock for step in steps) < EVIDENCE * jitter:
            continue
        moves = [
            (after - before, step.second.clock - step.first.clock)
            for (before, after), step in zip(times, steps, strict=True)
            if before is not None and after is not None
        ]
        if all(abs(moved - passed) <= jitter for moved, passed in moves):
            return "a time that advances with the clock"
        if all(abs(moved + passed) <= jitter for moved, passed in moves):
            return "a time that counts down with the clock"
    return ""


def _seconds(value: Any, unit: float) -> float | None:
    """A time in seconds; None for what is no time."""
    if _is_number(value):
        return float(value) / unit
    if not isinstance(value, str) or len(value) > 64:
        return None
    if value.isascii() and value.replace(".", "", 1).isdigit():
        return float(value) / unit
    try:
        parsed = datetime.fromisoformat(value)
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return parse_date(value)


def _counts_requests(step: _Step) -> bool:
    return bool(step.after - step.before == step.second.number - step.first.number)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_time_text(step: _Step) -> bool:
    """Whether a text differs in its numbers alone, and they are times."""
    same = _DIGITS.sub("0", step.before) == _DIGITS.sub("0", step.after)
    return same and _TIME_WORDS.search(step.after) is not None


def _is_mixed(value: str) -> bool:
    return any(c.isdigit() for c in value) and any(c.isalpha() for c in value)
