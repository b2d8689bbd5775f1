"""Servers with workers need Redis."""

from tests.redis_servers import rack, redis_shelf

__all__ = ["rack", "redis_shelf"]
