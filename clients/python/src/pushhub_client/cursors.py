"""Where a subscription keeps its cursors, so that a restarted program continues."""

import json
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from .errors import PushhubError

SaveCursors = Callable[[Mapping[str, str]], None]
"""Called with the cursor of each channel after a message was read."""


class CursorFileError(PushhubError):
    """The file is no file of cursors."""


class CursorFile:
    """Cursors in a JSON file, replaced as a whole: a crash leaves the old or the new one.

    One subscription owns the file. A power failure may leave an older one: its events come again.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)

    def load(self) -> dict[str, str]:
        """The cursor of each channel; empty if there is no file yet.

        Raises:
            CursorFileError: the file has something else.
        """
        try:
            cursors = json.loads(self._path.read_bytes())
        except FileNotFoundError:
            return {}
        except ValueError:
            cursors = None
        if not isinstance(cursors, dict) or not all(isinstance(at, str) for at in cursors.values()):
            raise CursorFileError(
                f"{self._path} has no cursors. Delete it to begin again, or name another file."
            )
        return cursors

    def __call__(self, cursors: Mapping[str, str]) -> None:
        """Save the cursors."""
        descriptor, name = tempfile.mkstemp(prefix=self._path.name, dir=self._path.parent)
        try:
            with open(descriptor, "w", encoding="utf-8") as file:
                json.dump(cursors, file, ensure_ascii=False)
            os.replace(name, self._path)
        except BaseException:
            os.unlink(name)
            raise


class CursorKeeper:
    """Loads the cursors of a subscription, and saves each change.

    Args:
        channels: channel to the start of a channel without a saved cursor.
        cursors: the path of a file, or a callable that saves.
    """

    def __init__(
        self,
        channels: Mapping[str, str],
        cursors: str | os.PathLike[str] | SaveCursors | None,
    ) -> None:
        self.start = dict(channels)
        self._save: SaveCursors | None = None
        if isinstance(cursors, str | os.PathLike):
            file = CursorFile(cursors)
            saved = file.load()
            self.start = {channel: saved.get(channel, at) for channel, at in channels.items()}
            self._save = file
        elif cursors is not None:
            self._save = cursors
        self._saved = self.start

    def keep(self, cursors: Mapping[str, str]) -> None:
        """Save the cursors, if they changed."""
        if self._save is not None and cursors != self._saved:
            self._saved = dict(cursors)
            self._save(cursors)
