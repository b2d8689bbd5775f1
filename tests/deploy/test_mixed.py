"""A hub of this version and one of an earlier version on one store, as in a rolling upgrade.

`scripts/mixed COMMIT` is the whole check, with both orders of start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests import serving
from tests.mixed import EARLIER, OTHER, OURS, earlier_commit, together, unpack
from tests.redis_servers import KINDS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.redis_servers import Rack


@pytest.mark.timeout(300)
async def test_this_version_works_beside_the_one_before(
    rack: Rack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "DRIVERS", dict(serving.DRIVERS))
    commit = earlier_commit()
    if not commit:
        pytest.skip(f"needs a clone with the last {EARLIER} commits")
    unpack(commit, str(tmp_path))
    url = rack.start(KINDS["valkey9"]).url()
    names = {OURS: "this", OTHER: commit}
    results = list(await together(url, (OTHER, OURS), names))
    assert len(results) > 10
    assert all(results), "the lines above say what fails"
