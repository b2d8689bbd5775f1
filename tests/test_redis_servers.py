"""A port that is chosen now and listened on later is nobody else's meanwhile; and whoever starts
there is known.
"""

import random
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.redis_servers import KINDS, Rack, RedisServer

RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
CHOOSE = "import random; random.seed(7); from tests.ports import free_port; "
CHOOSE += "random.seed(7); print(free_port())"


@pytest.mark.skipif(not RANGE.exists(), reason="looks into /proc")
def test_the_kernel_hands_it_out_to_nobody() -> None:
    first, last = map(int, RANGE.read_text().split())
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", free_port()))
        assert not first <= listening.getsockname()[1] <= last


@pytest.mark.skipif(sys.platform != "linux", reason="claims it by an abstract name")
def test_no_other_process_of_the_tests_chooses_it() -> None:
    state = random.getstate()
    try:
        random.seed(7)
        ours = free_port()
    finally:
        random.setstate(state)
    done = subprocess.run(
        [sys.executable, "-c", CHOOSE], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) != ours


@pytest.mark.parametrize("options", [{}, {"requirepass": "another"}])
def test_another_server_at_the_port_is_not_taken_for_the_one_that_starts(
    options: dict[str, str], rack: Rack, tmp_path: Path
) -> None:
    server = rack.start(KINDS["valkey9"])
    server.kill()
    other = RedisServer(KINDS["valkey9"], tmp_path, options, port=server.port).start()
    try:
        with pytest.raises(AssertionError, match="Address already in use"):
            server.start()
    finally:
        other.kill()
