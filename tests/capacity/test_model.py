"""The estimates: fixed cases, properties, and the constants of the hub that they repeat."""

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushhub.capacity import model
from pushhub.capacity.figures import FIGURES
from pushhub.capacity.model import Impossible, Workload, estimate
from pushhub.hub.channels import MAX_TAILS_BYTES
from pushhub.hub.tail import MAX_TAIL_EVENTS
from pushhub.log.event import Event
from pushhub.settings import Settings

WORKLOADS = st.builds(
    Workload,
    holds=st.integers(1, 10**7),
    channels=st.integers(1, 10**6),
    publishes=st.floats(0, 50_000),
    event_bytes=st.integers(0, 262_144),
    retained=st.integers(1, 100_000),
    age=st.integers(0, 315_360_000),
    wait=st.integers(1, 55),
    channels_per_hold=st.integers(1, 1000),
    shared_token=st.booleans(),
)


def test_a_load_without_events() -> None:
    need = estimate(Workload(holds=18_000, publishes=0.0, wait=25))
    assert need.timeouts == pytest.approx(18_000 / 22.5)
    assert need.deliveries == 0
    # 81 MiB, 18,000 x 3.68 KiB, and one channel with an event.
    assert need.process_mib == pytest.approx(81 + 18_000 * 3.68 / 1024, rel=0.001)
    assert need.cores == pytest.approx(800 * 38.1e-6)
    assert (need.processes, need.descriptors, need.notes) == (1, 18_200, ())


def test_one_channel_with_all_readers() -> None:
    need = estimate(Workload(holds=5000, publishes=2.0, event_bytes=100, shared_token=True))
    assert need.deliveries == 10_000
    assert need.timeouts == pytest.approx(0, abs=1e-9)
    assert need.cores == pytest.approx((2 * 283.6 + 10_000 * 28.4) / 1e6)
    # benchmarks/RESULTS.md: the last of 5,000 readers has the event after 131 ms.
    assert need.last_ms == pytest.approx(142.3, abs=0.1)
    assert need.redis_mib == pytest.approx((4564 + 1000 * 213) / 2**20)


def test_many_processes() -> None:
    need = estimate(Workload(holds=10**6, channels=10**4, publishes=5000.0, event_bytes=1000))
    assert need.cores <= need.processes * model.BUSY_SHARE
    fewer = need.processes - 1
    other = need.cores - 5000 * 4.7e-6
    assert other > fewer * model.BUSY_SHARE
    assert len(need.notes) == 2


def test_more_than_any_number_of_processes_carries() -> None:
    with pytest.raises(Impossible, match="Spread the channels over several deployments"):
        estimate(Workload(holds=1, publishes=200_000.0))


@given(WORKLOADS)
def test_each_need_is_a_number_and_grows_with_the_load(workload: Workload) -> None:
    need = estimate(workload)
    for field in dataclasses.fields(need):
        value = getattr(need, field.name)
        assert field.name == "notes" or (math.isfinite(value) and value >= 0), field.name
    more = estimate(dataclasses.replace(workload, holds=workload.holds * 2))
    assert more.processes >= need.processes
    assert more.total_mib >= need.total_mib
    bigger = estimate(dataclasses.replace(workload, retained=workload.retained * 2))
    assert bigger.redis_mib >= need.redis_mib


def test_the_constants_are_those_of_the_hub() -> None:
    assert model.TAILS_BYTES == MAX_TAILS_BYTES
    assert model.TAIL_EVENTS == MAX_TAIL_EVENTS
    assert Settings.model_fields["max_holds"].default == model.MAX_HOLDS
    assert Settings.model_fields["retention_events"].default == Workload(holds=1).retained
    assert Settings.model_fields["retention_age"].default == Workload(holds=1).age
    event = Event("c", "e", 1, b"12345")
    assert event.size == 5 + model.TAIL_COUNTED_BYTES


def test_each_figure_has_its_source() -> None:
    for figure in FIGURES:
        assert figure.value > 0
        assert figure.command.startswith("python -m benchmarks")
        assert figure.run.date
        assert figure.place
