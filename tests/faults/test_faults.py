"""Every fault in its short form: one strike, and nothing is lost untold.

`scripts/faults` runs them at length, and docs/faults.md says what each costs.
"""

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
    assert report.recovery < scenario.recovers_in
    assert stage.book.overdue < MOST_OVERDUE
    assert max(stage.book.refusals, default=0) < MOST_REFUSAL
