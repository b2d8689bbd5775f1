"""`pushhub init`: a file of settings to start from."""

import base64
import json
import os
import secrets
from pathlib import Path
from typing import Annotated

import typer

from pushhub.cli.config import Json
from pushhub.cli.key import as_toml, new_key
from pushhub.cli.terminal import fail, note, say, say_json
from pushhub.settings.access import HMAC_BYTES

_FILE = """\
# The settings of a pushhub. docs/settings.md explains all; `pushhub config check` checks them.
# This file holds a secret, the token key: only its owner may read it (mode 600).

# The address to listen on. The proxy in front terminates TLS: nginx, HAProxy or Caddy.
host = "127.0.0.1"
port = 8080

# The store of the log: a file for one process, redis://host:6379/0 for workers and nodes.
store = {store}

# The origins of pages that may use the hub from a browser (CORS); without them only its own pages.
# cors_origins = ["https://app.example.com"]

# A namespace whose channels, such as `news:eu`, can be read without a token.
# [namespaces.news]
# public = true

# The back end that publishes; its secret was printed by `pushhub init`. More keys:
# `pushhub key new NAME --publish 'orders:*'`; for the console `pushhub key new operator --admin`.
{api_key}

# The key that signs readers' tokens (JWT), in your service and in
# `pushhub token new --read 'orders:*'`. docs/api.md has the claims.
[[token_keys]]
algorithm = "HS256"
key = {token_key}
"""


def init(
    file: Annotated[Path, typer.Argument(help="The file to write.")] = Path("pushhub.toml"),
    as_json: Json = False,
) -> None:
    """Write a first file of settings: an API key, a token key, and comments.

    An existing file is not changed. The command prints the API key's secret once.
    """
    secret, fields = new_key("backend", {"publish": ["*"]})
    token_key = base64.b64encode(secrets.token_bytes(HMAC_BYTES["HS256"])).decode()
    text = _FILE.format(
        store=json.dumps(f"sqlite:///{file.absolute().parent / 'pushhub.db'}", ensure_ascii=False),
        api_key=as_toml(fields),
        token_key=json.dumps(token_key),
    )
    try:
        # The file is private from its creation on; a later chmod would leave a moment.
        written = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        fail(f"{file} exists and was not changed; name another file, or remove it first.")
    except OSError as error:
        fail(f"{file} cannot be written: {error.strerror}.")
    with open(written, "w", encoding="utf-8") as opened:
        opened.write(text)
    if as_json:
        say_json({"file": str(file), "secret": secret})
        return
    note(f"{file} is written. The secret of the API key `backend`, shown only now:")
    say(secret)
    note(f"\nStart with: pushhub serve --config {file}")
