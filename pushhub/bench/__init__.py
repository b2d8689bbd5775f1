"""The load generator of `pushhub bench` and of the project's benchmarks.

One synchronous process controls a run (`generator_pool`, `target`, `scenarios`). The clients are in
generator processes of their own (`generator`, `poller`), so that the measurement does not disturb
the server. The package uses HTTP and a server's dialect of polling, and nothing else of pushhub: it
also measures other servers.
"""
