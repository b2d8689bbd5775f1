"""An XMPP server on a store of each kind, and one in memory."""

import pytest

from pushhub.xmpp.sasl import plain, scram
from pushhub.xmpp.storage import accounts
from tests.xmpp.world import small, world

__all__ = ["few_iterations", "small", "world"]

LEAST_ITERATIONS = 4096
"""Iterations of a password's keys, in place of 10,000, which were a third of the processor time of
these tests: the fewest that clients accept (RFC 5802 §5.1). Hubs in processes of their own keep
theirs.
"""


@pytest.fixture(autouse=True)
def few_iterations(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (accounts, plain, scram):
        monkeypatch.setattr(module, "ITERATIONS", LEAST_ITERATIONS)
