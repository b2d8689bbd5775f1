"""Secrets from files and credentials: every secret setting has the form, and none shows."""

import re
import typing
from pathlib import Path
from typing import Any

import pytest
import typer.main
from pydantic import BaseModel, SecretStr

from pushhub.cli.app import app
from pushhub.cli.client import secret_of_file
from pushhub.settings import ApiKey, Loaded, Namespace, Route, Settings, SettingsError, load
from pushhub.settings.access import TokenKey
from pushhub.settings.field import is_secret
from pushhub.settings.secret_files import FILE_FORMS
from pushhub.settings.sources import env_name
from tests.auth.signing import SECRET
from tests.cli.running import pushhub

KEYS = f'[{{"name": "a", "sha256": "{"a" * 64}", "publish": ["*"]}}]'
TOKENS = f'[{{"algorithm": "HS256", "key": "{SECRET.decode()}"}}]'
SOURCES = (
    '[{"name": "forge", "signature": "gitea", "resources": ["/repos/*"], '
    f'"secret": "{SECRET.decode()}"}}]'
)
# What each secret setting may be.
TEXTS = {
    "store": "redis://user:hunter2@127.0.0.1/0",
    "api_keys": KEYS,
    "token_keys": TOKENS,
    "sources": SOURCES,
    "grip_key": SECRET.decode(),
    "canary_password": "of-the-canary",
}

# Names that say secret and are none.
PUBLIC = {
    *("token_audience", "token_issuer", "token_max_seconds"),
    # A public document, whose URL has no user and no password.
    *("token_jwks", "token_jwks_seconds", "token_jwks_grace"),
}
SUSPICIOUS = re.compile(r"key|secret|password|passphrase|token|credential|^store$")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def secret_file(text: str, name: str = "secret", mode: int = 0o600) -> str:
    Path(name).write_text(text)
    Path(name).chmod(mode)
    return name


def holds_secret_str(annotation: Any) -> bool:
    return annotation is SecretStr or any(map(holds_secret_str, typing.get_args(annotation)))


def models(model: type[BaseModel]) -> set[type[BaseModel]]:
    """The tables inside a model's fields."""

    def inside(annotation: Any) -> set[type[BaseModel]]:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            return {annotation, *models(annotation)}
        return {one for part in typing.get_args(annotation) for one in inside(part)}

    return {one for field in model.model_fields.values() for one in inside(field.annotation)}


# -- no secret without a file ----------------------------------------------------------------------


def test_the_tables_inside_are_found() -> None:
    assert models(Settings) >= {ApiKey, Namespace, Route, TokenKey}


@pytest.mark.parametrize("name", Settings.model_fields)
def test_a_setting_that_sounds_like_a_secret_is_marked_as_one(name: str) -> None:
    field = Settings.model_fields[name]
    if (SUSPICIOUS.search(name) and name not in PUBLIC) or holds_secret_str(field.annotation):
        assert is_secret(field), "setting(…, secret=True) gives it a file form, and hides it"


@pytest.mark.parametrize("model", sorted(models(Settings), key=str))
def test_a_secret_in_a_table_has_a_file_beside_it(model: type[BaseModel]) -> None:
    for name, field in model.model_fields.items():
        if holds_secret_str(field.annotation):
            assert name + "_file" in model.model_fields


def test_every_secret_is_tried_here() -> None:
    assert set(TEXTS) == set(FILE_FORMS.values())


def options() -> list[Any]:
    def walk(command: Any) -> list[Any]:
        inner = [one for sub in getattr(command, "commands", {}).values() for one in walk(sub)]
        return [*command.params, *inner]

    return walk(typer.main.get_command(app))


