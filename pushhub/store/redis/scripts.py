"""The Lua scripts: what is atomic in Redis. Each says its keys, arguments and result on top."""

from __future__ import annotations

import hashlib
from importlib.resources import files

_FOLDER = files("pushhub.store.redis") / "lua"
_EPOCH = (_FOLDER / "epoch.lua").read_text()


class Script:
    """A script by its SHA-1, as EVALSHA wants it (Redis 6.2 has no functions)."""

    __slots__ = ("name", "sha", "source")

    def __init__(self, name: str) -> None:
        self.name = name
        self.source = (_EPOCH + (_FOLDER / f"{name}.lua").read_text()).encode()
        self.sha = hashlib.sha1(self.source, usedforsecurity=False).hexdigest().encode()

    def call(
        self, keys: tuple[bytes, ...], *arguments: bytes | str | int
    ) -> tuple[bytes | str | int, ...]:
        """The command that runs it."""
        return (b"EVALSHA", self.sha, len(keys), *keys, *arguments)

    def __repr__(self) -> str:
        return f"<Script {self.name}>"


BEGIN = Script("begin")
APPEND = Script("append")
READ = Script("read")
DELETE = Script("delete")
IDLE = Script("idle")
FENCE = Script("fence")
LIFT = Script("lift")
SCRIPTS = (BEGIN, APPEND, READ, DELETE, IDLE)
