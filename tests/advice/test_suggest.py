"""`pushhub routes suggest` on everyday APIs: its lines, its reasons, and that the lines work."""

import asyncio
import json
import os
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pushhub.settings import Route
from tests.advice.api import Everyday, everyday
from tests.cli.running import pushhub
from tests.serving import serve

QUICK = ("--looks", "4", "--pause", "0.15")
PATHS = (
    *("/status", "/vector", "/ticker", "/versions", "/services", "/page", "/prose", "/tagged"),
    *("/random-tag", "/own-tag", "/vary", "/open", "/private", "/limited"),
    *("/orders/17", "/orders/18", "/large", "/stream", "/events?since=17"),
    *("/login", "/moved", "/written", "/busy", "/broken", "/empty", "/missing"),
)


@pytest.fixture(scope="module", autouse=True)
def _environment() -> None:
    own = {"PUSHHUB_TEST_ALL"}
    assert not [name for name in os.environ if name.startswith("PUSHHUB_") and name not in own]


@pytest.fixture(scope="module")
def api() -> Iterator[Everyday]:
    with everyday() as running:
        yield running


@pytest.fixture(scope="module")
def suggested(api: Everyday) -> dict[str, dict[str, Any]]:
    """The suggestions for all paths, by path."""
    done = pushhub("routes", "suggest", "--json", *QUICK, *(api.url + path for path in PATHS))
    assert done.exit_code == 1, "some have problems"
    entries = json.loads(done.stdout)
    return dict(zip(PATHS, entries, strict=True))


def reason(entry: dict[str, Any], option: str, *, active: bool = True) -> tuple[Any, str]:
    """The value of a line, and the reason for it."""
    (line,) = [one for one in entry["lines"] if one["option"] == option and one["active"] is active]
    return line["value"], line["reason"]


def test_noise_in_json_is_named_and_ignored(suggested: dict[str, dict[str, Any]]) -> None:
    selectors, why = reason(suggested["/status"], "ignore")
    # In whole seconds `now` stays the same in looks that are less than a second apart.
    assert {*selectors} >= {"uptime", "query_ms", "trace", "ago"}
    assert {*selectors} <= {"now", "uptime", "query_ms", "trace", "ago", "requests"}
    assert "query_ms is a duration" in why
    assert "trace is a random value" in why or "the others likewise" in why
    assert any("are the same" in fact for fact in suggested["/status"]["facts"])


def test_the_time_of_a_tuple_is_ignored_and_its_value_is_not(
    suggested: dict[str, dict[str, Any]],
) -> None:
    selectors, why = reason(suggested["/vector"], "ignore")
    assert selectors == ["data.result[*].value[0]"]
    assert "the time of the response" in why


def test_data_that_always_differs_is_left_to_the_owner(
    suggested: dict[str, dict[str, Any]],
) -> None:
    entry = suggested["/ticker"]
    assert entry["always_new"] is True
    assert entry["route"] == {"path": "/ticker", "step": "poll"}
    assert reason(entry, "ignore", active=False)[0] == ["price"]
    assert reason(entry, "compare", active=False)[0] == ["rev"]


def test_a_version_that_changed_with_the_rest_is_offered(
    suggested: dict[str, dict[str, Any]],
) -> None:
    entry = suggested["/versions"]
    assert reason(entry, "ignore")[0] == ["took"]
    value, why = reason(entry, "compare", active=False)
    assert value == ["rev"], "and not the version of the product"
    assert "never alone" in why


def test_many_paths_of_one_name_become_one(suggested: dict[str, dict[str, Any]]) -> None:
    assert reason(suggested["/services"], "ignore")[0] == ["$..age"]


def test_noise_in_html_becomes_patterns(suggested: dict[str, dict[str, Any]]) -> None:
    patterns, _ = reason(suggested["/page"], "ignore")
    assert patterns[1] == r"/<p>seen \d+ sec ago</p>/" or r"seen \d+ sec ago" in patterns[1]
    assert "csrf" in patterns[0]
    assert suggested["/prose"]["always_new"] is True
    assert suggested["/prose"]["lines"] == []


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/tagged", 'the API\'s own ETag, "7"; it answers 304 to it'),
        ("/own-tag", "own ETag stays although the body differs (at)"),
        ("/ticker", "pushhub makes an ETag from the body"),
        ("/orders/17", "17 is taken for an id"),
        ("/private", "'no-store' keeps the response from caches"),
    ],
)
def test_facts_without_a_line(suggested: dict[str, dict[str, Any]], path: str, says: str) -> None:
    assert any(says in fact for fact in suggested[path]["facts"]), suggested[path]["facts"]


def test_a_random_tag_is_ignored(suggested: dict[str, dict[str, Any]]) -> None:
    assert reason(suggested["/random-tag"], "ignore")[0] == ["header:etag"]


@pytest.mark.parametrize(
    ("path", "step", "says"),
    [
        ("/vary", "pass", "'Vary: *'"),
        ("/large", "pass", "larger than"),
        ("/stream", "pass", "did not end"),
        ("/open", "poll", "sets sessionid, which is named like a session"),
        ("/private", "poll", "no header names the client"),
    ],
)
def test_what_cannot_be_shared(
    suggested: dict[str, dict[str, Any]], path: str, step: str, says: str
) -> None:
    assert suggested[path]["route"]["step"] == step
    assert says in suggested[path]["unshared"]


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/login", "wants credentials: 401 (Basic). Give those of a client: -H 'Authoriz"),
        ("/moved", "/login?next=/; give that URL. That looks like a login"),
        ("/written", "has no GET (405; it allows POST)"),
        ("/busy", "try again in 7 s"),
        ("/broken", "The API fails: 500"),
        ("/empty", "empty (204)"),
        ("/missing", "no such resource: 404"),
    ],
)
def test_refusals_are_sentences(suggested: dict[str, dict[str, Any]], path: str, says: str) -> None:
    assert says in suggested[path]["problem"]


