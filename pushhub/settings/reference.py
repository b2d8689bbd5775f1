"""The reference of the settings, docs/settings.md, generated from the model."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, MaxLen, MinLen

from pushhub.settings.access import ApiKey, TokenKey
from pushhub.settings.change_source import ChangeSource
from pushhub.settings.field import PANELS, is_secret
from pushhub.settings.limits import Limit
from pushhub.settings.model import Settings
from pushhub.settings.namespace import Namespace
from pushhub.settings.route import Route
from pushhub.settings.sources import env_name, flag_name

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

_HEAD = """\
# Settings

<!-- Written by `pushhub config docs`; a test compares. -->

Every setting is a flag of `pushhub serve`, an environment variable, and a key of a TOML file. The
flag wins over the variable, the variable over the file, the file over the default; a list or a
table is replaced as a whole. Flags and variables write lists and tables as JSON. The file is the
one that `--config` or `PUSHHUB_CONFIG` names, else `pushhub.toml` in the current folder, if any.
Unknown names are errors. Kubernetes and Docker set variables for a Service or container named
`pushhub`, such as `PUSHHUB_PORT=tcp://…`: these are ignored with a warning. `pushhub config show`
prints each value and its source; `pushhub config check` reports what is wrong.

A setting that can hold a secret can be read from a file: `PUSHHUB_X_FILE`, `--x-file`, or the key
`x_file` of the TOML file, relative to it; or from the credential `x` of systemd
(`LoadCredential=x:/etc/pushhub/x`), without a variable. One line end at the end of the file is not
part of the secret. A source with both the secret and its file is an error. A file that other users
may read is reported at the start. All users of a machine see the flags of its processes (`ps`), and
`serve` warns of a secret there. [reload.md](reload.md) says which settings change without a
restart.
"""

_TAIL = """
## A file

```toml
port = 8080
store = "sqlite:////var/lib/pushhub/pushhub.db"
cors_origins = ["https://app.example.com"]

[namespaces.news]
public = true
retention_events = 100

[[api_keys]]            # pushhub key new backend
name = "backend"
sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
publish = ["*"]

[[token_keys]]
algorithm = "HS256"
key_file = "token.secret"
```
"""


def panel(field: FieldInfo) -> str:
    """The group that a setting is listed in."""
    extra = field.json_schema_extra
    return str(extra["panel"]) if isinstance(extra, dict) else ""


def default_text(field: FieldInfo) -> str:
    """A setting's default as a flag would give it; empty for none."""
    if field.default is None:
        return ""
    if isinstance(field.default, str):
        return field.default
    return json.dumps(field.default)


def kind(field: FieldInfo) -> str:
    """The type of a setting in one word: the placeholder of its flag."""
    annotation = field.annotation
    if get_origin(annotation) is Literal:
        return "|".join(get_args(annotation))
    if get_origin(annotation) in (list, dict, tuple):
        return "JSON"
    names = {int: "INTEGER", float: "NUMBER", bool: "BOOLEAN"}
    return names.get(annotation, "TEXT") if isinstance(annotation, type) else "TEXT"


def bounds(field: FieldInfo) -> str:
    """The allowed values of a setting, with their unit."""
    limits: dict[type, Any] = {type(limit): limit for limit in field.metadata}
    text = ""
    if Gt in limits and Le in limits:
        text = f"more than {_number(limits[Gt].gt)}, up to {_number(limits[Le].le)}"
    elif Ge in limits and Le in limits:
        text = f"{_number(limits[Ge].ge)} to {_number(limits[Le].le)}"
    elif get_origin(field.annotation) is Literal:
        text = ", ".join(f"`{word}`" for word in get_args(field.annotation))
    elif MaxLen in limits:
        # pydantic counts a text in characters, and a list in entries.
        what = "characters" if _is_text(field) else "entries"
        least = limits[MinLen].min_length if MinLen in limits else 0
        most = _number(limits[MaxLen].max_length)
        text = f"{least} to {most} {what}" if least else f"at most {most} {what}"
    elif MinLen in limits:
        text = "not empty" if limits[MinLen].min_length == 1 else ""
    elif field.annotation is bool:
        text = "`true`, `false`"
    extra = field.json_schema_extra
    unit = extra.get("unit", "") if isinstance(extra, dict) else ""
    return f"{text} {unit}".strip()


def _is_text(field: FieldInfo) -> bool:
    """Whether a setting's value is a text, or None."""
    return str in (field.annotation, *get_args(field.annotation)) and kind(field) == "TEXT"


def names() -> list[str]:
    """Every setting, panel by panel. Settings of base classes come after those of the model, so
    that the list begins with the address to listen on.
    """

    def place(name: str) -> tuple[int, bool]:
        return PANELS.index(panel(Settings.model_fields[name])), name not in own

    own = Settings.__annotations__
    return sorted(Settings.model_fields, key=place)


def markdown() -> str:
    """The whole of docs/settings.md."""
    parts = [_HEAD]
    for title in PANELS:
        parts.append(f"\n## {title}\n\n")
        parts.append(_table("setting", "flag", "variable", "default", "bounds", "meaning"))
        parts += [
            _row(
                f"`{name}`",
                f"`{_flags(name, field)}`",
                _variables(name, field),
                f"`{default_text(field)}`" if default_text(field) else "none",
                bounds(field),
                str(field.description),
            )
            for name in names()
            if panel(field := Settings.model_fields[name]) == title
        ]
    inside: dict[str, type[BaseModel]] = {
        "A namespace": Namespace,
        "An API key": ApiKey,
        "A token key": TokenKey,
        "A route": Route,
        "A source": ChangeSource,
        "A limit": Limit,
    }
    for title, model in inside.items():
        parts.append(f"\n## {title}\n\n")
        parts.append(_table("key", "needed", "meaning"))
        parts += [
            _row(f"`{name}`", "yes" if field.is_required() else "no", str(field.description))
            for name, field in model.model_fields.items()
        ]
    return "".join([*parts, _TAIL])


def _flags(name: str, field: FieldInfo) -> str:
    flag = flag_name(name)
    if is_secret(field):
        return f"{flag}` or `{flag}-file"
    return f"{flag}/{flag.replace('--', '--no-', 1)}" if field.annotation is bool else flag


def _variables(name: str, field: FieldInfo) -> str:
    variable = f"`{env_name(name)}`"
    return f"{variable} or `{env_name(name)}_FILE`" if is_secret(field) else variable


def _number(value: float) -> str:
    return f"{value:,}"


def _table(*titles: str) -> str:
    return _row(*titles) + _row(*["---"] * len(titles))


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"
