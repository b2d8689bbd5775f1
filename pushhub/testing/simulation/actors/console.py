"""An operator who looks at the console: figures, traces, who waits, and what the origin says."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pushhub.testing.simulation.actors.actor import CHANNELS, RETRY_SECONDS, Actor
from pushhub.testing.simulation.oracle import DELIVERY_SECONDS
from pushhub.testing.simulation.world import API_KEY

if TYPE_CHECKING:
    from pushhub.testing.simulation.http import SimulatedResponse

BASE = "/_pushhub/console"
# A process tells its figures once a second, as long as somebody wishes it.
FIGURES_SECONDS = 1.0 + DELIVERY_SECONDS


class ConsoleActor(Actor):
    """Opens the page for some time, as its JavaScript asks."""

    longest = 120.0
    # They have the memory and the CPU of this machine in them.
    is_told = False

    def credentials(self) -> dict[str, str]:
        return {"authorization": f"Bearer {API_KEY}"}

    async def turn(self) -> None:
        if not await self._get("POST", "/session"):
            return
        trace = f"{self.random.getrandbits(48):012x}"
        wishes = (
            {"figures": True},
            {"origin": True},
            {"presence": self.random.choice(CHANNELS)},
            {"trace": trace, "channel": self.random.choice(CHANNELS)},
            {"trace": trace, "client": self.address},
        )
        cursor = ""
        for _ in range(self.random.choice((1, 3, 8))):
            if self.world.over or not self.world.working.is_set():
                break
            wish = self.random.choice(wishes)
            asked = self.world.now()
            response = await self.ask_json("POST", f"{BASE}/wish", {}, wish)
            if response is None or response.status != 202:
                self._refused(response, asked)
                break
            cursor = await self._follow(cursor, figures="figures" in wish)
            await self._get("GET", self.random.choice(("/now", "/settings")))
            await asyncio.sleep(self.random.choice((0.5, 4.0, 5.0, 14.9, 15.1, 20.0)))
        if self.random.random() < 0.5:
            await self.ask_json("POST", f"{BASE}/wish", {}, {"end": trace})

    async def _follow(self, cursor: str, *, figures: bool) -> str:
        """Read what processes tell, as long as there is something; where it ends."""
        asked, heard = self.world.now(), False
        for _ in range(5):
            since = f"?since={cursor}" if cursor else "?since=earliest"
            headers = {"prefer": "wait=2"}
            response = await self.ask("GET", f"{BASE}/feed{since}", headers)
            if response is None or response.status not in (200, 410):
                self._refused(response, asked)
                return ""
            if response.status == 410:
                return str(response.json()["oldest"])
            page = response.json()
            cursor = page["cursor"]
            heard = heard or any("figures" in event["data"] for event in page["events"])
            if heard or not page["events"]:
                break
        late = self.world.now() > asked + FIGURES_SECONDS
        if figures and late and not heard and not self.world.troubled_any(asked, self.world.now()):
            self.world.oracle.find("figures", self.name, "no process told its figures")
        return str(cursor)

    async def _get(self, method: str, path: str) -> bool:
        asked = self.world.now()
        response = await self.ask(method, f"{BASE}{path}")
        if response is not None and response.status == 200:
            return True
        self._refused(response, asked)
        await asyncio.sleep(RETRY_SECONDS)
        return False

    def _refused(self, response: SimulatedResponse | None, asked: float) -> None:
        if response is not None and not self.world.troubled_any(asked, self.world.now()):
            self.world.oracle.find("refused", self.name, f"{response}")
