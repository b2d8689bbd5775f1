"""The modules of the package, and their syntax trees."""

import ast
import functools
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "pushhub"
MODULES = {str(path.relative_to(ROOT)): path for path in sorted(PACKAGE.rglob("*.py"))}


@functools.cache
def tree(path: Path) -> ast.Module:
    """The syntax tree of a module. All tests share it and must not change it."""
    return ast.parse(path.read_text(), str(path))
