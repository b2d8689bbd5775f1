"""Free ports of loopback, reserved for one process of the tests."""

import random
import socket
import sys
from contextlib import ExitStack, suppress
from pathlib import Path


def _not_handed_out() -> list[int]:
    """Ports outside the range from which the kernel chooses ports by itself. A node of a cluster
    listens 10,000 above its port as well.
    """
    handed_out = Path("/proc/sys/net/ipv4/ip_local_port_range")
    first, last = 32768, 60999
    if handed_out.exists():
        first, last = map(int, handed_out.read_text().split())
    ports = [
        port
        for port in range(10_000, 55_536)
        if not first <= port <= last and not first <= port + 10_000 <= last
    ]
    return ports or list(range(10_000, 55_536))


_ports = _not_handed_out()
_claims: list[ExitStack] = []


def free_port() -> int:
    """A free port of loopback, to listen on later, also repeatedly.

    The port stays reserved until this process ends: the kernel does not choose it, and the other
    processes of the tests see the claim.
    """
    for port in random.sample(_ports, len(_ports)):
        with suppress(OSError), ExitStack() as stack:
            if sys.platform == "linux":
                # The kernel removes an abstract name with the process; a file would stay.
                claim = stack.enter_context(socket.socket(socket.AF_UNIX))
                claim.bind(f"\0pushhub-tests-port-{port}")
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
            _claims.append(stack.pop_all())
            return port
    raise AssertionError("no port is free")
