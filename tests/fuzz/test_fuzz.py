"""Each target of the fuzzers with its corpus, with random mutations, and with any bytes."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import outside
from tests.fuzz.harness import CORPUS, TARGETS, corpus, mutate
from tests.lanes import examples

ROOT = Path(__file__).parents[2]
# scripts/attack makes these longer.
SECONDS = float(os.environ.get("PUSHHUB_FUZZ_SECONDS", "2"))
# 64 KiB of any input cost a few milliseconds; a quadratic parser takes seconds.
MAX_SECONDS = 1.0


@pytest.mark.parametrize("target", TARGETS)
def test_the_corpus_breaks_nothing(target: str) -> None:
    inputs = corpus(target)
    assert len(inputs) >= 3
    for raw in inputs:
        TARGETS[target](raw)


def test_no_corpus_is_forgotten() -> None:
    assert {path.name for path in CORPUS.iterdir()} == TARGETS.keys()


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_mutations_break_nothing(target: str) -> None:
    pool, chance = corpus(target), random.Random(target)
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        raw = mutate(chance.choice(pool), chance, pool)
        begun = time.process_time()
        TARGETS[target](raw)
        assert time.process_time() - begun < MAX_SECONDS, raw


@pytest.mark.parametrize("target", TARGETS)
@settings(max_examples=examples(100), deadline=None, suppress_health_check=list(HealthCheck))
@given(raw=st.binary(max_size=2000))
def test_any_bytes_break_nothing(target: str, raw: bytes) -> None:
    TARGETS[target](raw)


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("piece", [b" ", b"\\", b'"', b",", b"<a>", b"[", b"a=", b"\r\n", b"%"])
def test_repetitions_take_linear_time(target: str, piece: bytes) -> None:
    begun = time.process_time()
    for raw in corpus(target):
        middle = len(raw) // 2
        TARGETS[target](raw[:middle] + piece * (16_384 // len(piece)) + raw[middle:])
    assert time.process_time() - begun < MAX_SECONDS


def test_a_broken_promise_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mutator reaches an error that needs two particular bytes."""
    pool, chance = corpus("cursor"), random.Random(1)
    assert any(b"\0" in mutate(chance.choice(pool), chance, pool) for _ in range(1000))


@pytest.mark.slow
def test_atheris_runs_the_same_targets() -> None:
    outside.require("atheris")
    done = subprocess.run(
        [sys.executable, "scripts/fuzz", "--atheris", "--target", "cursor", "--seconds", "3"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.returncode == 0, done.stderr
    assert "INITED" in done.stderr, "libFuzzer has begun"
    assert "no interesting inputs" not in done.stderr, "the parsers are instrumented"
