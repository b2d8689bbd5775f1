"""Every regular expression takes linear time on what a stranger, a publisher or an origin can send.

A pattern that begins or goes on in several ways at the same character tries them all: 16 KB of
spaces once held the event loop for half a second. So each compiled pattern of the package gets
16 KB of the characters that it names, by the methods that its module calls on it.
"""

import ast
import importlib
import itertools
import re
import time
from collections.abc import Iterator
from re import _constants as codes  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from types import BuiltinMethodType
from typing import Any

import pytest

from tests.arch.sources import MODULES, tree

# Of the 40 KiB that a head may have: enough to tell a quadratic pattern from a linear one.
SIZE = 16 * 1024
# Linear patterns take up to 2 ms for it, quadratic ones more than 300.
MOST_SECONDS = 0.05
METHODS = ("match", "fullmatch", "search", "findall", "finditer", "sub", "split")
# A character that ends most repetitions, and one that ends all others.
ENDS = ("\x00", "!")
# Modules with patterns in functions, whose text is the operator's or the package's own.
FROM_OPERATORS = {
    "pushhub/api/endpoints.py": "one pattern for each route of the table, over one segment each",
    "pushhub/http/path_pattern.py": "the path of a route, read once from the settings",
}
# A character of each category; the others get a letter.
SAMPLES = {codes.CATEGORY_DIGIT: "0", codes.CATEGORY_SPACE: " "}
# So many different characters of a pattern are combined in pairs.
MOST_CHARACTERS = 12


def patterns() -> Iterator[Any]:
    """All patterns that modules of the package have compiled, with the methods that they call."""
    for module in MODULES:
        name = module.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        if name.endswith("__main__") or name.startswith("pushhub.testing"):
            # No stranger's input reaches `testing`, and pytest wants to import its fixtures first.
            continue
        called = calls(tree(MODULES[module]))
        for variable, value in vars(importlib.import_module(name)).items():
            # By type(): a lazy object of Django does its work when its attributes are read.
            compiled = value.__self__ if type(value) is BuiltinMethodType else value
            if type(compiled) is re.Pattern:
                methods = {value.__name__} if compiled is not value else called.get(variable, set())
                if methods:
                    yield pytest.param(compiled, sorted(methods), id=f"{name}.{variable}")


def calls(node: ast.AST) -> dict[str, set[str]]:
    """The methods of patterns that a module calls, by the name of the variable."""
    found: dict[str, set[str]] = {}
    for part in ast.walk(node):
        if (
            isinstance(part, ast.Attribute)
            and part.attr in METHODS
            and isinstance(part.value, ast.Name)
        ):
            found.setdefault(part.value.id, set()).add(part.attr)
    return found


def characters(compiled: re.Pattern[Any]) -> list[str]:
    """Characters that a pattern names: its literals, and a few of each of its sets."""
    text = compiled.pattern
    source = text.decode("latin-1") if isinstance(text, bytes) else text
    found: dict[str, None] = {}

    def visit(value: Any) -> None:
        if isinstance(value, parser.SubPattern):
            for operation in value:
                visit(operation)
        elif isinstance(value, tuple):
            if len(value) == 2 and value[0] in (codes.LITERAL, codes.NOT_LITERAL):
                found[chr(value[1])] = None
            elif len(value) == 2 and value[0] is codes.RANGE:
                found[chr(value[1][0])] = None
            elif len(value) == 2 and value[0] is codes.CATEGORY:
                found[SAMPLES.get(value[1], "a")] = None
            for part in value:
                visit(part)
        elif isinstance(value, list):
            for part in value:
                visit(part)

    visit(
        parser.parse(
            source, compiled.flags & ~re.UNICODE if isinstance(text, bytes) else compiled.flags
        )
    )
    return [*dict.fromkeys(["a", " ", *found])][:MOST_CHARACTERS]


def texts(compiled: re.Pattern[Any]) -> Iterator[str]:
    """Long texts of one or two of the pattern's characters, and an end that fits nowhere."""
    given = characters(compiled)
    for pair in itertools.product(given, repeat=2):
        unit = pair[0] if pair[0] == pair[1] else "".join(pair)
        for end in ENDS:
            yield unit * (SIZE // len(unit)) + end
    for first, second in itertools.permutations(given, 2):
        yield first + second * SIZE + ENDS[0]


def seconds(compiled: re.Pattern[Any], method: str, text: Any) -> float:
    """What one call costs, in seconds of this thread."""
    call = getattr(compiled, method)
    empty = text[:0]
    begun = time.thread_time()
    if method == "finditer":
        for _ in call(text):
            pass
    elif method == "sub":
        call(empty, text)
    else:
        call(text)
    return time.thread_time() - begun


def worst(compiled: re.Pattern[Any], methods: list[str]) -> tuple[float, str, str]:
    """The most expensive call: its seconds, its method, and the beginning of its text."""
    most = (0.0, "", "")
    for method in methods:
        for text in texts(compiled):
            given: Any = (
                text.encode("latin-1", "replace") if isinstance(compiled.pattern, bytes) else text
            )
            cost = seconds(compiled, method, given)
            if cost > MOST_SECONDS:
                # A pause of the machine is no cost of the pattern.
                cost = min(cost, seconds(compiled, method, given))
            most = max(most, (cost, method, repr(text[:8])))
            if cost > MOST_SECONDS:
                return most
    return most


@pytest.mark.parametrize(("compiled", "methods"), list(patterns()))
def test_a_pattern_takes_linear_time(compiled: re.Pattern[Any], methods: list[str]) -> None:
    cost, method, begin = worst(compiled, methods)
    assert cost <= MOST_SECONDS, f"{method} of {begin}… takes {cost:.3f} s"


def test_no_pattern_is_compiled_in_a_function() -> None:
    """The test above would not find such a pattern."""
    found = {
        module
        for module, path in MODULES.items()
        for function in ast.walk(tree(path))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "re"
        and node.attr in (*METHODS, "compile")
    }
    operated = ("pushhub/cli/", "pushhub/settings/", "pushhub/doctor/")
    assert {module for module in found if not module.startswith(operated)} == FROM_OPERATORS.keys()


def test_a_quadratic_pattern_is_found() -> None:
    assert worst(re.compile(r" *!"), ["search"])[0] > MOST_SECONDS
