import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any
from urllib.request import urlopen

import pytest

from pushhub.cli.client import HubClient
from pushhub.cli.follow import Refused, TailError, TailFollower, TailGap
from pushhub.cli.tail import pretty, printable
from tests.cli.running import CLOSE, answer, pushhub, scripted


def event(offset: int, data: object = None, **more: object) -> dict[str, Any]:
    return {"offset": offset, "cursor": f"e-{offset}", "time": "T", "data": data, **more}


def page(*events: dict[str, Any], cursor: str, **more: object) -> tuple[int, dict[str, str], bytes]:
    return answer(200, {"events": events, "cursor": cursor, "up_to_date": True, **more})


# -- against a real hub --------------------------------------------------------


def publish(url: str, channel: str, *data: str) -> None:
    with HubClient(url) as hub:
        for item in data:
            path = f"/v1/channels/{channel}/events"
            assert hub.request("POST", path, body=item.encode()).status in (200, 201)


def test_tail_prints_present_events(hub_url: str) -> None:
    publish(hub_url, "there", '{"a": 1}', "text")
    result = pushhub("tail", "there", "--once", "--url", hub_url)
    lines = result.stdout.splitlines()
    assert re.fullmatch(r'20\S+Z \w{12}-1 {"a": ?1}', lines[0])
    assert re.fullmatch(r"20\S+Z \w{12}-2 text", lines[1])
    as_json = pushhub("tail", "there", "--once", "--json", "--url", hub_url)
    events = [json.loads(line) for line in as_json.stdout.splitlines()]
    assert [item["data"] for item in events] == [{"a": 1}, "text"]
    after = events[0]["cursor"]
    rest = pushhub("tail", "there", "--once", "--json", "--since", after, "--url", hub_url)
    assert json.loads(rest.stdout)["data"] == "text"


def test_data_is_printed_as_it_was_published(hub_url: str) -> None:
    data = '{"n": 18446744073709551616,\n "d": 0.10, "n": 1}'
    assert pushhub("publish", "exact", data, "--url", hub_url).exit_code == 0
    flat = data.replace("\n", " ")
    plain = pushhub("tail", "exact", "--once", "--url", hub_url)
    assert plain.stdout.endswith(f" {flat}\n")
    (line,) = pushhub("tail", "exact", "--once", "--json", "--url", hub_url).stdout.splitlines()
    assert f'"data":{flat}' in line


def test_pages_are_followed_to_the_end(hub_url: str) -> None:
    items = json.dumps([{"channel": "many", "data": number} for number in range(250)])
    with HubClient(hub_url) as hub:
        got = hub.request(
            "POST", "/v1/publish", {"Content-Type": "application/json"}, items.encode()
        )
        assert got.status == 200, got.body
    result = pushhub("tail", "many", "--once", "--json", "--url", hub_url)
    assert [json.loads(line)["data"] for line in result.stdout.splitlines()] == list(range(250))


def publish_when_it_waits(hub_url: str, channel: str) -> None:
    """What comes before it has asked where the channel ends is not its to tell."""
    for _ in range(2000):
        with urlopen(f"{hub_url}/metrics") as answer:
            if b"\npushhub_holds 1\n" in answer.read():
                break
        threading.Event().wait(0.01)
    publish(hub_url, channel, "1", "2", "3")


def test_tail_waits_for_new_events(hub_url: str) -> None:
    publishing = threading.Thread(target=publish_when_it_waits, args=(hub_url, "comes"))
    publishing.start()
    result = pushhub("tail", "comes", "--since", "now", "--count", "2", "--json", "--url", hub_url)
    publishing.join()
    assert [json.loads(line)["data"] for line in result.stdout.splitlines()] == [1, 2]
    assert result.exit_code == 0


def test_ctrl_c_is_quiet(hub_url: str) -> None:
    publish(hub_url, "quiet", "1")
    command = [sys.executable, "-m", "pushhub", "tail", "quiet", "--json", "--url", hub_url]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(os.environ),
        text=True,
        # A run in the background of a script would have it ignored, and its children too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["data"] == 1
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, "", "")


def test_a_gap_of_a_new_epoch_is_reported(hub_url: str) -> None:
    publish(hub_url, "gap", "1")
    result = pushhub("tail", "gap", "--since", "old-7", "--count", "1", "--url", hub_url)
    assert "GAP (epoch): events may be missing; continuing from " in result.stderr
    assert result.stdout.endswith(" 1\n")


# -- against a script ----------------------------------------------------------