def test_every_variable_of_a_command_that_is_a_secret_has_a_file_form() -> None:
    secret = [o for o in options() if o.envvar and SUSPICIOUS.search(str(o.envvar).lower())]
    assert {o.envvar for o in secret} == {"PUSHHUB_KEY", "PUSHHUB_TOKEN", "PUSHHUB_TOKEN_SECRET"}
    for option in secret:
        assert option.callback.__name__ == secret_of_file.__name__, option.envvar


# -- the forms -------------------------------------------------------------------------------------


def by_variable(name: str, file: str) -> Loaded:
    return load({}, {env_name(name) + "_FILE": file})


def by_flag(name: str, file: str) -> Loaded:
    return load({name + "_file": file}, {})


def by_toml(name: str, file: str) -> Loaded:
    folder = Path("etc")
    folder.mkdir()
    Path(file).rename(folder / file)
    (folder / "hub.toml").write_text(f'{name}_file = "{file}"')
    return load({}, {}, folder / "hub.toml")


def by_credential(name: str, file: str) -> Loaded:
    folder = Path("credentials")
    folder.mkdir()
    Path(file).rename(folder / name)
    return load({}, {"CREDENTIALS_DIRECTORY": str(folder.absolute())})


FORMS = [by_variable, by_flag, by_toml, by_credential]


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("form", FORMS)
def test_each_secret_is_read_by_each_form(form: Any, name: str) -> None:
    direct = getattr(load({name: TEXTS[name]}, {}).settings, name)
    loaded = form(name, secret_file(TEXTS[name] + "\n"))
    assert getattr(loaded.settings, name) == direct
    assert loaded.origins[name] == ("env" if form in (by_variable, by_credential) else "file")
    assert loaded.warnings == ()


