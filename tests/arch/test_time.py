"""The application takes clock and randomness from `Runtime`, so that the simulation can replace
them. The shells of a process, and of a store that is a program of its own, are not simulated.
"""

import ast
from collections.abc import Iterator

from tests.arch.sources import MODULES, tree

# What runs beside the application: programs of their own, and processes with real time.
SHELLS = (
    "pushhub/advice/survey.py",
    "pushhub/bench/",
    "pushhub/cli/",
    "pushhub/conformance/",
    "pushhub/doctor/",
    "pushhub/runtime.py",
    "pushhub/server/collector.py",
    "pushhub/server/reload_round.py",
    "pushhub/server/supervisor.py",
    "pushhub/store/redis",
    "pushhub/store/sqlite",
    "pushhub/testing/",
    "pushhub/trial/",
)
FORBIDDEN = {
    "time": {"monotonic", "perf_counter", "sleep", "time", "time_ns"},
    "random": None,  # all of it
    "secrets": None,
    "os": {"urandom"},
    "uuid": None,
    "datetime": {"now", "utcnow", "today"},
}


def uses(module: str) -> Iterator[str]:
    """The calls of a module that read a clock or draw randomness. What is only a default of a
    parameter can be replaced, and does not count.
    """
    found = tree(MODULES[module])
    defaults = {
        id(inner)
        for node in ast.walk(found)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for default in (*node.args.defaults, *node.args.kw_defaults)
        if default is not None
        for inner in ast.walk(default)
    }
    for node in ast.walk(found):
        if isinstance(node, ast.Attribute) and id(node) not in defaults:
            owner = ast.unparse(node.value)
            if owner in FORBIDDEN:
                names = FORBIDDEN[owner]
                if names is None or node.attr in names:
                    yield f"{owner}.{node.attr}"


def test_only_the_runtime_has_a_clock_and_randomness() -> None:
    found = {
        f"{module}: {use}"
        for module in MODULES
        if not module.startswith(SHELLS)
        for use in uses(module)
    }
    # An epoch for Redis is drawn where no simulation is; the others are handed one.
    assert found == {"pushhub/store/epoch.py: os.urandom"}
