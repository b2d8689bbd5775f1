"""Firefox and WebKit as tests drive them: Marionette for one, WebDriver over HTTP for the other.

Both take the commands of W3C WebDriver. Chromium, whose tabs can be killed, is in `chromium.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import glob
import itertools
import json
import os
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from tests import outside

if TYPE_CHECKING:
    from collections.abc import Iterator

_START_SECONDS = 60.0
_COMMAND_SECONDS = 60.0
_UNTIL_SECONDS = 40.0
_PREFERENCES = {
    "marionette.port": 0,
    # Nothing is asked of the world outside.
    "app.update.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.page": 0,
    "datareporting.policy.dataSubmissionEnabled": False,
    "extensions.update.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "data:,#remote-settings-dummy/v1",
    "toolkit.telemetry.server": "data:,",
}


class Browser:
    """One browser with one profile. A method blocks; tests call it by `asyncio.to_thread`."""

    name = ""
    tabs: tuple[str, ...] = ()
    """The handles of the tabs that tests share."""

    def close(self) -> None:
        raise NotImplementedError

    def command(self, marionette: str, method: str, path: str, **arguments: Any) -> Any:
        raise NotImplementedError

    def load(self, url: str) -> None:
        self.command("WebDriver:Navigate", "POST", "/url", url=url)

    def back(self) -> None:
        self.command("WebDriver:Back", "POST", "/back")

    def reload(self) -> None:
        self.command("WebDriver:Refresh", "POST", "/refresh")

    def tab(self) -> str:
        """Open a tab, and go there. Returns its handle."""
        made = self.command("WebDriver:NewWindow", "POST", "/window/new", type="tab")
        handle: str = made["handle"]
        self.switch(handle)
        return handle

    def here(self) -> str:
        """The present tab's handle."""
        handle: str = self.command("WebDriver:GetWindowHandle", "GET", "/window")
        return handle

    def switch(self, handle: str) -> None:
        self.command("WebDriver:SwitchToWindow", "POST", "/window", handle=handle)

    def frame(self, index: int | None) -> None:
        """Go to a frame of the page, or to the page itself."""
        self.command("WebDriver:SwitchToFrame", "POST", "/frame", id=index)

    def run(self, script: str, *arguments: Any) -> Any:
        """Run a function's body in the page."""
        return self.command(
            "WebDriver:ExecuteScript", "POST", "/execute/sync", script=script, args=list(arguments)
        )

    def until(self, expression: str, *arguments: Any) -> Any:
        """Wait until an expression is true in the page; its value."""
        end = time.monotonic() + _UNTIL_SECONDS
        while not (value := self.run(f"return {expression}", *arguments)):
            assert time.monotonic() < end, f"never true in {_UNTIL_SECONDS} s: {expression}"
            time.sleep(0.02)
        return value


