"""`pushhub try`: a real hub beside a real poller, on the demo's API and on others."""

import json
import os
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, ClassVar

import pytest

from pushhub.settings import Route
from tests.advice.api import Everyday, everyday

SECONDS = 90.0


@pytest.fixture(scope="module")
def api() -> Iterator[Everyday]:
    with everyday() as running:
        yield running


def start(*arguments: str) -> "subprocess.Popen[str]":
    environ = {k: v for k, v in os.environ.items() if not k.startswith("PUSHHUB_")}
    command = [sys.executable, "-m", "pushhub", "try", *arguments]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ
    )


def run(*arguments: str, code: int = 0) -> tuple[str, str]:
    with start(*arguments) as process:
        try:
            out, err = process.communicate(timeout=SECONDS)
        finally:
            process.kill()
    assert process.returncode == code, err
    assert "Traceback" not in err
    return out, err


def test_the_demo_shows_a_shorter_delay() -> None:
    out, err = run("--demo", "--seconds", "16", "--every", "6", "--json")
    result: dict[str, Any] = json.loads(out)
    assert err == "", "the log of the hub is not shown"
    # A change comes after at most 9 s.
    assert result["changes"]
    assert all(one["uncertain"] == 0 for one in result["changes"]), "the demo knows the times"
    assert result["waiting"]["median"] is not None
    assert result["waiting"]["median"] < 3, "a fetch each second, on a busy machine"
    assert result["shared"] is True
    assert result["route"]["ignore"] == ["served_at", "query_ms"]
    by_clients = {one["clients"]: one for one in result["requests_a_minute"]}
    assert by_clients[1]["polled"] == 10
    assert by_clients[1000]["waiting"] == by_clients[1]["waiting"] <= 80
    Route.model_validate(result["route"])
    assert tomllib.loads(result["toml"])["routes"] == [result["route"]]


def test_the_page_of_an_api_whose_state_changes(api: Everyday, tmp_path: Path) -> None:
    api.requests.clear()
    page = tmp_path / "page.html"
    options = ("--seconds", "10", "--every", "2", "--html", str(page))
    with start(api.url + "/status", *options) as process:
        try:
            # Six of the survey, and some of each observer.
            api.reached(11, "GET /status")
            api.state["rows"] = [1, 2, 3]
            out, err = process.communicate(timeout=SECONDS)
        finally:
            process.kill()
    assert process.returncode == 0, err
    assert "changes seen" in out
    assert "Delay of each change" in out
    assert "\x1b" not in out, "a pipe gets no colours"
    lines = out.partition("The lines for pushhub.toml\n")[2].partition("\nNothing was changed")[0]
    (route,) = tomllib.loads(lines)["routes"]
    assert route["path"] == "/status"
    count = int(out.partition("received ")[2].split()[0])
    assert {line.partition(" ")[0] for line in api.requests} == {"GET"}
    assert len(api.requests) - 2 <= count <= len(api.requests) + 2, "it says how many it sent"

    class Checker(HTMLParser):
        tags: ClassVar[list[str]] = []

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.tags.append(tag)
            assert not {"src", "href"} & dict(attrs).keys(), "nothing from elsewhere"

    checker = Checker()
    checker.feed(page.read_text())
    assert {"svg", "table", "pre", "circle"} <= set(checker.tags)


def test_what_cannot_be_shared_is_said(api: Everyday) -> None:
    out, _ = run(api.url + "/open", "--seconds", "3", "--every", "1")
    assert "Clients could not wait" in out
    assert "Not shared" in out
    assert "sets sessionid" in out
    assert re.search(r"1,000 clients +60,000 +60,000$", out, re.MULTILINE), "as much as polling"


def test_ctrl_c_shows_what_was_measured(api: Everyday) -> None:
    api.requests.clear()
    with start(api.url + "/tagged", "--seconds", "600", "--json") as process:
        try:
            # Six of the survey, and one of each observer.
            api.reached(9, "GET /tagged")
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=SECONDS)
        finally:
            process.kill()
    assert process.returncode == 0, err
    assert json.loads(out)["seconds"] < 300


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/login", "The API wants credentials: 401"),
        ("/stream", "There is nothing to wait for. The response did not end"),
        ("/vary", "There is nothing to wait for. 'Vary: *'"),
        ("/missing", "no such resource: 404"),
    ],
)
def test_refusals_are_sentences(api: Everyday, path: str, says: str) -> None:
    _, err = run(api.url + path, "--seconds", "2", code=1)
    assert says in err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "Give the URL of an API, or --demo."),
        (["http://127.0.0.1:1/x", "--demo"], "Give the URL of an API, or --demo."),
        (["--demo", "--html", "/nowhere/x.html"], "There is no folder /nowhere."),
        (["--demo", "--seconds", "1"], "seconds"),
    ],
)
def test_wrong_usage_is_a_sentence(arguments: list[str], says: str) -> None:
    _, err = run(*arguments, code=2)
    assert says in err
