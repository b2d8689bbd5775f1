"""No event is missed and none comes twice, however a publish and a poll race."""

import asyncio
import random

from tests.serving import Server, events_of, fresh, value_of
from tests.wire import Client, Response

PAIRS, ROUNDS = 25, 40
MOST_DELAY = 0.005
# Longer than any machine takes for a round: who ends its wait has missed something.
WAIT, SECONDS = 50, 60.0


async def polled(reader: Client, target: str) -> Response:
    """A poll that may wait: its answer."""
    reader.send("GET", f"{target}wait={WAIT}")
    return await reader.receive(SECONDS)


async def test_a_thousand_races_of_a_publish_and_a_poll(hub: Server) -> None:
    """The publish lands before the poll, in the middle of its registration, or after it."""
    source = random.Random(5)
    early = held = 0

    async def pair() -> None:
        nonlocal early, held
        channel = fresh("race")
        async with await hub.connect() as reader, await hub.connect() as writer:
            cursor = (await reader.ask("GET", events_of(channel))).json()["cursor"]
            for number in range(ROUNDS):
                poll_at, publish_at = source.random(), source.random()

                async def read(after: float, since: str) -> tuple[list[int], str]:
                    await asyncio.sleep(after * MOST_DELAY)
                    answer = await polled(reader, f"{events_of(channel)}?since={since}&")
                    feed = answer.json()
                    return [event["data"] for event in feed["events"]], feed["cursor"]

                async def write(after: float, data: bytes) -> None:
                    await asyncio.sleep(after * MOST_DELAY)
                    assert (await writer.ask("POST", events_of(channel), body=data)).status == 200

                (seen, cursor), _ = await asyncio.gather(
                    read(poll_at, cursor), write(publish_at, b"%d" % number)
                )
                assert seen == [number]
                early += publish_at < poll_at
                held += publish_at > poll_at

    await asyncio.gather(*(pair() for _ in range(PAIRS)))
    assert early + held == PAIRS * ROUNDS
    assert min(early, held) > PAIRS * ROUNDS / 4


async def test_first_polls_of_a_cold_channel_race_with_its_first_event(hub: Server) -> None:
    """Nobody has read the channel: the hub asks the store while the event is on its way."""
    source = random.Random(6)

    async def race() -> None:
        channel = fresh("cold")
        async with await hub.connect() as reader, await hub.connect() as writer:

            async def read() -> bytes:
                await asyncio.sleep(source.random() * MOST_DELAY)
                return (await polled(reader, f"{value_of(channel)}?")).body

            async def write() -> None:
                await asyncio.sleep(source.random() * MOST_DELAY)
                await writer.ask("POST", events_of(channel), body=b"1")

            body, _ = await asyncio.gather(read(), write())
            assert body == b"1"

    for _ in range(10):
        await asyncio.gather(*(race() for _ in range(20)))


async def test_a_reader_that_keeps_polling_sees_every_event_once(hub: Server) -> None:
    channel, count, writers = fresh("steady"), 50, 4

    async def write(writer: int) -> None:
        async with await hub.connect() as client:
            for number in range(count):
                await client.ask("POST", events_of(channel), body=b"[%d,%d]" % (writer, number))

    async def read() -> list[list[int]]:
        seen: list[list[int]] = []
        since = "earliest"
        async with await hub.connect() as client:
            while len(seen) < count * writers:
                target = f"{events_of(channel)}?since={since}&limit=7&"
                feed = (await polled(client, target)).json()
                assert feed["events"], "the wait ended, and not all was seen"
                seen += [event["data"] for event in feed["events"]]
                since = feed["cursor"]
        return seen

    readers = [asyncio.create_task(read()) for _ in range(10)]
    await asyncio.gather(*map(write, range(writers)))
    logs = await asyncio.gather(*readers)
    assert all(log == logs[0] for log in logs)
    for writer in range(writers):
        assert [n for w, n in logs[0] if w == writer] == list(range(count))
