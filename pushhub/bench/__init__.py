"""The load generator of `pushhub bench` and of the project's benchmarks.

A run is driven from one synchronous process (`crew`, `target`, `scenarios`), while the clients live
in generator processes of their own (`generator`, `poller`), so that measuring does not disturb what
is measured. The package knows HTTP and a server's dialect of polling, and nothing of pushhub's
inside: it is also what the peers are measured with.
"""
