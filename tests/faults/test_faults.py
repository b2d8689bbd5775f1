"""Every fault in its short form: one strike, and nothing is lost untold.

`scripts/faults` runs them at length, and docs/faults.md says what each costs.
"""

from dataclasses import replace

import pytest

from tests.faults.scenarios import SCENARIOS
from tests.faults.stage import Stage
from tests.redis_servers import KINDS

# Holds end on time; a loaded machine adds to it.
MOST_OVERDUE = 3.0
MOST_REFUSAL = 4.5
"""A command may go unanswered for 2 s, and publishes behind it on the same connection as long."""


@pytest.mark.parametrize("name", SCENARIOS)
async def test_nothing_is_lost_untold(name: str) -> None:
    scenario = SCENARIOS[name]
    stage = Stage(scenario, KINDS["valkey9"], long=False)
    report = await stage.run(0)
    print(f"{name}: {report}\n  {stage.measures()}")
    assert not report.findings, report
    assert report.lost == 0
    assert report.acknowledged > 10
    assert report.delivered > report.acknowledged
    # The readers that poll have news soon after every heal. The others are away while anything is
    # broken, also when the next fault follows at once: they have news soon after the last heal.
    recovers_in = scenario.recovers_in + stage.started_in
    assert stage.promptly().recovery < recovers_in
    assert stage.at_last().recovery < recovers_in
    assert stage.book.overdue < MOST_OVERDUE + stage.started_in
    assert max(stage.book.refusals, default=0) < MOST_REFUSAL


async def test_an_event_that_had_reached_more_and_is_lost_is_found() -> None:
    """All that was on disk before FLUSHALL is gone, and every event after it is kept."""
    scenario = replace(SCENARIOS["kill-fsync"], strike=SCENARIOS["flushall"].strike)
    stage = Stage(scenario, KINDS["valkey9"], long=False)
    report = await stage.run(0)
    assert {finding.kind for finding in report.findings} == {"ack"}
    assert 0 < len(report.findings) == stage.missing < report.acknowledged