class Firefox(Browser):
    name = "firefox"

    def __init__(self, folder: Path) -> None:
        lines = [f"user_pref({json.dumps(k)}, {json.dumps(v)});" for k, v in _PREFERENCES.items()]
        (folder / "user.js").write_text("\n".join(lines))
        command = [
            outside.require("firefox"),
            "--headless",
            "--marionette",
            "--profile",
            str(folder),
        ]
        self.process = subprocess.Popen(
            command,
            env=os.environ | {"HOME": str(folder), "MOZ_CRASHREPORTER_DISABLE": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._ids = itertools.count(1)
        port = _written(folder / "MarionetteActivePort", self.process)
        self._socket = socket.create_connection(("127.0.0.1", port), _COMMAND_SECONDS)
        self._file: IO[bytes] = self._socket.makefile("rb")
        self._read()
        self.command("WebDriver:NewSession", "", "", capabilities={})

    def _read(self) -> Any:
        length = b""
        while (byte := self._file.read(1)) != b":":
            assert byte, "Firefox has closed its connection"
            length += byte
        return json.loads(self._file.read(int(length)))

    def command(self, marionette: str, method: str, path: str, **arguments: Any) -> Any:
        text = json.dumps([0, next(self._ids), marionette, arguments]).encode()
        self._socket.sendall(b"%d:%s" % (len(text), text))
        _, _, error, result = self._read()
        assert not error, error
        if isinstance(result, dict) and set(result) == {"value"}:
            return result["value"]
        return result

    def run(self, script: str, *arguments: Any) -> Any:
        # Marionette's own scripts do not see what a page declares by `const`.
        call = f"JSON.stringify((function(){{{script}}}).apply(null, {json.dumps(arguments)}))"
        try:
            text = super().run("return window.eval(arguments[0])", call)
        except AssertionError as error:
            if "EvalError" not in str(error) and "CSP" not in str(error):
                raise
            # A page whose policy forbids it declares nothing that tests ask for.
            return super().run(script, *arguments)
        return text and json.loads(text)

    def close(self) -> None:
        with contextlib.suppress(AssertionError, OSError):
            self.command("Marionette:Quit", "", "", flags=["eForceQuit"])
        self._file.close()
        self._socket.close()
        _end(self.process)


class WebKit(Browser):
    """WebKitGTK's MiniBrowser, on a display of its own."""

    name = "webkit"

    def __init__(self, folder: Path) -> None:
        driver, xvfb = outside.require("webkit"), outside.require("xvfb")
        self._display = subprocess.Popen(
            [xvfb, "-displayfd", "1", "-screen", "0", "1024x768x24", "-nolisten", "tcp"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._display.stdout
        display = self._display.stdout.readline().strip()
        # In this locale WebKit says that its language is "C".
        own = {
            "DISPLAY": f":{display}",
            "HOME": str(folder),
            "LC_ALL": "C.UTF-8",
            "LIBGL_ALWAYS_SOFTWARE": "1",
        }
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self._driver = subprocess.Popen(
            [driver, f"--port={port}"],
            env=os.environ | own,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._base = f"http://127.0.0.1:{port}/session"
        (binary, *_) = glob.glob("/usr/lib/*/webkit2gtk-4*/MiniBrowser")
        options = {"binary": binary, "args": ["--automation"]}
        wanted = {"alwaysMatch": {"webkitgtk:browserOptions": options}}
        made = self._connect(capabilities=wanted)
        self._base += f"/{made['sessionId']}"

    def _connect(self, **arguments: Any) -> Any:
        end = time.monotonic() + _START_SECONDS
        while True:
            try:
                return self.command("", "POST", "", **arguments)
            except OSError:
                assert time.monotonic() < end, "WebKitWebDriver does not answer"
                assert self._driver.poll() is None
                time.sleep(0.1)

    def command(self, marionette: str, method: str, path: str, **arguments: Any) -> Any:
        body = json.dumps(arguments).encode() if method == "POST" else None
        request = urllib.request.Request(self._base + path, body, method=method)
        try:
            with urllib.request.urlopen(request, timeout=_COMMAND_SECONDS) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()) from None

    def close(self) -> None:
        with contextlib.suppress(AssertionError, OSError):
            self.command("", "DELETE", "")
        _end(self._driver)
        _end(self._display)


def _written(path: Path, process: subprocess.Popen[bytes]) -> int:
    """The port that a program writes into a file when it listens."""
    end = time.monotonic() + _START_SECONDS
    while not (path.exists() and (text := path.read_text().strip())):
        assert process.poll() is None, "Firefox has left"
        assert time.monotonic() < end, "Firefox does not listen"
        time.sleep(0.05)
    return int(text)


def _end(process: subprocess.Popen[Any]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout:
        process.stdout.close()


@contextlib.contextmanager
def driven(name: str) -> Iterator[Browser]:
    """A browser with a profile of its own, until the context ends."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        browser = {"firefox": Firefox, "webkit": WebKit}[name](Path(folder))
        try:
            yield browser
        finally:
            browser.close()


async def threaded(call: Any, *arguments: Any) -> Any:
    """A command, while the test's own servers go on."""
    return await asyncio.to_thread(call, *arguments)
