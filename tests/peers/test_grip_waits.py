"""The cases of GRIP that take seconds, since they wait for a timeout: all of them at the same
time, on a real Pushpin and on pushhub. The others are in test_grip_cases.py.
"""

import asyncio
import json
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.peers.gate import Gate, chunk, fresh, response
from tests.peers.origin import script

Case = Callable[[Gate], Coroutine[None, None, None]]

HOLD = "Grip-Hold: response"
SECONDS = 60.0
# How much later than it should a busy machine may come to it, in seconds: a third of pushhub's
# shortest default, so that no other timeout is taken for one of five.
LATE = 10.0

CASES: dict[str, Case] = {}


def waits(case: Case) -> Case:
    """A case that begins when the first of them does, in a thread of its own."""
    CASES[case.__name__] = case
    return case


@pytest.fixture(scope="session")
def begun(gate: Gate) -> Iterator[dict[str, Future[None]]]:
    """All cases: each has paths and channels of its own, and disturbs none."""
    with ThreadPoolExecutor(len(CASES)) as pool:
        yield {name: pool.submit(asyncio.run, case(gate)) for name, case in CASES.items()}


def path() -> str:
    return "/" + fresh("p")


@waits
async def g3_a_short_timeout_is_raised_to_five_seconds(gate: Gate) -> None:
    told = await gate.ask(
        script(path(), HOLD, f"Grip-Channel: {fresh()}", "Grip-Timeout: 1", body="nothing")
    )
    # pushhub's waits end up to a fifth earlier, at random.
    assert (3.9 if gate.is_ours else 4.8) < told.seconds < 5 + LATE
    assert (told.status, told.body) == (200, b"nothing")
    assert not [name for name in told.headers if name.startswith("grip-")]


@waits
async def g5_exposed_headers_are_all_that_is_kept(gate: Gate) -> None:
    told = await gate.ask(
        script(
            path(),
            *(HOLD, f"Grip-Channel: {fresh()}", "Grip-Timeout: 1"),
            *("Grip-Expose-Headers: X-Base", "X-Base: b", "X-Other: o"),
        )
    )
    assert told.headers["x-base"] == "b"
    assert "x-other" not in told.headers
    framing = {"connection", "content-length", "date", "transfer-encoding", "x-base"}
    assert set(told.headers) <= framing


@waits
async def g9_a_gap_in_a_hold_is_repaired(gate: Gate) -> None:
    """Pushpin waits five seconds for what is missing; pushhub's log proves that it is."""
    channel, where = fresh(), path()
    async with gate.stream(path(), f"Grip-Channel: {channel}"):
        await gate.publish(response(channel, id_="1"))
        if not gate.is_ours:
            # What it does a second after the first of a channel's readers would hide the repair.
            await asyncio.sleep(2)
        target = script(where, HOLD, f"Grip-Channel: {channel}; prev-id=1", again={"body": "all"})
        async with gate.asking(target, where) as task:
            begun = time.monotonic()
            await gate.publish(response(channel, "three", id_="3", prev_id_="2"))
            told = await task
            seconds = time.monotonic() - begun
    assert told.body == b"all"
    assert gate.origin.at(where)[1].all("grip-last") == [f"{channel}; last-id=1"]
    assert seconds < 4 if gate.is_ours else 4 < seconds < 5 + LATE


@waits
async def g10_items_of_a_stream_come_in_their_order(gate: Gate) -> None:
    channel = fresh()
    async with gate.stream(path(), f"Grip-Channel: {channel}") as stream:
        for number, before in ((1, 0), (3, 2), (2, 1)):
            await gate.publish(chunk(channel, f"{number},", id_=str(number), prev_id_=str(before)))
        assert await stream.read(6) == b"1,2,3,"
        await gate.publish(chunk(channel, "again,", id_="2", prev_id_="1"))
        begun = time.monotonic()
        await gate.publish(chunk(channel, "9,", id_="9", prev_id_="8"))
        await gate.publish(chunk(channel, "12,", id_="12", prev_id_="11", no_seq_=True))
        # It does not wait for the other, which waits five seconds for what is missing.
        assert await stream.read(3) == b"12,"
        assert await stream.read(2) == b"9,"
        assert 3.5 < time.monotonic() - begun < 5 + LATE


@waits
async def g15_more_than_twenty_channels(gate: Gate) -> None:
    """Pushpin leaves out the twenty-first without a word."""
    names = [fresh() for _ in range(21)]
    async with gate.hold(
        path(), HOLD, f"Grip-Channel: {', '.join(names)}", "Grip-Timeout: 5", body="nothing"
    ) as task:
        await gate.publish(response(names[-1]))
        assert (await task).body == (b"pushed" if gate.is_ours else b"nothing")


