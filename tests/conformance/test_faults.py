"""Each case of the conformance test passes for a client that conforms, and fails for one that has
the fault that the case is for.
"""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from pushhub.conformance.case import CASES
from pushhub.conformance.run import NAMES, CaseResult, CaseVerdict, run_case

# Each case runs a client in a process of its own.
pytestmark = pytest.mark.slow

READER = [sys.executable, str(Path(__file__).parent / "reader.py")]
# Cases that run at a time: they wait more than they compute.
JOBS = 8

# The faults of reader.py, and the cases that must find each of them.
FAULTS = {
    "now-instead": ("start-earliest", "start-cursor"),
    "earliest-instead": ("start-now",),
    "old-cursor": ("next-cursor",),
    "pause-after-page": ("pages",),
    "raw-name": ("channel-name",),
    "text-only": ("data",),
    "strict": ("unknown-members",),
    "no-dedupe": ("duplicate",),
    "no-wait": ("opt-in",),
    "empty-is-failure": ("empty",),
    "no-pause": ("not-applied", "value-plain", "stream-retry"),
    "no-timeout": ("timeout",),
    "silent-gap": ("gap-trimmed", "many-gap", "stream-gap", "hub", "hub-stream"),
    "offsets-only": ("gap-epoch", "gap-ahead"),
    "first-channel": ("many",),
    "replaces-cursors": ("many-cursors",),
    "no-etag": ("value", "hub-value"),
    "304-is-failure": ("value-304",),
    "ignores-interval": ("value-interval",),
    "keeps-etag": ("value-none",),
    "ignores-retry-after": (
        *("value-retry-after", "stream-retry-after", "retry-after", "retry-after-429"),
    ),
    "each-chunk": ("stream",),
    "no-last-id": ("stream-last-id",),
    "early-id": ("stream-half",),
    "refusal-ends-all": ("many-forbidden",),
    "spins": ("spin", "value-spin"),
    "any-200": ("stream-not-stream",),
    "ids-with-data": ("stream-first-id",),
    "one-token": ("stream-unauthorized", "new-token"),
    "ignores-end": ("stream-cancel", "cancel", "cancel-pause"),
    "lost-cursor": ("cut",),
    "gives-up": ("half-response", "not-json", "bad-gateway", "deleted", "drain"),
    "ignores-retry-ms": ("retry-ms",),
    "no-backoff": ("backoff", "stream-backoff"),
    "no-jitter": ("jitter",),
    "token-in-url": ("token",),
    "no-pause-401": ("bad-token",),
    "repeats-403": ("forbidden", "stream-forbidden"),
    "bare-redirect": ("redirect",),
    "no-redirect": ("value-redirect",),
    "keeps-credentials": ("redirect-origin",),
}


def run(pairs: Sequence[tuple[str, str]]) -> dict[tuple[str, str], CaseResult]:
    """The results of cases, each with a fault."""

    async def run_all() -> list[CaseResult]:
        slots = asyncio.Semaphore(JOBS)

        async def one(fault: str, name: str) -> CaseResult:
            async with slots:
                return await run_case(CASES[name], [*READER, *([fault] if fault else [])])

        return await asyncio.gather(*(one(*pair) for pair in pairs))

    return dict(zip(pairs, asyncio.run(run_all()), strict=True))


def test_every_case_has_a_fault_that_it_must_find() -> None:
    found = [name for names in FAULTS.values() for name in names]
    assert sorted(found) == sorted(NAMES)


def test_a_client_that_conforms_passes_every_case() -> None:
    results = run([("", name) for name in NAMES]).values()
    assert not [
        (one.case.name, one.sentence, one.errors)
        for one in results
        if one.verdict is not CaseVerdict.PASSED
    ]


@pytest.mark.timeout(240)
def test_every_fault_is_found() -> None:
    pairs = [(fault, name) for fault, names in FAULTS.items() for name in names]
    results = run(pairs)
    missed = [pair for pair, one in results.items() if one.verdict is not CaseVerdict.FAILED]
    assert not missed
    for (fault, name), result in results.items():
        assert result.sentence, f"{name} says nothing of {fault}"
        assert "not over after" not in result.sentence, f"{name} has no bound for {fault}"


def test_a_client_that_lacks_a_mode_is_no_failure() -> None:
    results = run([("unsupported", name) for name in NAMES]).values()
    assert {one.verdict for one in results} == {CaseVerdict.UNSUPPORTED}
