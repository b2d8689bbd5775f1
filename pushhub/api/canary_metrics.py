"""The metrics of the canary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from pushhub.api.metric import Metric

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pushhub.api.metric import Value
    from pushhub.settings import Settings


class CanaryFigures(Protocol):
    """The canary of this process, and its verdicts."""

    def configure(self, settings: Settings) -> None:
        """Take the settings of a reload."""

    @property
    def lost_untold(self) -> int:
        """The events of the canary that were lost without a gap."""

    @property
    def interval(self) -> float:
        """The seconds between two rounds; 0 if the canary is turned off."""

    def ok(self) -> Mapping[str, float]:
        """1 for each check whose last verdict is a success, 0 for the others."""

    def ages(self) -> Mapping[str, float]:
        """The seconds since the last success of each check."""

    def seconds(self) -> Mapping[str, float]:
        """The duration of the last success of each check."""

    def checks(self) -> list[dict[str, Any]]:
        """All of each check, for the console."""


def _labels(
    read: Callable[[CanaryFigures], Mapping[str, float]],
) -> Callable[[Any], Mapping[str, Value]]:
    def values(service: Any) -> Mapping[str, Value]:
        return {} if service.canary is None else read(service.canary)

    return values


CANARY_METRICS: tuple[Metric, ...] = (
    Metric(
        "pushhub_canary_ok",
        "1 for each check of the canary that succeeded in its last round, else 0.",
        "gauge",
        _labels(lambda canary: canary.ok()),
        "check",
    ),
    Metric(
        "pushhub_canary_age_seconds",
        "Seconds since the last success of a check of the canary, or since its start.",
        "gauge",
        _labels(lambda canary: canary.ages()),
        "check",
    ),
    Metric(
        "pushhub_canary_interval_seconds",
        "Seconds between two rounds of the canary; 0 if it is turned off.",
        "gauge",
        lambda service: 0 if service.canary is None else service.canary.interval,
    ),
    Metric(
        "pushhub_canary_seconds",
        "Duration of the last success of a check of the canary.",
        "gauge",
        _labels(lambda canary: canary.seconds()),
        "check",
    ),
    Metric(
        "pushhub_canary_lost_untold_total",
        "Events of the canary that were lost without a gap.",
        "counter",
        lambda service: 0 if service.canary is None else service.canary.lost_untold,
    ),
)
