"""The fast lane: the tests that start no process, chosen by what they import.

A test is slow when its module, or the module of a fixture that it uses, imports `subprocess` or
`multiprocessing`, or calls `create_subprocess_exec` or `create_subprocess_shell` of asyncio, also
through other modules of the tests; or when it is marked `slow`. All other tests are fast: hubs,
stores and servers in this process, in memory, on SQLite and on loopback.
`pytest --fast` runs the fast lane only. A new test lands in its lane by its imports; a fast test
that starts a process nevertheless fails, and so does one that takes too much processor time.
"""

import functools
import re
import sys
import time
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).parents[1]
STARTERS = frozenset({"subprocess", "multiprocessing"})
"""Modules that start processes."""
PROCESS_EVENTS = frozenset({"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn"})
"""Events of `sys.audit` that announce a new process."""
CPU_SECONDS = 3.0
"""Processor time of one fast test, of the 60 s that two processors have in half a minute."""
FEWER = 10
"""A property of Hypothesis gets so many times fewer examples in the fast lane."""
STATIC = ROOT / "tests" / "arch"
"""Tests that read the code instead of running it; scripts/check runs them."""
OWN_PACKAGES = ("tests", "benchmarks")

# Imports at the left margin. Those of a TYPE_CHECKING block or of a function import nothing yet.
_IMPORT = re.compile(
    r"^(?:from (?P<source>[\w.]+) import (?P<names>\([^)]*\)|[^\n(]+)|"
    r"import (?P<modules>[\w., ]+))",
    re.M,
)
# asyncio starts processes without an import that says so.
_ASYNC_START = re.compile(r"\bcreate_subprocess_(?:exec|shell)\(")
_started: list[str] = []


def imported(source: str) -> set[str]:
    """The names that a module imports when it is imported: modules, and what comes from them."""
    found: set[str] = set()
    for match in _IMPORT.finditer(source):
        names = re.sub(r"#[^\n]*|[()]", "", match["names"] or match["modules"])
        for name in names.split(","):
            word = name.split()[0] if name.split() else ""
            if word:
                found.add(f"{match['source']}.{word}" if match["source"] else word)
        if match["source"]:
            found.add(match["source"])
    return found


def starts_processes(path: Path) -> bool:
    """Whether a module, or one of the tests' modules that it imports, imports a starter."""
    seen: set[Path] = set()
    waiting = [path]
    while waiting:
        if (path := waiting.pop()) in seen:
            continue
        seen.add(path)
        starter, modules = _edges(path)
        if starter:
            return True
        waiting += modules
    return False


@functools.cache
def _edges(path: Path) -> tuple[bool, tuple[Path, ...]]:
    """Whether a module itself imports a starter, and the tests' modules that it imports."""
    text = path.read_text()
    names = imported(text)
    modules = [_module(name) for name in names if name.split(".")[0] in OWN_PACKAGES]
    starter = not STARTERS.isdisjoint(names) or _ASYNC_START.search(text) is not None
    return starter, tuple(module for module in modules if module)


def _module(name: str) -> Path | None:
    place = ROOT.joinpath(*name.split("."))
    for path in (place.with_suffix(".py"), place / "__init__.py"):
        if path.exists():
            return path
    return None


def examples(count: int) -> int:
    """The number of examples for a property: `count` in the whole run, fewer in the fast lane."""
    return max(1, count // FEWER) if "fast" in settings.get_current_profile_name() else count


def is_fast(item: pytest.Function) -> bool:
    """Whether a collected test belongs to the fast lane."""
    if item.get_closest_marker("slow"):
        return False
    places = [item.path]
    for definitions in item._fixtureinfo.name2fixturedefs.values():
        module = sys.modules[definitions[-1].func.__module__]
        if module.__name__.split(".")[0] in OWN_PACKAGES and module.__file__:
            places.append(Path(module.__file__))
    return not any(starts_processes(place) for place in places)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fast", action="store_true", help="only the tests that start no process")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: takes long or waits; not for the fast lane")
    if config.getoption("--fast"):
        sys.addaudithook(_audit)
        settings.register_profile("fast", settings(), max_examples=settings().max_examples // FEWER)
        settings.load_profile("fast")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Modules of slow tests are not even imported in the fast lane."""
    if not config.getoption("--fast") or collection_path.suffix != ".py":
        return None
    left_out = collection_path.is_relative_to(STATIC) or starts_processes(collection_path)
    return True if left_out else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--fast"):
        return
    fast: list[pytest.Item] = []
    left_out: list[pytest.Item] = []
    for item in items:
        chosen = isinstance(item, pytest.Function) and is_fast(item)
        (fast if chosen else left_out).append(item)
    config.hook.pytest_deselected(items=left_out)
    items[:] = fast


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """In the fast lane a test fails that starts a process or computes for too long. Coverage makes
    a test several times slower, so no bound of time holds there.
    """
    if not item.config.getoption("--fast"):
        yield
        return
    del _started[:]
    begun = time.process_time()
    yield
    took = time.process_time() - begun
    if _started:
        pytest.fail(f"a fast test started a process ({_started[0]}): see tests/lanes.py")
    if took > CPU_SECONDS and not item.config.pluginmanager.hasplugin("_cov"):
        pytest.fail(f"{took:.1f} s of processor time: mark it slow, or make it faster")


def _audit(event: str, arguments: tuple[object, ...]) -> None:
    if event in PROCESS_EVENTS:
        _started.append(event)
