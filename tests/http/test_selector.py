"""Selectors: a header, a JSON path or a pattern, and bounds on their cost."""

import time
from typing import Any

import pytest

from pushhub.http.selector import (
    MAX_SELECTOR_CHARS,
    PATTERN_SECONDS,
    HeaderSelector,
    JsonSelector,
    SelectorError,
    TextSelector,
    parse_selector,
)


def json_selector(text: str) -> JsonSelector:
    selector = parse_selector(text)
    assert isinstance(selector, JsonSelector)
    return selector


def text_selector(text: str) -> TextSelector:
    selector = parse_selector(text)
    assert isinstance(selector, TextSelector)
    return selector


def body() -> Any:
    return {
        "query_ms": 3,
        "rows": [{"id": 1, "uptime": 5}, {"id": 2, "uptime": 6}],
        "data": {"result": [{"value": [1.5, "3"]}, {"value": [1.6, "3"]}]},
        "node": {"uptime": 7, "a b": True},
    }


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("query_ms", [3]),
        ("$.query_ms", [3]),
        ("data.result[*].value[0]", [1.5, 1.6]),
        ("data.result[].value[0]", [1.5, 1.6]),
        ("data.result[-1].value[-1]", ["3"]),
        ("*.uptime", [7]),
        ("$..uptime", [5, 6, 7]),
        ("rows[0,1].id", [1, 2]),
        ("node['a b']", [True]),
        ("['query_ms']", [3]),
        ("missing.value", []),
        ("query_ms.value", []),
        ("rows[7]", []),
        ("rows.id", []),
    ],
)
def test_a_path_selects_and_removes_values(path: str, values: list[Any]) -> None:
    selector, root = json_selector(path), body()
    assert selector.take(root) == values
    selector.remove(root)
    assert (root == body()) is (not values)


def test_removed_values_leave_the_others() -> None:
    root = body()
    json_selector("data.result[*].value[0]").remove(root)
    assert root["data"] == {"result": [{"value": ["3"]}, {"value": ["3"]}]}
    json_selector("rows[*]").remove(root)
    assert root["rows"] == []
    nested = {"a": {"a": {"a": 1}, "b": 2}}
    json_selector("$..a").remove(nested)
    assert nested == {}


def test_a_header_has_a_lower_case_name() -> None:
    assert parse_selector("header:X-Etcd-Index") == HeaderSelector(b"x-etcd-index")


def test_a_pattern_selects_and_removes_text() -> None:
    selector = text_selector(r"/\d+ sec ago/")
    assert selector.take("3 sec ago, 14 sec ago") == ["3 sec ago", "14 sec ago"]
    assert selector.remove("seen 3 sec ago.") == "seen ."


@pytest.mark.parametrize("pattern", ["/(a*)*b/", "/(a|a)*b/", "/(.*)*=(.*)*;/"])
def test_a_slow_pattern_ends(pattern: str) -> None:
    selector, text = text_selector(pattern), "a" * 200_000
    begun = time.process_time()
    selector.remove(text)
    selector.take(text)
    assert time.process_time() - begun < 2 * PATTERN_SECONDS + 0.5


def test_a_large_body_is_walked_in_linear_time() -> None:
    def seconds(count: int) -> float:
        root = {"deep": [[{"x": [n]}] for n in range(count)]}
        begun = time.process_time()
        assert len(json_selector("$..x").take(root)) == count
        return time.process_time() - begun

    # Four times the body; a tracer of coverage makes both slower.
    few, many = (min(seconds(count) for _ in range(3)) for count in (5_000, 20_000))
    assert many < 8 * few


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "1 to 256 characters"),
        ("a" * (MAX_SELECTOR_CHARS + 1), "1 to 256 characters"),
        ("$", "whole body"),
        ("$[?@.a > 1]", "filter"),
        ("a[0:2]", "slice"),
        ("$..a..b", "second"),
        ("a b", "no JSONPath"),
        ("a[", "no JSONPath"),
        ("header:a b", "no JSONPath"),
        ("/(/", "no regular expression"),
    ],
)
def test_bad_selectors_are_named(text: str, says: str) -> None:
    with pytest.raises(SelectorError, match=says):
        parse_selector(text)
