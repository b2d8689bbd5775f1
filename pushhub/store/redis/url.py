"""`redis+sentinel://host:26379,host2:26379/service/0`, which redis-py does not read."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote, urlsplit

SENTINEL = "redis+sentinel"
SENTINEL_PORT = 26379


@dataclass(frozen=True, slots=True)
class SentinelUrl:
    """The sentinels, the service that they watch, and the credentials for them and the master."""

    addresses: list[tuple[str, int]]
    service: str
    database: int
    username: str | None
    password: str | None = field(repr=False)
    sentinel_password: str | None = field(repr=False)


def read_sentinel_url(url: str) -> SentinelUrl:
    """Parse the URL.

    Raises:
        ValueError: it cannot be read.
    """
    parts = urlsplit(url)
    user, _, hosts = parts.netloc.rpartition("@")
    path = parts.path.strip("/").split("/")
    if not hosts or not path[0] or len(path) > 2:
        raise ValueError("write redis+sentinel://host:26379,host2:26379/service/0")
    addresses = []
    for host in hosts.split(","):
        name, _, port = host.rpartition(":")
        if not name or host.endswith("]"):
            name, port = host, str(SENTINEL_PORT)
        addresses.append((name.strip("[]"), int(port)))
    username, _, password = user.partition(":")
    return SentinelUrl(
        addresses,
        service=unquote(path[0]),
        database=int(path[1]) if len(path) == 2 else 0,
        username=unquote(username) or None,
        password=unquote(password) or None,
        sentinel_password=parse_qs(parts.query).get("sentinel_password", [None])[0],
    )
