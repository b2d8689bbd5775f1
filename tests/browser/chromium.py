"""A Chromium that tests drive: tabs of one profile, and what people and systems do to them."""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from tests import outside

FOLDER = Path(__file__).parent
CLIENT = FOLDER.parents[1] / "clients" / "js"
SECONDS = 60.0


def install() -> str:
    """The path of node, when the client's packages are installed."""
    outside.require("client")
    return outside.require("node")


class Chromium:
    """The process; use it as a context."""

    def __enter__(self) -> Chromium:
        command = [install(), str(FOLDER / "bridge.mjs"), outside.require("chromium")]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._ids = itertools.count()
        self._waiting: dict[int, Future[Any]] = {}
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(self, *error: object) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(5)
        self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            answer = json.loads(line)
            waiting = self._waiting.pop(answer["id"])
            if not waiting.set_running_or_notify_cancel():
                continue  # The caller's time is over; the next answers are for others.
            if "error" in answer:
                waiting.set_exception(AssertionError(answer["error"]))
            else:
                waiting.set_result(answer["value"])

    async def run(self, test: str, code: str, **args: Any) -> Any:
        """Run Playwright code, with `kept` (context, pages, errors) and `args`."""
        assert self._process.stdin
        number = next(self._ids)
        waiting: Future[Any] = Future()
        self._waiting[number] = waiting
        command = {"id": number, "test": test, "code": code, "args": args}
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return await asyncio.wait_for(asyncio.wrap_future(waiting), SECONDS)


class Profile:
    """The tabs of one person: they share storage, locks and the cache, and nothing with others."""

    def __init__(self, chromium: Chromium, name: str) -> None:
        self.chromium = chromium
        self.name = name
        self._tabs = itertools.count()

    async def run(self, code: str, **args: Any) -> Any:
        return await self.chromium.run(self.name, code, **args)

    async def open(self, url: str) -> Tab:
        """A new tab, loaded."""
        tab = Tab(self, f"tab{next(self._tabs)}")
        await self.run(
            """
            const page = kept.pages[args.tab] = await kept.context.newPage();
            page.on("pageerror", (error) => kept.errors.push(String(error)));
            await page.goto(args.url);
            """,
            tab=tab.name,
            url=url,
        )
        return tab

    async def offline(self, yes: bool) -> None:
        await self.run("await kept.context.setOffline(args.yes)", yes=yes)

    async def errors(self) -> list[str]:
        """What no page caught."""
        found: list[str] = await self.run("return kept.errors")
        return found

    async def close(self) -> None:
        await self.run("return kept.context.close()")


class Tab:
    """One page."""

    def __init__(self, profile: Profile, name: str) -> None:
        self.profile = profile
        self.name = name

    async def run(self, script: str, arg: Any = None) -> Any:
        """Run a function's body in the page, with `arg`; it may await."""
        return await self.profile.run(
            "const [script, arg] = args.given;"
            "return kept.pages[args.tab].evaluate(([script, arg]) =>"
            " new (Object.getPrototypeOf(async () => {}).constructor)('arg', script)(arg),"
            " [script, arg])",
            tab=self.name,
            given=[script, arg],
        )

    async def until(self, script: str, arg: Any = None) -> Any:
        """Wait until an expression is true in the page; its value."""
        # Asked from outside each time: a page's policy lets a driver evaluate a string, but not
        # what the driver leaves behind to do so later.
        return await self.profile.run(
            """
            const [script, arg] = args.given;
            const end = Date.now() + 40_000;
            for (;;) {
              const value = await kept.pages[args.tab].evaluate(([script, arg]) =>
                new Function("arg", "return " + script)(arg), [script, arg]);
              if (value) return value;
              if (Date.now() > end) throw new Error(`Never true in 40 s: ${script}`);
              await new Promise((again) => setTimeout(again, 10));
            }
            """,
            tab=self.name,
            given=[script, arg],
        )

    async def reload(self) -> None:
        await self.profile.run("await kept.pages[args.tab].reload()", tab=self.name)

    async def crash(self) -> None:
        """Its process dies, and says nothing to anybody."""
        await self.profile.run(
            """
            const page = kept.pages[args.tab];
            const crashed = page.waitForEvent("crash");
            const session = await kept.context.newCDPSession(page);
            session.send("Page.crash").catch(() => {});
            await crashed;
            """,
            tab=self.name,
        )

    async def close(self) -> None:
        await self.profile.run("await kept.pages[args.tab].close()", tab=self.name)
