"""The client or user interface of an application: a program or library of its own, or its pages.

It runs twice: directly at the application, and through the hub. Both have to see the same.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.apps.application import Place
    from tests.browser.chromium import Chromium

# A program of Python or Node.js needs a second to start; on a busy machine many.
_SECONDS = 60.0
_visits = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Visit:
    """A client's way to an application: its own URL, or that of the hub in front of it."""

    place: Place
    url: str
    browser: Callable[[], Chromium]

    def program(
        self,
        *command: str,
        env: Mapping[str, str] | None = None,
        text: str = "",
        successes: tuple[int, ...] = (0,),
    ) -> str:
        """The output of a program, in the application's folder; `text` is its input."""
        done = subprocess.run(
            command,
            cwd=self.place.folder,
            env={**os.environ, "HOME": str(self.place.folder), **(env or {})},
            input=text,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
        )
        assert done.returncode in successes, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def python(self, code: str) -> str:
        """The output of Python code with the applications' libraries; `sys.argv[1]` is the URL."""
        return self.program(self.place.command("python"), "-c", code, self.url)

    def page(self, target: str, code: str) -> str:
        """What Playwright code returns of a page, in a profile of its own."""
        browser, name = self.browser(), f"visit-{next(_visits)}"
        opened = (
            "const page = await kept.context.newPage(); page.setDefaultTimeout(50_000);"
            "await page.goto(args.url);"
        )
        try:
            found: Any = asyncio.run(browser.run(name, opened + code, url=self.url + target))
        finally:
            asyncio.run(browser.run(name, "return kept.context.close()"))
        return str(found)

    def comparable(self, output: str, unstable: tuple[str, ...]) -> str:
        """An output without the URL, which differs, and without what differs each time."""
        output = output.replace(urlsplit(self.url).netloc, "HOST")
        for pattern in unstable:
            output = re.sub(pattern, "", output)
        return output


@dataclass(frozen=True, slots=True)
class OwnClient:
    """What an application's own client shows, and how it changes the application."""

    name: str
    """The client, for the reader of the table."""
    sees: Callable[[Visit], str]
    changes: Callable[[Visit], object] | None = None
    """Changes what the client sees; without it the client only reads, and the poll's own change
    is made."""
    poll: int = 0
    """Which poll of the application tells the change."""
    unstable: tuple[str, ...] = ()
    """Patterns of what differs between two outputs."""
    part: str = ""
    """The outside part that brings the client, if the application does not."""


def pages(
    name: str,
    target: str,
    shows: str,
    *,
    changes: str = "",
    poll: int = 0,
    unstable: tuple[str, ...] = (),
) -> OwnClient:
    """The application's own pages in Chromium: Playwright code that returns the rendered text,
    and code that changes something as a user does."""
    change = (lambda visit: visit.page(target, changes)) if changes else None
    return OwnClient(
        f"{name} in Chromium",
        lambda visit: visit.page(target, shows),
        change,
        poll=poll,
        unstable=unstable,
    )


def text_of(selector: str) -> str:
    """Playwright code that returns the rendered text of an element."""
    return f"return page.locator({selector!r}).innerText();"
