"""The difference of two bodies in words."""

import json
import time

import pytest

from pushhub.http.selector import parse_selector
from pushhub.origin.shared.body_difference import differing


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ({"a": 1, "b": 2}, {"a": 1, "b": 3}, "$.b"),
        ({"a": 1}, {"a": 1, "b": 3}, "$.b"),
        ({"rows": [{"at": 1}, {"at": 1}]}, {"rows": [{"at": 2}, {"at": 2}]}, "$.rows[*].at"),
        ({"rows": [1]}, {"rows": [1, 2]}, "$.rows"),
        # Prometheus: a time and a value; only the time is noise.
        (
            {"result": [{"value": [1764.1, "3"]}, {"value": [1764.1, "4"]}]},
            {"result": [{"value": [1765.1, "3"]}, {"value": [1765.1, "4"]}]},
            "$.result[*].value[0]",
        ),
        ({"a b": {"it's": 1}}, {"a b": {"it's": 2}}, r"$['a b']['it\'s']"),
        (dict.fromkeys("abcdefg", 1), dict.fromkeys("abcdefg", 2), "$.a, $.b, $.c, $.d, $.e, …"),
        ([1], {"a": 1}, "the text from byte 0 on"),
    ],
)
def test_differing_values_are_named(before: object, after: object, says: str) -> None:
    found = differing(json.dumps(before).encode(), json.dumps(after).encode())
    assert found.startswith(says)
    if found == says and "…" not in says:
        parse_selector(says.split(", ")[0])


def test_differing_text_is_shown_where_it_differs() -> None:
    found = differing(b"<p>seen 3 sec ago</p>", b"<p>seen 4 sec ago</p>")
    assert found == "the text from byte 8 on, in '<p>seen 4 sec ago</p'"


def test_large_bodies_take_little_time() -> None:
    before = json.dumps([[n] for n in range(30_000)]).encode()
    after = json.dumps([[n + 1] for n in range(30_000)]).encode()
    begun = time.process_time()
    assert differing(before, after) == "$[*][*]"
    assert time.process_time() - begun < 2
