"""What the terminal shows at the start: where the hub is, and the lines that try it out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushhub.store.urls import without_password

if TYPE_CHECKING:
    from pushhub.settings import Settings


def banner(settings: Settings, port: int) -> str:
    """The address; in development also a line that publishes, one that waits, and the demo."""
    host = settings.host
    if settings.dev or host in ("0.0.0.0", "::", ""):
        host = "127.0.0.1"
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    lines = [f"pushhub is at {url} (store: {without_password(settings.store)})"]
    if settings.dev:
        events = f"{url}/v1/channels/demo/events"
        lines += [
            "",
            "  DEVELOPMENT: nobody is asked for a key. Loopback only.",
            "",
            f"  wait for news   curl -H 'Prefer: wait=25' '{events}?since=now'",
            f'  publish         curl -d \'{{"hello": "world"}}\' {events}',
            f"  see it move     {url}/demo",
            f"  read the API    {url}/docs",
            "",
        ]
    return "\n".join(lines) + "\n"
