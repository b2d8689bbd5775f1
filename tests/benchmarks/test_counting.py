"""The generator counts right: with a server that plants losses, duplicates and refusals."""

import asyncio
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from benchmarks.servers.naive import Plain
from pushhub.bench.generator_pool import GeneratorPool
from pushhub.bench.response import payload
from pushhub.bench.tally import BenchReport

NEVER = None


def news(*numbers: int, cursor: int | None = None) -> bytes:
    """An answer with these events."""
    events = ",".join(f'{{"data":{payload(n, 1, 40).decode()}}}' for n in numbers)
    after = max(numbers, default=0) if cursor is None else cursor
    body = f'{{"events":[{events}],"cursor":"{after}"}}'
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


class Scripted(asyncio.Protocol):
    """A server that gives one prepared answer after another, and then holds."""

    def __init__(self, script: list[bytes], asked: list[str]) -> None:
        self.script = iter(script)
        self.asked = asked

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        found = re.match(rb"GET \S+?after=(\d+)", data)
        assert found
        self.asked.append(found[1].decode())
        answer = next(self.script, NEVER)
        if answer == b"":
            self.transport.close()
        elif answer is not NEVER:
            # In two pieces, as networks do.
            self.transport.write(answer[:30])
            asyncio.get_running_loop().call_later(0.005, self.transport.write, answer[30:])


@contextmanager
def scripted(script: list[bytes], asked: list[str]) -> Iterator[int]:
    """The port of a server with a script for every connection."""
    ready: list[int] = []
    started = threading.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        server = await loop.create_server(lambda: Scripted(script, asked), "127.0.0.1", 0)
        ready.append(server.sockets[0].getsockname()[1])
        started.set()
        try:
            await server.serve_forever()
        except asyncio.CancelledError:
            pass

    task = loop.create_task(serve())
    thread = threading.Thread(target=loop.run_until_complete, args=(task,))
    thread.start()
    assert started.wait(30)
    try:
        yield ready[0]
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join()
        loop.close()


def run(
    script: list[bytes],
    clients: int = 1,
    published: int = 3,
    until: Callable[[BenchReport], bool] = lambda report: report.received == 3,
) -> tuple[BenchReport, list[str]]:
    """What a generator makes of a script, and the cursors that it asked with."""
    asked: list[str] = []
    with (
        scripted(script, asked) as port,
        GeneratorPool(Plain(f"127.0.0.1:{port}"), "127.0.0.1", port) as pool,
    ):
        pool.open(["c"], clients)
        for _ in range(2000):
            report = pool.report({"c": published})
            if until(report):
                break
            threading.Event().wait(0.01)
        return report, asked


def test_a_clean_run_has_no_losses() -> None:
    report, asked = run([news(1), news(2), news(3)])
    assert (report.received, report.lost, report.duplicated, report.requests) == (3, 0, 0, 4)
    assert asked == ["0", "1", "2", "3"]


def test_several_events_in_one_response() -> None:
    report, _ = run([news(1, 2, 3)])
    assert (report.received, report.responses, report.lost, report.duplicated) == (3, 1, 0, 0)


def test_a_planted_loss_is_found() -> None:
    report, _ = run([news(1), news(3)], until=lambda report: report.received == 2)
    assert (report.received, report.lost, report.duplicated) == (2, 1, 0)


def test_missing_events_are_lost() -> None:
    report, _ = run([news(1)], published=4, until=lambda report: report.received == 1)
    assert (report.received, report.lost, report.duplicated) == (1, 3, 0)


def test_a_planted_duplicate_is_found() -> None:
    report, _ = run([news(1), news(1, 2), news(3)])
    assert (report.received, report.lost, report.duplicated) == (3, 0, 1)


def test_each_client_counts_for_itself() -> None:
    report, _ = run([news(1), news(3)], clients=5, until=lambda report: report.received == 10)
    assert (report.received, report.lost, report.duplicated) == (10, 5, 0)


def test_an_empty_response_is_no_delivery() -> None:
    report, asked = run([news(1), news(cursor=1), news(2, 3)])
    assert (report.received, report.empty, report.responses) == (3, 1, 2)
    assert asked == ["0", "1", "1", "3"]


def test_a_304_has_no_body() -> None:
    script = [b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n", news(1, 2, 3)]
    report, _ = run(script)
    assert (report.received, report.empty) == (3, 1)


@pytest.mark.parametrize(("status", "counted"), [(410, "gaps"), (503, "refused"), (401, "refused")])
def test_other_responses_are_counted_separately(status: int, counted: str) -> None:
    refusal = f"HTTP/1.1 {status} No\r\nContent-Length: 2\r\n\r\n{{}}".encode()
    report, _ = run([refusal], until=lambda report: getattr(report, counted) == 1)
    assert getattr(report, counted) == 1
    assert report.empty == report.received == 0


def test_a_connection_that_the_server_closes_is_broken() -> None:
    report, _ = run([news(1), b""], until=lambda report: report.broken == 1)
    assert (report.received, report.broken) == (1, 1)


def test_chunks_are_read_to_their_end() -> None:
    body = news(1, 2, 3).partition(b"\r\n\r\n")[2]
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    report, _ = run([head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)])
    assert report.received == 3
