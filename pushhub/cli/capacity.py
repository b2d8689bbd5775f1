"""`pushhub capacity`: the memory, cores, Redis and sockets that a load needs."""

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer

from pushhub.cli.config import Json
from pushhub.cli.terminal import FAILED, fail, say, say_json

if TYPE_CHECKING:
    from pushhub.capacity.model import Estimate, Workload


def capacity(
    holds: Annotated[
        int, typer.Option(help="Clients that wait at a time.", min=1, max=100_000_000)
    ] = 10_000,
    channels: Annotated[
        int, typer.Option(help="Channels over which holds and events spread.", min=1, max=10**9)
    ] = 1000,
    publishes: Annotated[
        float, typer.Option(help="Events a second, over all channels.", min=0, max=1e7)
    ] = 10.0,
    event_bytes: Annotated[
        int, typer.Option("--bytes", help="Bytes of data in an event.", min=0, max=262_144)
    ] = 1000,
    retained: Annotated[
        int,
        typer.Option(help="Events that a channel keeps (retention_events).", min=1, max=100_000),
    ] = 1000,
    age: Annotated[
        int,
        typer.Option(
            help="Seconds that an event is kept (retention_age); 0 is without a limit.",
            min=0,
            max=315_360_000,
        ),
    ] = 86_400,
    wait: Annotated[int, typer.Option(help="Seconds that clients wait.", min=1, max=55)] = 25,
    channels_per_hold: Annotated[
        int, typer.Option(help="Channels of one poll.", min=1, max=1000)
    ] = 1,
    shared_token: Annotated[
        bool,
        typer.Option("--shared-token", help="Clients have no token, or all the same."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Estimate what a load needs: memory, cores, Redis, sockets. Connects to nothing.

    The figures were measured with the project's benchmarks; docs/capacity.md has each of them.
    """
    # Imported here, so that other commands start faster.
    from pushhub.capacity.model import Impossible, Workload, estimate

    workload = Workload(
        holds=holds,
        channels=channels,
        publishes=publishes,
        event_bytes=event_bytes,
        retained=retained,
        age=age,
        wait=wait,
        channels_per_hold=channels_per_hold,
        shared_token=shared_token,
    )
    try:
        need = estimate(workload)
    except Impossible as error:
        fail(str(error), code=FAILED)
    if as_json:
        say_json({"load": dataclasses.asdict(workload), "needs": dataclasses.asdict(need)})
        return
    for name, text in rows(workload, need):
        say(f"{name:12} {text}")


def rows(workload: "Workload", need: "Estimate") -> list[tuple[str, str]]:
    """What is printed: a subject and a sentence."""
    from pushhub.capacity.model import BUSY_SHARE, SPARE_DESCRIPTORS

    each = "" if need.processes == 1 else f", {need.process_cores:.2f} each"
    found = [
        (
            "load",
            f"{workload.holds:,} holds, {need.deliveries:,.0f} deliveries/s and "
            f"{need.timeouts:,.0f} empty responses/s",
        ),
        ("processes", f"{need.processes:,} (workers or pods), each busy at most {BUSY_SHARE:.0%}"),
        ("cores", f"{need.cores:.2f}{each}"),
        ("memory", f"{need.process_mib:,.0f} MiB each, {need.total_mib:,.0f} MiB in all"),
        ("latency", f"{need.last_ms:,.1f} ms until the last reader of an event has it"),
        (
            "descriptors",
            f"{need.descriptors:,} each ({SPARE_DESCRIPTORS} of them spare), "
            f"{need.proxy_descriptors:,} at a proxy in front",
        ),
        ("redis", f"{need.redis_mib:,.0f} MiB for {need.kept_events:,} events; plan twice as much"),
        ("redis cores", f"{need.redis_cores:.3f} of 1"),
    ]
    found += [("note", note) for note in need.notes]
    found += [("assumed", one) for one in assumptions(workload)]
    return found


def assumptions(workload: "Workload") -> list[str]:
    """What the estimate takes for granted, in sentences."""
    token = "one token for all clients" if workload.shared_token else "a token for each client"
    return [
        f"Events and holds spread evenly over {workload.channels:,} channels; {token}.",
        f"Clients wait {workload.wait} s and ask again immediately; events of "
        f"{workload.event_bytes:,} bytes come at random.",
        "Tails and retention are full, as after a day. TLS ends at the proxy; no origin, no XMPP.",
        "Other machines, Python versions and proxies differ: docs/capacity.md has each figure.",
    ]
