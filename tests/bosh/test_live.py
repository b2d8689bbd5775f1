"""The transcripts, played with a real server on both drivers."""

from collections.abc import Iterator

import pytest

from tests.bosh.live import Live
from tests.bosh.transcript import Case, Player, every
from tests.serving import Server, serve

# Longer transcripts are played on a manual clock only.
MOST_SECONDS = 2.5


def quick(case: Case) -> bool:
    waits = [float(line[1:].rstrip("s")) for line in case.lines if line.startswith("+")]
    return sum(waits) <= MOST_SECONDS


@pytest.fixture(scope="module", params=["front", "asgi"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with serve(request.param) as running:
        yield running


@pytest.mark.parametrize(
    "case", [case for case in every() if quick(case)], ids=lambda case: case.name
)
def test_transcript(case: Case, server: Server) -> None:
    live = Live(server.port)
    try:
        Player(live).play(case)
    finally:
        live.close()
