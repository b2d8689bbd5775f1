"""Prometheus: its targets and its queries, which its own pages and Grafana poll."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlencode

from tests.apps.application import Application, Place, Poll
from tests.apps.client import ask, get_json
from tests.apps.own_client import OwnClient, Visit

# Over an hour, because a scrape that fails on a busy machine is a change.
_RELOADED = "max(last_over_time(prometheus_config_last_reload_success_timestamp_seconds[1h]))"
_FORM = {"query": _RELOADED}
_FILE = "prometheus.yml"
_CONFIG = """
global: {{scrape_interval: 500ms, scrape_timeout: 500ms}}
scrape_configs:
{jobs}
"""
_JOB = """\
  - job_name: job-{number}
    metrics_path: /metrics
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


@contextmanager
def start(place: Place) -> Iterator[None]:
    _configure(place, 1)
    with place.running(
        *("prometheus", f"--config.file={_FILE}", "--storage.tsdb.path=data"),
        *(f"--web.listen-address=127.0.0.1:{place.port}", "--web.enable-lifecycle"),
        "--log.level=warn",
    ):
        place.until(lambda: _is_ready(place))
        yield


def _is_ready(place: Place) -> bool:
    try:
        return bool(ask("GET", f"{place.url}/-/ready"))
    except OSError:
        return False


def _configure(place: Place, count: int) -> None:
    jobs = "".join(_JOB.format(number=number, port=place.port) for number in range(count))
    (place.folder / _FILE).write_text(_CONFIG.format(jobs=jobs))


def add_job(place: Place) -> None:
    """Add a job to the configuration, and have it read again, which a metric tells later.

    Prometheus knows its jobs only seconds after its start; so they are counted in the file.
    """
    reloaded = _reloaded(place)
    _configure(place, (place.folder / _FILE).read_text().count("job_name") + 1)
    ask("POST", f"{place.url}/-/reload", b"")
    place.until(lambda: _reloaded(place) > reloaded)


def _reloaded(place: Place) -> float:
    found = get_json(f"{place.url}/api/v1/query?{urlencode(_FORM)}")["data"]["result"]
    return max((float(series["value"][1]) for series in found), default=0.0)


def look(visit: Visit) -> str:
    # The first scrape is a moment after the start.
    visit.place.until(lambda: _reloaded(visit.place))
    return visit.program("promtool", "query", "instant", visit.url, _RELOADED)


APPLICATION = Application(
    name="prometheus",
    title="Prometheus",
    server="Debian's prometheus, 2.42",
    part="prometheus",
    start=start,
    polls=(
        Poll("/api/v1/status/config", add_job, name="config"),
        Poll(f"/api/v1/query?{urlencode(_FORM)}", add_job, name="query"),
        Poll(
            "/api/v1/query",
            add_job,
            method="POST",
            headers={"Content-Type": "application/x-www-form-urlencoded"},
            body=urlencode(_FORM).encode(),
            name="query by POST",
        ),
    ),
    routes="""\
[[routes]]
path = "/api/v1/query"
step = "poll"
methods = ["GET", "POST"]
ignore = ["data.result[*].value[0]"]   # the time of the query

[[routes]]
path = "/api/v1/targets"
step = "poll"
ignore = ["$..lastScrape", "$..lastScrapeDuration"]

[[routes]]
path = "/api/v1/*"
step = "poll"
""",
    noticed="values of a query, states of the targets, alerts",
    remark="a query has the time of its evaluation beside each value",
    own_client=OwnClient("`promtool`", look, poll=1, unstable=(r"@\[[^\]]*\]",), part="promtool"),
    paths=("/", "/graph", "/-/healthy", "/api/v1/status/config", "/api/v1/query?query=1", "/nope"),
    unstable=(r'"(value|result)":\[[\d.]+,',),
)
