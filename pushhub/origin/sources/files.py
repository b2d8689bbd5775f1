"""A source that watches files: a change of a file notifies the resources that its path names."""

from __future__ import annotations

import asyncio
import os
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from pushhub.origin.sources.followed import FollowedSource

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pushhub.origin.sources.sink import SourceSink

# A change is gathered for at least this time, in ms, and for at most the second: an editor writes,
# renames and removes within a few.
STEP_MS = 20
DEBOUNCE_MS = 100
# A folder is looked at so often, whether it is still the same one.
CHECK_MS = 1000
# The most files of new folders that are notified one by one; beyond it all resources are.
MAX_NEW_FILES = 1000
# As many bytes as a collision-free name of a change needs.
_KEY_BYTES = 16


class FileSource(FollowedSource):
    """Watches one file, or one folder with all below it, until it is cancelled.

    Args:
        name: the name of the source, for the log.
        path: the file or the folder.
        resources: the resources, with `{path}`, `{name}` and `{stem}` of a file.
        uniform: draws a number between two.
    """

    def __init__(
        self,
        name: str,
        path: Path,
        resources: Sequence[str],
        sink: SourceSink,
        uniform: Callable[[float, float], float],
    ) -> None:
        super().__init__(name, sink, uniform)
        self._path = path.absolute()
        self._resources = resources

    async def follow(self) -> str:
        """Watch."""
        try:
            await self._watch()
        except OSError as error:
            return (error.strerror or str(error))[:200]
        except RuntimeError as error:
            # watchfiles' own error, such as for the limit of watches (fs.inotify).
            return str(error)[:200]
        return "the file or folder was removed"

    def disconnected(self) -> None:
        """Files may have changed with the folder."""
        self._sink.lost()

    async def _watch(self) -> None:
        from watchfiles import Change, awatch

        # A file is replaced by a rename, and its own watch sees no more then: its folder's does.
        is_file = await asyncio.to_thread(self._path.is_file)
        folder = self._path.parent if is_file else self._path
        # A folder that is missing raises FileNotFoundError here.
        identity = await asyncio.to_thread(_identity, folder)
        state = await asyncio.to_thread(_state, self._path)
        changes = awatch(
            folder,
            watch_filter=None,
            debounce=DEBOUNCE_MS,
            step=STEP_MS,
            recursive=not is_file,
            yield_on_timeout=True,
            rust_timeout=CHECK_MS,
            ignore_permission_denied=True,
        )
        async for found in changes:
            if not self.is_connected:
                self.connected()
            paths = [Path(text) for _, text in found]
            if is_file:
                # Behind a link the file may change without an event in its folder.
                before, state = state, await asyncio.to_thread(_state, self._path)
                paths = [path for path in paths if path == self._path]
                if state != before and not paths:
                    # Without a key: a link may lead to a state that was reported before.
                    self._take(self._path, "", folder)
            elif await asyncio.to_thread(_any_link, paths):
                # It may lead to another folder than before, with all its files.
                self._sink.lost()
            else:
                # Files that a new folder had before it was watched have no changes of their own.
                new = [Path(text) for change, text in found if change is Change.added]
                paths += await asyncio.to_thread(_contents, new, MAX_NEW_FILES + 1)
                if len(paths) > len(found) + MAX_NEW_FILES:
                    self._sink.lost()
                    continue
            for path, key in await asyncio.to_thread(_keyed, list(dict.fromkeys(paths))):
                self._take(path, key, folder)
            # A folder that was replaced by another one of the same name is watched no more. The
            # other one may have the same number.
            was_removed = (Change.deleted, str(folder)) in found
            if was_removed or await asyncio.to_thread(_identity, folder) != identity:
                return

    def _take(self, path: Path, key: str, folder: Path) -> None:
        try:
            below = path.relative_to(folder).as_posix()
        except ValueError:
            self._sink.lost()
            return
        values = {"path": below, "name": path.name, "stem": path.stem}
        encoded = {
            name: quote(os.fsencode(value), safe="/" if name == "path" else "")
            for name, value in values.items()
        }
        for resource in self._resources:
            text = resource
            for name, value in encoded.items():
                text = text.replace("{" + name + "}", value)
            self._sink.take(text, key)


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _state(file: Path) -> tuple[int, ...]:
    """What differs when a file has changed, or when a link leads to another one."""
    try:
        status = file.stat()
    except OSError:
        return ()
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size


def _any_link(paths: list[Path]) -> bool:
    return any(map(os.path.islink, paths))


def _contents(paths: list[Path], most: int) -> list[Path]:
    """The files below those of the paths that are folders, at most so many."""
    files = (
        Path(folder, name) for path in paths for folder, _, names in os.walk(path) for name in names
    )
    return list(islice(files, most))


def _keyed(paths: list[Path]) -> list[tuple[Path, str]]:
    """Each path with the key of its change, which all processes of the machine find; empty for a
    file that was removed.
    """
    keyed = []
    for path in paths:
        key = ""
        try:
            status = path.stat()
            # A copy may keep the time of a change of the content, but not that of the inode.
            text = f"{path}:{status.st_ino}:{status.st_mtime_ns}:{status.st_ctime_ns}"
            key = blake2b(os.fsencode(text), digest_size=_KEY_BYTES).hexdigest()
        except OSError:
            pass
        keyed.append((path, key))
    return keyed
