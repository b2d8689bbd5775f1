"""What a page gets of a hub, in a real Chromium: `python -m benchmarks.browser [--events 1000]`.

Publishes one event after the other, and counts the milliseconds from just before the publish to
the listener in the page, by the machine's one clock. Then the same with 50 tabs on one hub, which
counts what it holds for them. Needs Debian's chromium, and node.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
from typing import Any

from tests.browser.chromium import Chromium, Profile, Tab
from tests.browser.site import Site
from tests.serving import Server, serve

PAGE = """<!doctype html><title>benchmark</title>
<script src="{hub}/client.js"></script>
<script>
  const latencies = [];
  const hub = pushhub.connect("{hub}", {options});
  hub.on("a", ({{ data }}) => latencies.push(performance.timeOrigin + performance.now() - data.at));
</script>
"""
# A mean of 50 a second: long enough for a page to ask again, with no rhythm of its own.
MEAN_SECONDS = 0.02


async def publish(server: Server, events: int) -> None:
    async with await server.connect() as client:
        for _ in range(events):
            await asyncio.sleep(random.expovariate(1 / MEAN_SECONDS))
            body = json.dumps({"at": time.time() * 1000}).encode()
            answer = await client.ask("POST", "/v1/channels/a/events", {}, body)
            assert answer.status == 200


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


async def measure(title: str, events: int, tabs: int, options: dict[str, Any]) -> None:
    """One line of figures."""
    with serve() as server, Site() as site, Chromium() as chromium:
        hub = f"http://127.0.0.1:{server.port}"
        site.pages["/"] = PAGE.format(hub=hub, options=json.dumps(options))
        profile = Profile(chromium, title)
        pages: list[Tab] = [await profile.open(site.url) for _ in range(tabs)]
        for page in pages:
            await page.until("hub.state == 'live'")
        await server.held(1)
        await publish(server, events)
        latencies: list[float] = []
        for page in pages:
            await page.until("latencies.length >= arg", events)
            latencies += await page.run("return latencies")
        requests = [(await page.run("return hub.debug()"))["requests"] for page in pages]
        held = await server.metric("pushhub_holds")
        assert len(latencies) == events * tabs, "nothing is lost, nothing is doubled"
        print(
            f"{title:28} p50 {percentile(latencies, 0.5):6.1f} ms   "
            f"p99 {percentile(latencies, 0.99):6.1f} ms   "
            f"most {max(latencies):6.1f} ms   {len(latencies)} deliveries   "
            f"{held:.0f} held   {sum(requests)} requests of {sum(map(bool, requests))} tab(s)",
            flush=True,
        )
        await profile.close()


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.browser")
    parser.add_argument("--events", type=int, default=1000, help="how many are published")
    parser.add_argument("--tabs", type=int, default=50, help="how many tabs share a request")
    given = parser.parse_args()
    await measure("one tab, held requests", given.events, 1, {})
    await measure("one tab, a stream", given.events, 1, {"transport": "sse"})
    few = max(1, given.events // 10)
    await measure(f"{given.tabs} tabs, held requests", few, given.tabs, {})
    await measure(f"{given.tabs} tabs, a stream", few, given.tabs, {"transport": "sse"})


if __name__ == "__main__":
    asyncio.run(main())
