"""The reference says everything that there is, and nothing that there is not."""

import re
import urllib.request
from pathlib import Path

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from pushhub.api.endpoints import ROUTES
from pushhub.api.grip import GRIP_ROUTES
from pushhub.app import create_app
from pushhub.http.problem import PROBLEMS, TYPE_PREFIX
from pushhub.settings import Settings
from tests.waiting import block_until

ROOT = Path(__file__).parents[2]
DOCS = {path.name: path.read_text() for path in sorted((ROOT / "docs").glob("*.md"))}
README = (ROOT / "README.md").read_text()
EVERYTHING = "\n".join([*DOCS.values(), README])

# What the pages load; nobody asks for them by hand.
ASSETS = {
    "/docs.css",
    "/docs.js",
    "/page.css",
    "/demo/faces.json",
    "/demo/{file}",
    "/console/{file}",
    "/client.js.map",
    "/client.mjs.map",
    "/client.d.ts",
}
# What a histogram's name is followed by in a query.
SUFFIXES = re.compile(r"_(?:bucket|sum|count)$")


@pytest.fixture
def pages() -> set[str]:
    app = create_app(Settings(dev=True, store="memory://"))
    return {route.path for route in app.pages.routes if hasattr(route, "path")} - ASSETS


def test_every_route_has_its_place() -> None:
    for route in ROUTES:
        for method in route.endpoints:
            assert f"\n`{method} {route.path}`\n" in DOCS["api.md"], "a section begins with it"
            assert re.search(rf"\| \[`{method} {re.escape(route.path)}`\]", DOCS["api.md"])


def test_every_page_has_its_place(pages: set[str]) -> None:
    assert not {path for path in pages if f"`GET {path}`" not in DOCS["api.md"]}


def test_the_documents_name_no_other_route(pages: set[str]) -> None:
    there = {f"{method} {route.path}" for route in ROUTES for method in route.endpoints}
    there |= {f"{method} {route.path}" for route in GRIP_ROUTES for method in route.endpoints}
    there |= {f"GET {path}" for path in pages}
    # Those of applications of others.
    foreign = {"apps.md", "apps-report.md"}
    text = "\n".join(page for name, page in DOCS.items() if name not in foreign)
    named = re.findall(r"`((?:GET|POST|PUT|DELETE|PATCH) /[^`\s?]*)", text)
    assert named
    assert not set(named) - there


def test_every_problem_has_a_paragraph() -> None:
    page = DOCS["problems.md"]
    sections = dict(re.findall(r"^## ([a-z-]+)\n\n((?:.|\n)*?)(?=^## |\Z)", page, re.MULTILINE))
    assert sections.keys() == PROBLEMS.keys()
    for slug, (status, _) in PROBLEMS.items():
        assert sections[slug].startswith(f"{status}. "), f"{slug} begins with its status"


def test_the_documents_name_no_other_problem() -> None:
    named = re.findall(rf"{TYPE_PREFIX}([a-z-]+)", EVERYTHING)
    named += re.findall(r"\(#([a-z-]+)\)", DOCS["problems.md"])
    # `404 deleted`, 401; 403 `forbidden`: a status and what it may be.
    named += re.findall(r"\b[45]\d\d `([a-z-]+)`", EVERYTHING)
    assert named
    assert not set(named) - PROBLEMS.keys()


def exposition(server: str) -> str:
    with urllib.request.urlopen(f"{server}/metrics") as response:
        text: str = response.read().decode()
    return text


@pytest.fixture
def metrics(server: str) -> dict[str, Metric]:
    block_until(lambda: 'pushhub_canary_seconds{check="value"}' in exposition(server), 30)
    families = list(text_string_to_metric_families(exposition(server)))
    # The parser takes a counter's `_total` off.
    return {one.name + "_total" * (one.type == "counter"): one for one in families}


def test_every_metric_is_in_the_reference(metrics: dict[str, Metric]) -> None:
    page = DOCS["metrics.md"]
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|([^|]*)\|", page, re.MULTILINE)
    documented = {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}
    assert documented == {name: (one.type, labels_of(one)) for name, one in metrics.items()}


def labels_of(metric: Metric) -> set[str]:
    return {label for sample in metric.samples for label in sample.labels} - {"le"}


# The labels that have another value with each release.
VERSIONS = {("pushhub_build_info", "version"), ("pushhub_build_info", "python")}


def test_every_value_of_a_label_is_in_the_reference(metrics: dict[str, Metric]) -> None:
    values = {
        value
        for metric in metrics.values()
        for sample in metric.samples
        for label, value in sample.labels.items()
        if label != "le" and (metric.name, label) not in VERSIONS
    }
    missing = {
        value for value in values - PROBLEMS.keys() if f"`{value}`" not in DOCS["metrics.md"]
    }
    assert not missing


def test_the_documents_name_no_other_metric(metrics: dict[str, Metric]) -> None:
    named = re.findall(r"\b(pushhub_\w+|process_\w+)", EVERYTHING)
    # The cookie, the Python client, and the command of pushhub.contrib.django.
    others = {"pushhub_token", "pushhub_client", "pushhub_routes"}
    assert not {SUFFIXES.sub("", name) for name in named} - metrics.keys() - others


def test_links_between_the_documents_lead_somewhere() -> None:
    for name, text in DOCS.items():
        for target, anchor in re.findall(r"\]\(([\w-]+\.md)?(?:#([\w-]+))?\)", text):
            page = DOCS.get(target or name)
            assert page is not None, f"{name} links to {target}"
            headings = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
            anchors = {*map(slug, headings), *re.findall(r'<a id="([\w-]+)"', page)}
            assert not anchor or anchor in anchors, f"{name} links to #{anchor}"


def slug(heading: str) -> str:
    """A heading's anchor, as GitHub makes it."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def test_no_word_makes_light_of_a_step() -> None:
    found = re.findall(r"\b(?:simply|just|easily|obviously)\b", EVERYTHING, re.IGNORECASE)
    assert not found
