"""Sessions without a network: requests by name, and a manual clock."""

from dataclasses import dataclass, field
from typing import Any

from pushhub import xml
from pushhub.bosh.action import Action, Deliver, Ended, Respond, Restart
from pushhub.bosh.body import HTTPBIND, BoshBody, parse, terminate
from pushhub.bosh.condition import BindingError, BoshCondition
from pushhub.bosh.negotiation import DEFAULT_CONTENT, BoshPolicy
from pushhub.bosh.session import BoshSession
from pushhub.xml import Element
from tests.bosh.echo import JID, Echo, StreamError

HOST = "localhost"


@dataclass(frozen=True)
class Reply:
    """The response to a request."""

    status: int
    body: bytes
    content: str = DEFAULT_CONTENT

    @property
    def element(self) -> Element:
        return xml.parse(self.body, own=True)


@dataclass
class Member:
    """A session with its stream."""

    session: BoshSession
    stream: Echo = field(default_factory=Echo)
    ended: Ended | None = None


class Machine:
    """A server with one domain. `policy` has its limits."""

    def __init__(self, policy: BoshPolicy | None = None) -> None:
        self.policy = policy or BoshPolicy()
        self.now = 1000.0
        self.members: dict[str, Member] = {}
        self.forgotten: list[Member] = []
        self.replies: dict[str, Reply] = {}
        self.waiting: dict[str, str] = {}
        self._sids = 0

    @property
    def jid(self) -> str:
        return JID

    @property
    def last(self) -> Member:
        """The newest session, ended or not."""
        return [*self.forgotten, *self.members.values()][-1]

    def ask(self, name: str, raw: bytes) -> None:
        """A request arrives; later steps call it `name`."""
        assert name not in self.replies
        assert name not in self.waiting
        self.waiting[name] = ""
        try:
            body = parse(raw)
            if body.sid:
                member = self.members.get(body.sid)
                if member is None:
                    self._reply(name, terminate(BoshCondition.ITEM_NOT_FOUND))
                    return
                self.waiting[name] = body.sid
                actions = member.session.request(body.rid, body, raw, self.now, name)
            else:
                member, actions = self._open(name, body, raw)
        except BindingError as error:
            self._reply(name, terminate(error.condition), error.status)
            return
        self.do(member, actions)

    def _open(self, name: str, body: BoshBody, raw: bytes) -> tuple[Member, list[Action]]:
        self._sids += 1
        sid = f"sid{self._sids}"
        session, actions = BoshSession.create(sid, body, raw, self.policy, self.now, name)
        if body.get("to") != HOST:
            raise body.refused("Another host.", BoshCondition.HOST_UNKNOWN)
        member = self.members[sid] = Member(session)
        self.waiting[name] = sid
        session.put(member.stream.features())
        return member, actions

    def do(self, member: Member, actions: list[Action]) -> None:
        """Perform the actions of a session, as each of its users does."""
        session = member.session
        content = session.negotiated.content
        for action in actions:
            match action:
                case Respond(handle, body, status):
                    self._reply(str(handle), body, status, content)
                case Deliver(elements):
                    self._deliver(member, elements)
                case Restart():
                    session.put(member.stream.features())
                case Ended():
                    assert member.ended is None
                    member.ended = action
                    self.forgotten.append(member)
                    del self.members[session.sid]
        if actions or not session.ended:
            flushed = session.flush(self.now)
            if flushed:
                self.do(member, flushed)

    def _deliver(self, member: Member, elements: tuple[Element, ...]) -> None:
        for element in elements:
            try:
                member.session.put(*member.stream.receive(element))
            except StreamError as error:
                condition = BoshCondition.REMOTE_STREAM_ERROR
                self.do(member, member.session.terminate(condition, [error.element], self.now))
                return

    def _reply(
        self, name: str, body: bytes, status: int = 200, content: str = DEFAULT_CONTENT
    ) -> None:
        del self.waiting[name]
        self.replies[name] = Reply(status, body, content)

    def hang_up(self, name: str) -> None:
        """The client of a request disconnects."""
        # The same object as the handle of the request, not an equal one.
        handle = next(handle for handle in self.waiting if handle == name)
        member = self.members[self.waiting.pop(name)]
        member.session.disconnected(handle, self.now)
        self.do(member, [])

    def put(self, payload: str) -> None:
        """Another user sends an element to the newest session."""
        member = self.last
        member.session.put(payload.encode())
        self.do(member, member.session.flush(self.now))

    def turn(self, seconds: float) -> None:
        """Advance the time, and expire sessions at their deadlines."""
        end = self.now + seconds
        while True:
            due = min((m.session.deadline for m in self.members.values()), default=end)
            if due > end or not self.members:
                break
            self.now = max(self.now, due)
            for member in list(self.members.values()):
                if member.session.deadline <= self.now:
                    self.do(member, member.session.expire(self.now))
        self.now = end

    def reply(self, name: str, seconds: float = 0) -> Reply | None:
        """The response to a request; None while it is held."""
        return self.replies.get(name)

    def close(self) -> None:
        """Check the end: no request waits for an ended session."""
        assert all(sid in self.members for sid in self.waiting.values())


def body(rid: int, sid: str = "", payload: str = "", **attributes: Any) -> bytes:
    """A request."""
    named = {"rid": rid, **({"sid": sid} if sid else {}), **attributes}
    text = "".join(f" {name.replace('_', ':')}='{value}'" for name, value in named.items())
    return f"<body xmlns='{HTTPBIND}'{text}>{payload}</body>".encode()
