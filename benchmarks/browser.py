"""What a page gets of a hub, in a real Chromium: `python -m benchmarks.browser [--events 1000]`.

Publishes one event after the other, and counts the milliseconds from just before the publish to
the listener in the page, by the machine's one clock. Then the same with 50 tabs on one hub, which
counts what it holds for them. `--profile` says instead where the time of one tab's held requests
goes. Needs Debian's chromium, and node.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
from itertools import pairwise
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
# The same, with the moments of each request: when it was sent, and when its answer's headers and
# its body were there. `seen` has the moments of each event, and the number of its request.
PROFILED = """<!doctype html><title>benchmark</title>
<script src="{hub}/client.js"></script>
<script>
  const seen = [], requests = [], now = () => performance.timeOrigin + performance.now();
  const timed = async (where, how) => {{
    const request = {{ sent: now() }};
    requests.push(request);
    const response = await fetch(where, how), json = response.json.bind(response);
    request.headers = now();
    response.json = async () => {{
      const body = await json();
      request.body = now();
      return body;
    }};
    return response;
  }};
  const hub = pushhub.connect("{hub}", {{ fetch: timed }});
  hub.on("a", ({{ data }}) => seen.push([data.at, now(), requests.length - 1]));
</script>
"""
# A mean of 50 a second: long enough for a page to ask again, with no rhythm of its own.
MEAN_SECONDS = 0.02
SHARES = (0.5, 0.9, 0.99)


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


def spread(title: str, values: list[float]) -> None:
    shares = "   ".join(f"p{share * 100:.0f} {percentile(values, share):6.1f}" for share in SHARES)
    print(f"{title:52} {len(values):5}   {shares} ms", flush=True)


async def profile(events: int) -> None:
    """Where the time goes from a publish to the listener, and from an answer to what is next."""
    with serve() as server, Site() as site, Chromium() as chromium:
        site.pages["/"] = PROFILED.format(hub=f"http://127.0.0.1:{server.port}")
        page = await Profile(chromium, "profile").open(site.url)
        await page.until("hub.state == 'live'")
        await server.held(1)
        await publish(server, events)
        await page.until("seen.length >= arg", events)
        seen, requests = await page.run("return [seen, requests]")
    told = [(at, heard, requests[number]) for at, heard, number in seen]
    parked = [(at, heard, request) for at, heard, request in told if request["sent"] < at]
    between = [(at, heard, request) for at, heard, request in told if request["sent"] >= at]
    spread("published while a request was out, to the listener", [h - at for at, h, _ in parked])
    spread("  to the answer's headers", [r["headers"] - at for at, _, r in parked])
    spread("published between two requests, to the listener", [h - at for at, h, _ in between])
    spread("  to the next request", [r["sent"] - at for at, _, r in between])
    spread("  from there to the answer's headers", [r["headers"] - r["sent"] for *_, r in between])
    spread("from the headers to the body", [r["body"] - r["headers"] for *_, r in told])
    spread("from the body to the listener", [h - r["body"] for _, h, r in told])
    asked = [
        later["sent"] - earlier["body"]
        for earlier, later in pairwise(requests)
        if "body" in earlier
    ]
    spread("from the body to the next request", asked)
    slow = sorted(told, key=lambda one: one[1] - one[0])[-max(1, events // 100) :]
    count = sum(request["sent"] >= at for at, _, request in slow)
    print(f"of the slowest {len(slow)}, {count} were published between two requests")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.browser")
    parser.add_argument("--events", type=int, default=1000, help="how many are published")
    parser.add_argument("--tabs", type=int, default=50, help="how many tabs share a request")
    parser.add_argument("--profile", action="store_true", help="where the time goes")
    given = parser.parse_args()
    if given.profile:
        return await profile(given.events)
    await measure("one tab, held requests", given.events, 1, {})
    await measure("one tab, a stream", given.events, 1, {"transport": "sse"})
    few = max(1, given.events // 10)
    await measure(f"{given.tabs} tabs, held requests", few, given.tabs, {})
    await measure(f"{given.tabs} tabs, a stream", few, given.tabs, {"transport": "sse"})


if __name__ == "__main__":
    asyncio.run(main())
