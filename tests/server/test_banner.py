"""The warnings that the terminal shows at the start."""

import json

import pytest

from pushhub.server.banner import banner
from pushhub.settings import load

SECRET = "0123456789abcdef" * 4
TOKEN_KEYS = json.dumps([{"algorithm": "HS256", "key": SECRET}])


@pytest.mark.parametrize(
    ("name", "text", "warns"),
    [
        ("grip_key", SECRET, True),
        ("token_keys", TOKEN_KEYS, True),
        ("store", "redis://:secret@127.0.0.1:1/0", True),
        ("store", "redis://127.0.0.1:1/0", False),
        ("store", "sqlite:///a.db", False),
        ("port", "1", False),
    ],
)
def test_a_secret_in_a_flag_is_a_warning(name: str, text: str, warns: bool) -> None:
    flag = "--" + name.replace("_", "-")
    by_flag = banner(load({name: text}, {}).settings, 1)
    assert (f"WARNING: {flag}: " in by_flag) is warns
    assert SECRET not in by_flag
    by_variable = load({}, {f"PUSHHUB_{name.upper()}": text}).settings
    assert f"WARNING: {flag}" not in banner(by_variable, 1)
