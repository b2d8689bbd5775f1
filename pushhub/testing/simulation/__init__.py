"""pushhub on virtual time: real hubs, endpoints and clients, a network and a store in memory.

`docs/testing.md` says what is simulated, what is checked, and how a test of an application uses it.
The rooms, from the clock up:

    loop      an event loop whose clock jumps to the next timer
    network   connections in memory, with latency, cuts and silence
    log       one log that several nodes share, each with a feed of its own
    node      one process of pushhub: started, drained, killed
    origin    a scripted REST server
    http      an HTTP/1.1 client
    pauses    how long an actor waits: around the constants of the code, and between them
    actors/   clients, publishers and operators
    oracle    the truth of the log, and the promises to clients
    run       one seed: a world, its actors, the verdict
"""

from pushhub.testing.simulation.loop import BusyLoop, Deadlock, SimulatedLoop
from pushhub.testing.simulation.network import Network
from pushhub.testing.simulation.node import Node

__all__ = ["BusyLoop", "Deadlock", "Network", "Node", "SimulatedLoop"]
