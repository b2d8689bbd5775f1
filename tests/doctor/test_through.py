"""`doctor --through`: each finding red and green, behind real proxies and without one."""

import asyncio
import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from pushhub.doctor.through import examine_through
from tests.api.test_auth import KEYS, READER
from tests.cli.running import pushhub, scripted
from tests.doctor.proxies import KEEP_ALIVE_SECONDS, MAX_WAIT, NAMES, proxies
from tests.ports import free_port
from tests.serving import Server, serve

if TYPE_CHECKING:
    from pushhub.doctor import Finding

Found = dict[str, tuple[str, str]]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve(keep_alive_seconds=KEEP_ALIVE_SECONDS, max_wait=MAX_WAIT) as server:
        yield server
        server.check()


async def through(port: int) -> Found:
    found: list[Finding] = []
    await examine_through(
        f"http://127.0.0.1:{port}",
        None,
        seconds=40,
        wait=None,
        report=found.append,
        progress=lambda gone, left: None,
    )
    assert all(one.sentence.endswith(".") for one in found)
    return {one.check: (str(one.level), one.sentence) for one in found}


@pytest.fixture(scope="module")
def found(server: Server, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Found]:
    """The findings behind each proxy, and without one."""

    async def all_at_once(ports: dict[str, int]) -> dict[str, Found]:
        results = await asyncio.gather(*map(through, ports.values()))
        return dict(zip(ports, results, strict=True))

    with proxies(server.port, tmp_path_factory.mktemp("proxies")) as ports:
        return asyncio.run(all_at_once({"direct": server.port, **ports}))


# check → the configurations behind which it is red, and how.
RED = {
    "http2": dict.fromkeys(("direct", *NAMES), "warn"),
    "proxy": {"nginx_wrong": "warn"},
    "slash": {"nginx_wrong": "bad"},
    "address": {"nginx_wrong": "bad", "haproxy_wrong": "bad"},
    "forged": {
        **{"direct": "warn", "nginx_wrong": "bad", "nginx_odd": "bad", "haproxy_wrong": "bad"}
    },
    "fields": {"nginx_wrong": "bad"},
    "cache": {"nginx_odd": "bad"},
    "body": {"nginx_wrong": "bad"},
    "headers": {"nginx_wrong": "warn"},
    "leaving": {"nginx_wrong": "warn", "nginx_odd": "bad", "haproxy_wrong": "bad"},
    "stream": {"nginx_wrong": "bad", "haproxy_wrong": "warn"},
    "compression": {"nginx_wrong": "bad", "nginx_odd": "bad", "haproxy_wrong": "warn"},
    "wait": {"nginx_wrong": "warn", "haproxy_wrong": "bad"},
    "lasting": {"nginx_wrong": "bad", "haproxy_wrong": "bad"},
    "idle": {"nginx_odd": "bad"},
    "access": {},
    "canary": {},
}


@pytest.mark.parametrize("name", ["direct", *NAMES])
def test_the_findings_are_those_of_the_configuration(found: dict[str, Found], name: str) -> None:
    levels = {check: level for check, (level, _) in found[name].items()}
    if name == "haproxy_wrong":
        # HAProxy closes as many idle connections as it believes to be too many, at any time.
        levels["idle"] = "ok"
    assert levels == {check: red.get(name, "ok") for check, red in RED.items()}, found[name]


def test_each_sentence_has_what_was_measured(found: dict[str, Found]) -> None:
    def says(name: str, check: str) -> str:
        return found[name][check][1]

    assert "Nothing stands in front" in says("direct", "proxy")
    assert "nginx/" in says("nginx_right", "proxy")
    assert "HTTP/1.0" in says("nginx_wrong", "proxy")
    assert "arrives as another URL (404)" in says("nginx_wrong", "slash")
    assert "X-Forwarded-Proto" in says("nginx_odd", "forged")
    assert "X-Forwarded-For" in says("haproxy_wrong", "forged")
    assert "without Preference-Applied" in says("nginx_wrong", "fields")
    assert "gets 413" in says("nginx_wrong", "body")
    assert "of 12 KiB gets 400, one of 7 KiB passes" in says("nginx_wrong", "headers")
    assert "option abortonclose" in says("haproxy_wrong", "leaving")
    assert "ms late" in says("haproxy_wrong", "stream")
    assert re.search(r"after 4\.\d s with 504; the hub grants 6 s", says("haproxy_wrong", "wait"))
    assert f"after {KEEP_ALIVE_SECONDS} s (keep_alive_seconds)" in says("nginx_odd", "idle")
    assert "closes an idle connection after about" in says("nginx_right", "idle")


async def test_the_channels_of_the_probes_are_deleted(
    server: Server, found: dict[str, Found]
) -> None:
    assert (await server.get("/v1/channels?prefix=doctor:")).json()["channels"] == []


def test_the_command_prints_findings_and_fails_with_a_bad_one() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    result = pushhub("doctor", "--through", url, "--json")
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert (told["ok"], [one["check"] for one in told["findings"]]) == (False, ["access"])
    assert "cannot be reached" in told["findings"][0]["sentence"]
    assert pushhub("doctor", "--through", "ftp://x").exit_code == 2
    with scripted((404, {}, b"")) as site:
        elsewhere = pushhub("doctor", "--through", site.url)
    assert elsewhere.exit_code == 1
    assert "gets 404, which is not a hub's response" in elsewhere.stdout


def test_the_command_needs_a_key_that_manages() -> None:
    key = {"PUSHHUB_KEY": READER}
    with serve(dev=False, api_keys=KEYS) as server:
        refused = pushhub("doctor", "--through", f"http://127.0.0.1:{server.port}", **key)
        server.check()
    assert refused.exit_code == 1
    assert "refuses the key (403)" in refused.stdout
