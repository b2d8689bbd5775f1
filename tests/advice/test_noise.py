"""Noise and data, decided on given responses: no network, no clock."""

import json
from dataclasses import replace
from typing import Any

import pytest

from pushhub.advice import Observation, RequestForm, Survey, suggest, toml_lines
from pushhub.advice.json_noise import json_differences
from pushhub.advice.text_noise import text_patterns

NOW = 1_764_500_000.0


def observations(*bodies: Any, **headers: str) -> list[Observation]:
    """Responses with these bodies, two seconds apart, and two requests of the survey."""
    apart = 2.0
    pairs = tuple(
        (name.replace("_", "-").encode(), text.encode()) for name, text in headers.items()
    )
    return [
        Observation(
            RequestForm.AS_GIVEN,
            2 * number,
            number * apart,
            NOW + number * apart,
            status=200,
            headers=pairs,
            body=json.dumps(body).encode(),
        )
        for number, body in enumerate(bodies)
    ]


@pytest.mark.parametrize(
    ("name", "values", "noise"),
    [
        ("at", [NOW, NOW + 2, NOW + 4], "the time of the response"),
        ("at", [NOW * 1000, NOW * 1000 + 2000, NOW * 1000 + 4000], "the time of the response"),
        ("at", ["2025-11-30T10:53:20Z", "2025-11-30T10:53:22Z", "2025-11-30T10:53:24Z"],
         "the time of the response"),
        ("x", ["Sun, 30 Nov 2025 10:53:20 GMT", "Sun, 30 Nov 2025 10:53:22 GMT",
               "Sun, 30 Nov 2025 10:53:24 GMT"], "the time of the response"),
        ("up", [100.5, 102.5, 104.5], "a time that advances with the clock"),
        ("uptime", [100, 102, 104], "a duration"),
        ("left", [60.5, 58.5, 56.5], "a time that counts down with the clock"),
        # A sequence number that grows once a second is data.
        ("sequence", [100, 102, 103], ""),
        ("price", [371, 374, 369], ""),
        ("n", [7, 9, 11], "a count of the requests"),
        ("n", [7, 8, 9], ""),
        ("took_ms", [7, 3, 9], "a duration"),
        ("tookMs", [7, 3, 9], "a duration"),
        ("age_limit", [7, 3, 9], ""),
        ("state", ["up 3 min", "up 4 min", "up 5 min"], "a time in words"),
        ("state", ["open", "shut", "open"], ""),
        ("nonce", ["a1b2c3d4e5", "f6a7b8c9d0", "11aa22bb33"], "a random value"),
        ("etag", ["a1b2c3d4e5", "f6a7b8c9d0", "11aa22bb33"],
         "a digest, which differs with the whole"),
        ("done", [True, False, True], ""),
        ("rows", [[1], [1, 2], [1]], ""),
        ("x", [None, 1, "1"], ""),
    ],
)  # fmt: skip
def test_what_a_value_is(name: str, values: list[Any], noise: str) -> None:
    found = json_differences(observations(*({name: value} for value in values)))
    assert found is not None
    assert [one.noise for one in found] == [noise]


def test_a_time_that_stays_for_a_while_is_data() -> None:
    """`updated_at` is near the time of a response, but changes with the resource."""
    stamps = [NOW - 1, NOW - 1, NOW + 3]
    found = json_differences(observations(*({"updated_at": stamp} for stamp in stamps)))
    assert found is not None
    assert found[0].noise == ""


@pytest.mark.parametrize(
    ("texts", "patterns"),
    [
        (["<p>3 sec ago</p>", "<p>14 sec ago</p>"], [r"/<p>\d+ sec ago</p>/"]),
        (["<p>3</p>", "<p>4</p>"], None),
        (["<p>3 ago</p><p>3 ago</p>", "<p>4 ago</p><p>3 ago</p>"], None),
        (["<b title='3'>", "<b title='4'>"], [r"/<b title='\d+'>/"]),
        (["3, 4", "4, 4"], None),
        (["<p>cat</p>", "<p>dog</p>"], None),
        (["<p>a</p>", "<p>a</p><p>b</p>"], None),
    ],
)
def test_patterns_of_text(texts: list[str], patterns: list[str] | None) -> None:
    assert text_patterns(texts) == patterns


