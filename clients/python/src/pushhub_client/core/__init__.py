"""The client without I/O: `now` and randomness are parameters, and two thin shells drive it."""
