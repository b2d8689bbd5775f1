"""CPU and memory of a server's processes, from `/proc`; a busy machine changes them little."""

from __future__ import annotations

import os
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")


class Processes:
    """A process and its descendants."""

    def __init__(self, root: int, *, without: tuple[int, ...] = ()) -> None:
        self.root = root
        self.without = without

    def pids(self) -> list[int]:
        """The living processes, except those of `without`."""
        children: dict[int, list[int]] = {}
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                fields = _stat(int(entry))
                if fields:
                    children.setdefault(int(fields[1]), []).append(int(entry))
        found, queue = [], [self.root]
        while queue:
            pid = queue.pop()
            if pid not in self.without:
                found.append(pid)
                queue += children.get(pid, [])
        return found

    def cpu(self) -> float:
        """CPU seconds so far, in user and kernel mode."""
        ticks = 0
        for pid in self.pids():
            fields = _stat(pid)
            if fields:
                ticks += int(fields[11]) + int(fields[12])
        return ticks / _TICK

    def rss(self) -> int:
        """Bytes of resident memory."""
        return sum(_rss(pid) for pid in self.pids())


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name, which may hold any text; empty after its end."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _rss(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return (
        next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Rss:")) * 1024
    )
