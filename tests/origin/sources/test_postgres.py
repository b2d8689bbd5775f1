"""A table of a real PostgreSQL notifies, by the triggers that `pushhub sources postgres` prints."""

import asyncio
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from tests.cli.running import pushhub
from tests.origin.apis import Api
from tests.origin.shared.front import Front
from tests.origin.sources.hubs import CONNECTED, ROUTES, following
from tests.ports import free_port
from tests.postgres import PostgresServer, postgres
from tests.redis_servers import KINDS, Rack
from tests.serving import serve

RESOURCES = ["/orders/{id}", "/customers/{customer}/orders", "/report"]


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres() as server:
        # Column names that are also those of the function's variables and of SQL.
        server.run('CREATE TABLE orders (id text, customer int, path text, "order" int)')
        options = [text for resource in RESOURCES for text in ("--resource", resource)]
        printed = pushhub("sources", "postgres", "--table", "orders", *options, "--channel", "hub")
        assert printed.exit_code == 0, printed.stderr
        # Twice: it can be run again.
        server.run(printed.stdout)
        server.run(printed.stdout)
        yield server


def source(server: PostgresServer, **more: Any) -> dict[str, object]:
    resources = ["/orders/*", "/orders", "/customers/*", "/customers", "/report"]
    base = {"name": "orders", "kind": "postgres", "dsn": server.dsn, "channel": "hub"}
    return base | {"resources": resources, **more}


def row(id: str, customer: int = 1) -> str:
    id = id.replace("'", "''")
    return f"INSERT INTO orders VALUES ('{id}', {customer}, 'p', 1)"


async def test_rows_notify(server: PostgresServer) -> None:
    async with following(source(server)) as front:
        async with front.told("/orders/7", "/orders", "/customers/1/orders", "/report"):
            server.run(row("7"))
        async with front.told("/orders/7", "/orders", "/customers/1/orders"):
            server.run("UPDATE orders SET path = 'q' WHERE id = '7'")
        # A row that moves concerns both resources.
        async with front.told("/customers/1/orders", "/customers/2/orders"):
            server.run("UPDATE orders SET customer = 2 WHERE id = '7'")
        async with front.told("/orders/7", "/customers/2/orders"):
            server.run("DELETE FROM orders WHERE id = '7'")
        async with front.told("/orders/8", "/orders", "/report"):
            server.run("TRUNCATE orders")


async def test_a_value_is_one_segment(server: PostgresServer) -> None:
    ids = ("a b", "é", "10%", "a/b", "x'y", "x?y&z", "*", "{id}", "~._-", "日本", "..a")
    async with (
        following(source(server)) as front,
        front.told(*(f"/orders/{quote(id, safe='')}" for id in ids)),
    ):
        for id in ids:
            server.run(row(id))


@pytest.mark.parametrize(
    "payload", ["/orders/1?filter={x}", "/orders/*?x", "/orders/{", '["/orders/{"]']
)
async def test_a_malformed_payload_loses_no_other_notification(
    server: PostgresServer, payload: str
) -> None:
    async with following(source(server)) as front, front.told("/orders/7"):
        server.run(f"BEGIN; NOTIFY hub, '{payload}'; NOTIFY hub, '/orders/7'; COMMIT;")
    assert not any("Traceback" in line for line in front.hub.output.lines)


async def test_a_payload_may_have_letters_that_no_url_has(server: PostgresServer) -> None:
    async with following(source(server)) as front, front.told("/orders/caf%C3%A9"):
        server.run("NOTIFY hub, '/orders/café'")


async def test_a_bulk_change_is_one_notification(server: PostgresServer) -> None:
    async with following(source(server)) as front:
        async with front.told("/orders/99999", "/customers/5/orders"):
            server.run(
                "INSERT INTO orders SELECT n::text, n % 10, '', 1 FROM generate_series(1, 100000) n"
            )
        counted = (await front.hub.get("/_pushhub/metrics")).body.decode()
        (number,) = re.findall(r"(?m)^pushhub_origin_notices_total (\d+)$", counted)
        assert int(number) < 10
        async with front.told("/orders/77"):
            server.run("DELETE FROM orders")


