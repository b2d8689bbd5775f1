"""What counts as a change: decoded bodies, and what a route ignores or compares."""

import gzip
import json
import zlib
from typing import Any

import pytest

from pushhub.log.event import MAX_EVENT_BYTES
from pushhub.origin.shared.change_rule import WHOLE, ChangeRule, change_rule
from pushhub.origin.shared.representation import Representation
from pushhub.settings.route import Route

JSON = ((b"Content-Type", b"application/json"),)


def tag(rule: ChangeRule, body: Any, *headers: tuple[bytes, bytes], status: int = 200) -> str:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return rule.tag(status, (*JSON, *headers), data)


def test_the_coding_of_a_body_is_no_change() -> None:
    plain = tag(WHOLE, b"[1]")
    for coding, data in (
        (b"gzip", gzip.compress(b"[1]", 1, mtime=1)),
        (b"gzip", gzip.compress(b"[1]", 9, mtime=2)),
        (b"deflate", zlib.compress(b"[1]")),
        (b"x-gzip", gzip.compress(b"[1]")),
    ):
        assert tag(WHOLE, data, (b"Content-Encoding", coding)) == plain
    assert tag(WHOLE, gzip.compress(b"[2]"), (b"Content-Encoding", b"gzip")) != plain


@pytest.mark.parametrize(
    ("coding", "data"),
    [
        (b"br", b"\x01\x02"),
        (b"gzip", b"no gzip"),
        (b"gzip", gzip.compress(b"[1]")[:-2]),
        (b"gzip", gzip.compress(bytes(64 * 1024 * 1024))),
    ],
    ids=["unknown", "damaged", "cut", "bomb"],
)
def test_a_body_that_cannot_be_decoded_counts_as_sent(coding: bytes, data: bytes) -> None:
    assert len(data) < MAX_EVENT_BYTES
    encoded = (b"Content-Encoding", coding)
    assert tag(WHOLE, data, encoded) == tag(WHOLE, data, encoded)
    assert tag(WHOLE, data + b"!", encoded) != tag(WHOLE, data, encoded)


def test_headers_that_describe_the_body_count() -> None:
    plain = tag(WHOLE, b"[1]")
    assert tag(WHOLE, b"[1]", (b"Date", b"now")) == plain
    assert tag(WHOLE, b"[1]", (b"Location", b"/a")) != plain
    assert tag(WHOLE, b"[1]", status=404) != plain


def test_ignored_values_are_no_change() -> None:
    rule = ChangeRule(ignore=("query_ms", "data.result[].value[0]", "*.uptime"))
    first = {"query_ms": 1, "data": {"result": [{"value": [1.1, "a"]}]}, "node": {"uptime": 1}}
    second = {"node": {"uptime": 2}, "query_ms": 2, "data": {"result": [{"value": [1.2, "a"]}]}}
    third = {"query_ms": 2, "data": {"result": [{"value": [1.2, "b"]}]}, "node": {"uptime": 2}}
    assert tag(rule, first) == tag(rule, second)
    assert tag(rule, second) != tag(rule, third)


def test_numbers_that_no_float_holds_are_told_apart() -> None:
    rule = ChangeRule(ignore=("at",))
    assert tag(rule, b'{"id":36893488147419103233}') != tag(rule, b'{"id":36893488147419103234}')


def test_ignored_text_is_no_change() -> None:
    rule = ChangeRule(ignore=(r"/\d+ sec ago/",))
    assert tag(rule, b"<p>3 sec ago</p>") == tag(rule, b"<p>14 sec ago</p>")
    assert tag(rule, b"<p>3 sec ago</p>") != tag(rule, b"<i>3 sec ago</i>")


def test_only_compared_parts_count() -> None:
    rule = ChangeRule(compare=("rows", "header:x-etcd-index"))
    index = (b"X-Etcd-Index", b"7")
    assert tag(rule, {"rows": [1], "ms": 1}, index) == tag(rule, {"rows": [1], "ms": 2}, index)
    assert tag(rule, {"rows": [1]}, index) != tag(rule, {"rows": [2]}, index)
    assert tag(rule, {"rows": [1]}, index) != tag(rule, {"rows": [1]}, (b"X-Etcd-Index", b"8"))


def test_a_response_without_compared_parts_counts_as_a_whole() -> None:
    rule = ChangeRule(compare=("rows",))
    assert tag(rule, {"error": 1}) != tag(rule, {"error": 2})
    assert tag(rule, b"gone", status=404) != tag(rule, b"back", status=404)


def test_a_rule_replaces_the_tag_of_the_origin() -> None:
    rule = change_rule(Route(ignore=("at",)))
    etags = [((b"ETag", b'"%d"' % number),) for number in (1, 2)]
    first, second = (
        Representation(200, b"OK", (*JSON, *etag), b'{"at":%d}' % number, rule)
        for number, etag in enumerate(etags)
    )
    assert first.tag == second.tag
    assert (first.own_tag, second.own_tag) == ("1", "2")
    back = Representation.of(first.draft().data)
    assert (back.tag, back.own_tag, back.has_generated_tag) == (first.tag, "1", True)


def test_a_rule_is_compiled_once_and_offers_only_codings_that_it_decodes() -> None:
    rule = change_rule(Route(ignore=("at",)))
    assert change_rule(Route(path="/other", ignore=("at",))) is rule
    assert rule.codings("br, deflate, gzip, zstd") == "deflate, gzip"
    assert change_rule(Route()) is WHOLE
    assert WHOLE.codings("br, gzip") == "br, gzip"
    assert repr(rule) == "<ChangeRule ignore 1>"
    assert repr(WHOLE) == "<ChangeRule>"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"ignore": ["$[?@.a]"]}, "filter"),
        ({"ignore": ["a"], "compare": ["b"]}, "'ignore' or 'compare'"),
        ({"ignore": ["a"] * 33}, "at most 32"),
    ],
)
def test_a_route_with_a_bad_rule_is_refused(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Route.model_validate(given)
