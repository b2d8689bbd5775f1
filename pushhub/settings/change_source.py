"""The settings of change sources: webhooks, databases and files that say what has changed."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    model_validator,
)

from pushhub.http.path_pattern import parse_pattern
from pushhub.http.webhook_signature import webhook_key

# The shortest secret: 64 bits that one captured delivery does not reveal.
MIN_SECRET = 16
# A secret is a line; the path of an endless device must not hang the start.
MAX_SECRET_BYTES = 4096

# The fields that name a file or a folder.
FILE_FIELDS = ("secret_file", "dsn_file", "path")
# The fields of each kind, beside those of all; and the package of its extra.
_FIELDS = {
    "webhook": {"signature", "secret", "secret_file"},
    "postgres": {"dsn", "dsn_file", "channel"},
    "files": {"path"},
}
# The names in the resources of a source of files.
FILE_NAMES = {"path", "name", "stem"}
_PACKAGES = {"postgres": "psycopg", "files": "watchfiles"}
# PostgreSQL cuts longer names.
_CHANNEL = re.compile(r"[\x21-\x7e]{1,63}")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError("A source's name has letters, digits, '.', '_' and '-', at most 64.")
    return text


def _resource(text: str) -> str:
    parse_pattern(text)
    return text


SourceName = Annotated[str, AfterValidator(_name)]
ResourcePattern = Annotated[str, AfterValidator(_resource)]


class ChangeSource(BaseModel):
    """A sender of notifications beside the API keys, and the resources that it may notify."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: Annotated[
        SourceName,
        Field(description="The name of the source, for `?source=` of a webhook, and for logs."),
    ]
    kind: Annotated[
        Literal["webhook", "postgres", "files"],
        Field(
            description="`webhook`: signed requests to `/v1/notify?source=NAME`; `postgres`: "
            "`NOTIFY` of a PostgreSQL database; `files`: changes of files in a folder."
        ),
    ] = "webhook"
    resources: Annotated[
        tuple[ResourcePattern, ...],
        Field(
            description="The resources that the source may notify: paths, with `{name}` for a "
            "segment, or with a final `*`. A notification that names none is for all of them. "
            "`files`: `{path}` is the file's path below `path`, `{name}` its name, and `{stem}` "
            "the name without its suffix.",
            min_length=1,
            max_length=100,
        ),
    ]
    signature: Annotated[
        Literal["github", "gitea", "gitlab", "standard", "mlflow"] | None,
        Field(
            description="`webhook`: the form of the signature: `github` (`X-Hub-Signature-256`), "
            "`gitea` (`X-Gitea-Signature`, also of Forgejo), `gitlab` (`X-Gitlab-Token`), "
            "`standard` (Standard Webhooks, a secret `whsec_…`) or `mlflow`."
        ),
    ] = None
    secret: Annotated[
        SecretStr | None, Field(description="`webhook`: the secret that signs, or `secret_file`.")
    ] = None
    secret_file: Annotated[
        Path | None,
        Field(description="A file with the secret; relative to the folder of the TOML file."),
    ] = None

    dsn: Annotated[
        SecretStr | None,
        Field(
            description="`postgres`: the connection string or URI, as `psql` takes it, or "
            "`dsn_file`; the variables `PG…` and `~/.pgpass` count, too."
        ),
    ] = None
    dsn_file: Annotated[
        Path | None,
        Field(
            description="A file with the connection string; relative to the folder of the TOML "
            "file."
        ),
    ] = None
    channel: Annotated[str, Field(description="`postgres`: the channel of `NOTIFY`.")] = "pushhub"
    path: Annotated[
        Path | None,
        Field(
            description="`files`: the file, or the folder with all folders below it; relative to "
            "the folder of the TOML file."
        ),
    ] = None

    # Part of equality: a reload notices another content of the same file.
    _secret: str = PrivateAttr("")

    @model_validator(mode="after")
    def _agree(self) -> Self:
        foreign = [
            name
            for kind, names in _FIELDS.items()
            if kind != self.kind
            for name in sorted(names & self.model_fields_set)
        ]
        if foreign:
            raise ValueError(f"{foreign[0]!r} is no key of a source of the kind {self.kind!r}.")
        package = _PACKAGES.get(self.kind)
        if package is not None and find_spec(package) is None:
            raise ValueError(
                f"A source of the kind {self.kind!r} needs an extra: pip install "
                f"'pushhub[{self.kind}]'"
            )
        match self.kind:
            case "webhook":
                self._check_webhook()
            case "postgres":
                self._secret = self._one_of("dsn", self.dsn, self.dsn_file)
                if not _CHANNEL.fullmatch(self.channel):
                    raise ValueError("A channel has 1 to 63 visible characters of ASCII.")
            case "files":
                self._check_files()
        return self

    def _check_webhook(self) -> None:
        if self.signature is None:
            raise ValueError(
                f"The source {self.name!r} needs a 'signature': github, gitea, gitlab, standard "
                "or mlflow."
            )
        self._secret = secret = self._one_of("secret", self.secret, self.secret_file)
        if len(secret) < MIN_SECRET:
            raise ValueError(f"A secret has at least {MIN_SECRET} characters, not {len(secret)}.")
        webhook_key(self.signature, secret)

    def _check_files(self) -> None:
        if self.path is None:
            raise ValueError(f"The source {self.name!r} needs the 'path' of a file or a folder.")
        for resource in self.resources:
            if unknown := set(parse_pattern(resource).names) - FILE_NAMES:
                raise ValueError(
                    f"{resource!r} has {{{unknown.pop()}}}; a file has {{path}}, {{name}} and "
                    "{stem}."
                )

    def secret_text(self) -> str:
        """The secret, or the connection string. A file was read once, at the start or the last
        reload.
        """
        return self._secret

    @property
    def is_inline(self) -> bool:
        """Whether the settings have the secret itself, and not the name of its file."""
        return self.secret is not None or self.dsn is not None

    @property
    def own_file(self) -> Path | None:
        """The file with the secret, if there is one."""
        return self.secret_file if self.secret_file is not None else self.dsn_file

    def _one_of(self, name: str, value: SecretStr | None, file: Path | None) -> str:
        """The secret, of the settings or of its file."""
        if (value is None) == (file is None):
            raise ValueError(f"The source {self.name!r} has either {name} or {name}_file.")
        if value is not None:
            return value.get_secret_value()
        assert file is not None
        try:
            with file.open("rb") as opened:
                content = opened.read(MAX_SECRET_BYTES + 1)
            if len(content) > MAX_SECRET_BYTES:
                raise ValueError(f"The file {file} is larger than a secret can be.")
            text = content.decode()
        except OSError as error:
            raise ValueError(f"{file} cannot be read: {error.strerror}.") from None
        except UnicodeDecodeError:
            raise ValueError(f"{file} is not UTF-8.") from None
        return text.removesuffix("\n").removesuffix("\r")
