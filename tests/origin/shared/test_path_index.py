"""The index of resources by path finds what a walk over all resources finds, without the walk."""

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pushhub.http.path_pattern import PatternError, parse_pattern, readings
from pushhub.origin.shared.path_index import DEPTH, PathIndex
from pushhub.origin.shared.scope import is_pattern

if TYPE_CHECKING:
    from pushhub.origin.shared.resource import Resource


@dataclass(frozen=True)
class Named:
    """What the index reads of a key."""

    path: str
    query: str = ""


@dataclass(frozen=True)
class Known:
    """What the index reads of a resource."""

    key: Named
    channel: str


def index_of(resources: list[Known]) -> PathIndex:
    index = PathIndex()
    for resource in resources:
        index.add(cast("Resource", resource))
    return index


def walked(resources: list[Known], names: list[str]) -> set[str]:
    """The channels that a notification names, by the definition: each resource is compared."""
    plain = {text for text in names if not is_pattern(text)}
    patterns = [parse_pattern(text) for text in names if text not in plain]
    return {
        one.channel
        for one in resources
        if one.key.path in plain
        or f"{one.key.path}?{one.key.query}" in plain
        or any(pattern.values(readings(one.key.path)[0]) is not None for pattern in patterns)
    }


def found(index: PathIndex, names: list[str]) -> set[str]:
    channels = [resource.channel for resource in index.find(names)]
    assert len(channels) == len(set(channels)), "each once"
    return set(channels)


SEGMENTS = st.sampled_from(
    ["a", "b", "ab", "a.json", "", "%61", "a%2Fb", "%C3%A9", "%F4%8F%BF%BF", "..", "%FF"]
)
PATHS = st.lists(SEGMENTS, min_size=1, max_size=DEPTH + 2).map(lambda them: "/" + "/".join(them))
PIECES = st.sampled_from(["a", "b", "ab", "{x}", "{x}.json", "a{x}", "%C3%A9"])


@st.composite
def patterns(draw: st.DrawFn) -> str:
    pieces = draw(st.lists(PIECES, min_size=1, max_size=DEPTH + 2))
    numbers = itertools.count()
    text = "/" + "/".join(piece.replace("{x}", f"{{x{next(numbers)}}}") for piece in pieces)
    ending = draw(st.sampled_from(["", "*", "/*"]))
    try:
        parse_pattern(text + ending)
    except PatternError:
        ending = "/*" if ending else ""
    return text + ending


@given(
    st.lists(st.tuples(PATHS, st.sampled_from(["", "q=1"])), max_size=12),
    st.lists(st.one_of(patterns(), PATHS, PATHS.map(lambda path: path + "?q=1")), max_size=5),
    st.integers(0, 12),
)
@example([("/" + "a/" * DEPTH + "b", "")], ["/" + "a/" * DEPTH + "*"], 0)
@example([("/" + "a/" * (DEPTH - 1) + "b", "")], ["/" + "a/" * (DEPTH - 1) + "b*"], 0)
@example([("/a", ""), ("/a/", ""), ("/ab", "")], ["/a/*", "/a*"], 0)
def test_the_index_finds_what_a_walk_finds(
    keys: list[tuple[str, str]], names: list[str], removed: int
) -> None:
    resources = [Known(Named(*key), f"c{number}") for number, key in enumerate(keys)]
    index = index_of(resources)
    assert found(index, names) == walked(resources, names)
    for resource in resources[:removed]:
        index.discard(cast("Resource", resource))
    assert found(index, names) == walked(resources[removed:], names)
    for resource in resources[removed:]:
        assert resource.key.path in index
        index.discard(cast("Resource", resource))
    assert found(index, ["/*"]) == set()


def seconds(work: Callable[[], object]) -> float:
    """The least processor time of a few runs: on a busy machine other processes come between."""
    times = []
    for _ in range(3):
        began = time.thread_time()
        work()
        times.append(time.thread_time() - began)
    return min(times)


@pytest.mark.parametrize(
    "names",
    [
        ["/b*"],
        ["/orders/7"],
        ["/orders/7/*"],
        # As many as a notification may have.
        [f"/b{number}/*" for number in range(100)],
        [f"/orders/{{id}}/x{number}" for number in range(100)],
    ],
    ids=["prefix", "path", "below", "100 prefixes", "100 patterns"],
)
def test_a_notification_does_not_walk_over_resources_of_others(names: list[str]) -> None:
    """The control is the walk that notifications once were."""
    resources = [Known(Named(f"/orders/{number}/items"), f"c{number}") for number in range(1000)]
    index = index_of(resources)
    assert seconds(lambda: index.find(names)) * 5 < seconds(lambda: walked(resources, names))
