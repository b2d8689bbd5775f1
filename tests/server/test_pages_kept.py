"""What was read from the store is gone when it was answered, without the collector of cycles."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING

import pytest

from pushhub.app import create_app
from pushhub.http.request import Request
from pushhub.hub import channels as channel_table
from pushhub.hub.cold_read import ColdRead
from pushhub.log.read import Page
from pushhub.settings import Settings
from pushhub.store.base import append
from tests.store.labs import item

if TYPE_CHECKING:
    from pathlib import Path

    from tests.redis_servers import Shelf

CHANNELS = 25


def held() -> list[ColdRead | Page]:
    """All pages of this process; other test modules have some, too."""
    return [one for one in gc.get_objects() if isinstance(one, ColdRead | Page)]


@pytest.mark.parametrize("store", ["memory", "sqlite", "valkey9"])
@pytest.mark.parametrize("target", ["/events?since=earliest", ""], ids=["feed", "value"])
async def test_no_page_outlives_its_response(
    store: str,
    target: str,
    tmp_path: Path,
    redis_shelf: Shelf,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(channel_table, "MAX_TAILS_BYTES", 2 * 2**20)
    urls = {"memory": "memory://", "sqlite": f"sqlite:///{tmp_path}/log.db"}
    app = create_app(Settings(dev=True, store=urls.get(store) or redis_shelf.url(store)))
    await app.open()
    try:
        for number in range(CHANNELS):
            await append(app.service.hub.store, *[item("x" * 200_000, f"c{number}")] * 2)
        gc.collect()
        gc.disable()
        before = held()
        for number in range(CHANNELS):
            path, _, query = f"/v1/channels/c{number}{target}".partition("?")
            match = app.endpoints.match(path)
            assert match is not None
            app.endpoints.handle(Request("GET", path, query, {}, b"", ""), match)
            async with asyncio.timeout(10):
                while len(app.service.hub.store_reads):  # noqa: ASYNC110
                    await asyncio.sleep(0.001)
        known = set(map(id, before))
        kept = [one for one in held() if id(one) not in known]
        # The loop may still hold the last.
        assert len(kept) <= 2
    finally:
        gc.enable()
        await app.close()
