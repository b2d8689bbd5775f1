"""Converse.js 14 in a real Chromium, on a real hub, from a page of another origin: two accounts and
somebody without one log in, see each other and chat; a page is reloaded in the middle; REST
publishes. Pictures of it stay in `.outside/pictures`.
"""

import http.server
import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tests import outside
from tests.peers.accounts import PASSWORD, make_accounts
from tests.serving import fresh, serve

HERE = Path(__file__).parent / "bosh"
PICTURES = outside.FOLDER / "pictures"
SECONDS = 110


class _Files(http.server.SimpleHTTPRequestHandler):
    """The page, and beside it what the package of Converse.js has to be served."""

    dist = Path()

    def translate_path(self, path: str) -> str:
        path = path.partition("?")[0]
        if path.startswith("/dist/") and ".." not in path:
            return str(self.dist / path.removeprefix("/dist/"))
        return str(HERE / Path(path).name)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def site(dist: Path) -> Iterator[str]:
    """The address of a web site with a page that has Converse.js."""
    handler = type("Files", (_Files,), {"dist": dist})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(handler))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def test_two_users_chat_over_a_reload_and_read_what_rest_publishes(tmp_path: Path) -> None:
    node, chromium = outside.require("node"), outside.require("chromium")
    packages = Path(outside.require("bosh-clients"))
    channel = fresh("prices")
    store = f"sqlite:///{tmp_path / 'hub.db'}"
    make_accounts(store, "romeo", "juliet")
    PICTURES.mkdir(parents=True, exist_ok=True)
    with serve(store=store) as server, site(packages / "converse.js" / "dist") as address:
        base = f"http://127.0.0.1:{server.port}"
        given = [str(packages), chromium, address, f"{base}/http-bind", base, channel, PASSWORD]
        done = subprocess.run(
            [node, "converse.mjs", *given, str(PICTURES)],
            cwd=HERE,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    said = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]
    assert ["romeo", "mechanism", "SCRAM-SHA-512"] in said
    assert ["nobody", "mechanism", "ANONYMOUS"] in said
    assert ["nobody", "is", "localhost"] in said
    assert ["romeo", "has", "juliet online"] in said
    assert ["juliet", "sees", ["She speaks"]] in said
    assert ["romeo", "sees", ["She speaks", "O Romeo"]] in said
    # The session goes on over the reload: the same resource, and no other login.
    assert ["juliet", "is the same"] in said, done.stdout
    assert [line for line in said if line[:2] == ["juliet", "mechanism"]] == [
        ["juliet", "mechanism", "SCRAM-SHA-512"]
    ]
    everything = ["She speaks", "O Romeo", "while she was away", "and after"]
    assert ["juliet", "sees", everything] in said
    for reader in ("juliet", "nobody"):
        assert [reader, "reads", {"price": 1}] in said
    assert not [line for line in said if line[1] == "error"]
    for name in ("chat", "reloaded", "published"):
        assert (PICTURES / f"converse-{name}.png").stat().st_size > 10_000
