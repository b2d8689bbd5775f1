"""The settings of change sources: webhooks, databases and files that say what has changed."""

from __future__ import annotations

import re
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
FILE_FIELDS = ("secret_file",)

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
        Literal["webhook"],
        Field(description="`webhook`: signed requests to `/v1/notify?source=NAME`."),
    ] = "webhook"
    resources: Annotated[
        tuple[ResourcePattern, ...],
        Field(
            description="The resources that the source may notify: paths, with `{name}` for a "
            "segment, or with a final `*`. A notification that names none is for all of them.",
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

    # Part of equality: a reload notices another content of the same file.
    _secret: str = PrivateAttr("")

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.signature is None:
            raise ValueError(
                f"The source {self.name!r} needs a 'signature': github, gitea, gitlab, standard "
                "or mlflow."
            )
        if (self.secret is None) == (self.secret_file is None):
            raise ValueError(f"The source {self.name!r} has either secret or secret_file.")
        self._secret = secret = self._read()
        if len(secret) < MIN_SECRET:
            raise ValueError(f"A secret has at least {MIN_SECRET} characters, not {len(secret)}.")
        webhook_key(self.signature, secret)
        return self

    def secret_text(self) -> str:
        """The secret. A file was read once, at the start or the last reload."""
        return self._secret

    @property
    def is_inline(self) -> bool:
        """Whether the settings have the secret itself, and not the name of its file."""
        return self.secret is not None

    def _read(self) -> str:
        if self.secret is not None:
            return self.secret.get_secret_value()
        assert self.secret_file is not None
        try:
            with self.secret_file.open("rb") as file:
                content = file.read(MAX_SECRET_BYTES + 1)
            if len(content) > MAX_SECRET_BYTES:
                raise ValueError(f"The file {self.secret_file} is larger than a secret can be.")
            text = content.decode()
        except OSError as error:
            raise ValueError(f"{self.secret_file} cannot be read: {error.strerror}.") from None
        except UnicodeDecodeError:
            raise ValueError(f"{self.secret_file} is not UTF-8.") from None
        return text.removesuffix("\n").removesuffix("\r")
