"""The process: listening, draining and leaving."""

from pushhub.server.serving import run

__all__ = ["run"]
