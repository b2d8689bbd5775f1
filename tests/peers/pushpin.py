"""A real Pushpin, from Debian's packages `pushpin` and `zurl`, in a folder of its own."""

import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests import outside
from tests.ports import free_port

# Four processes that find each other; on a machine that does much else, one after the other.
START_SECONDS = 60.0
STOP_SECONDS = 30.0
ANSWER_SECONDS = 2.0

INTERNAL = Path("/usr/lib/pushpin/internal.conf")

_CONFIG = """
[global]
include={folder}/internal.conf
rundir={folder}/run
ipc_prefix=pushpin-
port_offset=0
stats_connection_ttl=120
[runner]
services=condure,pushpin-proxy,pushpin-handler
http_port={port}
logdir={folder}/log
log_level=2
client_buffer_size=8192
client_maxconn=50000
[proxy]
routesfile={folder}/routes
sig_iss=pushpin
sig_key={key}
updates_check=off
[handler]
push_in_spec=ipc://{folder}/run/push-in
push_in_sub_specs=ipc://{folder}/run/push-in-sub
push_in_http_addr=127.0.0.1
push_in_http_port={control}
push_in_http_max_headers_size=10000
push_in_http_max_body_size=1000000
stats_spec=ipc://{folder}/run/stats
command_spec=ipc://{folder}/run/command
message_rate=2500
message_hwm=25000
message_wait=5000
id_cache_ttl=60
connection_subscription_max=20
subscription_linger=60
stats_report_interval=10
stats_format=tnetstring
"""

# Debian's zurl denies loopback, where our origin is.
_ZURL = """
[General]
instance_id=
in_spec=ipc://{folder}/run/pushpin-zurl-in
in_stream_spec=ipc://{folder}/run/pushpin-zurl-in-stream
out_spec=ipc://{folder}/run/pushpin-zurl-out
in_req_spec=
defpolicy=allow
allow=
deny=
max_open_requests=2000
buffer_size=200000
timeout=600
in_hwm=1000
out_hwm=1000
"""


@dataclass(frozen=True, slots=True)
class Pushpin:
    """A Pushpin that runs: its port, that of its control endpoint, and its handler's log."""

    port: int
    control: int
    log: Path

    def registered(self, path: str) -> int:
        """How often requests of a path were registered on a channel. The handler, which publishes
        come to, writes a line then: `subscribe URL channel=NAME`, with the client's URL.
        """
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return sum(f"{path}?" in line for line in lines if " subscribe http" in line)


# Held, so that it takes every part of Pushpin to answer; a stream begins at once.
READY = "/__ready?h=Grip-Hold:%20stream&h=Grip-Channel:%20ready&body=x"


def _answers(port: int, path: str) -> bool:
    """Whether a request gets through: its parts find each other some time after they listen."""
    try:
        with urllib.request.urlopen(
            f"http://127.0.0.1:{port}{path}", timeout=ANSWER_SECONDS
        ) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@contextmanager
def pushpin(origin_port: int, key: str) -> Iterator[Pushpin]:
    """Pushpin in front of an origin."""
    commands = [outside.require("pushpin"), outside.require("zurl")]
    port, control = free_port(), free_port()
    # Short, for the names of its sockets.
    with tempfile.TemporaryDirectory(prefix="pp-") as name, ExitStack() as stack:
        folder = Path(name)
        for part in ("run", "log"):
            (folder / part).mkdir()
        given = {"folder": folder, "port": port, "control": control, "key": key}
        internal = INTERNAL.read_text().replace(
            "ipc:///var/run/zurl/zurl-", "ipc://{rundir}/{ipc_prefix}zurl-"
        )
        (folder / "internal.conf").write_text(internal)
        (folder / "pushpin.conf").write_text(_CONFIG.format(**given))
        (folder / "zurl.conf").write_text(_ZURL.format(**given))
        (folder / "routes").write_text(f"* 127.0.0.1:{origin_port}\n")
        log = stack.enter_context((folder / "out.log").open("w"))
        for command, config in zip(commands, ("pushpin.conf", "zurl.conf"), strict=True):
            process = subprocess.Popen(
                [command, f"--config={folder / config}"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=folder,
            )
            stack.callback(process.wait, STOP_SECONDS)
            stack.callback(process.terminate)
        end = time.monotonic() + START_SECONDS
        while not (_answers(port, READY) and _answers(control, "/")):
            assert time.monotonic() < end, (folder / "out.log").read_text()
            time.sleep(0.05)
        yield Pushpin(port, control, folder / "log" / "pushpin-handler.log")
