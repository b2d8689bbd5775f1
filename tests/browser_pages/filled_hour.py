"""An hour that a process has not run yet, for tests and pictures."""

import math

from pushhub.console.hour import SAMPLE_SECONDS, SAMPLES, Hour, KeyCounters
from pushhub.console.snapshot import bounds
from tests.canary.running import Running


def fill(hub: Running) -> None:
    """An hour of samples in place of the first seconds: waves, and a step five minutes ago. No
    other sample follows.
    """
    own = hub.app.console.agent.sampler
    own.stop()
    own.hour, now = Hour(bounds()), hub.hub.now()
    counts = [0] * (len(bounds()) + 1)
    delivered = published = 0
    for n in range(SAMPLES + 1):
        wave = 1 + math.sin(n / 20)
        delivered += int(400 * wave)
        published += int(40 * wave)
        counts[2 if n < SAMPLES - 30 else 4] += 10
        holds, memory, both = 40 + int(10 * wave), (70 + n // 36) * 2**20, tuple(counts)
        sample = KeyCounters(holds, delivered, published, both, memory, both)
        own.hour.add(now - (SAMPLES - n) * SAMPLE_SECONDS, sample)


def port_of(hub: Running) -> int:
    """The port of its public listener."""
    port: int = hub.server.servers[0].sockets[0].getsockname()[1]
    return port
