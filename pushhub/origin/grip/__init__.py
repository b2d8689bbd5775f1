"""GRIP's I/O: the instructs of an origin, carried out with the hub. `pushhub/grip/` is pure."""
