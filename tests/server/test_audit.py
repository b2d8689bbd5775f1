"""A reload leaves a line in the audit log."""

import json
from pathlib import Path

from tests.server.test_reload import File, answering, hang_up, started


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
