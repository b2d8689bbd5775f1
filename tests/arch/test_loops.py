"""Every loop that may wait, or has no end of its own, says here what makes it pause and end.

A retry without a pause asks its neighbour as fast as it can, and one without a bound for ever. So a
new loop is added to this list, or its test fails: with what it waits for in each round, and what
ends it.
"""

import ast
from collections.abc import Iterator

from tests.arch.sources import MODULES, tree

# Load generators end with their time, and are no part of a server.
_OUT = ("pushhub/bench/", "pushhub/testing/")

# module:function → what a round waits for; what ends the loop.
LOOPS = {
    "cli/follow.py:TailFollower.follow": "a poll or a backoff; the user ends it",
    "cli/fence.py:_fence": "the task, or a tick; the task's end",
    "cli/top.py:_print_all": "the interval, and responses of at most 5 s; the user ends it",
    "cli/top.py:_live": "a key or 0.1 s; the user ends it",
    "conformance/hub_cases.py:_waiting": "0.05 s; a request that is held, or 20 s",
    "conformance/stage.py:Stage.until": "a request, a line or the client's end; its seconds",
    "doctor/through.py:_tick": "1 s; the end of the probes cancels it",
    "doctor/probes.py:Probes.lasting": "bytes; the stream's end or the time of the probe",
    "doctor/probes.py:Probes._process_with": "a response and 0.05 s; 5 s",
    "doctor/probes.py:Probes.stream.until": "bytes; the event or 3 s",
    "doctor/probe_client.py:ProbeConnection.ask": "bytes; the response's end or the caller's time",
    "auth/jwks_source.py:JwksSource._run": "the interval, a pause that doubles, or a request, at "
    "most one in 30 s; the app's end cancels it",
    "auth/jwks_source.py:_fetch": "bytes; the response's end, 256 KiB or 10 s",
    "api/revocation_register.py:RevocationRegister._read_changed": "a read, or a pause that "
    "doubles up to 10 s; no value has changed, or the app's end",
    "canary/canary.py:Canary._run": "the rest of the interval; the drain, or a reload cancels it",
    "canary/client.py:CanaryClient.receive": "bytes; the response's end, or the check's 10 s",
    "canary/client.py:CanaryClient.receive_head": "bytes; the head, or the check's 10 s",
    "canary/client.py:CanaryClient.piece": "bytes; a piece, or the check's 10 s",
    "canary/feed_check.py:FeedCheck._reach": "an event; the log's end, or the check's 10 s",
    "canary/log_reads.py:CanaryStream.reach": "bytes; the event, or the check's 10 s",
    "canary/log_reads.py:CanaryWait.reach": "an event; the awaited one, or the check's 10 s",
    "canary/xmpp_check.py:XmppCheck._next": "a response; the element, or the check's 10 s",
    "embedding/subscriber.py:subscribe": "an event or the end of its hold; a pause that doubles up "
    "to 30 s while the log cannot be read; the drain, or the subscriber",
    "embedding/waiting_route.py:WaitingExchange._respond": "an event, and a run of the route; the "
    "deadline of the wait",
    "embedding/waiting_route.py:WaitingExchange._disconnected": "a message; the client's end, or "
    "the response",
    "hub/drain.py:complete_holds": "a step, or a turn of the loop when time is up; no hold is left",
    "hub/subscription.py:Subscription.start": "a hold or 1 s; each round reads on, a drain or "
    "`stop` ends it",
    "origin/client/pool.py:OriginClient.request": "a connection; sent again once",
    "origin/shared/fetcher.py:Fetcher._fetch": "bytes; the body's end, 240 KiB or the "
    "origin's silence",
    "origin/grip/gateway.py:GripGateway._get_with_retries": "2**n s and a random part; the hold's "
    "end cancels it",
    "origin/grip/upstream.py:read_body": "bytes; the body's end, a size or the origin's silence",
    "origin/grip/stream.py:GripResponseStream._read_body": "bytes; the body's end or the origin's "
    "silence",
    "origin/client/connection.py:UpstreamConnection.send": "an event of the connection; the "
    "response, its end or its silence",
    "origin/client/connection.py:UpstreamConnection.read": "an event of the connection; a piece, "
    "its end or its silence",
    "origin/client/connection.py:UpstreamConnection.read_raw": "an event of the connection; a "
    "piece, its end or its silence",
    "origin/exchange.py:ProxyExchange._write": "bytes and space; the body's end or either side's "
    "silence",
    "origin/shared/resource.py:Resource._fetch_while_needed": "a fetch; each round resolves all "
    "requests from before it, and one that resolves none is given up and logged",
    "origin/sources/followed.py:FollowedSource.run": "the source's end, and a pause that doubles "
    "up to 30 s; the app's end cancels it",
    "origin/sources/postgres.py:PostgresSource._receive": "notifications or 30 s; the connection's "
    "end",
    "origin/shared/channel_cleanup.py:ChannelCleanup._retry": "30 s; no channel is left to delete",
    "origin/client/response.py:UpstreamResponse.body": "bytes; the body's end or the origin's "
    "silence",
    "grip/sequence.py:ItemSequence._record": "nothing; each round takes an item",
    "server/http1/upload.py:Upload.__aiter__": "bytes of the client; the body's end or its silence",
    "server/http1/upload.py:Upload.body": "bytes of the client; the body's end or its silence",
    "server/server.py:Server._unless_forced": "the task, or a tick; the task's end",
    "xmpp/routing/local_user.py:LocalUser._locate": "a reply of the directory; no message is left",
    "xmpp/storage/offline.py:offline_starts": "a page of the archive; its end, or a page without "
    "messages",
    "xmpp/transport/returned_sessions.py:ReturnedSessions._store": "0.5 to 1 s; the session is "
    "stored, or its time is over",
    "store/redis/fence.py:Fence._connect": "a pause that doubles; the fence's end",
    "store/redis/fence.py:Fence.keep": "a pause; the snapshot's end or the fence's",
    "store/redis/fence.py:Fence.restarted": "a pause that doubles; the fence's end",
    "store/redis/idle.py:IdleWalk._remove": "a reply for each slice; the last channel of the SCAN",
    "store/redis/idle.py:IdleWalk._walk": "a pause for each SCAN; the last key, or another's claim",
    "store/redis/idle.py:IdleWalk.run": "a pause between walks; the store's end cancels it",
    "store/redis/namespace_walk.py:NamespaceWalk._run": (
        "a pause between walks, or another namespace; the store's end cancels it"
    ),
    "store/redis/namespace_walk.py:NamespaceWalk._walk": (
        "a pause for each slice; the last channel, or another's claim"
    ),
    "store/redis/link.py:RedisLink.close": "the tasks' end",
    "store/redis/link.py:RedisLink._keep": "a loss, then pauses that double; the link's end "
    "cancels it",
    "store/redis/link.py:RedisLink._watch": "a sleep; the link's end cancels it",
    "store/redis/sentinel.py:Sentinels.close": "the tasks' end, which are cancelled in each round",
    "store/redis/sentinel.py:Sentinels._listen": "a message or a second, and pauses that double "
    "after a loss; the link's end cancels it",
    "store/sqlite/store.py:SqliteStore._sweep": "a turn of the writer for each slice; the last "
    "channel",
    "store/sqlite/store.py:SqliteStore._write": "a job of the queue; the last job ends it",
    "trial/demo_api.py:DemoApi._change": "some seconds; the trial's end cancels it",
    "trial/demo_api.py:DemoApi._serve": "a request; its client's end",
    "trial/observers.py:TrialObserver._response": "bytes; the body's end, 1 MiB or its silence",
    "trial/observers.py:TrialObserver.long_poll": "a response, and where it was not held the "
    "poller's interval; the trial's end cancels it",
    "trial/observers.py:TrialObserver.poll": "the interval; the trial's end cancels it",
    "trial/trial.py:_ticks": "a tick; the trial's time",
    "advice/survey.py:_body": "bytes; the body's end, 240 KiB or 5 s",
    "api/asgi.py:AsgiExchange._body": "a message of the server; the body's end",
    "api/asgi.py:AsgiExchange._refuse": "a message of the server; 16 MiB, 2 s or the body's end",
    "api/asgi.py:AsgiExchange._completed": "a message of the server; the client's end",
    "api/asgi.py:AsgiExchange._stream": "a step of the stream; its end",
    "api/channels.py:delete_many.work": "a page of names; the last, or 10,000 channels",
    "api/asgi_proxy.py:AsgiProxy._body": "a message of the server; the body's end",
    "api/asgi_proxy.py:AsgiProxy._disconnected": "a message of the server; the client's end",
    "xmpp/storage/offline.py:_events_between": "a page of the archive; each round reads on",
    "xmpp/routing/archive_flush.py:ArchiveFlush._send_later": "a page of the archive; each round "
    "reads on",
    "xmpp/routing/local_user.py:LocalUser.catch_up": "the archive; a round ends only with the end "
    "of its session",
    "xmpp/transport/binding.py:SessionBinder._insist": "a pause that doubles up to 30 s; an hour",
    "xmpp/routing/lost_end.py:_first_of": "a read; each round halves the span",
    "xmpp/tasks.py:BackgroundTasks.settle": "the tasks' end",
    "xmpp/transport/bosh_sessions.py:BoshSessions.migrate_all": "a sleep; a deadline",
    "xmpp/xep/mam.py:Archive.first_since": "a read; each round halves the span",
    "xmpp/xep/mam.py:Archive.forward": "a page of the archive; each round reads on",
    "xmpp/xep/mam.py:Archive.backward": "a page of the archive; each round reads on",
    "xmpp/storage/stamps.py:Stamps._times": "a page of the archive; each round reads on",
    "xmpp/xep/pubsub/discovery.py:ChannelListing._readable": "a page of names; each round reads on",
    "xmpp/xep/pubsub/items.py:stored_items": "a page of the channel; each round reads on",
}