def test_a_pattern_is_no_wider_than_its_words() -> None:
    rows = "<td>7 rows</td>\n" * 3
    (pattern,) = text_patterns([f"{rows}took 12 ms\n", f"{rows}took 9 ms\n"]) or [""]
    assert pattern == r"/took \d+ ms/", "rows count"


def survey(*bodies: Any, path: str = "/x", sent: Any = (), **headers: str) -> Survey:
    return Survey("http://h", path, "", sent, tuple(observations(*bodies, **headers)))


def test_an_origin_writes_no_line_of_the_settings() -> None:
    """Its text is in comments, and its names are values that are quoted."""
    hostile = {"a\n[[routes]]\npath = '/*'\nage": 1}
    other = {"a\n[[routes]]\npath = '/*'\nage": 2}
    lines = toml_lines([suggest(survey(hostile, other, ETag="x\r\ny"))])
    assert [line for line in lines if line.startswith("[[")] == ["[[routes]]"]
    assert all(line.isprintable() for line in lines)


def test_two_origins_have_targets() -> None:
    other = Survey("http://i", "/y", "", (), tuple(observations([1], [1])))
    lines = toml_lines([suggest(survey([1], [1])), suggest(other)])
    assert [line for line in lines if "target" in line] == [
        'target = "http://h"',
        'target = "http://i"',
    ]


def test_large_bodies_take_little_time() -> None:
    import time

    bodies = [[{"n": n + number, "s": "x"} for n in range(8_000)] for number in range(4)]
    begun = time.process_time()
    suggest(survey(*bodies))
    assert time.process_time() - begun < 3


# -- cookies ---------------------------------------------------------------------------------------


def with_cookies(cookie: str, *others: Observation) -> Survey:
    """Two responses for a client with cookies, and others between them."""
    first, last = observations({"a": 1}, {"a": 1})
    last = replace(last, number=100)
    sent = ((b"Cookie", cookie.encode()),)
    return Survey("http://h", "/x", "", sent, (first, *others, last))


def without(name: str, body: Any, number: int = 1, **more: Any) -> Observation:
    (one,) = observations(body)
    form = RequestForm.WITHOUT_COOKIE
    return replace(one, form=form, number=number, left_out=name, **more)


def identity(given: Survey) -> Any:
    return suggest(given).options.get("identity")


def test_a_cookie_that_was_not_tried_counts() -> None:
    survey = with_cookies("theme=dark; many=1; _ga=2", without("_ga", {"a": 1}))
    assert identity(survey) == ["authorization", "cookie:theme", "cookie:many"]


def test_a_failed_try_counts() -> None:
    survey = with_cookies(
        "theme=dark; _ga=2",
        without("_ga", {"a": 1}),
        without("theme", None, 2, status=0, problem="No connection."),
    )
    assert identity(survey) == ["authorization", "cookie:theme"]


def test_a_cookie_that_is_set_where_it_is_missing_is_dropped() -> None:
    """The shared fetch does not send it, so each response would set it."""
    headers = ((b"Set-Cookie", b"csrftoken=1; Path=/"),)
    survey = with_cookies("csrftoken=1", without("csrftoken", {"a": 1}, headers=headers))
    assert suggest(survey).options["drop_set_cookie"] == ["csrftoken"]


def test_cookies_are_not_judged_by_a_body_that_always_differs() -> None:
    bodies = observations({"price": 3}, {"price": 9}, {"price": 1})
    sent = ((b"Cookie", b"theme=dark"),)
    found = suggest(Survey("http://h", "/x", "", sent, tuple(bodies)))
    assert found.always_new
    assert "identity" not in found.options
    assert any("all of them count" in fact for fact in found.facts)


def test_random_values_are_not_printed() -> None:
    found = suggest(survey({"csrf": "a1b2c3d4e5"}, {"csrf": "f6a7b8c9d0"}, {"csrf": "11aa22bb33"}))
    text = "\n".join(toml_lines([found]))
    assert "a random value" in text
    assert "f6a7" not in text
    assert "11aa" not in text
