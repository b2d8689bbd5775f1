"""The loop of README's "Upgrade your poller", as it stands there, against every status."""

import asyncio
import json
import re
import signal
from pathlib import Path

import pytest

from tests import outside
from tests.origin.apis import Api
from tests.ports import free_port
from tests.serving import serve

README = Path(__file__).parents[2] / "README.md"
STATUSES = (200, 201, 203, 204, 300, 400, 401, 403, 404, 409, 410, 418, 429, 500, 502, 503)
# Long enough for a loop without a pause to show: thousands of requests.
SECONDS = 3.0
# What a loop of one request each 5 s, or a held one, comes to in that time; and a fetch more.
MOST = 3


def loop_of(readme: str) -> str:
    """The new side of the diff, with `/v1/channels/prices` as the variable `url`."""
    section = readme.partition("## Upgrade your poller")[2]
    diff = re.search(r"```diff\n(.*?)```", section, re.DOTALL)
    assert diff
    lines = [line[1:] for line in diff[1].splitlines() if not line.startswith("-")]
    return "\n".join(lines).replace("'/v1/channels/prices'", "url")


@pytest.mark.parametrize("step", ["poll", "notify"])
async def test_it_survives_every_status(step: str) -> None:
    port = free_port()
    route = {"path": "/*", "step": step, "interval": 60}
    program = """
        const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
        const run = async (url) => { const show = (news) => console.log(url, news); LOOP };
        for (const url of JSON.parse(process.argv[1])) run(url);
    """.replace("LOOP", loop_of(README.read_text()))
    async with Api.running(port) as api:
        with serve(origin=f"http://127.0.0.1:{port}", routes=[route]) as hub:
            targets = {}
            for status in STATUSES:
                for tag in (None, '"one"'):
                    target = f"/{status}{'-tagged' if tag else ''}"
                    api.set(target, '{"n": 1}', tag, status)
                    targets[f"http://127.0.0.1:{hub.port}{target}"] = target
            node = await asyncio.create_subprocess_exec(
                outside.require("node"), "-e", program, json.dumps(list(targets)),
                stdout=asyncio.subprocess.PIPE,
            )  # fmt: skip
            try:
                await asyncio.gather(*(api.reached(1, target) for target in targets.values()))
                await asyncio.sleep(SECONDS)
                assert node.returncode is None, "the loop has ended"
                counts = {target: api.count(target) for target in targets.values()}
                assert {t: count for t, count in counts.items() if count > MOST} == {}
                # One that got a value is held, and is told of the next one.
                api.set("/200", '{"n": 2}')
                if step == "notify":
                    await hub.post("/_pushhub/v1/notify", {"resources": ["/*"]})
                    assert node.stdout
                    async with asyncio.timeout(10):
                        while b"/200 { n: 2 }" not in await node.stdout.readline():
                            pass
            finally:
                if node.returncode is None:
                    node.send_signal(signal.SIGKILL)
                await node.wait()
