import json

import pytest

from tests.cli.running import answer, pushhub, scripted

PUBLISHED = answer(201, {"channel": "news:1", "cursor": "e-1", "offset": 1})


def test_it_publishes_and_prints_the_cursor(hub_url: str) -> None:
    first = pushhub("publish", "news:1", '{"a": 1}', "--url", hub_url)
    assert first.exit_code == 0
    epoch, offset = first.stdout.strip().split("-")
    assert (len(epoch), offset) == (12, "1")
    second = pushhub("publish", "news:1", "text", "--json", PUSHHUB_URL=hub_url)
    assert json.loads(second.stdout)["cursor"] == f"{epoch}-2"


def test_an_idempotency_key_is_kept(hub_url: str) -> None:
    once = ("publish", "idem", "1", "--idempotency-key", "k", "--json", "--url", hub_url)
    first, second = (json.loads(pushhub(*once).stdout) for _ in range(2))
    assert first["duplicate"] is False
    assert second["duplicate"] is True
    assert first["cursor"] == second["cursor"]


def test_everything_is_sent_as_it_was_given() -> None:
    with scripted(PUBLISHED) as hub:
        options = ["--type", "tïck", "--id", "7", "--content-type", "text/x", "--key", "phk_x"]
        result = pushhub("publish", "a/ü", "data", *options, "--url", hub.url + "/_pushhub/")
        assert result.exit_code == 0, result.stderr
        line, headers, body = hub.asked[0]
    assert line == "POST /_pushhub/v1/channels/a%2F%C3%BC/events"
    assert body == b"data"
    assert headers["event-type"].encode("latin-1").decode() == "tïck"
    assert headers["event-id"] == "7"
    assert headers["content-type"] == "text/x"
    assert headers["authorization"] == "Bearer phk_x"
    assert "idempotency-key" not in headers


@pytest.mark.parametrize("argument", [["-"], []])
def test_data_comes_from_standard_input_byte_for_byte(argument: list[str]) -> None:
    with scripted(PUBLISHED) as hub:
        result = pushhub("publish", "a", *argument, input=b"\xff\x00\n", PUSHHUB_URL=hub.url)
        assert result.exit_code == 0
        _, headers, body = hub.asked[0]
    assert body == b"\xff\x00\n"
    assert "content-type" not in headers
    assert "authorization" not in headers


def test_a_key_from_the_environment_is_used() -> None:
    with scripted(PUBLISHED) as hub:
        pushhub("publish", "a", "1", PUSHHUB_URL=hub.url, PUSHHUB_KEY="phk_e")
        assert hub.asked[0][1]["authorization"] == "Bearer phk_e"


def test_a_problem_is_shown_as_title_and_detail() -> None:
    problem = {"title": "A key or token is needed", "status": 401, "detail": "Send one."}
    with scripted(answer(401, problem), answer(502, b"<html>")) as hub:
        refused = pushhub("publish", "a", "1", "--url", hub.url)
        broken = pushhub("publish", "a", "1", "--url", hub.url)
    assert refused.exit_code == 1
    assert refused.stderr == "pushhub: A key or token is needed: Send one.\n"
    assert broken.stderr == "pushhub: Bad Gateway (502)\n"


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["a", "1", "--url", "http://127.0.0.1:1"], 1, "cannot be reached: Connection refused"),
        (["a", "1", "--url", "ftp://x"], 2, "not a URL such as http"),
        (["a", "1", "--url", "http://x:port"], 2, "not a URL such as http"),
        (["$a", "1"], 2, "pushhub's own"),
        (["", "1"], 2, "at least one character"),
        (["a", "1", "--type", "x\ny"], 2, "cannot be sent as a header"),
    ],
)
def test_mistakes_are_sentences(arguments: list[str], code: int, told: str) -> None:
    result = pushhub("publish", *arguments)
    assert result.exit_code == code
    assert told in result.stderr


def test_a_server_that_is_no_hub_is_an_error() -> None:
    with scripted(answer(200, b"<html>")) as hub:
        result = pushhub("publish", "a", "1", "--url", hub.url)
    assert result.exit_code == 2
    assert "is not a hub's" in result.stderr


def test_a_publish_is_never_sent_twice_by_itself() -> None:
    with scripted((0, {}, b""), PUBLISHED) as hub:
        result = pushhub("publish", "a", "1", "--url", hub.url)
        assert len(hub.asked) == 1
    assert result.exit_code == 1