async def test_what_no_transaction_commits_notifies_of_nothing(server: PostgresServer) -> None:
    async with following(source(server)) as front:
        front.api.set("/orders/1", "1", '"one"')
        await front.wait("/orders/1")
        async with front.waiting("/orders/1", '"one"'):
            await front.parked(1)
            looks = front.api.count("/orders/1")
            server.run(f"BEGIN; {row('1')}; ROLLBACK")
            server.run("UPDATE orders SET path = 'x' WHERE id = 'nobody'")
            server.run("NOTIFY hub, '/secret'; NOTIFY hub, 'nonsense'; NOTIFY hub, '[1, null'")
            server.run("NOTIFY other, '/orders/1'; NOTIFY hub")
            # Notifications come in order, so after this one the others have come.
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(marked(front, server))
            assert front.api.count("/orders/1") == looks


async def marked(front: Front, server: PostgresServer) -> None:
    front.api.set("/report", "1", '"one"')
    await front.wait("/report")
    async with front.waiting("/report", '"one"') as answer:
        await front.parked(2)
        front.api.set("/report", "2", '"two"')
        server.run("""NOTIFY hub, '["/report", "/else"]'""")
        assert (await answer).headers["etag"] == '"two"'


async def test_after_an_outage_all_who_wait_get_one_fetch(server: PostgresServer) -> None:
    async with following(source(server)) as front:
        front.api.set("/orders/1", "1", '"one"')
        front.api.set("/orders", "1", '"one"')
        front.api.set("/else", "1", '"one"')
        for resource in ("/orders/1", "/orders", "/else"):
            await front.wait(resource)
        async with (
            front.waiting("/orders/1", '"one"') as answer,
            front.waiting("/orders", '"one"'),
            front.waiting("/else", '"one"'),
        ):
            # The request before has looked at the origin, and the wait goes on from there.
            await front.parked(3, looks=3)
            server.stop()
            front.hub.output.find(re.compile(r"source\.disconnected"), 30)
            looks = {name: front.api.count(name) for name in ("/orders/1", "/orders", "/else")}
            # The change is missed: nothing listens.
            front.api.set("/orders/1", "2", '"two"')
            server.start()
            assert (await answer).headers["etag"] == '"two"'
            await front.api.reached(looks["/orders"] + 1, "/orders")
            # One fetch for each, and none for what the source may not notify of.
            assert front.api.count("/orders/1") == looks["/orders/1"] + 1
            assert front.api.count("/orders") == looks["/orders"] + 1
            assert front.api.count("/else") == looks["/else"]
        async with front.told("/orders/9"):
            server.run(row("9"))


async def test_a_wrong_database_is_told_once_and_tried_with_a_pause(
    server: PostgresServer,
) -> None:
    dsn = server.dsn.replace("dbname=postgres", "dbname=nowhere")
    settings: dict[str, Any] = {"routes": ROUTES, "sources": [source(server, dsn=dsn)]}
    with serve(origin="http://127.0.0.1:9", **settings) as running:
        found = running.output.find(re.compile(r"^.*source\.disconnected.*$"), 30)
        assert "nowhere" in found[0]
        metrics = (await running.get("/_pushhub/metrics")).body.decode()
        assert "pushhub_sources_disconnected 1" in metrics


async def test_several_nodes_fetch_once(server: PostgresServer) -> None:
    rack, port = Rack(), free_port()
    try:
        store, origin = rack.start(KINDS["valkey9"]).url(), f"http://127.0.0.1:{port}"
        settings: dict[str, Any] = {"store": store, "origin": origin, "routes": ROUTES}
        with (
            serve(**settings, sources=[source(server)]) as near,
            serve(**settings, sources=[source(server)]) as far,
        ):
            for one in (near, far):
                one.output.find(CONNECTED, 30)
            async with Api.running(port) as api:
                here, there = Front(near, api), Front(far, api)
                api.set("/orders/1", "1", '"one"')
                for front in (here, there):
                    await front.wait("/orders/1")
                async with (
                    here.waiting("/orders/1", '"one"') as one_answer,
                    there.waiting("/orders/1", '"one"') as other_answer,
                ):
                    await here.parked(1)
                    await there.parked(1)
                    looks = api.count("/orders/1")
                    api.set("/orders/1", "2", '"two"')
                    server.run(row("1"))
                    for answer in (one_answer, other_answer):
                        assert (await answer).headers["etag"] == '"two"'
                    assert api.count("/orders/1") == looks + 1
    finally:
        rack.close()
