"""The rehearsal in its shortest form: clients of every kind, and a proxy that reloads.

`deploy/rehearse` is the whole one. Only the histories are judged: a machine that does much else
may be too slow for a proxy's time limits.
"""

from __future__ import annotations

import pytest

from tests.rehearsal.diary import CHAT, LOG, ORIGIN
from tests.rehearsal.faults import FAULTS
from tests.rehearsal.play import SHARES, Plan, Play
from tests.rehearsal.report import as_json, as_markdown
from tests.rehearsal.verdict import judge


@pytest.mark.timeout(400)
async def test_a_short_rehearsal_loses_nothing_untold() -> None:
    play = Play(Plan(minutes=0.2, clients=30, faults=("reload",), progress=False))
    run = await play.run()
    assert not run.failures
    verdict = judge(run.diary, {name: fault.rule for name, fault in FAULTS.items()})
    for name in (LOG, CHAT, ORIGIN):
        history = verdict.histories[name]
        assert history.acknowledged > 0, name
        assert not history.findings, history
    assert verdict.histories[LOG].delivered > 0
    assert verdict.histories[CHAT].delivered > 0
    # Every kind of client was served.
    served = {one.kind for one in run.diary.exchanges if one.status == 200}
    assert {"plain", "long", "value", "sse", "many", "origin", "GRIP", "BOSH"} <= served
    assert len(SHARES) == 8
    assert [row.fault for row in verdict.rows] == ["every day", "reload"]
    assert as_json(run, verdict)["histories"]["log"]["lost_untold"] == 0
    assert "Lost untold: log 0, chat 0, origin 0." in as_markdown(run, verdict)
