"""The HTML page of `pushhub try`, in a real Chromium."""

import os
from pathlib import Path

from pushhub.advice import Observation, RequestForm, Survey, suggest
from pushhub.trial.comparison import observed_changes
from pushhub.trial.html_page import html_page
from pushhub.trial.sighting import ObserverRecord, Sighting
from pushhub.trial.trial import TrialResult
from tests.browser_pages.browser import drive


def result() -> TrialResult:
    """A minute with eight changes, and an API with a long URL and a hostile name in its body."""
    body = b'{"</script><b>age": %d, "rows": []}'
    responses = tuple(
        Observation(
            RequestForm.AS_GIVEN, n, 2.0 * n, 1e9 + 2 * n, 0.1, 200, b"OK", (), body % (2 * n)
        )
        for n in range(4)
    )
    path = "/api/v1/" + "resources-of-a-long-name/" * 4
    poller = ObserverRecord([Sighting(t, t, str(t // 7)) for t in range(0, 60, 5)], 12, 0, 4000)
    waiting = ObserverRecord(
        [Sighting(max(0, t - 7), t + 0.6, str(t // 7), t > 0) for t in range(0, 60, 7)], 9, 9, 3000
    )
    suggestion = suggest(Survey("https://api.example.com", path, "", (), responses))
    changes = observed_changes(poller, waiting, 1.0, [])
    return TrialResult(
        suggestion, 60.0, 5.0, 1.0, poller, waiting, 58, True, changes, {}, False
    )  # fmt: skip


def test_the_page_is_readable_on_every_screen(tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    file.write_text(html_page(result()), encoding="utf-8")
    folder = os.environ.get("PUSHHUB_TEST_PICTURES", "")
    found = drive("trial", url=file.as_uri(), file=str(file), folder=folder)
    assert found["axe"] == {}
    assert max(found["wider"].values()) <= 0
    assert found["marks"] == sum(
        delay is not None for one in result().changes for delay in (one.polled, one.long_polled)
    )
    assert found["tables"] == 2
