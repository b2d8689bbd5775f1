"""A reload leaves a line in the audit log, whether it succeeds or fails."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.redis_servers import Shelf
from tests.server.test_reload import SECONDS, File, answering, hang_up, started
from tests.waiting import until


async def lines(audit: Path, count: int) -> list[dict[str, Any]]:
    """The records of the file, when there are `count`."""

    def found() -> list[str]:
        return audit.read_text().splitlines() if audit.exists() else []

    await until(lambda: len(found()) >= count, SECONDS)
    return [json.loads(line) for line in found()]


async def test_a_reload_leaves_a_line(tmp_path: Path) -> None:
    audit, file = tmp_path / "audit.log", File(tmp_path / "pushhub.toml")
    async with answering("a") as a:
        file.write(a)
        with started(file, audit_file=str(audit)) as server:
            file.write(a, a)
            await hang_up(server)
            # The line follows that of the log in the same callback.
            assert (await server.get("/0/x")).status == 200
            (record,) = map(json.loads, audit.read_text().splitlines())
    assert (record["action"], record["actor"]["type"]) == ("settings.reload", "signal")


@pytest.mark.parametrize("workers", [1, 2])
async def test_rejected_settings_leave_a_line(
    workers: int, tmp_path: Path, redis_shelf: Shelf
) -> None:
    """The operator who sent the signal learns why nothing has changed; no line has a secret."""
    audit, file = tmp_path / "audit.log", File(tmp_path / "pushhub.toml")
    store = redis_shelf.url("valkey9") if workers > 1 else "memory://"
    file.write()
    with started(file, store, audit_file=str(audit), workers=workers) as server:
        file.write(extra="max_wait = 'x'\ngrip_key = 'secret-word'")
        await hang_up(server, "settings.rejected")
        records = await lines(audit, workers)
    for record in records:
        assert (record["action"], record["outcome"]) == ("settings.reload", "failed")
        assert (record["actor"]["type"], record["actor"]["id"]) == ("signal", "SIGHUP")
        assert record["reason"] == "settings-rejected"
        assert "max_wait must be a whole number" in record["detail"]
        assert "secret-word" not in json.dumps(record)
    assert len({record["node"] for record in records}) == workers
