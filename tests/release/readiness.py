"""Whether a commit may be published: all places agree, and a maintainer has decided it."""

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hatch_build import check_home, tag_of
from tests.release import changelog

HOOK = ("tool", "hatch", "metadata", "hooks", "custom")
"""Where pyproject.toml has `home` and `published`."""


def configuration(root: Path) -> dict[str, Any]:
    """`home` and `published` of pyproject.toml."""
    table: dict[str, Any] = tomllib.loads((root / "pyproject.toml").read_text())
    for key in HOOK:
        table = table[key]
    return table


def versions(root: Path) -> dict[str, str]:
    """The version in each place that has one: place → version."""
    chart = (root / "deploy/helm/pushhub/Chart.yaml").read_text()
    image = (root / "deploy/container/Containerfile").read_text()
    package = json.loads((root / "clients/js/package.json").read_text())
    lock = json.loads((root / "clients/js/package-lock.json").read_text())
    found = {
        "pushhub/__init__.py": tag_of(root).removeprefix("v"),
        "clients/js/package.json": package["version"],
        "clients/js/package-lock.json": lock["version"],
        "clients/js/package-lock.json, packages": lock["packages"][""]["version"],
        "deploy/container/Containerfile": _one(r"^ARG VERSION=(\S+)$", image),
        "deploy/helm/pushhub/Chart.yaml, version": _one(r"^version: (\S+)$", chart),
        "deploy/helm/pushhub/Chart.yaml, appVersion": _one(r'^appVersion: "(\S+)"$', chart),
    }
    sections = changelog.parse((root / "CHANGELOG.md").read_text())
    found["CHANGELOG.md"] = next(one.name for one in sections if one.name != "Unreleased")
    client = root / "clients/python/pyproject.toml"
    if client.exists():
        place = tomllib.loads(client.read_text())["tool"]["hatch"]["version"]["path"]
        text = (client.parent / place).read_text()
        found[f"clients/python/{place}"] = _one(r'^(?:__version__|VERSION) = "(\S+)"', text)
    return found


def problems(root: Path, tag: str, environ: Mapping[str, str]) -> list[str]:
    """What keeps a commit from being published as `tag`, in sentences; empty if nothing does.

    On GitHub's forge `environ` says in which repository the workflow runs.
    """
    found: list[str] = []
    for place, version in versions(root).items():
        if tag != f"v{version}":
            found.append(f"the tag {tag} is not v{version}, the version of {place}")
    if environ.get("GITHUB_REF_TYPE", "tag") != "tag":
        found.append(f"{tag} is a branch: start the workflow on the tag")
    text = (root / "CHANGELOG.md").read_text()
    found += [f"CHANGELOG.md: {problem}" for problem in changelog.problems(text)]
    if not found and changelog.parse(text)[0].kinds:
        found.append(f"CHANGELOG.md: move the changes of Unreleased to the section of {tag}")
    table = configuration(root)
    try:
        home = check_home(table["home"])
    except ValueError as error:
        found.append(str(error))
        home = ""
    if not table["home"]:
        found.append("pyproject.toml names no home: the page of the package would have no links")
    runs_in = "/".join((environ.get("GITHUB_SERVER_URL", ""), environ.get("GITHUB_REPOSITORY", "")))
    if home and runs_in != "/" and runs_in != home:
        found.append(f"home in pyproject.toml is {home}, and this repository is {runs_in}")
    if not table["published"]:
        found.append("published in pyproject.toml is false: docs/releasing.md says when it is true")
    return found


def _one(pattern: str, text: str) -> str:
    found = re.search(pattern, text, re.MULTILINE)
    if not found:
        raise ValueError(f"no line has the form {pattern}")
    return found[1]
