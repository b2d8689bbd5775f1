"""The rules for Prometheus: they parse, name only metrics that exist, and each alert fires."""

from __future__ import annotations

import json
import re
import subprocess
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests import outside
from tests.deploy.alert_cases import CASES, HEALTHY, Case
from tests.deploy.exposition import Exposition, unknown_in
from tests.serving import serve

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "prometheus"
RULES_FILE = FOLDER / "rules.yml"
GROUPS = yaml.safe_load(RULES_FILE.read_text())["groups"]
RULES: list[dict[str, Any]] = [rule for group in GROUPS for rule in group["rules"]]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
RECORDS = {rule["record"]: rule["expr"] for rule in RULES if "record" in rule}


@pytest.fixture(scope="module")
def text() -> Iterator[str]:
    """The exposition of a hub that has all parts switched on."""
    with serve(
        xmpp_domains=["localhost"],
        origin="http://127.0.0.1:9",
        control="127.0.0.1:0",
        namespaces={"news": {"retained_bytes": 1000}},
        audit_channel=True,
    ) as server:
        response = urllib.request.urlopen(f"http://127.0.0.1:{server.port}/_pushhub/metrics")
        with response:
            yield response.read().decode()


def promtool(*arguments: str, stdin: str = "") -> None:
    done = subprocess.run(
        [outside.require("promtool"), *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_reads_rules_and_configuration() -> None:
    promtool("check", "rules", str(RULES_FILE))
    # The key's file is on the administrator's machine.
    promtool("check", "config", "--syntax-only", str(FOLDER / "prometheus.yml"))


def test_promtool_accepts_the_metrics_of_a_hub(text: str) -> None:
    promtool("check", "metrics", stdin=text)


def test_rules_name_only_what_exists(text: str) -> None:
    exposition = Exposition(text, RECORDS)
    unknown = {rule["expr"]: unknown_in(rule["expr"], exposition) for rule in RULES}
    assert not {expr: names for expr, names in unknown.items() if names}


@pytest.mark.parametrize(
    ("expr", "unknown"),
    [
        ("rate(pushhub_published_total[5m])", "pushhub_published_total"),
        ('pushhub_publish_total{outcome="ok"}', "label outcome"),
        ('pushhub_publish_total{result="okay"}', "result=okay"),
        ("sum by (channel) (pushhub_holds)", "label channel"),
        ('pushhub_wake_latency_seconds_bucket{le="0.3"}', "le=0.3"),
        ("pushhub_holds / on (node) pushhub_workers", "label node"),
    ],
)
def test_what_does_not_exist_is_found(text: str, expr: str, unknown: str) -> None:
    """The check of the test above can fail."""
    assert any(unknown in one for one in unknown_in(expr, Exposition(text, RECORDS)))


def test_each_alert_has_its_section() -> None:
    page = (ROOT / "docs" / "runbook.md").read_text()
    sections = re.findall(r"^## (\w+)$", page, re.MULTILINE)
    assert sections == list(ALERTS), "in the order of the rules"
    for name, rule in ALERTS.items():
        assert rule["annotations"]["runbook_url"] == f"docs/runbook.md#{name.lower()}"
        section = page.split(f"## {name}\n")[1].split("\n## ")[0]
        for word in ("**Meaning.**", "**Users see**"):
            assert word in section, (name, word)
        assert ("**Look:**" in section and "**Do:**" in section) or "**Look and do:**" in section


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_what_it_is(name: str) -> None:
    rule = ALERTS[name]
    assert name.startswith("Pushhub")
    assert rule["labels"].keys() == {"severity"}
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}


def test_each_alert_has_its_cases() -> None:
    assert {name.split()[0] for name in CASES} == ALERTS.keys()


@pytest.mark.parametrize("interval", sorted({case.interval for case in CASES.values()}))
def test_each_alert_fires_and_is_quiet(interval: str, tmp_path: Path) -> None:
    """Each case is a job of its own in one storage: promtool needs a second to open another."""
    series: dict[str, str] = {}
    questions = []
    for name, case in CASES.items():
        alert = name.split()[0]
        if case.interval != interval or alert == "PushhubNobodyServed":
            continue
        job = "pushhub-" + name.replace(" ", "-")
        series |= of_job(f"{job}-fires", HEALTHY | case.fires)
        series |= of_job(f"{job}-quiet", HEALTHY | case.quiet)
        questions += [
            question(f'job="{job}-fires"', case, {alert} | case.beside),
            question(f'job="{job}-quiet",alertname="{alert}"', case, set()),
        ]
    run([promtool_test(interval, series, questions)], interval, tmp_path)


def test_nobody_served_fires_and_is_quiet(tmp_path: Path) -> None:
    """Its alert has no job: it is about all of them."""
    case, tests = CASES["PushhubNobodyServed"], []
    for series, firing in (
        (case.fires, {"PushhubNobodyServed"}),
        (case.quiet, set()),
    ):
        asked = question('alertname="PushhubNobodyServed"', case, firing)
        tests.append(promtool_test("1m", of_job("pushhub", HEALTHY | series), [asked]))
    run(tests, "1m", tmp_path)


def test_a_fresh_hub_is_quiet(text: str, tmp_path: Path) -> None:
    """All series of a real hub without clients, unchanged for two hours: no alert."""
    series = {
        line.rpartition(" ")[0]: f"{line.rpartition(' ')[2]}+0x120"
        for line in text.splitlines()
        if not line.startswith("#")
    }
    asked = question('job="pushhub"', Case({}, {}, at="2h"), set())
    run([promtool_test("1m", of_job("pushhub", HEALTHY | series), [asked])], "1m", tmp_path)


def of_job(job: str, series: dict[str, str]) -> dict[str, str]:
    """The series with the labels of a target: that job, and the first hub unless it is named."""
    labelled = {}
    for text, values in series.items():
        name, _, labels = text.removesuffix("}").partition("{")
        target = [f'job="{job}"'] + ['instance="a:8080"'] * ("instance=" not in labels)
        labelled[name + "{" + ",".join([*filter(None, [labels]), *target]) + "}"] = values
    return labelled


def question(selector: str, case: Case, firing: set[str]) -> dict[str, Any]:
    """Which alerts fire, of those that the selector names."""
    return {
        "expr": f'group by (alertname, severity) (ALERTS{{alertstate="firing",{selector}}})',
        "eval_time": case.at,
        "exp_samples": [
            {
                "labels": f'{{alertname="{one}",severity="{ALERTS[one]["labels"]["severity"]}"}}',
                "value": 1,
            }
            for one in firing
        ],
    }


def promtool_test(
    interval: str, series: dict[str, str], questions: list[dict[str, Any]]
) -> dict[str, Any]:
    return {
        "interval": interval,
        "input_series": [{"series": one, "values": two} for one, two in series.items()],
        "promql_expr_test": questions,
    }


def run(tests: list[dict[str, Any]], interval: str, folder: Path) -> None:
    """Evaluate the rules over the series. JSON is YAML."""
    document = {
        "rule_files": [str(RULES_FILE)],
        "evaluation_interval": interval,
        "group_eval_order": [group["name"] for group in GROUPS],
        "tests": tests,
    }
    (folder / "tests.yml").write_text(json.dumps(document))
    promtool("test", "rules", str(folder / "tests.yml"))
