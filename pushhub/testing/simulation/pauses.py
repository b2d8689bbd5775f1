"""How long an actor waits: from a millisecond to a month, and most of all around the constants of
the code that are times. A new constant is in the draw by itself.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pushhub
from pushhub.settings import Settings
from pushhub.settings.route import Route

if TYPE_CHECKING:
    from random import Random

# What runs beside a hub, and not in it.
_ELSEWHERE = ("testing", "bench", "cli", "doctor", "advice", "trial")
SHORTEST, MINUTE, DAY, MONTH = 0.001, 60.0, 86_400.0, 30 * 86_400.0
# How far from a constant: a tick of the wheel and less, on both sides, and exactly there.
NEAR = (-0.15, -0.05, -0.001, 0.0, 0.001, 0.05, 0.15, 1.1)


@cache
def constants() -> dict[str, float]:
    """The times in the code, in seconds, by their names: module constants that end in `_SECONDS`
    or `_MS`, and the defaults of settings in seconds.
    """
    root = Path(pushhub.__file__).parent
    found: dict[str, float] = {}
    for path in sorted(root.rglob("*.py")):
        module = path.relative_to(root)
        if module.parts[0] in _ELSEWHERE:
            continue
        for node in ast.parse(path.read_text()).body:
            for name, value in _assigned(node):
                if name.endswith("_SECONDS"):
                    found[f"{module.with_suffix('')}:{name}"] = value
                elif name.endswith("_MS"):
                    found[f"{module.with_suffix('')}:{name}"] = value / 1000
    for model in (Settings, Route):
        for name, field in model.model_fields.items():
            extra = field.json_schema_extra
            unit = extra.get("unit") if isinstance(extra, dict) else None
            is_time = unit == "s" or name in ("interval", "linger", "max_age", "slowest")
            if is_time and isinstance(field.default, (int, float)) and field.default:
                found[f"settings:{name}"] = float(field.default)
    return found


def _assigned(node: ast.stmt) -> list[tuple[str, float]]:
    """The names and numbers of an assignment; of a pair, both numbers."""
    match node:
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            pass
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
            pass
        case _:
            return []
    try:
        literal = eval(compile(ast.Expression(value), "", "eval"), {"__builtins__": {}})
    except Exception:
        return []
    numbers = literal if isinstance(literal, tuple) else (literal,)
    return [(name, float(n)) for n in numbers if isinstance(n, (int, float)) and n > 0]


def draw(random: Random, longest: float) -> float:
    """A pause of at most `longest` seconds."""
    kind = random.random()
    if kind < 0.45:
        times = [value for value in constants().values() if value <= longest]
        if times:
            return max(SHORTEST, min(longest, random.choice(times) + random.choice(NEAR)))
    if kind < 0.85:
        return _between(random, SHORTEST, min(longest, MINUTE))
    return _between(random, min(longest, 1.0), longest)


def _between(random: Random, low: float, high: float) -> float:
    """Drawn so that each order of magnitude is as likely as the next."""
    return low * (high / low) ** random.random() if high > low else high
