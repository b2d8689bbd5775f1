"""`pushhub routes`: which way requests go, and what becomes of them."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.running import answer, pushhub, scripted

ROUTES = """
[[routes]]
host = "admin.example.com"
step = "pass"

[[routes]]
path = "/orders/{id}"
step = "poll"
interval = 2

[[routes]]
path = "/news*"
step = "notify"
max_age = 5
identity = []

[[routes]]
path = "/feed"
step = "poll"
cursor = "since"
next_field = "next"
opt_in = ["prefer", "timeout-param"]
timeout_unit = "ms"
nothing = "same"
"""


@pytest.fixture(autouse=True)
def _file(elsewhere: Path) -> None:
    Path("pushhub.toml").write_text('origin = "http://127.0.0.1:1"\n' + ROUTES)


def check(*arguments: str, code: int = 0) -> dict[str, Any]:
    """The forecast, without asking."""
    done = pushhub("routes", "check", "--dry", "--json", *arguments)
    assert done.exit_code == code, done.output
    told: dict[str, Any] = json.loads(done.stdout)
    return told


# -- which -----------------------------------------------------------------------------------------


def test_the_route_and_why_not_the_earlier_ones() -> None:
    told = check("http://shop.example.com:8080/orders/a%20b?x=1")
    assert told["takes"]["route"] == 2
    assert told["names"] == {"id": "a b"}
    assert told["asks"] == "http://127.0.0.1:1/orders/a%20b?x=1"
    assert [(one["route"], one["why_not"]) for one in told["earlier"]] == [
        (1, "the host shop.example.com is not admin.example.com")
    ]
    told = check("/newest")
    assert told["takes"]["route"] == 5
    assert [one["why_not"] for one in told["earlier"]][1:] == [
        "the path is not /orders/{id}",
        "the path does not begin with /news",
        "the path is not /feed",
    ]


@pytest.mark.parametrize(
    ("url", "headers", "route"),
    [
        ("http://admin.example.com/orders/7", [], 1),
        ("http://ADMIN.example.com./orders/7", [], 1),
        ("/orders/7", ["Host: admin.example.com:81"], 1),
        ("/orders/7#part", [], 2),
        ("http://h/news-of-today", [], 3),
        ("http://h", [], 5),
        ("http://h?q=1", [], 5),
        ("https://h/feed?since=3", [], 4),
    ],
)
def test_accepted_urls(url: str, headers: list[str], route: int) -> None:
    given = [part for header in headers for part in ("-H", header)]
    assert check(url, *given)["takes"]["route"] == route


def test_a_path_of_two_readings_is_only_passed_through() -> None:
    told = check("/orders/7%2F..%2F..%2Fnews")
    assert (told["outcome"], told["takes"]) == ("passed", None)
    assert "different readings" in told["because"]


def test_a_path_of_two_origins_and_one_of_none_are_refused() -> None:
    Path("pushhub.toml").write_text(
        "[[routes]]\npath = '/a/*'\ntarget = 'http://a'\n"
        "[[routes]]\npath = '/b/*'\ntarget = 'http://b'\n"
    )
    told = check("/a/../b/x", code=1)
    assert (told["outcome"], told["problem"]["status"]) == ("refused", 400)
    assert told["earlier"][0]["why_not"] == (
        "one reading of the path leads there, and another elsewhere"
    )
    told = check("/c", code=1)
    assert (told["outcome"], told["problem"]["status"]) == ("refused", 404)


# -- what becomes of it ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "outcome", "because"),
    [
        (["http://admin.example.com/x"], "passed", "only passes through"),
        (["/elsewhere"], "grip", "Grip-Hold"),
        (["/orders/7"], "passed", "did not opt in by Prefer: wait=25."),
        (
            ["/orders/7", "-H", "Prefer: wait=25"],
            "at-once",
            "without a condition (If-None-Match or If-Modified-Since)",
        ),
        (["/orders/7", "-H", "Prefer: wait=90", "-H", 'If-None-Match: "a"'], "held", "at most 55"),
        (["/orders/7", "-H", "Wait: 25", "-H", 'If-None-Match: "a"'], "passed", "did not opt in"),
        (["/orders/7", "--method", "post"], "passed", "Only GET waits; POST is"),
        (["/orders/7", "-H", "Range: bytes=0-9"], "passed", "asks for a range"),
        (["/news"], "read", "at most 5 s ago"),
        (["/feed"], "passed", "Prefer: wait=25 or ?timeout=25000"),
        (["/feed?timeout=5000"], "at-once", "(?since=, If-None-Match or If-Modified-Since)"),
        (["/feed?timeout=5000&since=7"], "held", "the same response again after at most 5 s"),
    ],
)
def test_outcomes_of_requests(arguments: list[str], outcome: str, because: str) -> None:
    told = check(*arguments)
    assert told["outcome"] == outcome
    assert because in told["because"]


def test_the_key_of_shared_requests() -> None:
    told = check("/feed?timeout=5000&since=7&b=1", "-H", "Authorization: Bearer very-secret")
    assert told["asks"] == "http://127.0.0.1:1/feed?since=7&b=1", "without what was for us"
    assert told["key"]["headers"] == ["accept", "accept-language", "authorization", "cookie"]
    assert told["sent"] == ["authorization"]
    assert (told["wait"], told["has"]) == (5, "the cursor '7'")
    assert "very-secret" not in json.dumps(told)
    assert check("/news")["key"]["headers"] == ["accept", "accept-language"]


# -- asking ----------------------------------------------------------------------------------------


def asked_of(
    target: str, *answers: tuple[int, dict[str, str], bytes], code: int = 0
) -> dict[str, Any]:
    with scripted(*answers) as origin:
        done = pushhub("routes", "check", "--json", "--origin", origin.url, *target.split(" "))
        assert done.exit_code == code, done.output
        told: dict[str, Any] = json.loads(done.stdout)["answer"]
    return told | {"asked": origin.asked}


def test_the_response_of_the_origin_and_its_validator() -> None:
    told = asked_of("/news", answer(200, [1], ETag='W/"7"', Vary="X-Shop, Accept"))
    assert (told["status"], told["reason"]) == (200, "OK")
    assert told["validator"] == {"value": 'W/"7"', "by": "origin"}
    assert (told["shared"], told["vary"]) == (True, "X-Shop, Accept")
    assert told["varies_by"] == ["accept", "x-shop"]


def zipped(mtime: int) -> tuple[int, dict[str, str], bytes]:
    return 200, {"Content-Encoding": "gzip"}, gzip.compress(b'{"a": 1}', mtime=mtime)


@pytest.mark.parametrize(
    ("first", "second", "says"),
    [
        (answer(200, {"at": "10:00:01"}), answer(200, {"at": "10:00:02"}), "in $.at; leave"),
        (answer(200, [1], ETag='"1"'), answer(200, [1], ETag='"2"'), "in the ETag alone"),
        (answer(200, [1], ETag='"1"'), answer(200, [2], ETag='"2"'), "and so do their ETags"),
        (zipped(1), zipped(2), None),
        (answer(200, [1]), answer(200, [1]), None),
        # The origin says that it is the same.
        (answer(200, [1], ETag='"1"'), answer(200, [2], ETag='"1"'), None),
    ],
)
def test_a_body_that_always_differs_is_named(first: Any, second: Any, says: str | None) -> None:
    told = asked_of("/news -H Accept-Encoding:gzip", first, first, second)
    assert says is None if told["differs"] is None else says in told["differs"]
    assert len(told["asked"]) == 3


def test_it_is_looked_at_as_browsers_ask_too() -> None:
    plain = answer(200, [1])
    other = (200, {"Content-Encoding": "gzip"}, gzip.compress(b'{"a": 2}'))
    told = asked_of("/news", plain, plain, zipped(1), plain, other)
    assert "in $.a;" in told["differs"]
    codings = [headers.get("accept-encoding") for _, headers, _ in told["asked"]]
    assert codings == [None, None, "gzip", None, "gzip"]


def test_people_read_that_it_is_always_new() -> None:
    first, second = answer(200, {"at": "\x1b[2J1"}), answer(200, {"at": "\x1b[2J2"})
    with scripted(first, first, first, second, second) as origin:
        done = pushhub("routes", "check", "--origin", origin.url, "http://h/news")
    assert done.exit_code == 0
    assert "but       always new: two responses 1.1 s apart differ" in done.stdout
    assert "\x1b" not in done.stdout


def test_a_validator_of_ours_is_the_one_that_a_client_gets() -> None:
    told = asked_of("/news", answer(200, [1]))
    assert told["validator"]["by"] == "pushhub"
    assert told["validator"]["value"].startswith('W/"ph-')


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ({"Vary": "*"}, "excludes shared responses"),
        ({"Set-Cookie": "a=b"}, "sets a cookie"),
        ({"Cache-Control": "private"}, "no header names the client"),
    ],
)
def test_the_reason_why_a_response_cannot_be_shared(headers: dict[str, str], why: str) -> None:
    one = (200, headers, b"[]")
    told = asked_of("/news", one, one)
    assert told["shared"] is False
    assert why in told["why_not"]


def test_an_error_of_the_origin_is_shown_and_not_shared() -> None:
    told = asked_of("/news", answer(503, {}))
    assert (told["status"], told["shared"]) == (503, False)


HELD = ("http://h/orders/7", "-H", "Prefer: wait=25", "-H", 'If-None-Match: "6"')


def test_a_request_whose_response_cannot_be_shared_passes() -> None:
    one = (200, {"Set-Cookie": "a=b"}, b"[]")
    with scripted(one, one, one, one) as origin:
        done = pushhub("routes", "check", "--origin", origin.url, *HELD)
        fields = json.loads(
            pushhub("routes", "check", "--json", "--origin", origin.url, *HELD).stdout
        )
    assert "outcome   passed: The response cannot be shared: the response sets a" in done.stdout
    assert "held" not in done.stdout
    assert fields["outcome"] == "passed"


@pytest.mark.parametrize("status", [401, 404])
def test_an_error_that_is_not_held_is_named(status: int) -> None:
    one = answer(status, {})
    with scripted(*[one] * 5) as origin:
        done = pushhub("routes", "check", "--origin", origin.url, *HELD)
    assert f"outcome   at-once: Only a 200 is held; the origin's {status} comes" in done.stdout


def test_a_failing_origin_is_named() -> None:
    with scripted(answer(503, {})) as origin:
        done = pushhub("routes", "check", "--origin", origin.url, *HELD)
    assert "can be    not shared: the API fails; waiting requests get its error" in done.stdout


@pytest.mark.parametrize(
    ("origin", "reason"),
    [
        ("http://127.0.0.1:1", "Nothing listens on 127.0.0.1:1."),
        ("http://nowhere.invalid", "There is no host 'nowhere.invalid'."),
    ],
)
def test_the_reason_why_an_origin_cannot_be_reached(origin: str, reason: str) -> None:
    done = pushhub("routes", "check", "--origin", origin, *HELD)
    assert done.exit_code == 1
    assert f"reason    {reason}" in done.stdout


def test_an_origin_without_tls_is_named() -> None:
    with scripted() as origin:
        https = origin.url.replace("http:", "https:")
        done = pushhub("routes", "check", "--origin", https, *HELD)
    assert "Does it speak https on this port?" in done.stdout


def test_an_origin_that_is_down_is_a_failure() -> None:
    done = pushhub("routes", "check", "--json", "/news")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["answer"]["problem"]["status"] == 502


def test_a_request_that_passes_through_is_sent_unchanged() -> None:
    told = asked_of("http://h/x?a=%2F -H X-Own:1", answer(404, {}))
    assert told["status"] == 404
    [(line, headers, _)] = told["asked"]
    assert line == "GET /x?a=%2F"
    assert (headers["host"], headers["x-own"]) == ("h", "1")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_unsafe_methods_are_not_sent(method: str) -> None:
    with scripted() as origin:
        done = pushhub("routes", "check", "--origin", origin.url, "--method", method, "/x")
    assert done.exit_code == 0
    assert origin.asked == []
    assert f"{method} may change something" in done.stderr


# -- for people ------------------------------------------------------------------------------------


def test_the_output_for_people() -> None:
    with scripted(answer(200, [1], ETag='"7"', Server="\x1b[2Jx", Vary="Accept")) as origin:
        done = pushhub(
            *("routes", "check", "--origin", origin.url, "http://h/orders/7"),
            *("-H", "Prefer: wait=25", "-H", 'If-None-Match: "6"'),
        )
    assert done.exit_code == 0
    for line in (
        "GET h/orders/7",
        "not   1   admin.example.com /*: the host h is not admin.example.com",
        "route     2, /orders/{id} (step poll), id = 7",
        "opt-in    recognised, 25 s are granted",
        'has       If-None-Match: "6"',
        "outcome   held: The response comes with the next change",
        "fetches   every 2 s while a request waits",
        "response  200 OK",
        'validator "7" (the origin\'s own)',
        "vary      Accept",
        "can be    shared",
    ):
        assert line in done.stdout, line


def test_methods_and_cookies_of_a_route_are_named() -> None:
    Path("pushhub.toml").write_text(
        'origin = "http://127.0.0.1:1"\n[[routes]]\npath = "/*"\nstep = "poll"\n'
        'methods = ["GET", "POST"]\nidentity = ["authorization", "cookie:sid", "cookie:lang"]\n'
    )
    sent = ("-H", "Prefer: wait=5", "-H", "Cookie: _ga=1")
    told = check("--method", "POST", "/x", *sent)
    assert told["key"]["cookies"] == ["lang", "sid"]
    assert (told["key"]["method"], told["key"]["body"]) == ("POST", True)
    assert told["sent"] == []
    assert check("/x", "-H", "Prefer: wait=5", "-H", "Cookie: sid=1")["sent"] == ["cookie"]
    done = pushhub("routes", "check", "--method", "POST", "/x", *sent)
    assert "cookie (lang, sid alone)" in done.stdout
    assert "Accept-Encoding, method and body, and" in done.stdout
    assert "no body for a POST" in done.stderr


def test_a_terminal_obeys_neither_path_nor_header() -> None:
    with scripted(answer(200, [1], Vary="a\x9b2Jb")) as origin:
        done = pushhub("routes", "check", "--origin", origin.url, "/orders/%1b%5b2J")
    assert "\x1b[2J" not in done.stdout
    assert "\x9b" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["ftp://h/x"], "neither a URL"),
        (["orders"], "neither a URL"),
        (["http://h:x/"], "neither a URL"),
        (["/caf\u00e9"], "percent-encoded"),
        (["/x", "-H", "nonsense"], "A header is 'Name: value'"),
        (["/x", "--method", "G T"], "is no method"),
        (["/x", "--origin", "nonsense"], "An origin is"),
    ],
)
def test_wrong_usage_is_a_sentence(arguments: list[str], sentence: str) -> None:
    done = pushhub("routes", "check", *arguments)
    assert done.exit_code == 2
    assert sentence in done.stderr


def test_paths_of_pushhub_itself_have_no_route() -> None:
    done = pushhub("routes", "check", "/_pushhub/livez")
    assert done.exit_code == 1
    assert "are pushhub's own" in done.stderr


def test_without_an_origin_there_is_nothing_to_check(elsewhere: Path) -> None:
    Path("pushhub.toml").write_text("")
    for command in ("list", "check /x"):
        done = pushhub("routes", *command.split())
        assert done.exit_code == 2
        assert "There is no origin" in done.stderr


# -- the list --------------------------------------------------------------------------------------


def test_the_list_says_which_routes_get_nothing() -> None:
    with Path("pushhub.toml").open("a") as file:
        file.write('[[routes]]\npath = "/news/today"\n')
    done = pushhub("routes", "list")
    assert done.exit_code == 0
    assert done.stdout.splitlines()[1].split() == [
        "2",
        "/orders/{id}",
        "poll",
        "http://127.0.0.1:1",
    ]
    assert "Route 5 gets no request: route 3 matches them all." in done.stderr
    rows = json.loads(pushhub("routes", "list", "--json").stdout)
    assert [row["unreached"] for row in rows] == [False] * 4 + [True, False]
    assert rows[1] | {"interval": 2.0} == rows[1]
