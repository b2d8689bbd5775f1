"""The packages of a release are built, inspected, installed and used; the sdist tests itself."""

import os
import subprocess
import zipfile
from pathlib import Path

import pytest

import pushhub
from tests import outside
from tests.release import building, inspecting
from tests.release.commands import Failed

# Two installations from the index, three builds; a minute on a free machine.
SECONDS = 600


@pytest.mark.timeout(SECONDS)
def test_the_packages_are_used_from_clean_environments(tmp_path: Path) -> None:
    for part in ("release", "client", "node"):
        outside.require(part)
    done = subprocess.run(
        ["scripts/release", "--check", "--no-tests", str(tmp_path)],
        cwd=outside.ROOT,
        env=os.environ | {"PUSHHUB_TEST_ALL": "0"},
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    left_out = [line for line in done.stdout.splitlines() if "left out" in line]
    assert left_out == ["release: left out: the tests of the sdist: --no-tests"]
    built = {path.name for path in tmp_path.glob("*/*")}
    version = pushhub.__version__
    assert built == {
        f"pushhub-{version}-py3-none-any.whl",
        f"pushhub-{version}.tar.gz",
        f"pushhub-{version}.tgz",
        f"pushhub-{version}.cdx.json",
        f"pushhub_client-{version}-py3-none-any.whl",
        f"pushhub_client-{version}.tar.gz",
    }


@pytest.mark.timeout(SECONDS)
def test_the_sdist_passes_its_own_fast_tests(tmp_path: Path) -> None:
    outside.require("release")
    release = building.Release(tmp_path / "built", tmp_path / "stage")
    release.build_sdist()
    release.test_sdist()


def test_a_wheel_that_lacks_a_file_is_refused(tmp_path: Path) -> None:
    wheel = tmp_path / "pushhub-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("pushhub-1.0.dist-info/METADATA", "Version: 1.0\n\n[a](b.md)\n")
        archive.writestr("tests/__init__.py", "")
    with pytest.raises(Failed) as refused:
        inspecting.wheel(wheel, "1.0")
    for problem in ("tests/__init__.py", "no pushhub/py.typed", "more"):
        assert problem in str(refused.value)
