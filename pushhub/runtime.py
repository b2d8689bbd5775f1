"""The clock and the randomness of a process.

The composition root takes one `Runtime` and hands its parts down, so a test or the simulation
replaces all of them together. The monotonic clock is the event loop's own (`loop.time`), and
connections are made through the loop, so a loop on virtual time replaces those.
`tests/arch` keeps other modules from reading a clock or drawing random numbers by themselves.
"""

from __future__ import annotations

import random
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Runtime:
    """The resources that a process takes from the system, besides sockets.

    `clock` gives seconds since 1970. `uniform` draws a number between two, for jitter; an attacker
    may guess it. `random_bytes` draws bytes for secrets and identifiers.
    """

    clock: Callable[[], float] = time.time
    uniform: Callable[[float, float], float] = random.uniform
    random_bytes: Callable[[int], bytes] = secrets.token_bytes
