import gc
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushhub.log.json_body import (
    MAX_JSON_DEPTH,
    JsonError,
    Number,
    TooDeep,
    check_depth,
    dump_exact,
    load,
    load_exact,
    raw_members,
)

DEEPEST = b"[" * MAX_JSON_DEPTH + b"]" * MAX_JSON_DEPTH
DEEP_OBJECT = b'{"a":' * MAX_JSON_DEPTH + b"1" + b"}" * MAX_JSON_DEPTH


@pytest.mark.parametrize("body", [DEEPEST, DEEP_OBJECT, b"[" + b"[],{}," * 500 + b"1]"])
def test_what_is_not_too_deep_is_read(body: bytes) -> None:
    assert load(body) == json.loads(body)
    check_depth(body)


@pytest.mark.parametrize(
    "body",
    [
        b"[" + DEEPEST + b"]",
        b'{"a":' + DEEPEST + b"}",
        b"[" * 1000 + b"]" * 1000,
        b"[" * 100_000 + b"]" * 100_000,
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
)
def test_what_is_too_deep_is_refused(body: bytes) -> None:
    with pytest.raises(JsonError):
        load(body)
    if body.count(b"]") + body.count(b"}"):
        with pytest.raises(TooDeep):
            load(body)
        with pytest.raises(TooDeep):
            check_depth(body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[",
        b"NaN",
        b"1],[2",
        b"[" * 70 + b"]" * 70 + b"],[1",
        b"1" + b"],[" * 100 + b"1",
        b"]" * 80 + b"[" * 80,
        b'"' + b"[" * 100,
        b"[]" * 100,
        b"[1]," * 100 + b"1",
    ],
)
def test_what_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(JsonError):
        load(body)


def test_brackets_in_texts_do_not_count() -> None:
    body = json.dumps("[{" * 1000).encode()
    assert load(body) == "[{" * 1000


def test_levels_around_the_data_count_apart() -> None:
    load(b'[{"data":' + DEEPEST + b"}]", around=2)
    with pytest.raises(TooDeep):
        load(b'[{"data":[' + DEEPEST + b"]}]", around=2)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4)
    ),
    max_leaves=20,
)
SPACE = st.sampled_from(["", " ", "\n", "\t\r\n "])


@given(
    st.lists(st.dictionaries(st.text(max_size=5), JSON, max_size=4) | JSON), SPACE, st.booleans()
)
def test_raw_members_are_the_bodys_own_bytes(
    items: list[Any], space: str, ascii_only: bool
) -> None:
    texts: list[dict[str, str]] = []
    written = []
    for item in items:
        if isinstance(item, dict):
            members = {k: json.dumps(v, ensure_ascii=ascii_only, indent=1) for k, v in item.items()}
            pairs = [
                f"{space}{json.dumps(k, ensure_ascii=ascii_only)}{space}:{space}{v}{space}"
                for k, v in members.items()
            ]
            texts.append(members)
            written.append(space + "{" + ",".join(pairs) + (space if not pairs else "") + "}")
        else:
            texts.append({})
            written.append(space + json.dumps(item) + space)
    body = (space + "[" + ",".join(written) + space + "]" + space).encode("utf-8", "replace")
    try:
        load(body)
    except JsonError:
        return
    assert [
        {name: value.decode() for name, value in members.items()} for members in raw_members(body)
    ] == texts


def test_a_doubled_member_is_refused_where_it_is() -> None:
    members = raw_members(b'[{"a":{"x":1,"x":2}},{"a":1,"\\u0061":2}]')
    assert next(members) == {"a": b'{"x":1,"x":2}'}
    with pytest.raises(JsonError, match="'a' twice"):
        next(members)


NUMBERS = [
    *("0", "-0", "1", "-1", "123456789012345678", "9223372036854775808", "18446744073709551616"),
    *("1.0", "1.10", "0.1", "-0.0", "1e5", "1E+5", "1.5e-400", "3.14159265358979323846264338"),
    "9" * 5000,
]


@pytest.mark.parametrize("text", NUMBERS)
def test_numbers_are_written_as_they_were_read(text: str) -> None:
    if len(text) > 400 or "e-400" in text:
        # A double cannot have it, which orjson refuses or not; either way it does not change.
        try:
            load(text.encode())
        except JsonError:
            return
    body = f'{{"a":[{text}]}}'.encode()
    assert dump_exact(load_exact(body)) == body


def test_numbers_are_equal_by_value() -> None:
    assert Number("1.10") == 1.1
    assert Number("18446744073709551616") == Number("1.8446744073709551616e19")
    assert Number("1.10") != 1
    assert Number("1") != True  # noqa: E712
    assert Number("1e-9999999999999999999999") == Number("1e-9999999999999999999999")


def test_two_members_of_one_name_have_no_exact_meaning() -> None:
    with pytest.raises(JsonError):
        load_exact(b'[{"a":1,"a":1}]')


@pytest.mark.parametrize("unit", [b"[],", b'{"a":1},', b"1,", b'"\\u00e9[",', b"[[1,2],3],"])
@pytest.mark.slow
def test_reading_is_linear(unit: bytes) -> None:
    def seconds(count: int) -> float:
        body = b'[{"data":[' + unit * count + b"0]}]"
        best = 1e9
        # A collection looks at all that other tests have left in this process.
        gc.disable()
        try:
            for _ in range(3):
                begun = time.process_time()
                load(body, 2)
                list(raw_members(body))
                load_exact(body.replace(b'{"a"', b'{"b"'), 2)
                best = min(best, time.process_time() - begun)
        finally:
            gc.enable()
        return best

    assert seconds(64_000) < max(100 * seconds(4_000), 0.1)
