"""The settings of the Unix socket, of names in `Host`, and of headers that pages may send."""

from __future__ import annotations

import os
import re
from typing import Annotated

from pydantic import BaseModel, field_validator

from pushhub.settings.field import ACCESS, SERVER, setting

# RFC 9110 §5.1.
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,255}", re.ASCII)
_HOST_NAME = re.compile(r"[0-9A-Za-z_][0-9A-Za-z._-]{0,252}", re.ASCII)
_MODE = re.compile(r"[0-7]{3}", re.ASCII)

# `sun_path` of Linux has 108 bytes with a NUL at the end, that of macOS 104.
MAX_SOCKET_PATH_BYTES = 103


class ListeningSettings(BaseModel):
    """A part of `Settings`."""

    unix_socket: Annotated[
        str | None,
        setting(
            SERVER,
            "The path of a Unix socket to listen on, instead of `host` and `port`. A client on it "
            "counts as a client at 127.0.0.1.",
            min_length=1,
        ),
    ] = None
    unix_socket_mode: Annotated[
        str,
        setting(
            SERVER,
            "The permissions of the Unix socket, as for `chmod`: users that may write to it may "
            "connect.",
        ),
    ] = "660"
    control_hosts: Annotated[
        list[str],
        setting(
            ACCESS,
            "The names that `Host` may have on the control listener, for the console and the "
            "metrics, and with `dev`, such as `push.internal`. IP addresses, `localhost`, names "
            "below it, and the names in `host` and `control` are always accepted.",
            max_length=100,
        ),
    ] = []
    cors_headers: Annotated[
        list[str],
        setting(
            ACCESS,
            "Request headers that pages of `cors_origins` may send beside pushhub's own, such as "
            "`X-Request-Id`.",
            max_length=100,
        ),
    ] = []

    @field_validator("unix_socket")
    @classmethod
    def _is_path(cls, path: str | None) -> str | None:
        if path is not None and ("\0" in path or len(os.fsencode(path)) > MAX_SOCKET_PATH_BYTES):
            raise ValueError(f"The path of a socket has at most {MAX_SOCKET_PATH_BYTES} bytes.")
        return path

    @field_validator("unix_socket_mode")
    @classmethod
    def _is_mode(cls, text: str) -> str:
        if not _MODE.fullmatch(text):
            raise ValueError("The permissions are three octal digits, such as 660.")
        return text

    @field_validator("control_hosts")
    @classmethod
    def _are_hosts(cls, names: list[str]) -> list[str]:
        for name in names:
            if not _HOST_NAME.fullmatch(name):
                raise ValueError(
                    f"{name!r} is not a name of a host: letters, digits, '.', '-' and '_', without "
                    "scheme and port."
                )
        return [name.lower() for name in names]

    @field_validator("cors_headers")
    @classmethod
    def _are_names(cls, names: list[str]) -> list[str]:
        for name in names:
            if not _NAME.fullmatch(name) or name == "*":
                raise ValueError(f"{name!r} is not the name of a header.")
        return names
