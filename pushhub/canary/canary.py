"""The canary of one process: a round of checks, a pause, and again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from pushhub.canary.board import CanaryBoard
from pushhub.canary.check import CHECK_SECONDS, CheckRunner
from pushhub.canary.log_checks import CHECKS, LogChecks
from pushhub.canary.origin_checks import OriginCheck, canary_routes
from pushhub.canary.public_check import PublicCheck
from pushhub.tasks import TaskSet

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pushhub.api.service import Service
    from pushhub.canary.client import Dial
    from pushhub.canary.xmpp_check import XmppCheck
    from pushhub.settings import Settings
    from pushhub.settings.route import Route

# Two processes that start together do not check together: the first round is after a random part
# of the interval, from the half of it on, when a node that has just started is at rest.
FIRST_PART = (0.5, 1.0)


class Canary:
    """The loop of rounds. A round never overlaps the next: the pause begins with its end.

    Args:
        private: connects to the canary's own listener.
        public: connects to the public listener of this process.
    """

    def __init__(self, service: Service, private: Dial, public: Dial, prefix: str) -> None:
        self._service = service
        hub = service.hub
        self._board = CanaryBoard()
        self._runner = CheckRunner(self._board, lambda: hub.now())
        node = service.runtime.random_bytes(6).hex()
        self._log_checks = LogChecks(hub, private, prefix, self._runner, node)
        self._public = PublicCheck(public, prefix)
        self._tasks = TaskSet()
        self._interval = 0.0
        self._private = private
        self._prefix = prefix
        self._xmpp: Callable[[], XmppCheck] | None = None
        self._routes: dict[str, Route] = {}

    @property
    def limit(self) -> float:
        """The seconds after which a check without a result fails."""
        return self._runner.limit

    @limit.setter
    def limit(self, seconds: float) -> None:
        self._runner.limit = seconds

    # The figures, for `/metrics`

    @property
    def lost_untold(self) -> int:
        """The events of the canary that were lost without a gap."""
        return self._log_checks.lost_untold

    @property
    def interval(self) -> float:
        """The seconds between two rounds; 0 if the canary is turned off."""
        return self._interval

    def ok(self) -> Mapping[str, float]:
        """1 for each check whose last verdict is a success, 0 for the others."""
        return self._board.ok()

    def ages(self) -> Mapping[str, float]:
        """The seconds since the last success of each check."""
        return self._board.ages(self._service.hub.now())

    def seconds(self) -> Mapping[str, float]:
        """The duration of the last success of each check."""
        return self._board.seconds()

    def checks(self) -> list[dict[str, Any]]:
        """All of each check, for the console."""
        return self._board.states(self._service.hub.now(), self._interval)

    # The loop

    def configure(self, settings: Settings) -> None:
        """Take the settings of a start or a reload. Only another interval begins the loop again:
        reloads that follow each other closely would leave no time for a round.
        """
        if self._service.leaving:
            return
        interval, self._interval = self._interval, settings.canary
        self._runner.limit = min(CHECK_SECONDS, settings.canary)
        self._routes = canary_routes(settings) if settings.canary else {}
        self._xmpp = self._xmpp_session(settings) if settings.canary else None
        xmpp = () if self._xmpp is None else ("xmpp",)
        names = ("listener", *CHECKS, *xmpp, *self._routes) if settings.canary else ()
        self._board.expect(names, self._service.hub.now())
        if interval != settings.canary:
            self._tasks.cancel()
            if settings.canary:
                self._tasks.spawn(self._run(settings.canary))

    def _xmpp_session(self, settings: Settings) -> Callable[[], XmppCheck] | None:
        """Makes the check of each round; None without a domain or a login."""
        if self._service.bosh is None:
            return None
        anonymous = settings.xmpp_anonymous and "ANONYMOUS" in settings.xmpp_mechanisms
        if settings.canary_account is None and not (anonymous and settings.xmpp_domains):
            return None
        # Imported here: other hubs do not need XMPP.
        from pushhub.canary.xmpp_check import XmppAccount, XmppCheck

        account = XmppAccount(settings.canary_account or "", settings.canary_password or "")
        domain = account.domain or settings.xmpp_domains[0]
        random_bytes = self._service.runtime.random_bytes
        return lambda: XmppCheck(self._private, self._prefix, account, domain, random_bytes)

    async def _run(self, interval: float) -> None:
        hub = self._service.hub
        await asyncio.sleep(interval * self._service.runtime.uniform(*FIRST_PART))
        while not self._service.leaving and not hub.draining:
            begun = hub.now()
            await self.check()
            await asyncio.sleep(max(interval / 2, interval - (hub.now() - begun)))
        self._board.expect((), hub.now())

    async def check(self) -> None:
        """One round."""
        await asyncio.gather(
            self._runner.run("listener", self._public.run()),
            self._log_checks.run(),
            *(() if self._xmpp is None else (self._runner.run("xmpp", self._xmpp().run()),)),
            *(
                self._runner.run(name, OriginCheck(self._private, route).run())
                for name, route in self._routes.items()
            ),
        )

    async def close(self) -> None:
        """End the rounds."""
        self._tasks.cancel()
        await self._tasks.wait()
        self._log_checks.close()
        self._board.expect((), self._service.hub.now())
