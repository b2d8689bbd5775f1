"""pushhub: a realtime push service for HTTP. A poll is a read of a log that is allowed to wait."""

__version__ = "0.1.0"
