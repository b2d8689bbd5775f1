import itertools
import json
from typing import Any

import pytest

from pushhub.grip.fields import GripError
from pushhub.grip.filters import FilterInput, apply_filters
from pushhub.grip.item import (
    CONTENT_TYPE,
    DeliveryAction,
    Item,
    ItemError,
    ResponseFormat,
    StreamFormat,
    item_of,
    parse_batch,
)
from pushhub.grip.patch import apply_patch, check_patch
from pushhub.http.published_body import published_headers
from pushhub.log.event import JSON, MAX_EVENT_BYTES, Event

GOOD = {"http-response": {"body": "x"}}


_offsets = itertools.count(1)


def logged(channel: str, data: bytes, content_type: str, id: str = "") -> Event:
    """An event like no other."""
    return Event(channel, "e", next(_offsets), data, content_type, id=id)


def batch(*items: Any) -> list[tuple[str, Item]]:
    """What a publish of these items puts into the log, read again."""
    drafts = parse_batch(json.dumps({"items": list(items)}).encode())
    return [
        (channel, item_of(logged(channel, d.data, d.content_type, d.id))) for channel, d in drafts
    ]


def one(**members: Any) -> Item:
    ((_, item),) = batch({"channel": "a", **members})
    return item


def refused(document: Any) -> ItemError:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    with pytest.raises(ItemError) as error:
        parse_batch(body)
    assert str(error.value).endswith(".")
    return error.value


# Items


def test_formats_are_flat_or_nested() -> None:
    formats = {"http-response": {"body": "r"}, "http-stream": {"content": "s"}, "other": 1}
    for item in (one(**formats), one(formats=formats)):
        assert item.response == ResponseFormat(body=b"r")
        assert item.stream == StreamFormat(content=b"s")


def test_every_member() -> None:
    item = one(
        id="8",
        **{"prev-id": "7", "no-seq": True, "size": 3, "meta": {"sender": "al"}},
        formats={
            "http-response": {
                "code": 201,
                "reason": "Made",
                "headers": {"X-A": "1", "grip-hold": "response"},
                "body-bin": "AAE=",
                "content-filters": ["var-subst"],
            },
            "http-stream": {"content-bin": "AAE=", "content-filters": ["build-id"]},
            "ws-message": {"content": "w"},
        },
    )
    assert (item.id, item.prev_id, item.no_seq, item.meta) == ("8", "7", True, {"sender": "al"})
    assert item.response == ResponseFormat(
        DeliveryAction.SEND, 201, b"Made", ((b"X-A", b"1"),), b"\0\1", None, ("var-subst",)
    )
    assert item.stream == StreamFormat(DeliveryAction.SEND, b"\0\1", ("build-id",))


def test_actions() -> None:
    item = one(**{"http-response": {"action": "hint"}, "http-stream": {"action": "close"}})
    assert item.response == ResponseFormat(DeliveryAction.HINT)
    assert item.stream == StreamFormat(DeliveryAction.CLOSE)
    assert one(**{"http-response": {"action": "close"}}).response == ResponseFormat(
        DeliveryAction.CLOSE
    )


@pytest.mark.parametrize(
    "message",
    [
        {"content": "x"},
        {"content-bin": "AAE=", "type": "binary"},
        {"type": "ping"},
        {"action": "refresh"},
        {"action": "close", "code": 1000},
    ],
    ids=str,
)
def test_a_websocket_message_is_an_item_without_receivers(message: dict[str, Any]) -> None:
    assert one(**{"ws-message": message}) == Item()


def test_a_batch_keeps_its_order() -> None:
    found = batch({"channel": "a", "id": "1", **GOOD}, {"channel": "b", **GOOD})
    assert [(channel, item.id) for channel, item in found] == [("a", "1"), ("b", None)]
    assert parse_batch(b'{"items": []}') == []


@pytest.mark.parametrize(
    "document",
    [b"no json", [], {}, {"items": {}}, {"items": [{"channel": "a", **GOOD}] * 1001}],
    ids=lambda document: str(document)[:20],
)
def test_a_body_that_is_no_batch(document: Any) -> None:
    assert refused(document).index is None


