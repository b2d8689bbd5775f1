"""mypy checks all Python of the repository that runs: also scripts without a suffix."""

import tomllib

from tests.arch.sources import ROOT

OTHERS = (
    "hatch_build.py", "pushhub", "tests", "benchmarks", "clients/python/conformance",
    "clients/python/src",
)  # fmt: skip


def test_mypy_checks_every_python_script() -> None:
    files = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]["files"]
    scripts = [
        str(path.relative_to(ROOT))
        for path in sorted((ROOT / "scripts").iterdir())
        if path.is_file()
        if path.suffix == ".py" or "python" in path.read_text().partition("\n")[0]
    ]
    assert sorted(files) == sorted([*OTHERS, *scripts])
