"""The phases of a connection, as `front.py` explains them, in the order of a request's life."""

IDLE, HEAD, BODY, HELD, STREAM, GUEST, LINGER = range(7)
NAMES = ("idle", "head", "body", "held", "stream", "guest", "linger")
