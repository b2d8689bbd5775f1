"""scripts/setup works with the oldest pip and after later releases, and explains a failure in one
sentence."""

import base64
import hashlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path

import pytest

from tests import outside

ROOT = outside.ROOT
OUTSIDE = ("examples", "apps", "atheris", "schemathesis", "helm", "lint", "site", "release")
SETUP = ["pyproject.toml", "hatch_build.py", "README.md", "LICENSE", "scripts/setup"]
CLIENT = "clients/python/pyproject.toml"
PIN = re.compile(r"^([A-Za-z0-9._-]+)(\[[^]]+\])?==(\S+)( ; .+?)? \\$", re.MULTILINE)
# A release that the world publishes after the lock was made.
LATER = "99999"


def git_locks() -> list[str]:
    return [
        "requirements.txt",
        "requirements-dev.txt",
        "requirements-pip.txt",
        "examples/requirements.txt",
        "tests/apps/python.txt",
        "tests/deploy/helm/charts.txt",
        "tests/deploy/wheels/wheels.txt",
        "tests/deploy/lint/lint.txt",
        "tests/docs/site/site.txt",
        "tests/fuzz/atheris.txt",
        "tests/node.txt",
        "tests/openapi/schemathesis.txt",
        "tests/release/client.txt",
        "tests/release/tools.txt",
        "scripts/lock.txt",
    ]


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def installed() -> dict[tuple[str, str], Distribution]:
    """What is installed for developing and as outside parts, by name and version."""
    folders = [
        str(folder)
        for venv in (
            *(ROOT / ".outside" / name for name in OUTSIDE),
            Path(sys.prefix),
        )
        for folder in venv.glob("lib/python3*/site-packages")
    ]
    return {
        (normal(found.metadata["Name"]), found.version): found
        for found in distributions(path=folders)
    }


