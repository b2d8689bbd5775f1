"""The shape of the code. A failing test names what breaks its rule."""

import ast
import re
import statistics
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import outside
from tests.arch.sources import MODULES, PACKAGE, ROOT, tree

MOST_LINES = 400
MEDIAN_LINES = 150
# Modules that may have up to 600 lines, because one state machine is one thing: name → reason.
LONG_MODULES: dict[str, str] = {}
MOST_LINES_OF_LONG = 600

BANNED_NAMES = {"util", "utils", "helper", "helpers", "manager", "managers"}
MACHINE_PATH = re.compile(r"(?<![\w.@>})-])/(work|root|home/\w+|tmp/bash_jobs)/")


def lines(path: Path) -> int:
    return len(path.read_text().splitlines())


# -- modules -------------------------------------------------------------------


def test_modules_are_short() -> None:
    too_long = {
        name: lines(path)
        for name, path in MODULES.items()
        if lines(path) > (MOST_LINES_OF_LONG if name in LONG_MODULES else MOST_LINES)
    }
    assert not too_long


def test_the_list_of_long_modules_is_current() -> None:
    assert not {n for n in LONG_MODULES if n not in MODULES or lines(MODULES[n]) <= MOST_LINES}


def test_the_median_module_is_short() -> None:
    assert statistics.median(map(lines, MODULES.values())) <= MEDIAN_LINES


def test_every_package_says_what_it_is() -> None:
    docstrings = {path: ast.get_docstring(tree(path)) for path in MODULES.values()}
    folders = sorted({path.parent for path in MODULES.values()})
    silent = [str(f.relative_to(ROOT)) for f in folders if not docstrings.get(f / "__init__.py")]
    assert not silent


def test_a_module_is_named_after_what_it_owns() -> None:
    assert not [
        name for name, path in MODULES.items() if BANNED_NAMES & {path.stem, path.parent.name}
    ]


# -- code ----------------------------------------------------------------------


def own_nodes(function: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a function's body, without those of the functions inside it."""
    for child in ast.iter_child_nodes(function):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from own_nodes(child)


def waits(function: ast.AsyncFunctionDef) -> bool:
    awaiting = ast.Await | ast.AsyncFor | ast.AsyncWith | ast.Yield | ast.YieldFrom
    return any(
        isinstance(node, awaiting) or (isinstance(node, ast.comprehension) and node.is_async)
        for node in own_nodes(function)
    )


def is_declaration(function: ast.AsyncFunctionDef) -> bool:
    """Only `...` or a docstring: a method that a Protocol asks for."""
    return all(
        isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
        for statement in function.body
    )


def is_asked_for(function: ast.AsyncFunctionDef) -> bool:
    """Whether somebody else decided that it is async: the language, or Starlette, which would run
    an endpoint that is a plain `def` in a thread."""
    arguments = [ast.unparse(arg.annotation) for arg in function.args.args if arg.annotation]
    return "Request" in arguments[:2] or re.fullmatch(r"__a\w+__", function.name) is not None


def test_async_only_what_can_wait() -> None:
    functions = [
        (name, node)
        for name, path in MODULES.items()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.AsyncFunctionDef)
    ]
    declared = {function.name for _, function in functions if is_declaration(function)}
    assert not [
        f"{name}:{function.lineno} {function.name}"
        for name, function in functions
        if function.name not in declared and not waits(function) and not is_asked_for(function)
    ]


def test_only_the_command_line_prints() -> None:
    assert not [
        f"{name}:{node.lineno}"
        for name, path in MODULES.items()
        if not name.startswith(("pushhub/cli.py", "pushhub/cli/"))
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "print"
    ]


def test_nothing_is_left_to_do() -> None:
    kinds = {".py", ".js", ".html", ".css", ".lua"}
    assert not [
        f"{path.relative_to(ROOT)}:{number}"
        for path in sorted(PACKAGE.rglob("*"))
        if path.suffix in kinds
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(r"\b(TODO|FIXME)\b", line)
    ]


# -- the repository ------------------------------------------------------------


def test_no_tracked_file_names_a_path_of_a_machine() -> None:
    git = outside.require("git")
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run([git, "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    names = [name for name in listed.stdout.decode().split("\0") if name]
    assert not [
        f"{name}:{number}"
        for name in names
        if (ROOT / name).is_file()
        for number, line in enumerate((ROOT / name).read_text(errors="replace").splitlines(), 1)
        if MACHINE_PATH.search(line)
    ]


@pytest.mark.parametrize("lock", ["requirements.txt", "requirements-dev.txt"])
def test_a_lock_names_no_address(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert "://" not in text
    assert not re.search(r"^\s*-", text.replace("    --hash=", "    hash="), re.MULTILINE)