def loops(module: str) -> Iterator[str]:
    """The loops of a module that wait, or that no condition of their own ends."""

    def visit(node: ast.AST, names: tuple[str, ...]) -> Iterator[str]:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names = (*names, node.name)
        endless = isinstance(node, ast.While) and isinstance(node.test, ast.Constant)
        waiting = isinstance(node, ast.While) and any(
            isinstance(inner, ast.Await) for inner in ast.walk(node)
        )
        counting = isinstance(node, ast.For | ast.AsyncFor) and ast.unparse(node.iter).startswith(
            ("count(", "itertools.count(", "repeat(", "itertools.repeat(", "iter(")
        )
        if endless or waiting or counting:
            yield ".".join(names)
        for child in ast.iter_child_nodes(node):
            yield from visit(child, names)

    yield from visit(tree(MODULES[module]), ())


def test_every_loop_that_waits_says_what_ends_it() -> None:
    found = {
        f"{name.removeprefix('pushhub/')}:{where}"
        for name in MODULES
        if not name.startswith(_OUT)
        for where in loops(name)
    }
    assert found - LOOPS.keys() == set(), "say what makes these pause, and what ends them"
    unlisted = {
        "hub/subscription.py:Subscription.start"
    }  # It waits for a hold, and so without `await`.
    assert LOOPS.keys() - found - unlisted == set(), "these are no more"
