"""The chat: its events sent by Django itself, and by pushhub, without a difference to be seen."""

import asyncio
from pathlib import Path

import pytest

from tests.examples.conftest import Example, running

FORM = {"content_type": "application/x-www-form-urlencoded"}


async def say(example: Example, port: str, text: str) -> None:
    answer = await example.ask(port, "POST", "/say", f"text={text}".encode(), **FORM)
    assert answer.status == 204, answer


@pytest.mark.parametrize(("step", "port"), [("before", "ORIGIN_PORT"), ("after", "PORT")])
async def test_a_reader_hears_what_is_said(step: str, port: str, tmp_path: Path) -> None:
    with running("chat", step, DATABASE=str(tmp_path / "chat.db")) as example:
        await example.heard("event: stream-open")
        for word in ("hello", "again", "bye"):
            await say(example, port, word)
            await example.heard(f'data: {{"text": "{word}"}}')


async def test_readers_of_pushhub_occupy_no_thread_of_django(tmp_path: Path) -> None:
    """It has four."""
    with running("chat", "after", DATABASE=str(tmp_path / "chat.db")) as example:
        await example.heard("event: stream-open")
        readers = [
            await asyncio.open_connection("127.0.0.1", example.ports["PORT"]) for _ in range(20)
        ]
        for _, writer in readers:
            writer.write(
                b"GET /events/ HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"
            )
        for reader, _ in readers:
            await asyncio.wait_for(reader.readuntil(b"stream-open"), 20)
        await say(example, "PORT", "everybody")
        for reader, writer in readers:
            await asyncio.wait_for(reader.readuntil(b'{"text": "everybody"}'), 20)
            writer.close()


async def test_who_comes_back_has_missed_nothing(tmp_path: Path) -> None:
    with running("chat", "after", DATABASE=str(tmp_path / "chat.db")) as example:
        await example.heard("event: stream-open")
        await say(example, "PORT", "one")
        await example.heard("id: room:1")
        await say(example, "PORT", "two")
        await say(example, "PORT", "three")
        reader, writer = await asyncio.open_connection("127.0.0.1", example.ports["PORT"])
        writer.write(b"GET /events/ HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: room:1\r\n\r\n")
        got = await asyncio.wait_for(reader.readuntil(b'"three"'), 20)
        assert b'"two"' in got
        assert b'"one"' not in got
        writer.close()