def test_options_from_the_url_and_the_headers(suggested: dict[str, dict[str, Any]]) -> None:
    assert suggested["/events?since=17"]["route"] == {
        "path": "/events",
        "step": "poll",
        "cursor": "since",
        "next_field": "next",
        "items_field": "items",
    }
    assert suggested["/limited"]["route"]["interval"] in (3, 4)
    assert suggested["/orders/17"]["route"] == suggested["/orders/18"]["route"]


COOKIES = "sessionid=1; csrftoken=x; _ga=GA1; lang=de"


def test_cookies_that_change_nothing_do_not_split(api: Everyday) -> None:
    done = pushhub(
        *("routes", "suggest", "--json", *QUICK, api.url + "/members", "-H", f"Cookie: {COOKIES}"),
    )
    (entry,) = json.loads(done.stdout)
    identity, why = reason(entry, "identity")
    assert identity == ["authorization", "cookie:sessionid", "cookie:lang"]
    assert "csrftoken, _ga changed nothing" in why
    assert reason(entry, "drop_set_cookie")[0] == ["csrftoken"]
    assert "GA1" not in done.stdout, "values of cookies are secrets"


@pytest.mark.parametrize("plain", [True, False])
def test_each_suggested_cookie_is_one_that_a_route_can_name(api: Everyday, plain: bool) -> None:
    api.state["plain"] = plain
    cookies = ("-H", "Cookie: user[id]=1; _ga=GA1.2")
    (entry,) = json.loads(
        pushhub("routes", "suggest", api.url + "/php", *cookies, *QUICK, "--json").stdout
    )
    route = Route.model_validate(entry["route"])
    assert route.identity == ("authorization", "cookie:user[id]")
    assert route.drop_set_cookie == (("prefs[lang]",) if plain else ())
    assert plain is (entry["unshared"] is None), "what a route cannot name keeps clients apart"


def test_a_session_counts_although_it_changed_nothing(api: Everyday) -> None:
    done = pushhub(
        *("routes", "suggest", "--json", *QUICK, api.url + "/basket", "-H", f"Cookie: {COOKIES}"),
    )
    (entry,) = json.loads(done.stdout)
    assert reason(entry, "identity")[0] == ["authorization", "cookie:sessionid"]
    assert reason(entry, "identity", active=False)[0] == []


def test_only_gets_are_sent(api: Everyday, suggested: dict[str, dict[str, Any]]) -> None:
    assert {line.partition(" ")[0] for line in api.requests} == {"GET"}
    assert suggested["/status"]["requests"] == sum(
        line == "GET /status" for line in api.requests[:9]
    )


def test_the_printed_lines_are_settings(api: Everyday, tmp_path: Path) -> None:
    urls = [api.url + path for path in ("/status", "/page", "/orders/17", "/login", "/orders/18")]
    done = pushhub("routes", "suggest", *QUICK, *urls)
    loaded = tomllib.loads(done.stdout)
    assert loaded["origin"] == api.url
    assert [route["path"] for route in loaded["routes"]] == ["/status", "/page", "/orders/{id}"]
    for route in loaded["routes"]:
        Route.model_validate(route)
    file = tmp_path / "pushhub.toml"
    file.write_text("store = 'memory://'\ndev = true\n" + done.stdout)
    checked = pushhub("config", "check", "--config", str(file))
    assert checked.exit_code == 0, checked.output
    assert done.stdout.count("No credentials were given") == 1, "a fact of all stands once"


async def test_the_suggested_lines_hold_a_request_until_the_data_changes(
    api: Everyday, suggested: dict[str, dict[str, Any]]
) -> None:
    """Without them every fetch finds a change, and a wait ends at once."""
    route = suggested["/status"]["route"] | {"interval": 0.1}
    # In looks less than a second apart, the whole seconds of `now` did not differ each time.
    route["ignore"] = [*{*route["ignore"], "now", "requests"}]
    with serve("front", origin=api.url, routes=[route]) as hub:
        first = await hub.get("/status", prefer="wait=20")
        before = api.requests.count("GET /status")
        async with await hub.connect() as client:
            fields = {"prefer": "wait=20", "if-none-match": first.headers["etag"]}
            client.send("GET", "/status", fields)
            task = asyncio.create_task(client.receive(20))
            await asyncio.to_thread(api.reached, before + 5, "GET /status")
            assert not task.done(), "noise is no change"
            api.state["rows"] = [1, 2, 3]
            changed = await task
    assert changed.json()["rows"] == [1, 2, 3]
    assert changed.headers["preference-applied"] == "wait=20"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["/status"], "has no host"),
        (["ftp://h/x"], "neither a URL"),
        (["http://127.0.0.1:9/x", "-H", "nonsense"], "A header is 'Name: value'"),
        (["http://127.0.0.1:9/x", "--looks", "1"], "looks"),
    ],
)
def test_wrong_usage_is_a_sentence(arguments: list[str], sentence: str) -> None:
    done = pushhub("routes", "suggest", *arguments)
    assert done.exit_code == 2
    assert sentence in done.output


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("http://127.0.0.1:1/x", "Nothing listens on 127.0.0.1:1."),
        ("http://nowhere.invalid/x", "There is no host 'nowhere.invalid'."),
    ],
)
def test_an_api_that_cannot_be_reached(url: str, sentence: str) -> None:
    done = pushhub("routes", "suggest", *QUICK, url)
    assert done.exit_code == 1
    assert sentence in done.stdout
