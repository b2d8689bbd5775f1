"""The dashboard for Grafana: its panels are complete, and name only metrics that exist."""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from pushhub.api.metrics import render
from pushhub.app import create_app
from pushhub.settings import Namespace, Settings
from tests.deploy.exposition import Exposition, unknown_in

FOLDER = Path(__file__).parents[2] / "deploy" / "grafana"
DASHBOARD = json.loads((FOLDER / "dashboard.json").read_text())
PANELS: list[dict[str, Any]] = [one for one in DASHBOARD["panels"] if one["type"] != "row"]
ROWS = [one["title"] for one in DASHBOARD["panels"] if one["type"] == "row"]
# Panels of Grafana's own that are no Angular plug-ins, which Grafana 12 removed.
TYPES = {"stat", "timeseries", "heatmap"}
DATA_SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def expressions(panel: dict[str, Any]) -> list[str]:
    """The expressions of a panel, with values for Grafana's variables of time."""
    return [target["expr"].replace("$__rate_interval", "1m") for target in panel["targets"]]


@pytest.fixture(scope="module")
def exposition() -> Exposition:
    settings = Settings(
        dev=True, store="memory://", namespaces={"news": Namespace(retained_bytes=1000)}
    )
    service = create_app(settings).service
    service.retained["news"] = 1
    return Exposition(render(service), {})


def test_the_rows_are_those_of_the_documents() -> None:
    assert [
        *("Overview", "Clients", "Delivery", "Store", "Origin", "XMPP", "Limits", "Process")
    ] == ROWS
    assert DASHBOARD["schemaVersion"] >= 39, "Grafana 11 and later"
    assert DASHBOARD["id"] is None, "Grafana gives the id"


def test_no_id_or_title_is_there_twice() -> None:
    for key in ("id", "title"):
        counts = Counter(panel[key] for panel in DASHBOARD["panels"])
        assert not [one for one, count in counts.items() if count > 1]


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_is_complete(panel: dict[str, Any], exposition: Exposition) -> None:
    assert panel["type"] in TYPES
    assert panel["title"]
    assert panel["description"].endswith((".", ")"))
    defaults = panel["fieldConfig"]["defaults"]
    assert defaults["unit"]
    steps = defaults["thresholds"]["steps"]
    assert steps[0]["value"] is None
    values = [step["value"] for step in steps[1:]]
    assert values == sorted(values)
    assert panel["datasource"] == DATA_SOURCE
    assert panel["targets"]
    assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
    for target, expr in zip(panel["targets"], expressions(panel), strict=True):
        assert target["datasource"] == DATA_SOURCE
        assert not unknown_in(expr, exposition)
        # Each selector follows the variables at the top of the page.
        for selector in re.findall(r"\b(?:pushhub|process)_\w+(\{[^}]*\})?|\bup(\{[^}]*\})?", expr):
            assert 'job=~"$job",instance=~"$instance"' in "".join(selector), expr


def test_panels_do_not_overlap() -> None:
    cells = [
        (x, y)
        for panel in DASHBOARD["panels"]
        for x, y in itertools.product(
            range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"]),
            range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"]),
        )
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) == 23


def test_the_variables_ask_for_metrics_that_exist(exposition: Exposition) -> None:
    variables = {one["name"]: one for one in DASHBOARD["templating"]["list"]}
    assert list(variables) == ["datasource", "job", "instance"]
    assert variables["datasource"]["query"] == "prometheus"
    for name in ("job", "instance"):
        text = variables[name]["query"]["query"]
        assert variables[name]["definition"] == text
        found = re.fullmatch(r"label_values\((.+), (\w+)\)", text)
        assert found
        assert found[2] == name
        assert not unknown_in(found[1], exposition)
    [alerts] = [one for one in DASHBOARD["annotations"]["list"] if "expr" in one]
    assert not unknown_in(alerts["expr"], exposition)


def test_the_provisioning_fits() -> None:
    source = yaml.safe_load((FOLDER / "provisioning/datasources/pushhub.yml").read_text())
    prometheus = yaml.safe_load((FOLDER.parent / "prometheus" / "prometheus.yml").read_text())
    interval = source["datasources"][0]["jsonData"]["timeInterval"]
    assert interval == prometheus["global"]["scrape_interval"]
    provider = yaml.safe_load((FOLDER / "provisioning/dashboards/pushhub.yml").read_text())
    [one] = provider["providers"]
    assert one["options"]["path"] in (FOLDER.parent / "README.md").read_text()
