"""The transcripts, played with the state machine."""

import pytest

from tests.bosh.machine import Machine
from tests.bosh.transcript import Case, Player, every


@pytest.mark.parametrize("case", list(every()), ids=lambda case: case.name)
def test_transcript(case: Case) -> None:
    machine = Machine()
    Player(machine).play(case)
    machine.close()
