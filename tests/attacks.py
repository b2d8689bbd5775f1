"""The attacks: the tests that SECURITY.md names. `scripts/attack` runs them."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
NODE = re.compile(r"`(tests/[\w/]+\.py(?:::\w+)?)`")


def attacks() -> list[str]:
    """The node ids of the tests in the table of threats, without repetitions."""
    table = (ROOT / "SECURITY.md").read_text().partition("\n## Threats\n")[2].partition("\n## ")[0]
    return list(dict.fromkeys(NODE.findall(table)))


if __name__ == "__main__":
    sys.stdout.write("\n".join(attacks()) + "\n")
