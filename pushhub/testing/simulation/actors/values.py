"""Clients that read a channel's value by its ETag."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pushhub.testing.simulation.actors.actor import CHANNELS, RETRY_SECONDS, Actor, excuse

if TYPE_CHECKING:
    from pushhub.testing.simulation.world import World


class ValueReader(Actor):
    """Waits for another value than it has."""

    longest = 15.0

    def __init__(self, world: World, name: str) -> None:
        super().__init__(world, name)
        self.channel = self.random.choice(CHANNELS)
        self.tag = ""

    async def turn(self) -> None:
        wait, asked = self.random.choice((0, 1, 25, 55)), self.world.now()
        headers = {"prefer": f"wait={wait}"} if wait else {}
        if self.tag:
            headers["if-none-match"] = self.tag
        response = await self.ask("GET", f"/_pushhub/v1/channels/{self.channel}", headers)
        if response is None:
            return
        oracle = self.world.oracle
        if response.status in (200, 304):
            tag = response.headers["etag"]
            if self.tag and response.status == 304 and tag.strip('"') != self.tag.strip('"'):
                oracle.find("etag", self.name, f"304 for {self.tag} with {tag}")
            if response.status == 200 and tag == self.tag:
                oracle.find("etag", self.name, f"200 for {self.tag}, which it has")
            if not self.world.troubled(self.node, asked, self.world.now()):
                oracle.value(self.name, self.node, self.channel, tag, None, asked)
            self.tag = tag
        elif response.status == 404:
            self.tag = ""
        else:
            await asyncio.sleep(RETRY_SECONDS)
            return
        granted = response.headers.get("preference-applied", "")
        if granted.startswith("wait="):
            empty, excused = response.status in (304, 404), excuse(response)
            oracle.waited(
                self.name, self.node, int(granted[5:]), asked, empty=empty, excused=excused
            )
            if response.status == 304 and not excused:
                oracle.missed(self.name, self.node, self.channel, self.tag, asked)
