"""Figures of the proxies that tests do not wait for: `scripts/proxies`, about ten minutes.

A rolling restart of two hubs with more clients than the test has, also through nginx as it is
usually written; a reload of each proxy; SIGKILL of a hub; silent waits over HTTP/3; and POSTs
around the idle times, also where the hub closes first.
"""

from __future__ import annotations

import asyncio
import dataclasses
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.deploy import idle, reloading, rolling
from tests.deploy.proxies import NAMES, PROXIES, Proxy, http3_client, run_proxies
from tests.faults.nodes import Node
from tests.redis_servers import KINDS, Rack
from tests.serving import events_of, serve

# The file as it is usually written has fewer lines to change.
_USUAL_TEXT = (Path(__file__).parent / "usual-nginx.conf").read_text()
USUAL = dataclasses.replace(
    PROXIES["nginx"],
    name="nginx-usual",
    files=("../../tests/deploy/usual-nginx.conf",),
    changes={
        old: new.replace("user root;", "")
        for old, new in PROXIES["nginx"].changes.items()
        if old in _USUAL_TEXT
    }
    | {"worker_processes auto;": "worker_processes 1; <nginx_user>"},
)
CLIENTS = rolling.Clients(pollers=60, publishers=20)


async def restarts(proxies: list[Proxy], *, drain_delay: float) -> None:
    rack = Rack()
    with ExitStack() as stack:
        stack.callback(rack.close)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pushhub-proxies-")))
        url = rack.start(KINDS["valkey9"]).url()
        nodes = [Node(url, drain_delay=drain_delay, drain_seconds=2) for _ in range(2)]
        for node in nodes:
            stack.callback(node.close)
            await node.start()
        running = stack.enter_context(run_proxies(proxies, folder, (nodes[0].port, nodes[1].port)))
        for tally in await rolling.restart_under_load(nodes, list(running.values()), CLIENTS):
            print(f"  drain_delay {drain_delay:g}: {tally} {tally.kinds()}", flush=True)


async def reloads() -> None:
    for name in NAMES:
        with ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="pushhub-proxies-"))
            hub = stack.enter_context(serve("front"))
            running = stack.enter_context(
                run_proxies([PROXIES[name]], Path(folder), (hub.port, hub.port))
            )
            outcome = await reloading.reload_under_load(running[name], hub, CLIENTS, held=50)
            print(f"  {outcome} {outcome.tally.kinds()}", flush=True)


async def kills() -> None:
    """SIGKILL of one of two hubs, which starts again after 5 s."""
    for name in NAMES:
        rack = Rack()
        with ExitStack() as stack:
            stack.callback(rack.close)
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="pushhub-proxies-"))
            url = rack.start(KINDS["valkey9"]).url()
            nodes = [Node(url) for _ in range(2)]
            for node in nodes:
                stack.callback(node.close)
                await node.start()
            ports = (nodes[0].port, nodes[1].port)
            running = stack.enter_context(run_proxies([PROXIES[name]], Path(folder), ports))
            tallies = await rolling.kill_under_load(
                nodes, list(running.values()), dataclasses.replace(CLIENTS, repeats=True)
            )
            for tally in tallies:
                print(f"  {tally} {tally.kinds()}; failed twice: {tally.lost[:5]}", flush=True)


def silences() -> None:
    """Waits over HTTP/3 without a byte on the connection, and with a ping of the client."""
    with tempfile.TemporaryDirectory(prefix="pushhub-proxies-") as name, ExitStack() as stack:
        hub = stack.enter_context(serve("front"))
        ports = (hub.port, hub.port)
        running = stack.enter_context(run_proxies([PROXIES["caddy"]], Path(name), ports))
        clients = {
            (wait, ping): http3_client(
                running["caddy"].port, f"{events_of('quiet')}?since=now&wait={wait}", 1, ping
            )
            for wait, ping in (("25", ""), ("55", ""), ("55", "15"))
        }
        for (wait, ping), client in clients.items():
            output, _ = client.communicate(timeout=120)
            print(
                f"  caddy: wait={wait}, a ping every {ping or '–'} s: {output.strip()}", flush=True
            )


async def idle_times(*, right: bool) -> None:
    with tempfile.TemporaryDirectory(prefix="pushhub-proxies-") as name, ExitStack() as stack:
        hub = stack.enter_context(serve("front", keep_alive_seconds=1))
        proxies = [PROXIES[name] for name in NAMES]
        running = stack.enter_context(
            run_proxies(proxies, Path(name), (hub.port, hub.port), short=right)
        )
        tallies = await asyncio.gather(*map(idle.post, running.values()))
        for proxy, statuses in zip(running, tallies, strict=True):
            failed = [status for status in statuses if status != 200]
            print(f"  {proxy}: {len(failed)} of {len(statuses)} POSTs failed {sorted(set(failed))}")


def main() -> None:
    print("rolling restart of two hubs, one proxy at a time", flush=True)
    for proxy in (USUAL, *(PROXIES[name] for name in NAMES)):
        asyncio.run(restarts([proxy], drain_delay=3))
    print("a reload of the proxy, with 50 waits and 50 streams from before it", flush=True)
    asyncio.run(reloads())
    print("SIGKILL of one of two hubs; clients repeat once, publishers with a key", flush=True)
    asyncio.run(kills())
    print("waits over HTTP/3: status and seconds", flush=True)
    silences()
    print("POSTs around the idle times: the proxy closes first", flush=True)
    asyncio.run(idle_times(right=True))
    print("POSTs around the idle times: the hub closes first, after 1 s", flush=True)
    asyncio.run(idle_times(right=False))


if __name__ == "__main__":
    main()