@pytest.mark.parametrize(
    "item",
    [
        1,
        {**GOOD},
        {"channel": 1, **GOOD},
        {"channel": "", **GOOD},
        {"channel": "$own", **GOOD},
        {"channel": "a"},
        {"channel": "a", "formats": {}},
        {"channel": "a", "formats": 1},
        {"channel": "a", "id": 1, **GOOD},
        {"channel": "a", "id": "x" * 256, **GOOD},
        {"channel": "a", "id": "a\nb", **GOOD},
        {"channel": "a", "prev-id": 1, **GOOD},
        {"channel": "a", "meta": 1, **GOOD},
        {"channel": "a", "meta": {"a": 1}, **GOOD},
        {"channel": "a", "meta": {str(n): "" for n in range(65)}, **GOOD},
        {"channel": "a", "no-seq": "yes", **GOOD},
        {"channel": "a", "size": -1, **GOOD},
        {"channel": "a", "size": True, **GOOD},
        {"channel": "a", "http-response": 1},
        {"channel": "a", "http-response": {}},
        {"channel": "a", "http-response": {"body": 1}},
        {"channel": "a", "http-response": {"body-bin": "!"}},
        {"channel": "a", "http-response": {"body": "", "code": 100}},
        {"channel": "a", "http-response": {"body": "", "reason": 1}},
        {"channel": "a", "http-response": {"body": "", "reason": "a\r\nb: c"}},
        {"channel": "a", "http-response": {"body": "", "headers": [["a"]]}},
        {"channel": "a", "http-response": {"body": "", "headers": 1}},
        {"channel": "a", "http-response": {"body": "", "content-filters": "x"}},
        {"channel": "a", "http-response": {"body": "", "content-filters": [1]}},
        {"channel": "a", "http-response": {"action": "dance"}},
        {"channel": "a", "http-response": {"body-patch": 1}},
        {"channel": "a", "http-response": {"body-patch": [1]}},
        {"channel": "a", "http-response": {"body-patch": [{"op": "eval", "path": ""}]}},
        {"channel": "a", "http-response": {"body-patch": [{"op": "add"}]}},
        {"channel": "a", "http-response": {"body-patch": [{"op": "test", "path": ""}] * 101}},
        {"channel": "a", "http-stream": {}},
        {"channel": "a", "http-stream": {"content": 1}},
        {"channel": "a", "http-stream": {"content-bin": "!"}},
        {"channel": "a", "http-stream": {"action": "refresh"}},
        {"channel": "a", "ws-message": {}},
        {"channel": "a", "ws-message": {"action": "dance"}},
        {"channel": "a", "ws-message": {"type": "smell"}},
        {"channel": "a", "ws-message": {"content": 1}},
        {"channel": "a", "ws-message": {"content-bin": "!"}},
    ],
    ids=lambda item: str(item)[:60],
)
def test_a_bad_item_is_named(item: Any) -> None:
    error = refused({"items": [{"channel": "a", **GOOD}, item]})
    assert (error.index, error.too_large) == (1, False)


def test_an_item_is_at_most_an_event() -> None:
    error = refused({"items": [{"channel": "a", "http-stream": {"content": "x" * 2**18}}]})
    assert (error.index, error.too_large) == (0, True)


def test_an_event_of_other_means_is_an_item_too() -> None:
    item = item_of(logged("a", b'{"n":1}', JSON, "5"))
    headers = ((b"Content-Type", b"application/json"), *published_headers(JSON))
    assert item.response == ResponseFormat(headers=headers, body=b'{"n":1}')
    assert item.stream == StreamFormat(content=b'{"n":1}')
    assert item.id == "5"
    assert item_of(logged("a", b"{}", JSON)).id is None


@pytest.mark.parametrize("data", [b"no", b"[]", b"{}", b'{"formats": {"http-stream": 1}}'])
def test_an_event_that_only_says_to_be_an_item_is_nothing(data: bytes) -> None:
    assert item_of(logged("a", data, CONTENT_TYPE, "6")) == Item("6")


# Filters


def filtered(filters: str, content: bytes = b"x", **more: Any) -> bytes | None:
    given = FilterInput(more.get("own", {}), more.get("item", {}), more.get("prev_ids", {}))
    return apply_filters(tuple(filters.split()), more.get("wanted"), given, content)


def test_skip_self() -> None:
    assert filtered("skip-self", own={"user": "al"}, item={"sender": "al"}) is None
    assert filtered("skip-self", own={"user": "al"}, item={"sender": "bo"}) == b"x"
    assert filtered("skip-self", own={"user": ""}, item={"sender": ""}) == b"x"
    assert filtered("unknown", own={"user": "al"}, item={"sender": "al"}) == b"x"


def test_skip_users() -> None:
    item = {"skip_users": "al, bo"}
    assert filtered("skip-users", own={"user": "bo"}, item=item) is None
    assert filtered("skip-users", own={"user": "cy"}, item=item) == b"x"
    assert filtered("skip-users", own={}, item=item) == b"x"
    assert filtered("skip-users", own={"user": ""}, item={}) == b"x"


def test_require_sub() -> None:
    item = {"require_sub": "b"}
    assert filtered("require-sub", item=item, prev_ids={"a": None}) is None
    assert filtered("require-sub", item=item, prev_ids={"b": None}) == b"x"
    assert filtered("require-sub", item={}) == b"x"


