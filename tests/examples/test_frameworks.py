"""The shops on Starlette and Flask, and the task of Celery, run as their READMEs say."""

import asyncio
import re

import pytest

from tests.examples.conftest import EXAMPLES, running
from tests.serving import until_held
from tests.wire import Client

JSON = {"content_type": "application/json"}
# Where the hub's own metrics are: in the application, or on the control listener.
SHOPS = {
    "starlette": ("PORT", "/push/metrics", r"Uvicorn running on"),
    "flask": ("CONTROL_PORT", "/metrics", r"^curl -X PUT"),
}


def test_the_page_shows_what_runs() -> None:
    """Two routes, a path and two tasks of docs/frameworks.md are lines of the examples."""
    page = (EXAMPLES.parent / "docs/frameworks.md").read_text()
    files = [path for kind in ("py", "toml") for path in EXAMPLES.rglob(f"*.{kind}")]
    texts = [path.read_text() for path in files]
    blocks = re.findall(r"^```\w*\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    begins = ("[[routes]]", "path(", "@app.task")
    shown = [block.strip() for block in blocks if block.startswith(begins)]
    assert len(shown) == 5
    assert not [block for block in shown if not any(block in text for text in texts)]


@pytest.mark.parametrize("name", SHOPS)
async def test_a_request_waits_for_the_order_to_change(name: str) -> None:
    port, metrics, started = SHOPS[name]
    with running(name, "") as example:
        await example.heard(started)
        first = await example.ask("PORT", "GET", "/orders/1", prefer="wait=25")
        assert first.json() == {"id": 1, "state": "received"}
        fields = {"prefer": "wait=25", "if_none_match": first.headers["etag"]}
        waiting = asyncio.create_task(example.ask("PORT", "GET", "/orders/1", b"", **fields))
        if name == "flask":
            async with await Client.connect(example.ports[port]) as client:
                await until_held(client, 1, metrics=metrics)
        changed = await example.ask("PORT", "PUT", "/orders/1", b'{"state": "sent"}', **JSON)
        assert changed.status == 200
        assert (await waiting).json() == {"id": 1, "state": "sent"}


async def test_a_task_publishes_its_progress() -> None:
    with running("celery", "") as example:
        for done in (1, 2, 3):
            await example.heard(rf"^{done} of 3 parcels$")
        await example.heard("^curl ")
        # Nothing says when the second task is done: its event does.
        begun = await example.ask("PORT", "GET", "/v1/channels/jobs?wait=20")
        assert begun.json().keys() == {"begun"}
