"""`pushhub doctor` and the canary: of a real hub, and what its metrics mean."""

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from pushhub.doctor.canary import examine, judge
from pushhub.doctor.through import examine_through
from pushhub.settings import Settings
from tests.api.test_auth import ADMIN, KEYS
from tests.browser_pages.filled_hour import port_of
from tests.canary.running import running

if TYPE_CHECKING:
    from pushhub.doctor import Finding


def exposition(lost: int = 0, /, **checks: tuple[int | None, float]) -> str:
    """The metrics of checks, each with its verdict and its age."""
    lines = [f"pushhub_canary_lost_untold_total {lost}"]
    for check, (verdict, age) in checks.items():
        lines.append(f'pushhub_canary_age_seconds{{check="{check}"}} {age}')
        if verdict is not None:
            lines.append(f'pushhub_canary_ok{{check="{check}"}} {verdict}')
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("metrics", "level", "says"),
    [
        (exposition(feed=(1, 20.0), hold=(1, 20.0)), "ok", "All 2 checks of the canary succeed."),
        (exposition(feed=(None, 5.0)), "ok", "not ended its first round"),
        (exposition(feed=(0, 1234.5), hold=(1, 20.0)), "bad", "fail: feed (for 1,234 s)."),
        (exposition(feed=(1, 150.0)), "ok", "All 1"),
        (exposition(feed=(1, 150.2), hold=(1, 20.0)), "bad", "fail: feed (for 150 s)."),
        (exposition(feed=(None, 151.0)), "bad", "fail: feed"),
        (exposition(2, feed=(1, 20.0)), "bad", "missed 2 of its events without a gap"),
        ("pushhub_workers 1\n", "warn", "runs no canary"),
        (exposition(0, **{f"c{n}": (0, 9.0) for n in range(8)}), "bad", "c4 (for 9 s) and 3 more."),
    ],
)
def test_the_meaning_of_the_metrics(metrics: str, level: str, says: str) -> None:
    finding = judge(metrics, 60.0)
    assert (finding.check, finding.level) == ("canary", level)
    assert says in finding.sentence


def test_of_an_unknown_interval_the_longest_is_supposed() -> None:
    assert judge(exposition(feed=(1, 749.0))).level == "ok"
    assert judge(exposition(feed=(1, 751.0))).level == "bad"


async def test_a_hub_that_runs_is_examined() -> None:
    async with running() as hub:
        port = port_of(hub)
        assert "first round" in (await found(port=port)).sentence
        assert await hub.red() == set()
        seen = await found(port=port)
        assert (seen.level, seen.sentence) == ("ok", "All 6 checks of the canary succeed.")
        hub.store.fails = True
        await hub.red()
        red = await found(port=port)
        assert red.level == "bad"
        assert "publish (for " in red.sentence
        through: list[Finding] = []
        url = f"http://127.0.0.1:{port}"
        await examine_through(
            url, None, seconds=5, wait=1, report=through.append, progress=lambda gone, left: None
        )
        (one,) = [one for one in through if one.check == "canary"]
        assert (one.level, "publish (for " in one.sentence) == ("bad", True)


async def test_without_the_right_key_the_finding_says_what_is_missing() -> None:
    async with running(dev=False, api_keys=KEYS) as hub:
        port = port_of(hub)
        refused = await found(port=port)
        assert (refused.level, "gets 401" in refused.sentence) == ("ok", True)
        assert "first round" in (await found(ADMIN, port=port)).sentence


async def test_a_hub_in_front_of_an_origin_is_found_under_its_prefix() -> None:
    origin = "http://127.0.0.1:9"
    async with running(origin=origin) as hub:
        assert "first round" in (await found(port=port_of(hub), origin=origin)).sentence


async def test_a_canary_that_is_off_is_a_warning_and_no_hub_is_no_finding() -> None:
    off = await found(port=0, canary=0)
    assert (off.level, "The canary is off" in off.sentence) == ("warn", True)
    assert list(examine(Settings(dev=True, port=0), None)) == []

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as other:
        settings = Settings(dev=True, port=other.sockets[0].getsockname()[1])
        assert await asyncio.to_thread(lambda: list(examine(settings, None))) == []


async def found(key: str | None = None, **settings: Any) -> "Finding":
    """The one finding of a hub with these settings; the hub runs on this loop."""
    given = Settings(**{"dev": True, **settings})
    (finding,) = await asyncio.to_thread(lambda: list(examine(given, key)))
    return finding
