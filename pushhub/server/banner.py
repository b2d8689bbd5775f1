"""The lines that the terminal shows at the start: the hub's URLs, and commands to try it out."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from pushhub.settings.access import HMAC_BYTES
from pushhub.store.urls import sqlite_file, without_password

if TYPE_CHECKING:
    from pushhub.settings import Settings


def banner(settings: Settings, port: int, control_port: int | None = None) -> str:
    """The URLs; with `dev` also commands that publish and wait, and the demo."""
    url = _url(settings.host, port, dev=settings.dev)
    options = ""
    if settings.unix_socket is not None:
        path = str(Path(settings.unix_socket).absolute())
        url, options = f"unix:{path}", f"--unix-socket {shlex.quote(path)} "
    store = shown_store(settings.store)
    # The URL of pushhub's own routes.
    own = url
    if not (settings.origin or settings.routes):
        lines = [f"pushhub is at {url} ({store})"]
    else:
        own += settings.prefix
        behind = settings.origin or "the targets of its routes"
        lines = [
            f"pushhub is at {url} in front of {behind} ({store})",
            f"its own routes are under {own}",
        ]
    if settings.control_address is not None and control_port is not None:
        own = _url(settings.control_address[0], control_port, dev=settings.dev)
        needs = "no key is needed there" if settings.is_control_open else "with a key"
        lines.append(f"control is at {own} ({needs})")
    if not settings.dev and (unsigned := settings.unsigned()) is not None:
        lines += ["", f"  WARNING: {unsigned}", ""]
    if (secrets := shown_secrets(settings)) is not None:
        lines += ["", f"  WARNING: {secrets}", ""]
    if (note := settings.without_clients()) is not None:
        lines += ["", f"  NOTE: {note}", ""]
    if settings.dev:
        if own.startswith("unix:"):
            own = "http://localhost" + own.removeprefix(url)
        else:
            options = ""
        events = f"{own}/v1/channels/demo/events"
        lines += [
            "",
            "  DEVELOPMENT: no key is needed. Loopback only.",
            "",
            f"  wait for news   curl {options}-H 'Prefer: wait=25' '{events}?since=now'",
            f'  publish         curl {options}-d \'{{"hello": "world"}}\' {events}',
            *(
                [f'  notify          curl {options}-d \'{{"resources": ["/*"]}}\' {own}/v1/notify']
                if settings.origin or settings.routes
                else []
            ),
            f"  watch the demo  {own}/demo",
            f"  read the API    {own}/docs",
            "",
        ]
    return "\n".join(lines) + "\n"


def shown_secrets(settings: Settings) -> str | None:
    """The warning that flags of this process have secrets; None if none has."""
    has_secret = {
        "grip_key": settings.grip_key is not None,
        "token_keys": any(
            key.key is not None and key.algorithm in HMAC_BYTES for key in settings.token_keys
        ),
        "store": without_password(settings.store) != settings.store,
    }
    names = [
        f"--{name.replace('_', '-')}"
        for name, has in has_secret.items()
        if has and settings.origin_of(name) == "flag"
    ]
    if not names:
        return None
    return (
        f"{', '.join(names)}: a secret in a flag shows in the list of processes (ps) to all users "
        "of this machine. Set it in the environment or in the TOML file."
    )


def shown_store(url: str) -> str:
    """The store of the log. A database has its absolute path, independent of the hub's folder."""
    if url.startswith("sqlite:"):
        return f"database: {Path(sqlite_file(url)).absolute()}"
    return f"store: {without_password(url)}"


def _url(host: str, port: int, *, dev: bool) -> str:
    if dev or host in ("0.0.0.0", "::", ""):
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
