"""Servers that one test has to itself."""

from tests.redis_servers import rack

__all__ = ["rack"]