class Time:
    """A clock that only sleeping moves; `jitter` always draws the longest."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def clock(self) -> float:
        return self.now


def longest(low: float, high: float) -> float:
    return high


Following = Callable[..., TailFollower]


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def following(time: Time) -> Iterator[Following]:
    """Makes followers whose time is made up, and closes their connections in the end."""
    with ExitStack() as stack:

        def make(url: str, since: str = "earliest", **options: Any) -> TailFollower:
            clock = options.pop("clock", time.clock)
            hub = stack.enter_context(HubClient(url, **options))
            path = "/v1/channels/a/events"
            return TailFollower(hub, path, since, 25, time.sleep, clock, longest)

        yield make


def test_the_cursor_goes_into_the_next_request_on_the_same_connection(following: Following) -> None:
    with scripted(page(event(1), event(2), cursor="e-2"), page(event(3), cursor="e-3")) as hub:
        told = following(hub.url, key="k").follow()
        assert [next(told)["offset"] for _ in range(3)] == [1, 2, 3]  # type: ignore[index]
        lines = [line for line, _, _ in hub.asked]
        headers = hub.asked[1][1]
        assert hub.connections == 1
    assert lines == [
        "GET /v1/channels/a/events?since=earliest",
        "GET /v1/channels/a/events?since=e-2",
    ]
    assert headers["prefer"] == "wait=25"
    assert headers["authorization"] == "Bearer k"


def test_a_gap_is_reported_and_reading_continues_with_the_oldest(following: Following) -> None:
    gap = answer(410, {"title": "Gone", "reason": "trimmed", "oldest": "e-5", "latest": "e-9"})
    with scripted(gap, page(event(6), cursor="e-6")) as hub:
        told = following(hub.url, "e-1").follow()
        assert next(told) == TailGap("trimmed", "e-5")
        assert next(told) == event(6)
        assert hub.asked[1][0].endswith("since=e-5")


def test_a_gap_that_leads_nowhere_is_no_loop(following: Following) -> None:
    for oldest in (None, "e-1"):
        with (
            scripted(answer(410, {"title": "Gone", "oldest": oldest})) as hub,
            pytest.raises(Refused),
        ):
            next(following(hub.url, "e-1").follow())


def test_trouble_is_waited_out_longer_and_longer(following: Following, time: Time) -> None:
    # A kept connection that breaks is renewed once in silence.
    closed = [CLOSE, CLOSE]
    broken = [answer(503, {"title": "Busy"}), *closed, answer(502, b""), answer(429, b"")]
    with scripted(*broken, page(event(1), cursor="e-1"), answer(500, b"")) as hub:
        told = following(hub.url).follow()
        got = [next(told) for _ in range(6)]
    assert [type(item) for item in got] == [TailError] * 4 + [dict, TailError]
    assert time.slept[:4] == [0.5, 1.0, 2.0, 4.0]
    assert got[-1].pause == 0.5  # type: ignore[union-attr]  # success starts over
    assert time.slept == [0.5, 1.0, 2.0, 4.0]


def test_trouble_is_never_waited_out_too_long(following: Following, time: Time) -> None:
    with scripted(*[answer(503, b"")] * 12, page(event(1), cursor="e-1")) as hub:
        told = following(hub.url).follow()
        for _ in range(13):
            next(told)
    assert max(time.slept) == 30.0


def test_retry_after_of_the_hub_is_honoured(following: Following, time: Time) -> None:
    busy = answer(429, {"title": "Slow down"}, Retry_After="7")
    hint = page(event(1), cursor="e-1", retry_ms=1500)
    with scripted(busy, hint, page(event(2), cursor="e-2")) as hub:
        told = following(hub.url).follow()
        assert next(told) == TailError("Slow down (429)", 7.5)
        assert next(told) == event(1)
        assert next(told) == event(2)
    assert time.slept == [7.5, 1.5]


def test_a_hub_that_does_not_wait_is_not_polled_in_a_loop(following: Following, time: Time) -> None:
    with scripted(page(cursor="e-0"), page(cursor="e-0"), page(event(1), cursor="e-1")) as hub:
        assert next(following(hub.url).follow()) == event(1)
    assert time.slept == [1.0, 1.0]


def test_the_next_poll_follows_the_end_of_a_wait_immediately(
    following: Following, time: Time
) -> None:
    ticks = iter(range(0, 1000, 25))
    with scripted(page(cursor="e-0"), page(event(1), cursor="e-1")) as hub:
        assert next(following(hub.url, clock=lambda: next(ticks)).follow()) == event(1)
    assert time.slept == []


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405])
def test_permanent_errors_are_not_retried(following: Following, status: int) -> None:
    with (
        scripted(answer(status, {"title": "No", "detail": "Never."})) as hub,
        pytest.raises(Refused, match=r"No: Never\."),
    ):
        next(following(hub.url).follow())


def test_a_connection_that_idled_away_is_renewed(following: Following, time: Time) -> None:
    with scripted(page(event(1), cursor="e-1"), CLOSE, page(event(2), cursor="e-2")) as hub:
        told = following(hub.url).follow()
        assert [next(told), next(told)] == [event(1), event(2)]
        assert hub.connections == 2
    assert time.slept == []


# -- the command ---------------------------------------------------------------


def test_a_script_that_looks_once_hears_of_trouble() -> None:
    result = pushhub("tail", "a", "--once", "--url", "http://127.0.0.1:1")
    assert result.exit_code == 1
    assert "cannot be reached: Connection refused" in result.stderr
    with scripted(answer(503, {"title": "Busy"})) as hub:
        result = pushhub("tail", "a", "--once", "--url", hub.url)
        assert "prefer" not in hub.asked[0][1]
    assert (result.exit_code, result.stderr) == (1, "pushhub: Busy (503)\n")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["a", "--since", "yesterday"], "not a cursor"),
        (["a", "--wait", "56"], "--wait"),
        (["a", "--count", "0"], "--count"),
        (["$a"], "pushhub's own"),
        (["a", "--url", "x"], "not a URL"),
    ],
)
def test_mistakes_are_sentences(arguments: list[str], told: str) -> None:
    result = pushhub("tail", *arguments)
    assert result.exit_code == 2
    assert told in result.stderr


@pytest.mark.parametrize("body", [b"<html>", b"[]", {"events": []}, {"cursor": "a", "events": 1}])
def test_a_response_that_is_no_feed_is_an_error(body: object) -> None:
    with scripted(answer(200, body)) as hub:
        result = pushhub("tail", "a", "--url", hub.url)
    assert result.exit_code == 2
    assert "check the URL" in result.stderr


def test_an_event_is_a_line() -> None:
    plain = re.sub(r"\x1b\[[0-9;]*m", "", pretty(event(1, {"b": "é"}, type="tick")))
    assert plain == 'T e-1 tick {"b":"é"}'


def test_control_characters_of_an_event_are_escaped() -> None:
    assert printable("a\x1b[2Jb\r\x07\x9b\n\té") == "a\\x1b[2Jb\\r\\x07\\x9b\n\té"