def test_var_subst() -> None:
    own = {"name": "al", "a)b": "odd"}
    assert filtered("var-subst", b"hi %(name)s, 5%% %(a\\)b)s", own=own) == b"hi al, 5% odd"
    for bad in (b"%(other)s", b"%s", b"%(name)d", b"100%", b"%(name"):
        assert filtered("var-subst", bad, own=own) is None
    assert filtered("var-subst", b"%(n)s" * 1000, own={"n": "x" * 1000}) is None


def test_build_id() -> None:
    own = {"id_format": "%(a)s-%(b)s"}
    at = {"a": "1", "b": None}
    assert filtered("build-id", b"id %I %(t)I %%", own=own, prev_ids=at) == b"id 1- t %"
    assert filtered("build-id", b"%I", own={**own, "id_encoding": "hex"}, prev_ids=at) == b"312d"
    assert filtered("build-id", b"%I", own={**own, "id_encoding": "rot13"}, prev_ids=at) is None
    assert filtered("build-id", b"%I", own={}, prev_ids=at) is None
    assert filtered("build-id", b"%s", own=own, prev_ids=at) is None
    for pattern in ("%(c)s", "%(a)I"):
        assert filtered("build-id", b"%I", own={"id_format": pattern}, prev_ids=at) is None


def test_an_item_may_name_the_filters_it_is_for() -> None:
    assert filtered("skip-self var-subst", b"x", wanted=("var-subst",)) == b"x"
    assert filtered("skip-self", b"x", wanted=("var-subst",)) is None
    assert filtered("var-subst", b"x", wanted=()) is None


# Patches


def test_a_patch_changes_json_and_keeps_the_line_end() -> None:
    patch = check_patch([{"op": "add", "path": "/l/-", "value": 3}, {"op": "remove", "path": "/a"}])
    assert apply_patch(b'{"a": 1, "l": [1]}\r\n', patch) == b'{"l":[1,3]}\r\n'
    assert apply_patch(b'{"a":1,"l":[]}\n', patch) == b'{"l":[3]}\n'
    assert apply_patch(b"[1]", check_patch([{"op": "replace", "path": "/0", "value": 2}])) == b"[2]"


def test_a_patch_changes_nothing_else() -> None:
    """Neither the numbers of the body nor those of the patch."""
    body = b'{"a":18446744073709551616,"b":3.14159265358979323846,"c":1.10,"d":1e2,"n":0}'
    item = b'{"items":[{"channel":"a","http-response":{"body-patch":[%b]}}]}'
    operation = b'{"op":"replace","path":"/n","value":-9223372036854775809.50}'
    ((_, draft),) = parse_batch(item % operation)
    event = Event("exact", "e", 1, draft.data, draft.content_type)
    pushed = item_of(event).response
    assert pushed is not None
    assert pushed.patch is not None
    assert apply_patch(body, pushed.patch) == body.replace(b'"n":0', b'"n":-9223372036854775809.50')


def test_a_patch_of_ambiguous_json_is_refused() -> None:
    with pytest.raises(GripError):
        apply_patch(b'{"a":1,"a":2}', check_patch([{"op": "remove", "path": "/a"}]))
    with pytest.raises(ItemError):
        parse_batch(b'{"items":[{"channel":"a","channel":"b","http-stream":{"content":"x"}}]}')


@pytest.mark.parametrize(
    ("body", "operation"),
    [
        (b"text", {"op": "remove", "path": "/a"}),
        (b"1", {"op": "replace", "path": "", "value": 2}),
        (b"{}", {"op": "remove", "path": "/a"}),
        (b"{}", {"op": "add", "path": "/a/b", "value": 1}),
        (b"{}", {"op": "add", "path": "/a"}),
        (b"{}", {"op": "add", "path": "a", "value": 1}),
        (b"{}", {"op": "test", "path": "/a", "value": 1}),
        (b"[]", {"op": "add", "path": "/9", "value": 1}),
        (b"[1]", {"op": "remove", "path": "/x"}),
        (b"{}", {"op": "move", "path": "/a", "from": "/b"}),
        (b"{}", {"op": "copy", "path": "/a", "from": 1}),
        (b'{"a":"x"}', {"op": "add", "path": "/a/b", "value": 1}),
    ],
    ids=str,
)
def test_a_patch_that_does_not_fit_is_refused(body: bytes, operation: dict[str, Any]) -> None:
    with pytest.raises(GripError):
        apply_patch(body, [operation])


def test_a_patch_cannot_double_a_body_for_ever() -> None:
    copies = [{"op": "copy", "from": "/l", "path": "/l/-"}] * 100
    with pytest.raises(GripError, match=str(MAX_EVENT_BYTES)):
        apply_patch(b'{"l": ["xxxxxxxxxxxxxxxx"]}', check_patch(copies))
