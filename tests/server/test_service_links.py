"""A server in a pod whose namespace has a Service named `pushhub`."""

import json
from typing import Any

import pytest

from tests.serving import serve
from tests.test_service_links import KUBERNETES


@pytest.mark.parametrize("driver", ["front", "asgi"])
async def test_the_server_starts_and_logs_one_sentence(driver: str) -> None:
    links: dict[str, Any] = {
        name.removeprefix("PUSHHUB_").lower(): text for name, text in KUBERNETES.items()
    }
    with serve(driver, **links) as server:
        assert (await server.get("/readyz")).status == 200
    lines = [line for line in server.output.lines if "enableServiceLinks" in line]
    assert len(lines) == 1, str(server.output)
    if driver == "front":
        assert json.loads(lines[0])["event"] == "environment.ignored"