async def _nothing_new(gate: Gate, *lines: str) -> None:
    target = script(
        path(),
        *(HOLD, f"Grip-Channel: {fresh()}", "Grip-Timeout: 1", 'ETag: "e"', *lines),
        status=200 if lines else 304,
    )
    told = await gate.ask(target)
    assert (told.status, told.body, told.headers["etag"]) == (304, b"", '"e"')


@waits
async def g16_nothing_new_is_a_304(gate: Gate) -> None:
    await _nothing_new(gate)


@waits
async def g16_a_status_of_its_own_is_a_304(gate: Gate) -> None:
    await _nothing_new(gate, "Grip-Status: 304 Not Modified")


@waits
async def g18_an_instruct_as_a_document(gate: Gate) -> None:
    channel = fresh()
    document = {
        "hold": {"channels": [{"name": channel}], "timeout": 5},
        "response": {"code": 202, "headers": {"X-Doc": "d"}, "body": "later"},
    }
    lines, body = ["Content-Type: application/grip-instruct"], json.dumps(document)
    told = await gate.ask(script(path(), *lines, body=body))
    assert (told.status, told.headers["x-doc"], told.body) == (202, "d", b"later")
    async with gate.hold(path(), *lines, body=body) as task:
        await gate.publish(response(channel))
        assert (await task).body == b"pushed"
    assert (await gate.ask(script(path(), *lines, body=body, status=201))).status == 502


@waits
async def g20_a_held_body_has_a_bound(gate: Gate) -> None:
    lines = [HOLD, f"Grip-Channel: {fresh()}", "Grip-Timeout: 1"]
    most = asyncio.create_task(gate.ask(script(path(), *lines, size=100_000)))
    assert (await gate.ask(script(path(), *lines, size=100_001))).status == 502
    assert len((await most).body) == 100_000


@waits
async def g22_a_stream_is_kept_alive(gate: Gate) -> None:
    async with gate.stream(
        path(), f"Grip-Channel: {fresh()}", "Grip-Keep-Alive: .; format=raw; timeout=2"
    ) as stream:
        begun = time.monotonic()
        assert await stream.read(3) == b"..."
    # Up to a second earlier each on Pushpin, up to a fifth on pushhub; the head is read a bit late.
    assert (4.4 if gate.is_ours else 2.4) < time.monotonic() - begun < 6 + LATE


@waits
async def g24_identical_holds_share_a_request(gate: Gate) -> None:
    channel, where = fresh(), path()
    target = script(where, HOLD, f"Grip-Channel: {channel}", delay=0.3)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(gate.ask(target)) for _ in range(5)]
        await asyncio.to_thread(gate.origin.wait, where, 1 if gate.is_ours else 5)
        # Pushpin asks each of them again after a second.
        await gate.registered(where, 10)
        if gate.is_ours:
            await asyncio.sleep(1)
        hits = len(gate.origin.at(where))
        await gate.publish(response(channel, "all"))
    assert [task.result().body for task in tasks] == [b"all"] * 5
    assert hits == (1 if gate.is_ours else 10)


@waits
async def g25_a_hold_on_a_new_channel_costs_one_request(gate: Gate) -> None:
    """Pushpin asks again, since it knows nothing of the channel; pushhub has its log."""
    channel, where = fresh(), path()
    async with gate.hold(where, HOLD, f"Grip-Channel: {channel}") as task:
        await gate.registered(where, 2)
        if gate.is_ours:
            await asyncio.sleep(2)
        hits = len(gate.origin.at(where))
        await gate.publish(response(channel))
        assert (await task).body == b"pushed"
    assert hits == (1 if gate.is_ours else 2)


@waits
async def g28_an_error_can_be_held(gate: Gate) -> None:
    told = await gate.ask(
        script(path(), HOLD, f"Grip-Channel: {fresh()}", "Grip-Timeout: 1", status=500, body="no")
    )
    assert (told.status, told.body) == (500, b"no")
    assert told.seconds > 3.9


@waits
async def g30_a_bad_item_stops_the_batch_and_is_named(gate: Gate) -> None:
    channel = fresh()
    async with gate.hold(
        path(), HOLD, f"Grip-Channel: {channel}", "Grip-Timeout: 1", body="nothing"
    ) as task:
        answer = await gate.post("/publish/", {"items": [response(channel), {"channel": "b"}]})
        assert answer.status == 400
        if gate.is_ours:
            assert answer.json()["item"] == 1
        assert (await task).body == b"nothing"


@pytest.mark.parametrize("case", list(CASES))
def test_a_case_that_waits(case: str, begun: dict[str, Future[None]]) -> None:
    begun[case].result(SECONDS)
