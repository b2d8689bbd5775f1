"""Lines that an outage or a client can repeat do not fill the log."""

from __future__ import annotations

from typing import Any

import structlog

from pushhub.hub.counted_log import CountedLog
from pushhub.hub.wheel import Wheel
from pushhub.store.refusals import LOG_SECONDS

log = structlog.get_logger(__name__)


class Minutes:
    """A counted log on a clock that is turned by hand."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.wheel = Wheel(self.now)
        self.log = CountedLog()
        self.log.open(self.wheel, lambda: self.now)

    def turn(self, seconds: float) -> None:
        self.now += seconds
        for entry in self.wheel.turn(self.now):
            entry.expire()


def briefly(logs: list[Any]) -> list[tuple[str, int]]:
    return [(entry["event"], entry["count"]) for entry in logs]


def test_an_outage_is_a_line_at_its_start_and_one_with_the_count() -> None:
    minutes = Minutes()
    with structlog.testing.capture_logs() as logs:
        for number in range(5000):
            minutes.log.warning(log, "store.away", error=f"no {number}")
        assert briefly(logs) == [("store.away", 1)]
        minutes.turn(LOG_SECONDS + 1)
        assert briefly(logs) == [("store.away", 1), ("store.away", 4999)]
        assert logs[-1]["error"] == "no 4999"
        assert logs[-1]["log_level"] == "warning"
        # Nothing more came, so nothing more is said, and nothing stays on the wheel.
        minutes.turn(10 * LOG_SECONDS)
        assert len(logs) == 2
        assert minutes.wheel.next() is None


def test_an_outage_of_an_hour_is_a_line_a_minute() -> None:
    minutes = Minutes()
    with structlog.testing.capture_logs() as logs:
        for _ in range(3600):
            minutes.log.warning(log, "store.away")
            minutes.turn(1)
        minutes.log.close()
    assert len(logs) <= 61
    assert sum(count for _, count in briefly(logs)) == 3600
    assert minutes.wheel.next() is None


def test_events_and_keys_are_counted_apart() -> None:
    minutes = Minutes()
    with structlog.testing.capture_logs() as logs:
        for _ in range(3):
            minutes.log.info(log, "a", "one")
            minutes.log.info(log, "a", "two")
            minutes.log.warning(log, "b")
        minutes.log.close()
    assert briefly(logs) == [("a", 1), ("a", 1), ("b", 1), ("a", 2), ("a", 2), ("b", 2)]


def test_the_first_exception_has_its_traceback_and_the_count_has_none() -> None:
    minutes = Minutes()
    with structlog.testing.capture_logs() as logs:
        for _ in range(3):
            try:
                raise RuntimeError("broken")
            except RuntimeError:
                minutes.log.exception(log, "endpoint.failed", method="GET")
        minutes.turn(LOG_SECONDS + 1)
    assert briefly(logs) == [("endpoint.failed", 1), ("endpoint.failed", 2)]
    assert [entry.get("exc_info", False) for entry in logs] == [True, False]
    assert [entry["log_level"] for entry in logs] == ["error", "error"]


def test_what_is_logged_outside_the_life_of_a_hub_is_not_held_back() -> None:
    counted = CountedLog()
    with structlog.testing.capture_logs() as logs:
        counted.warning(log, "early")
        counted.warning(log, "early")
    assert briefly(logs) == [("early", 1), ("early", 1)]
