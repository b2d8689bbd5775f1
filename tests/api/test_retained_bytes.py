"""The limit on the bytes that a namespace retains, at each way to publish, over TCP."""

from __future__ import annotations

import json
import re

from pushhub.store.base import NamespaceFull
from pushhub.xmpp.storage.key_value import store_failure
from tests.serving import serve

LIMIT = 3000
NAMESPACES = {"news": {"retained_bytes": LIMIT}, "free": {}}
DATA = b"x" * 1000


async def test_a_publish_beyond_the_limit_is_refused_everywhere() -> None:
    with serve("front", namespaces=NAMESPACES) as server:
        async with await server.connect() as client:
            for _ in range(2):
                sent = await client.ask("POST", "/v1/channels/news:a/events", body=DATA)
                assert sent.status == 200
            refused = await client.ask("POST", "/v1/channels/news:b/events", body=DATA)
            problem = refused.json()
            assert (refused.status, problem["type"]) == (429, "urn:pushhub:problem:namespace-full")
            assert (problem["namespace"], problem["limit"]) == ("news", LIMIT)
            assert refused.headers["retry-after"] == "30"
            assert refused.headers["ratelimit"] == '"namespace-bytes";r=0;t=30'
            policy = refused.headers["ratelimit-policy"]
            assert policy == f'"namespace-bytes";q={LIMIT};qu="content-bytes"'

            body = json.dumps(
                [{"channel": "news:b", "data": "x" * 1000}, {"channel": "free:b", "data": 1}]
            )
            both = await client.ask("POST", "/v1/publish", body=body.encode())
            first, second = both.json()["results"]
            assert first["error"]["type"] == "urn:pushhub:problem:namespace-full"
            assert second["offset"] == 1

            items = {
                "items": [
                    {"channel": "news:b", "formats": {"http-stream": {"content": "x" * 1000}}}
                ]
            }
            grip = await client.ask("POST", "/publish", body=json.dumps(items).encode())
            assert grip.status == 429

            metrics = (await client.ask("GET", "/metrics")).body.decode()
            retained = re.search(r'pushhub_namespace_bytes\{namespace="news"\} (\d+)', metrics)
            assert retained is not None
            assert 2000 < int(retained[1]) <= LIMIT
            assert f'pushhub_namespace_limit_bytes{{namespace="news"}} {LIMIT}' in metrics
            assert 'pushhub_store_refused_total{reason="namespace-full"} 3' in metrics
            # The store is well.
            assert (await client.ask("GET", "/readyz")).status == 200
            assert "pushhub_store_writable 1" in metrics

            value = await client.ask("GET", "/v1/channels/news:a")
            assert value.body == DATA
            assert (await client.ask("DELETE", "/v1/channels/news:a")).status in (200, 204)
            again = await client.ask("POST", "/v1/channels/news:b/events", body=DATA)
            assert again.status == 200


def test_an_xmpp_publisher_is_told_to_wait() -> None:
    failure = store_failure(NamespaceFull("news", LIMIT))
    assert (failure.condition, failure.type) == ("resource-constraint", "wait")
