"""The Lua scripts: what is atomic in Redis. Each says its keys, arguments and result on top."""

from __future__ import annotations

import hashlib
from importlib.resources import files

_FOLDER = files("pushhub.store.redis") / "lua"
_EPOCH = (_FOLDER / "epoch.lua").read_text()
_BYTES = (_FOLDER / "bytes.lua").read_text()


class LuaScript:
    """A script by its SHA-1, as EVALSHA wants it (Redis 6.2 has no functions)."""

    __slots__ = ("name", "sha", "source")

    def __init__(self, name: str, *, counts: bool = False) -> None:
        self.name = name
        self.source = (_EPOCH + _BYTES * counts + (_FOLDER / f"{name}.lua").read_text()).encode()
        self.sha = hashlib.sha1(self.source, usedforsecurity=False).hexdigest().encode()

    def call(
        self, keys: tuple[bytes, ...], *arguments: bytes | str | int
    ) -> tuple[bytes | str | int, ...]:
        """The command that runs it."""
        return (b"EVALSHA", self.sha, len(keys), *keys, *arguments)

    def __repr__(self) -> str:
        return f"<Script {self.name}>"


BEGIN = LuaScript("begin")
APPEND = LuaScript("append")
# The same for a namespace with a limit. Others do not pay for the functions that count.
APPEND_LIMITED = LuaScript("append", counts=True)
READ = LuaScript("read")
DELETE = LuaScript("delete", counts=True)
IDLE = LuaScript("idle", counts=True)
FENCE = LuaScript("fence")
LIFT = LuaScript("lift")
TOKENS = LuaScript("tokens")
RECOUNT = LuaScript("recount", counts=True)
SCRIPTS = (BEGIN, APPEND, APPEND_LIMITED, READ, DELETE, IDLE, TOKENS, RECOUNT)
