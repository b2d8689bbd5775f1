"""The receipt of a retry after the log has begun another epoch: its cursor is one to go on from."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.serving import Server, events_of, fresh, serve

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.redis_servers import Shelf


class Epochs:
    """A store, and a way to have it begin another epoch with all its events."""

    def __init__(self, kind: str, folder: Path, shelf: Shelf) -> None:
        self._redis = shelf.server(kind) if kind != "sqlite" else None
        self._file = folder / "log.db"
        self.url = self._redis.url() if self._redis else f"sqlite:///{self._file}"

    @contextmanager
    def serve(self) -> Iterator[Server]:
        with serve("front", self.url) as server:
            yield server

    def begin(self) -> None:
        """Begin another epoch; no server runs."""
        if self._redis is not None:
            self._redis.ask("DEL", "ph:epoch")
            return
        # A copy in the file's place, as after a restore.
        data = self._file.read_bytes()
        self._file.unlink()
        self._file.write_bytes(data)


@pytest.fixture(params=["sqlite", "valkey9"])
def epochs(request: pytest.FixtureRequest, tmp_path: Path, redis_shelf: Shelf) -> Epochs:
    return Epochs(request.param, tmp_path, redis_shelf)


async def by_events(server: Server, channel: str, data: Any) -> dict[str, Any]:
    return await server.publish(channel, data, **{"idempotency-key": "k"})


async def by_items(server: Server, channel: str, data: Any) -> dict[str, Any]:
    document = [{"channel": channel, "data": data, "idempotency_key": "k"}]
    answer = await server.post("/v1/publish", document)
    assert answer.status == 200, answer
    [result] = answer.json()["results"]
    assert result.pop("item") == 0
    return dict(result)


@pytest.mark.parametrize("publish", [by_events, by_items])
async def test_the_cursor_of_a_duplicate_is_that_of_the_feed(epochs: Epochs, publish: Any) -> None:
    channel = fresh()
    with epochs.serve() as server:
        await server.publish(channel, 0)
        first = await publish(server, channel, 1)
        again = await publish(server, channel, 1)
        assert again == first | {"duplicate": True}
    epochs.begin()
    with epochs.serve() as server:
        retry = await publish(server, channel, 1)
        assert retry["duplicate"] is True
        assert (retry["epoch"], retry["id"]) == (first["epoch"], first["id"])
        assert retry["offset"] == first["offset"] == 2
        assert retry["cursor"] != first["cursor"]
        await server.publish(channel, 2)
        feed = (await server.get(events_of(channel))).json()
        assert [event["cursor"] for event in feed["events"]][1] == retry["cursor"]
        assert feed["events"][1]["epoch"] == retry["epoch"]
        answer = await server.get(f"{events_of(channel)}?since={retry['cursor']}")
        assert answer.status == 200, answer
        assert [event["data"] for event in answer.json()["events"]] == [2]
        # The former cursor, issued under the former epoch, stays a gap.
        answer = await server.get(f"{events_of(channel)}?since={first['cursor']}")
        assert answer.status == 410
