"""The sources of settings: flag before environment before TOML file before default."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from pydantic_settings import EnvSettingsSource

from pushhub.settings.change_source import FILE_FIELDS
from pushhub.settings.errors import SettingsError, sentences, suggestion
from pushhub.settings.field import is_secret
from pushhub.settings.model import ENV_PREFIX, Settings
from pushhub.settings.secret_files import FILE_FORMS, SecretFiles, read_text
from pushhub.settings.service_links import sentence, service_links
from pushhub.store.urls import without_password

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic.fields import FieldInfo

DEFAULT_FILE = "pushhub.toml"

# Variables that are not settings: the path of the file, and those of the client commands and of
# the tests.
_OTHER_VARIABLES = frozenset(
    {"CONFIG", "URL", "KEY", "KEY_FILE", "TOKEN", "TOKEN_FILE", "TOKEN_SECRET", "TOKEN_SECRET_FILE"}
)
_TESTS_PREFIX = ENV_PREFIX + "TEST_"


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, and the source of each by its name: `flag`, `env`, `file` or `default`."""

    settings: Settings
    origins: dict[str, str]
    file: Path | None
    again: Callable[[], Loaded] = field(repr=False)
    """Loads the same flags, environment and file again."""
    warnings: tuple[str, ...] = ()
    """Sentences about files with secrets that other users may read."""
    ignored: str | None = None
    """The sentence about variables of Kubernetes and Docker that look like settings."""


def flag_name(name: str) -> str:
    """A setting's flag: `--max-wait`."""
    return "--" + name.replace("_", "-")


def env_name(name: str) -> str:
    """A setting's environment variable: `PUSHHUB_MAX_WAIT`."""
    return ENV_PREFIX + name.upper()


def load(
    flags: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
    file: Path | None = None,
) -> Loaded:
    """Load the settings from all sources.

    Args:
        flags: settings by name, as texts; lists and tables are JSON. `x_file` names the file of
            the secret `x`.
        environ: the environment; the process's own by default.
        file: the TOML file; else that of `PUSHHUB_CONFIG`, else `pushhub.toml`, if it exists.

    Raises:
        SettingsError: an unknown name, an unusable value, or a file that cannot be read.
    """
    again = partial(load, flags, environ, file)
    environ = os.environ if environ is None else environ
    links = service_links(environ)
    environ = {name: text for name, text in environ.items() if name not in links}
    file = _find(file, environ)
    secret_files = SecretFiles()
    of_file = _read_toml(file, secret_files) if file else {}
    of_env = _Texts(_read_environment(environ, secret_files), secret_files.spelling(env_name))()
    flags = flags or {}
    named = secret_files.take(flags, flag_name, Path())
    given = {name: text for name, text in flags.items() if name not in FILE_FORMS}
    of_flags = _Texts({**given, **named}, secret_files.spelling(flag_name))()

    origins = dict.fromkeys(Settings.model_fields, "default")
    for origin, values in (("file", of_file), ("env", of_env), ("flag", of_flags)):
        origins.update(dict.fromkeys(values, origin))
    # The secret itself is not on the command line.
    origins.update(dict.fromkeys(named, "file"))

    def spell(name: str) -> str:
        match origins[name]:
            case "flag":
                return flag_name(name)
            case "env":
                return env_name(name)
            case _:
                return name

    try:
        settings = Settings(**{**of_file, **of_env, **of_flags})
    except ValidationError as error:
        raise SettingsError(*sentences(error, secret_files.spelling(spell))) from None
    if file and any(n in of_file and n not in secret_files.spelled for n in _inline(settings)):
        secret_files.check(file, f"The settings come from {file}")
    for key in settings.token_keys:
        if key.key_file is not None and key.is_secret:
            secret_files.check(key.key_file, f"key_file names {key.key_file}")
    for source in settings.sources:
        if (secret := source.own_file) is not None:
            secret_files.check(secret, f"The source {source.name!r} names {secret}")
    settings._origins.update({name: one for name, one in origins.items() if one != "default"})
    warnings = tuple(dict.fromkeys(secret_files.warnings))
    return Loaded(settings, origins, file, again, warnings, sentence(links) if links else None)


