import json
import shlex
from pathlib import Path

from pushhub.auth import Authenticator
from pushhub.http.request import Request
from pushhub.log.grant import Action
from pushhub.settings import load
from tests.cli.running import pushhub


def test_the_printed_key_is_valid_in_a_file() -> None:
    result = pushhub("key", "new", 'it\'s "me"', "--publish", "news:*", "--publish", "a")
    assert result.exit_code == 0
    secret, rest = result.stdout.split("\n", 1)
    toml, env = rest.split("PUSHHUB_API_KEYS=")
    Path("pasted.toml").write_text(toml)
    from_file = load({}, {}, Path("pasted.toml")).settings
    from_env = load({}, {"PUSHHUB_API_KEYS": shlex.split(env)[0]}).settings
    assert from_file.api_keys == from_env.api_keys
    request = Request("POST", "/", headers={"authorization": f"Bearer {secret}"})
    grant = Authenticator(from_file, lambda: 0.0).grant(request)
    assert grant.subject == 'it\'s "me"'
    assert grant.allows(Action.PUBLISH, "news:1")
    assert grant.allows(Action.PUBLISH, "a")
    assert not grant.allows(Action.READ, "a")


def test_without_rights_it_is_refused_and_the_flags_are_named() -> None:
    result = pushhub("key", "new", "ops")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "--publish 'orders:*'" in result.stderr
    assert "--admin" in result.stderr


def test_an_admin_key_may_do_everything() -> None:
    made = json.loads(pushhub("key", "new", "ops", "--admin", "--json").stdout)
    assert made["key"]["read"] == made["key"]["publish"] == made["key"]["manage"] == ["*"]
    assert made["secret"].startswith("phk_")
    assert made["secret"] not in made["toml"] + made["env"]


def test_a_server_starts_with_it() -> None:
    made = json.loads(pushhub("key", "new", "ops", "--admin", "--json").stdout)
    Path("pushhub.toml").write_text(made["toml"])
    assert pushhub("config", "check").exit_code == 0


def test_mistakes_are_sentences() -> None:
    for arguments, told in (
        (["a", "--read", "a*b"], "before its end"),
        (["", "--admin"], "name must not be empty"),
        (["a\nb", "--admin"], "control characters"),
        (["a", "--admin", "--read", "b"], "--admin gives all rights"),
    ):
        result = pushhub("key", "new", *arguments)
        assert result.exit_code == 2
        assert told in result.stderr
