"""The figures of this process that the system knows: memory and descriptors."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pushhub.api.service import Service


def most_descriptors() -> int:
    """How many descriptors this process may have open; 0 where the system has no such limit."""
    try:
        import resource
    except ImportError:
        return 0
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def resident_bytes(service: Service) -> float | None:
    """The resident memory of this process."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        # Without a free descriptor all of these figures are left out together.
        os.listdir("/proc/self/fd")
    except OSError:
        # The system is no Linux, or no descriptor is left; the other metrics matter all the more.
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def open_descriptors(service: Service) -> float | None:
    """How many descriptors this process has open."""
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:
        return None
