import pytest

from pushhub.origin.shared.condition import Modified, Since, Tags, Version, WaitCondition
from pushhub.origin.shared.representation import Representation

JSON = ((b"Content-Type", b"application/json"),)


def rep(body: bytes, status: int = 200, etag: bytes = b"") -> Representation:
    return Representation(status, b"", (*JSON, *(((b"ETag", etag),) if etag else ())), body)


@pytest.mark.parametrize(
    ("tags", "new"),
    [({"a"}, False), ({"x", "a"}, False), ({"*"}, False), ({"x"}, True), (set(), True)],
)
def test_tags(tags: set[str], new: bool) -> None:
    assert Tags(frozenset(tags)).is_new(rep(b"1", etag=b'"a"')) is new


@pytest.mark.parametrize("status", [301, 401, 404, 410])
def test_what_is_no_success_is_new_without_its_own_tag(status: int) -> None:
    conditions = (Tags(frozenset({"b", "*"})), Since("1", "items", None), Version("1", "v"))
    for condition in (*conditions, Modified(2e9)):
        assert condition.is_new(rep(b"{}", status, b'"a"'))
    assert not Tags(frozenset({"a"})).is_new(rep(b"{}", status, b'"a"'))


@pytest.mark.parametrize("status", [204, 304])
def test_the_origins_own_nothing(status: int) -> None:
    assert not Since("1", None, None).is_new(rep(b"", status))
    assert not Version("1", "v").is_new(rep(b"", status))


@pytest.mark.parametrize(
    ("condition", "body", "new"),
    [
        (Since("4", "items", None), b'{"items":[]}', False),
        (Since("4", "items", None), b'{"items":[5]}', True),
        (Since("4", "data.items", None), b'{"data":{"items":[]}}', False),
        (Since("4", "data.items", None), b'{"data":7}', True),
        (Since("4", "items", None), b"no JSON", True),
        (Since("4", None, "next"), b'{"next":"4"}', False),
        (Since("4", None, "next"), b'{"next":4}', False),
        (Since("4", None, "next"), b'{"next":5}', True),
        (Since("4", None, "next"), b"{}", True),
        (Since("4", None, None), b"[]", False),
        (Since("4", None, None), b"[5]", True),
        (Version("4", "v"), b'{"v":4}', False),
        (Version("4", "v"), b'{"v":"4"}', False),
        (Version("4", "v"), b'{"v":5}', True),
        (Version("4", "meta.v"), b'{"meta":{"v":4}}', False),
        (Version("4", "meta.v"), b"[]", True),
    ],
)
def test_cursors_and_versions(condition: WaitCondition, body: bytes, new: bool) -> None:
    assert condition.is_new(rep(body)) is new


def test_equal_conditions_are_one() -> None:
    assert len({Tags(frozenset({"a", "b"})), Tags(frozenset({"b", "a"}))}) == 1
    assert len({Since("1", "a", None), Since("1", "a", None), Since("2", "a", None)}) == 2
