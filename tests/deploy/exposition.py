"""Whether expressions of PromQL name only metrics, labels and values that hubs expose."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import promql_parser as promql
from prometheus_client.parser import text_string_to_metric_families

from pushhub.api.metrics import METRICS
from pushhub.http.problem import PROBLEMS

if TYPE_CHECKING:
    from collections.abc import Mapping

# What Prometheus adds to each series of a target, and makes itself.
TARGET = {"job", "instance"}
SYNTHETIC: dict[str, set[str]] = {"up": set(), "ALERTS": {"alertname", "alertstate", "severity"}}
# Labels whose values are names of the administrator's, or come with their first occurrence.
FREE = {*TARGET, "namespace", "check"}


class Exposition:
    """The names, labels and values of the metrics of a hub, and the records of the rules."""

    def __init__(self, text: str, records: Mapping[str, str]) -> None:
        self.values: dict[str, dict[str, set[str]]] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                values = self.values.setdefault(sample.name, {})
                for label, value in sample.labels.items():
                    values.setdefault(label, set()).add(value)
        # A problem has a series from its first occurrence on.
        self.values["pushhub_rejected_total"]["reason"] |= PROBLEMS.keys()
        # A check of the canary has series from its first round on.
        self.labels = {metric.name: {metric.label} - {""} for metric in METRICS}
        self.labels |= {name: set(labels) for name, labels in self.values.items()}
        self.labels |= SYNTHETIC | {name: set() for name in records}


def unknown_in(expr: str, exposition: Exposition) -> list[str]:
    """What an expression names that does not exist: metrics, labels and values of labels.

    Raises:
        ValueError: the text is no PromQL.
    """
    unknown: list[str] = []
    named: set[str] = set()
    asked: set[str] = set()

    def visit(node: Any) -> None:
        match node:
            case promql.VectorSelector():
                unknown.extend(_selector(node, exposition))
                named.update(exposition.labels.get(node.name or "", ()))
            case promql.AggregateExpr() if node.modifier:
                asked.update(node.modifier.labels)
            case promql.BinaryExpr() if node.modifier and node.modifier.matching:
                asked.update(node.modifier.matching.labels)

    promql.walk(promql.parse(expr), visit)
    unknown += [f"label {label}" for label in sorted(asked - named - TARGET)]
    return unknown


def _selector(node: Any, exposition: Exposition) -> list[str]:
    labels = exposition.labels.get(node.name)
    if labels is None:
        return [f"{node.name} is no metric"]
    unknown = []
    for matcher in node.matchers.matchers:
        if matcher.name not in labels | TARGET:
            unknown.append(f"{node.name} has no label {matcher.name}")
            continue
        exact = matcher.op in (promql.MatchOp.Equal, promql.MatchOp.NotEqual)
        values = exposition.values.get(node.name, {}).get(matcher.name)
        if not exact or values is None or matcher.name in FREE:
            continue
        if matcher.value not in values:
            unknown.append(f"{node.name} has no {matcher.name}={matcher.value}")
    return unknown
