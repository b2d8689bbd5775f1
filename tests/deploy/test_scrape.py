"""A real Prometheus with the files of deploy/ scrapes a real hub, and knows what panels ask for."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from tests import outside
from tests.api.test_auth import ADMIN, KEYS
from tests.deploy.test_grafana import PANELS
from tests.deploy.test_prometheus import ALERTS, FOLDER
from tests.ports import free_port
from tests.serving import serve

if TYPE_CHECKING:
    from collections.abc import Iterator

# On a busy machine.
SECONDS = 60.0
_PAUSE_SECONDS = 0.1


class Prometheus:
    """A Prometheus that runs."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def ask(self, path: str, **form: str) -> Any:
        query = urllib.parse.urlencode(form)
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=20) as response:
            answer = json.load(response)
        assert answer["status"] == "success", answer
        return answer["data"]

    def query(self, expr: str) -> list[Any]:
        """The result of an expression, now."""
        found: list[Any] = self.ask("query", query=expr)["result"]
        return found

    def until(self, expr: str) -> None:
        """Wait until an expression has a result: no event tells of a scrape."""
        end = time.monotonic() + SECONDS
        while True:
            try:
                if self.query(expr):
                    return
            except OSError as error:
                # While it starts it refuses connections, or responds 503; 400: a wrong expression.
                if isinstance(error, urllib.error.HTTPError) and error.code != 503:
                    raise
            assert time.monotonic() < end, expr
            time.sleep(_PAUSE_SECONDS)


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """With the configuration of deploy/, but for the lines that say CHANGE."""
    program, folder = outside.require("prometheus"), tmp_path_factory.mktemp("prometheus")
    key, port = folder / "pushhub.key", free_port()
    key.write_text(ADMIN)
    text = (FOLDER / "prometheus.yml").read_text()
    namespaces = {"news": {"retained_bytes": 1000}}
    # The first round of a canary is within its interval.
    with serve(dev=False, api_keys=KEYS, namespaces=namespaces, canary=5) as server:
        for old, new in {
            "/etc/prometheus/pushhub.key": str(key),
            '"192.0.2.11:8080", "192.0.2.12:8080"': f'"127.0.0.1:{server.port}"',
            "interval: 15s": "interval: 1s",
            "timeout: 10s": "timeout: 1s",
        }.items():
            assert old in text
            text = text.replace(old, new)
        (folder / "prometheus.yml").write_text(text)
        (folder / "rules.yml").write_text((FOLDER / "rules.yml").read_text())
        with (folder / "log").open("w") as log:
            process = subprocess.Popen(
                [
                    *(program, f"--config.file={folder}/prometheus.yml"),
                    *(
                        f"--storage.tsdb.path={folder}/data",
                        f"--web.listen-address=127.0.0.1:{port}",
                    ),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
            try:
                found = Prometheus(port)
                # A rate needs two scrapes.
                found.until("count_over_time(pushhub_workers[1m]) >= 3")
                yield found
            finally:
                process.kill()
                process.wait()


def test_the_key_of_the_file_opens_the_metrics(prometheus: Prometheus) -> None:
    """A scrape of a busy hub may fail; one that succeeded has its metrics."""
    prometheus.until('up{job="pushhub"} == 1 and on (job, instance) pushhub_store_ready == 1')


def test_the_rules_are_evaluated(prometheus: Prometheus) -> None:
    prometheus.until("instance:pushhub_workers:changes15m")
    rules = [one for group in prometheus.ask("rules")["groups"] for one in group["rules"]]
    assert {one["name"] for one in rules if one["type"] == "alerting"} == ALERTS.keys()
    assert not [one for one in rules if one["health"] == "err"]


def test_every_panel_has_a_result(prometheus: Prometheus) -> None:
    """Of a hub without clients: all series are there from the start. A scrape may fail in between,
    on a busy machine; the next one has them.
    """
    for panel in PANELS:
        for target in panel["targets"]:
            expr = target["expr"].replace("$__rate_interval", "1m")
            expr = expr.replace("$job", "pushhub").replace("$instance", ".*")
            prometheus.until(expr)