@pytest.mark.parametrize(
    ("content", "secret"),
    [("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), ("a", "a"), (" a \n", " a "), ("a\r", "a\r")],
)
def test_one_line_end_is_no_part_of_the_secret(content: str, secret: str) -> None:
    file = secret_file("")
    Path(file).write_bytes(content.encode())
    assert by_variable("grip_key", file).settings.grip_key == secret


@pytest.mark.parametrize("name", TEXTS)
def test_a_secret_and_its_file_are_refused_together(name: str) -> None:
    file, text = secret_file(TEXTS[name]), TEXTS[name]
    for flags, environ in (
        ({name: text, name + "_file": file}, {}),
        ({}, {env_name(name): text, env_name(name) + "_FILE": file}),
    ):
        with pytest.raises(SettingsError, match="not both") as refused:
            load(flags, environ)
        assert text not in str(refused.value)
    Path("pushhub.toml").write_text(f"{name} = '{text}'\n{name}_file = '{file}'")
    with pytest.raises(SettingsError, match=f"Set either {name} or {name}_file, not both"):
        load({}, {})


def test_a_credential_and_a_variable_are_refused_together() -> None:
    environ = {"CREDENTIALS_DIRECTORY": str(Path.cwd())}
    secret_file("of a credential", "grip_key")
    with pytest.raises(SettingsError, match="PUSHHUB_GRIP_KEY or the credential grip_key"):
        load({}, {**environ, "PUSHHUB_GRIP_KEY": "x"})
    # The usual unit names the credential's file in a variable.
    loaded = load({}, {**environ, "PUSHHUB_GRIP_KEY_FILE": str(Path("grip_key").absolute())})
    assert loaded.settings.grip_key == "of a credential"


def test_an_earlier_source_wins_over_a_later_file() -> None:
    environ = {"PUSHHUB_GRIP_KEY_FILE": secret_file("from the file")}
    assert load({"grip_key": "from the flag"}, environ).settings.grip_key == "from the flag"


@pytest.mark.parametrize("form", FORMS)
def test_a_wrong_value_names_the_form_that_was_used(form: Any) -> None:
    with pytest.raises(SettingsError) as refused:
        form("api_keys", secret_file('[{"name": "hunter2", "sha256": "hunter2"}]'))
    assert re.search(
        r"(PUSHHUB_API_KEYS_FILE|--api-keys-file|api_keys_file|credential api_keys)\[0\]\.sha256",
        str(refused.value),
    )
    assert "hunter2" not in str(refused.value)


def test_a_file_of_a_secret_is_read_again() -> None:
    loaded = by_variable("grip_key", secret_file("one"))
    secret_file("two")
    assert loaded.again().settings.grip_key == "two"


def test_a_new_content_of_a_key_file_is_another_key() -> None:
    secret_file("a" * 32, "key")
    Path("pushhub.toml").write_text("[[token_keys]]\nalgorithm = 'HS256'\nkey_file = 'key'")
    loaded = load({}, {})
    assert loaded.again().settings.token_keys == loaded.settings.token_keys
    secret_file("b" * 32, "key")
    assert loaded.settings.token_keys[0].material() == b"a" * 32, "as it was read"
    assert loaded.again().settings.token_keys != loaded.settings.token_keys


# -- who else may read it --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "others"), [(0o640, "its group"), (0o644, "all users"), (0o604, "all users")]
)
def test_a_file_that_others_may_read_is_reported(mode: int, others: str) -> None:
    loaded = by_variable("grip_key", secret_file("x", mode=mode))
    assert loaded.warnings == (
        f"PUSHHUB_GRIP_KEY_FILE names secret, a file with a secret that {others} may read "
        f"(mode {mode:o}); use: chmod 600 secret",
    )


@pytest.mark.parametrize(
    ("text", "warned"),
    [
        ("grip_key = 'x'", True),
        ("store = 'redis://u:pass@h/0'", True),
        ("store = 'redis://h/0'", False),
        (f"token_keys = [{{algorithm = 'HS256', key = '{SECRET.decode()}'}}]", True),
        (f"[[api_keys]]\nname = 'a'\nsha256 = '{'a' * 64}'\npublish = ['*']", False),
    ],
)
def test_a_settings_file_with_a_secret_is_reported(text: str, warned: bool) -> None:
    Path("pushhub.toml").write_text(text)
    Path("pushhub.toml").chmod(0o644)
    assert bool(load({}, {}).warnings) is warned
    Path("pushhub.toml").chmod(0o600)
    assert load({}, {}).warnings == ()


def test_only_secret_key_files_are_reported() -> None:
    secret_file("a" * 32, "key", 0o644)
    Path("pushhub.toml").write_text("[[token_keys]]\nalgorithm = 'HS256'\nkey_file = 'key'")
    assert "key_file names key" in load({}, {}).warnings[0]


# -- commands --------------------------------------------------------------------------------------


def test_a_command_takes_its_key_from_a_file() -> None:
    file = secret_file(SECRET.decode() + "\n")
    made = pushhub("token", "new", "--read", "a", PUSHHUB_TOKEN_SECRET_FILE=file)
    assert made.exit_code == 0, made.stderr
    assert made.stdout.count(".") == 2
    both = pushhub("token", "new", "--read", "a", "--secret", "x", PUSHHUB_TOKEN_SECRET_FILE=file)
    assert both.exit_code == 2
    missing = pushhub("token", "new", "--read", "a", PUSHHUB_TOKEN_SECRET_FILE="nowhere")
    assert missing.exit_code == 2


def test_show_hides_every_secret() -> None:
    environ = {env_name(name): text for name, text in TEXTS.items()}
    for arguments in (["config", "show"], ["config", "show", "--json"]):
        shown = pushhub(*arguments, **environ)
        assert shown.exit_code == 0
        assert "hunter2" not in shown.stdout
        assert SECRET.decode() not in shown.stdout


def test_repr_hides_every_secret() -> None:
    loaded = load({}, {env_name(name): text for name, text in TEXTS.items()})
    for thing in (loaded, loaded.settings, loaded.settings.token_keys):
        for text in (repr(thing), str(thing)):
            assert "hunter2" not in text
            assert SECRET.decode() not in text
