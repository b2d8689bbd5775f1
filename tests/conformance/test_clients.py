"""The project's own clients conform: in JavaScript, in Python, and the Java recipe."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pushhub.conformance.case import CASES
from pushhub.conformance.run import NAMES
from tests import outside
from tests.serving import serve

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "examples" / "java" / "Client.java"
DRIVER = Path(__file__).parent / "java" / "Driver.java"
SECONDS = 280.0
# The whole test takes 25 s with eight cases at a time on two cores, and more on busy ones.
JOBS = 8

pytestmark = pytest.mark.timeout(300)


def conformance(*command: str, jobs: int = JOBS, **environ: str) -> dict[str, Any]:
    """The page of `pushhub conformance --json`."""
    clean = {name: text for name, text in os.environ.items() if not name.startswith("PUSHHUB_")}
    done = subprocess.run(
        [sys.executable, "-m", "pushhub", "conformance", "--json", "--jobs", str(jobs), *command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        env=clean | environ,
    )
    assert done.stdout, done.stderr
    page: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == (1 if page["counts"]["failed"] else 0)
    return page


def failures(page: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for one in page["cases"] if one["verdict"] == "failed"]


def test_the_browser_client() -> None:
    driver = ROOT / "clients" / "js" / "conformance" / "driver.mjs"
    page = conformance(outside.require("node"), str(driver))
    assert not failures(page)
    assert page["counts"]["passed"] == len(NAMES)


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_the_python_client(kind: str) -> None:
    package = ROOT / "clients" / "python"
    command = [sys.executable, str(package / "conformance" / "driver.py"), f"--{kind}"]
    page = conformance(*command, PYTHONPATH=str(package / "src"))
    assert not failures(page)
    assert page["counts"]["passed"] == len(NAMES)


def test_the_java_recipe(tmp_path: Path) -> None:
    javac = outside.require("java")
    compiler = [javac, "-Xlint:all", "-Werror", "-d", str(tmp_path), str(RECIPE), str(DRIVER)]
    subprocess.run(compiler, check=True, timeout=SECONDS)
    java = str(Path(javac).with_name("java"))
    # A Java machine takes a core for the second of its start.
    page = conformance(java, "-cp", str(tmp_path), "Driver", jobs=4)
    assert not failures(page)
    modes = {CASES[one["case"]].mode for one in page["cases"] if one["verdict"] == "passed"}
    assert modes == {"stream", "value"}
    missing = {one["mode"] for one in page["cases"] if one["verdict"] == "unsupported"}
    assert missing == {"feed", "many"}


def test_the_java_recipe_runs_as_a_single_file() -> None:
    java = str(Path(outside.require("java")).with_name("java"))
    with serve() as hub:
        url = f"http://127.0.0.1:{hub.port}"
        command = [java, str(RECIPE), url, "orders"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                publish = [
                    outside.require("curl"),
                    "-sf",
                    "-d",
                    '{"total": 3}',
                    f"{url}/v1/channels/orders/events",
                ]
                subprocess.run(publish, check=True, stdout=subprocess.DEVNULL, timeout=SECONDS)
                assert process.stdout is not None
                line = process.stdout.readline()
            finally:
                process.kill()
    assert re.fullmatch(r'\w+-1 \{"total": 3\}\n', line)
