"""The budget of an origin: at most so many requests a second, whatever the number of clients."""

import time

FETCH_RATE = 10.0
"""The default of `fetch_rate`: requests a second that an origin always bears."""
REPLACES = 5.0
"""The default of `replaces`: the seconds between two polls of a client without pushhub."""
# A second is measured over several, since a budget may be spent unevenly within one.
WINDOW = 5.0

now = time.monotonic


def excess(times: list[float], clients: int) -> list[int]:
    """The numbers of requests in each window that are above the budget; none if it was kept."""
    allowed = max(FETCH_RATE, clients / REPLACES) * WINDOW
    windows = [sum(at <= other < at + WINDOW for other in times) for at in times]
    return [count for count in windows if count > allowed]