class _Texts(EnvSettingsSource):
    """Settings as texts, from flags or from the environment; a list or a table is JSON."""

    def __init__(self, texts: Mapping[str, str], spell: Callable[[str], str]) -> None:
        super().__init__(Settings)
        self.env_vars = {(ENV_PREFIX + name).lower(): text for name, text in texts.items()}
        self._spell = spell

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        try:
            return super().decode_complex_value(field_name, field, value)
        except ValueError as error:
            raise _Undecodable(f"{self._spell(field_name)} is not JSON: {error}.") from None

    def __call__(self) -> dict[str, Any]:
        try:
            return super().__call__()
        except _Undecodable as error:
            raise SettingsError(str(error)) from None


class _Undecodable(Exception):
    """Invalid JSON. It is no ValueError: pydantic-settings would replace the message."""


def _find(file: Path | None, environ: Mapping[str, str]) -> Path | None:
    if file is not None:
        return file
    if named := environ.get(ENV_PREFIX + "CONFIG"):
        return Path(named)
    default = Path(DEFAULT_FILE)
    return default if default.is_file() else None


def _inline(settings: Settings) -> list[str]:
    """The settings whose values are secrets themselves, and neither hashes nor names of files."""
    names = ["grip_key"] if settings.grip_key else []
    if without_password(settings.store) != settings.store:
        names.append("store")
    if any(key.key is not None and key.is_secret for key in settings.token_keys):
        names.append("token_keys")
    if any(source.is_inline for source in settings.sources):
        names.append("sources")
    return names


def _read_toml(file: Path, secret_files: SecretFiles) -> dict[str, Any]:
    try:
        values = tomllib.loads(read_text(file))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise SettingsError(f"{file} is not TOML: {error}.") from None
    known = [*Settings.model_fields, *FILE_FORMS]
    if wrong := [
        f"{file} has the unknown setting {name!r}{suggestion(name, known)}"
        for name in values
        if name not in known
    ]:
        raise SettingsError(*wrong)
    if isinstance(where := values.get("token_jwks"), str) and "://" not in where:
        values["token_jwks"] = str(file.parent / where)
    # Paths are relative to the file, so a start from another folder finds the same files.
    if isinstance(keys := values.get("token_keys"), list):
        for key in keys:
            if isinstance(key, dict) and isinstance(path := key.get("key_file"), str):
                key["key_file"] = str(file.parent / path)
    if isinstance(sources := values.get("sources"), list):
        for source in sources:
            for name in FILE_FIELDS if isinstance(source, dict) else ():
                if isinstance(path := source.get(name), str):
                    source[name] = str(file.parent / path)
    named = secret_files.take(values, str, file.parent)
    plain = {name: value for name, value in values.items() if name not in FILE_FORMS}
    return {**plain, **_Texts(named, secret_files.spelling(str))()}


def _read_environment(environ: Mapping[str, str], secret_files: SecretFiles) -> dict[str, str]:
    """The settings in the environment; those that hold secrets also as `…_FILE`, a file's name."""
    variables = {env_name(name): name for name in Settings.model_fields}
    files = {
        variable + "_FILE": name
        for variable, name in variables.items()
        if is_secret(Settings.model_fields[name])
    }
    texts, wrong = {}, []
    for variable, value in environ.items():
        if not variable.startswith(ENV_PREFIX) or variable.startswith(_TESTS_PREFIX):
            continue
        if name := variables.get(variable):
            texts[name] = value
        elif name := files.get(variable):
            if env_name(name) in environ:
                wrong.append(f"Set either {env_name(name)} or {variable}, not both.")
            else:
                texts[name] = secret_files.read(name, Path(value), variable)
        elif variable.removeprefix(ENV_PREFIX) not in _OTHER_VARIABLES:
            hint = suggestion(variable, [*variables, *files])
            wrong.append(f"The environment has the unknown setting {variable}{hint}")
    if wrong:
        raise SettingsError(*wrong)
    return {**texts, **secret_files.credentials(environ, texts, env_name)}
