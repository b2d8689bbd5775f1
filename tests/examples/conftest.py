"""An example, run as its README says, on ports of its own."""

import asyncio
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests import outside
from tests.ports import free_port
from tests.serving import Output
from tests.wire import Client, Response

EXAMPLES = Path(__file__).parents[2] / "examples"
# Three interpreters start, one after the other; alone they take two seconds.
SECONDS = 40.0


class Example:
    """An example that runs."""

    def __init__(self, process: subprocess.Popen[str], ports: dict[str, int]) -> None:
        assert process.stdout
        assert process.stderr
        self.output = Output(process.stdout, process.stderr)
        self.ports = ports

    def says(self, pattern: str) -> re.Match[str]:
        """Wait for a line."""
        return self.output.find(re.compile(pattern), SECONDS)

    async def heard(self, pattern: str) -> re.Match[str]:
        """The same, while the loop goes on."""
        return await asyncio.to_thread(self.says, pattern)

    async def ask(
        self, port: str, method: str, target: str, body: bytes = b"", **headers: str
    ) -> Response:
        """A request to `ORIGIN_PORT`, `PORT` or `CONTROL_PORT`."""
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        async with await Client.connect(self.ports[port]) as client:
            return await client.ask(method, target, fields, body)


@contextmanager
def running(example: str, step: str, **environ: str) -> Iterator[Example]:
    """`examples/EXAMPLE/run STEP`, until the block ends."""
    outside.require("examples")
    ports = {name: free_port() for name in ("ORIGIN_PORT", "PORT", "CONTROL_PORT")}
    clean = {name: text for name, text in os.environ.items() if not name.startswith("PUSHHUB_")}
    process = subprocess.Popen(
        [EXAMPLES / example / "run", step],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=clean | {name: str(port) for name, port in ports.items()} | environ,
        start_new_session=True,
    )
    one = Example(process, ports)
    try:
        yield one
        process.terminate()
        assert process.wait(SECONDS) == 0
        # Whoever it had started has let go of its output, so is gone, too.
        one.output.ended(SECONDS)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    assert "Traceback" not in str(one.output), one.output
