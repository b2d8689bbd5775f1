"""All accounts with sessions on this node, and the regular write of their delivery markers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pushhub.store.base import StoreError, StoreUnavailable
from pushhub.xmpp.model.stanza import StreamError
from pushhub.xmpp.routing.local_user import LocalUser

if TYPE_CHECKING:
    from pushhub.xmpp.context import Context
    from pushhub.xmpp.model.jid import Jid
    from pushhub.xmpp.routing.cluster import Cluster
    from pushhub.xmpp.routing.session import XmppSession

# How often markers are written. A crash redelivers at most the messages of this time.
SAVE_SECONDS = 5.0


class LocalUsers:
    """The local users by bare address."""

    cluster: Cluster
    """Set once, by the composition root: the cluster delivers to these users."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.by_jid: dict[str, LocalUser] = {}
        # Users without sessions, until their markers are written.
        self._closing: dict[str, LocalUser] = {}
        self._timer: asyncio.TimerHandle | None = None

    def get_or_add(self, jid: Jid, *, anonymous: bool) -> LocalUser:
        """The local user of an address, new if the account has no session here."""
        user = self.by_jid.get(jid.bare)
        if user is None:
            bare = jid.with_resource("")
            user = LocalUser(self._context, self.cluster, bare, anonymous=anonymous)
            self.by_jid[jid.bare] = user
            if self._timer is None:
                self._schedule()
        return user

    def remove_session(self, session: XmppSession) -> None:
        """Remove a session, and its user after the last one."""
        user = session.user
        del user.sessions[session.jid.resource]
        if not user.sessions:
            user.close()
            if self.by_jid.get(user.jid.bare) is user:
                del self.by_jid[user.jid.bare]
            closing = self._closing.get(user.jid.bare)
            # A user whose session could not begin has nothing to write.
            if not user.anonymous and (closing is None or closing.state.is_written):
                self._closing[user.jid.bare] = user

    async def save_closed(self, user: LocalUser) -> None:
        """Write the marker of a user without sessions, and forget the user when the store has
        it."""
        await user.save()
        if user.state.is_written and self._closing.get(user.jid.bare) is user:
            del self._closing[user.jid.bare]

    async def wait_closed(self, bare: str) -> None:
        """Wait until the marker of an account's ended sessions is written.

        Raises:
            StoreUnavailable: it cannot be written, and the next session would miss messages.
        """
        if (user := self._closing.get(bare)) is not None:
            await user.save()
            if not user.state.is_written:
                raise StoreUnavailable("The messages of ended sessions are not recorded yet.")

    def _schedule(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(SAVE_SECONDS, self._save_changed)

    def _save_changed(self) -> None:
        self._timer = None
        changed = [user for user in self.by_jid.values() if user.state.needs_attention]
        changed += [user for user in self._closing.values() if not user.state.is_written]
        if changed:
            self._context.spawn(self._save_all(changed))
        if self.by_jid or self._closing:
            self._schedule()

    async def _save_all(self, users: list[LocalUser]) -> None:
        rest = iter(users)
        for user in rest:
            try:
                if user.sessions:
                    await user.take_over()
                    await user.save()
                else:
                    await self.save_closed(user)
            except StoreError:
                raise  # It fails for the others, too.
            except Exception:
                # The error ends this task and is logged. The other accounts do not depend on it.
                self._context.spawn(self._save_all(list(rest)))
                raise

    def close(self) -> None:
        """Stop the timer, and end all sessions."""
        if self._timer is not None:
            self._timer.cancel()
        for user in list(self.by_jid.values()):
            for session in list(user.sessions.values()):
                session.stream.fail(StreamError("system-shutdown"))

    def __repr__(self) -> str:
        return f"<LocalUsers {len(self.by_jid)}>"
