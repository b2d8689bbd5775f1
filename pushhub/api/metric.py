"""One metric family of `/metrics`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from pushhub.hub.stats import Histogram

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Value = float | Histogram


class Info(NamedTuple):
    """The value of a metric that is constantly 1: its labels are the facts."""

    labels: Mapping[str, str]


class Metric(NamedTuple):
    """One metric family. `read` gives its value, the values by `label`, or None to leave it out; of
    an `Info` the labels are its own.
    """

    name: str
    help: str
    type: str
    read: Callable[[Any], Value | Mapping[str, Value] | Info | None]
    label: str = ""