def wheel(folder: Path, name: str, version: str, about: Distribution | None) -> str:
    """An empty wheel that asks for what the real package asks for; returns its hash."""
    info = f"{name.replace('-', '_')}-{version}.dist-info"
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    if about is not None:
        lines += [f"Provides-Extra: {e}" for e in about.metadata.get_all("Provides-Extra") or ()]
        lines += [f"Requires-Dist: {need}" for need in about.requires or ()]
    path = folder / f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
    files = {
        f"{info}/METADATA": "\n".join(lines) + "\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = []
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in files.items():
            archive.writestr(file, text)
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=")
            rows.append(f"{file},sha256={digest.decode()},{len(text.encode())}")
        archive.writestr(f"{info}/RECORD", "\n".join([*rows, f"{info}/RECORD,,"]) + "\n")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def published_later(lock: Path, folder: Path) -> Path:
    """An index in `folder` with each locked package and a later release of it; returns the lock
    with the hashes of these."""
    known = installed()
    lines = []
    for name, extras, version, marker in PIN.findall(lock.read_text()):
        about = known.get((normal(name), version))
        digest = wheel(folder, name, version, about)
        wheel(folder, name, LATER, about)
        lines.append(f"{name}{extras}=={version}{marker} --hash=sha256:{digest}")
    assert lines, "the lock was read"
    copy = folder / "lock.txt"
    copy.write_text("\n".join(lines) + "\n")
    return copy


def oldest_pip(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pip", *arguments, "--disable-pip-version-check", "--no-input"],
        env=os.environ
        | {"PYTHONPATH": outside.require("oldest-pip"), "PIP_CONFIG_FILE": os.devnull},
        capture_output=True,
        text=True,
        timeout=100,
    )


@pytest.mark.parametrize("lock", git_locks())
def test_the_oldest_pip_takes_each_lock_after_later_releases(lock: str, tmp_path: Path) -> None:
    """Without --no-deps: as `pip install -r` by hand, and each lock has all that it asks for."""
    copy = published_later(ROOT / lock, tmp_path)
    install = ("install", "--dry-run", "--ignore-installed", "--require-hashes", "-r", str(copy))
    done = oldest_pip(*install, "--no-index", "--find-links", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert LATER not in done.stdout


def test_a_lock_without_extras_is_refused_by_the_oldest_pip(tmp_path: Path) -> None:
    """The test above can fail: this is how the lock was when setup stopped to work."""
    copy = published_later(ROOT / "requirements-dev.txt", tmp_path)
    copy.write_text(re.sub(r"\[[^]]+\]", "", copy.read_text()))
    install = ("install", "--dry-run", "--ignore-installed", "--require-hashes", "-r", str(copy))
    done = oldest_pip(*install, "--no-index", "--find-links", str(tmp_path))
    assert done.returncode != 0
    assert "must have their versions pinned" in done.stderr


def test_every_lock_of_python_is_pinned_by_hash_and_tested_here() -> None:
    git = outside.require("git")
    listed = subprocess.run(
        [git, "ls-files", "*.txt"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    locks = {name for name in listed if "--hash=sha256:" in (ROOT / name).read_text()}
    if not listed:
        pytest.skip("not a git checkout")
    assert locks == {*git_locks(), "tests/oldest_pip/pip.txt"}
    for name in locks:
        text = (ROOT / name).read_text()
        pins = re.findall(r"^[A-Za-z0-9]", text, re.MULTILINE)
        assert len(PIN.findall(text)) == len(pins), f"{name}: each line is pinned"
        assert "://" not in text, f"{name}: names no address"


def test_all_that_is_installed_is_installed_from_a_lock() -> None:
    """No script asks an index for a package that no lock pins, or for what a lock does not have."""
    git = outside.require("git")
    listed = subprocess.run(
        [git, "grep", "-lE", "^#!.*(sh|python3?)$"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.split()
    if not listed:
        pytest.skip("not a git checkout")
    scripts = {name for name in [*listed, "tests/npm.py"] if not name.startswith("tests/test_")}
    asked = [
        (name, command)
        for name in sorted(scripts)
        for command in commands((ROOT / name).read_text())
    ]
    assert len({name for name, _ in asked}) >= 3
    for name, command in asked:
        pinned = "--require-hashes" in command and "--no-deps" in command
        assert pinned or "--editable ." in command or name == "scripts/setup", (name, command)


def commands(text: str) -> Iterator[str]:
    """The lines of a script that run `pip install`, continued lines as one."""
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        code = line.split("#", 1)[0]
        if re.search(r"pip\W+install\b|\*pip,", code) and "install atheris" not in code:
            yield code


# -- the script ----------------------------------------------------------------


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What scripts/setup reads, in a folder of its own."""
    folder = tmp_path / "clone"
    for name in [*SETUP, CLIENT, *(p.name for p in ROOT.glob("requirements*.txt"))]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    shutil.copytree(ROOT / "pushhub", folder / "pushhub", ignore=shutil.ignore_patterns("__py*"))
    return folder


def setup(clone: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {n: v for n, v in os.environ.items() if not n.startswith("PYTHON")}
    return subprocess.run(
        ["scripts/setup", "runtime"],
        cwd=clone,
        env=kept | {"PYTHON": sys.executable} | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=280,
    )


NOWHERE = {
    "PIP_CONFIG_FILE": os.devnull,
    "PIP_FIND_LINKS": "",
    "PIP_RETRIES": "1",
    "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
}


def test_without_an_index_setup_says_so_in_one_sentence(clone: Path) -> None:
    (clone / ".venv/bin").mkdir(parents=True)
    (clone / ".venv/bin/activate").write_text("VIRTUAL_ENV=/of/the/folder/it/was/copied/from\n")
    done = setup(clone, **NOWHERE)
    assert done.returncode == 1
    version = sys.version.split()[0]
    assert (done.stdout + done.stderr).splitlines() == [
        f"setup: Python {version} makes .venv",
        "setup: installing the locked runtime packages into .venv, once",
        "setup: the package index cannot be reached, so nothing can be installed: is there a "
        "network? PIP_INDEX_URL names another index (pip's output is in .venv/setup.log).",
    ]
    assert "Connection refused" in (clone / ".venv/setup.log").read_text()
    assert str(clone) in (clone / ".venv/bin/activate").read_text(), "made for this folder"


def test_without_a_python_that_is_new_enough_setup_says_so(clone: Path) -> None:
    old = clone / "python3.9"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    done = setup(clone, PYTHON=str(old))
    assert done.returncode == 1
    assert done.stderr == f"setup: Python 3.11 or newer is not {old}; install it first.\n"


@pytest.mark.timeout(300)
def test_setup_works_with_the_oldest_pip(clone: Path) -> None:
    """Real packages from the real index: the environment that venv makes has the oldest pip."""
    pip = outside.require("oldest-pip")
    python = clone / "python"
    python.write_text(
        f"""#!/usr/bin/env bash
set -e
{sys.executable} "$@"
if [ "$1 $2" = "-m venv" ]; then
  for place in .venv/lib/python3*/site-packages; do
    rm -rf $place/pip $place/pip-*
    cp -r {pip}/pip {pip}/pip-* $place
  done
fi
"""
    )
    python.chmod(0o755)
    done = setup(clone, PYTHON=str(python))
    if "the package index cannot be reached" in done.stderr:
        pytest.skip("there is no network")
    assert done.returncode == 0, done.stderr
    log = (clone / ".venv/setup.log").read_text()
    assert re.search(r"Uninstalling pip-2[2-5]\.", log), "the oldest pip began"
    assert re.search(r"^setup: (package \d+ of|unpacking|ready)", done.stderr, re.MULTILINE)
    shown = subprocess.run(
        [clone / ".venv/bin/pushhub", "--version"], capture_output=True, text=True, check=True
    )
    assert re.search(r"\d+\.\d+", shown.stdout)
    again = setup(clone, **NOWHERE)
    assert (again.returncode, again.stdout + again.stderr) == (0, ""), "current: no network needed"
