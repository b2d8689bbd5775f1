"""Secrets from files: `PUSHHUB_X_FILE`, `--x-file`, `x_file` in TOML, and systemd's credentials.

A command line is visible to all users of a machine, and an environment is inherited by each child
process; a file is neither. The files are read again at each reload.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from pushhub.settings.errors import SettingsError
from pushhub.settings.field import is_secret
from pushhub.settings.model import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SUFFIX = "_file"
# The folder of the credentials of a service, set by systemd (systemd.exec(5), "Credentials").
CREDENTIALS = "CREDENTIALS_DIRECTORY"

# Enough for thousands of keys; the path of an endless device must not hang the start.
_MAX_FILE_BYTES = 16 * 1024 * 1024
_READABLE_BY_OTHERS = stat.S_IRGRP | stat.S_IROTH

# The settings that have a form with a file, by the name of this form.
FILE_FORMS = {
    name + SUFFIX: name for name, field in Settings.model_fields.items() if is_secret(field)
}


class SecretFiles:
    """Reads the secrets of one load, and collects warnings about their files.

    `spelled` has the name of each setting that came from a file, as the user has written it.
    """

    def __init__(self) -> None:
        self.spelled: dict[str, str] = {}
        self.warnings: list[str] = []

    def spelling(self, spell: Callable[[str], str]) -> Callable[[str], str]:
        """`spell`, except for the settings that came from a file."""
        return lambda name: self.spelled.get(name) or spell(name)

    def read(self, name: str, file: Path, spelled: str) -> str:
        """The secret of a setting, without the line end of the file.

        Raises:
            SettingsError: the file cannot be read.
        """
        self.spelled[name] = spelled
        self.check(file, f"{spelled} names {file}")
        return without_line_end(read_text(file))

    def take(
        self, values: Mapping[str, object], spell: Callable[[str], str], folder: Path
    ) -> dict[str, str]:
        """The secrets that one source names by file. Paths are relative to `folder`.

        Raises:
            SettingsError: a source has a secret and also its file, or a file cannot be read.
        """
        texts = {}
        for form, name in FILE_FORMS.items():
            if form not in values:
                continue
            if name in values:
                raise SettingsError(f"Set either {spell(name)} or {spell(form)}, not both.")
            path = values[form]
            if not isinstance(path, str) or not path or "\0" in path:
                raise SettingsError(f"{spell(form)} is the path of a file.")
            texts[name] = self.read(name, folder / path, spell(form))
        return texts

    def credentials(
        self, environ: Mapping[str, str], taken: Mapping[str, object], spell: Callable[[str], str]
    ) -> dict[str, str]:
        """The secrets among the service's credentials: files with the names of settings. A
        `…_FILE` variable wins over the credential, because it usually names the same file.

        Raises:
            SettingsError: a secret is also in the environment, or a file cannot be read.
        """
        texts: dict[str, str] = {}
        if not (folder := environ.get(CREDENTIALS)):
            return texts
        for name in FILE_FORMS.values():
            file = Path(folder) / name
            if name in self.spelled or not file.is_file():
                continue
            if name in taken:
                raise SettingsError(f"Set either {spell(name)} or the credential {name}, not both.")
            texts[name] = self.read(name, file, f"the credential {name}")
        return texts

    def check(self, file: Path, what: str) -> None:
        """Warn if other users may read a file with a secret."""
        try:
            mode = stat.S_IMODE(file.stat().st_mode)
        except OSError:
            return  # The read has the better sentence.
        if os.name == "posix" and mode & _READABLE_BY_OTHERS:
            others = "all users" if mode & stat.S_IROTH else "its group"
            self.warnings.append(
                f"{what}, a file with a secret that {others} may read (mode {mode:03o}); "
                f"use: chmod 600 {file}"
            )


def without_line_end(text: str) -> str:
    """A text without one line end: editors and `echo` add one, and a secret may end with more."""
    return text.removesuffix("\n").removesuffix("\r") if text.endswith("\n") else text


def read_text(file: Path) -> str:
    """The text of a file of settings.

    Raises:
        SettingsError: the file cannot be read.
    """
    try:
        with file.open("rb") as opened:
            content = opened.read(_MAX_FILE_BYTES + 1)
        if len(content) > _MAX_FILE_BYTES:
            raise SettingsError(f"{file} is larger than a file of settings can be.")
        return content.decode()
    except OSError as error:
        raise SettingsError(f"{file} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{file} is not UTF-8.") from None
