"""The to-do list: as it was, with pushhub in front, and with one line more."""

import difflib
import re
import time

import pytest

from tests.examples.conftest import EXAMPLES, Example, running

TODO = EXAMPLES / "todo"
# When a wait of 25 s ends, a fifth earlier at most, who was told of no change asks anew.
UNTOLD = 20.0
JSON = {"content_type": "application/json"}


async def ready(example: Example, port: str) -> None:
    """Until the poller has its first answer: an empty list."""
    await example.heard(r"^\[\]$")


async def test_before_the_poller_asks_at_its_own_pace() -> None:
    with running("todo", "before", EVERY="0.5") as example:
        await ready(example, "ORIGIN_PORT")
        answer = await example.ask("ORIGIN_PORT", "POST", "/todos", b'{"text": "milk"}', **JSON)
        assert answer.status == 201
        await example.heard('"text":"milk"')


@pytest.mark.parametrize("step", ["poll", "notify"])
async def test_after_the_same_poller_hears_at_once(step: str) -> None:
    # Who polled at this pace would see nothing in time.
    with running("todo", step, EVERY="3600") as example:
        await ready(example, "PORT")
        for word in ("milk", "bread", "salt"):
            begun = time.monotonic()
            body = b'{"text": "%b"}' % word.encode()
            assert (await example.ask("PORT", "POST", "/todos", body, **JSON)).status == 201
            await example.heard(f'"text":"{word}"')
            assert time.monotonic() - begun < UNTOLD
        done = await example.ask("PORT", "PATCH", "/todos/1", b'{"done": true}', **JSON)
        assert done.json() == {"id": 1, "text": "milk", "done": True}
        await example.heard('"done":true')


async def test_what_a_poller_gets_that_did_not_opt_in_is_what_the_list_says() -> None:
    with running("todo", "poll", EVERY="3600") as example:
        await ready(example, "PORT")
        for target in ("/todos", "/todos/7", "/nowhere"):
            ours = await example.ask("PORT", "GET", target)
            theirs = await example.ask("ORIGIN_PORT", "GET", target)
            assert (ours.status, ours.body) == (theirs.status, theirs.body)
            assert ours.headers.keys() == theirs.headers.keys()


def test_after_is_before_and_one_statement() -> None:
    before, after = ((TODO / name).read_text().splitlines() for name in ("before.py", "after.py"))
    changes = [line for line in difflib.ndiff(before, after) if line[:2] in ("+ ", "- ")]
    code = [line[2:].strip() for line in changes if '"""' not in line]
    assert all(line.startswith("+") for line in changes if '"""' not in line)
    assert len(code) == 5
    shown = (TODO / "README.md").read_text()
    assert not [line for line in code if line not in shown]


def test_the_readme_is_one_screen() -> None:
    for readme in EXAMPLES.glob("*/README.md"):
        assert len(readme.read_text().splitlines()) <= 60, readme


def test_the_lock_has_hashes_and_names_no_address() -> None:
    text = (EXAMPLES / "requirements.txt").read_text()
    assert "://" not in text
    names = re.findall(r"^([a-z0-9-]+)==", text, re.MULTILINE)
    assert {"flask", "django-eventstream", "requests"} <= set(names)
    assert text.count("--hash=sha256:") >= len(names)
