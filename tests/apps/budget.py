"""The budget of an origin: at most so many requests a second, whatever the number of clients."""

import time

FETCH_RATE = 10.0
"""The default of `fetch_rate`: requests a second that an origin always bears."""
REPLACES = 5.0
"""The default of `replaces`: the seconds between two polls of a client without pushhub."""
# A second is measured over several, since a budget may be spent unevenly within one.
WINDOW = 5.0
# The tokens of so many seconds may be spent together: `BURST_SECONDS` of the hub.
BURST = 0.2

now = time.monotonic


def allowed(clients: int) -> float:
    """The requests in one window that an origin may receive for so many clients."""
    return max(FETCH_RATE, clients / REPLACES) * (WINDOW + BURST)


def fullest(times: list[float]) -> int:
    """The number of requests in the fullest window."""
    times, first, most = sorted(times), 0, 0
    for last, at in enumerate(times):
        while times[first] <= at - WINDOW:
            first += 1
        most = max(most, last - first + 1)
    return most
