"""Every log line that is not counted has its bound in this list.

A line for each request of a client, or for each failure of an outage, fills the disk and hides all
other lines. Such lines go through `Hub.log` (`CountedLog`), which needs no entry. A new direct
call of a logger is added to this list with its bound, or this test fails.
"""

import ast
from collections.abc import Iterator

from tests.arch.sources import MODULES, tree

# Commands of a user's terminal, and load generators that end with their time.
OUT = ("pushhub/cli/", "pushhub/doctor/", "pushhub/testing/")
LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}

# module:function event → what bounds its lines.
LINES = {
    "origin/misdirected.py:Misdirected.refused origin.misdirected": "once for each fixed route",
    "origin/sources/followed.py:FollowedSource.run source.disconnected": "once for each reason",
    "origin/sources/followed.py:FollowedSource.connected source.connected": "a pause that doubles",
    "origin/shared/unshared_log.py:UnsharedLog._warn": "once an hour for each route and reason",
    "origin/shared/unshared_log.py:UnsharedLog.always_new origin.always_new": "once an hour each",
    "server/descriptors.py:DescriptorMonitor.expire descriptors.available": "a change",
    "server/descriptors.py:DescriptorMonitor.expire descriptors.exhausted": "a change",
    "server/reload.py:Reload.run settings.changed": "100 for each reload",
    "server/reload.py:Reload.run settings.rejected": "one for each reload",
    "server/reload.py:Reload.run settings.need_restart": "one for each setting and reload",
    "api/access_log.py:AccessLog.end request": "only with the setting `access_log`",
    "server/server.py:Server.shutdown server.draining": "once in a process",
    "server/server.py:Server.shutdown server.stopped": "once in a process",
    "server/supervisor.py:Supervisor._schedule_restart worker.died": "a pause that doubles",
    "server/supervisor.py:Supervisor._kill worker.hung": "one for each start of a worker",
    "server/supervisor.py:Supervisor._stop_workers worker.killed": "once a worker, at the end",
    "server/supervisor.py:Supervisor._start worker.socket_failed": "5 s until the next try",
    "server/supervisor.py:Worker.receive worker.ready": "one for each start of a worker",
    "store/redis/server_check.py:ServerCheck.look redis.evicts": "a change, seen every few seconds",
    "store/redis/server_check.py:ServerCheck.look redis.no_eviction": "a change, every few seconds",
    "store/redis/idle.py:IdleWalk.run store.idle_walk_failed": "a pause between two walks",
    "store/redis/namespace_walk.py:NamespaceWalk._run store.namespace_walk_failed": (
        "a pause between two walks"
    ),
    "store/redis/link.py:RedisLink._keep redis.connected": "a pause that doubles, up to 2 s",
    "store/redis/link.py:RedisLink._keep redis.failed": "a pause that doubles, up to 2 s",
    "store/redis/link.py:RedisLink._log_reason": "once until the reason changes",
    "store/redis/link.py:RedisLink._lost_commands redis.lost": "one a connection, see `_keep`",
    "store/redis/link.py:RedisLink._lost_feed redis.lost": "one a connection, see `_keep`",
    "store/redis/link.py:_log_refusal redis.refused": "a RefusalLog counts it",
    "store/redis/link.py:_log_unreadable redis.unreadable": "a RefusalLog counts it",
    "store/redis/sentinel.py:Sentinels._learn sentinel.switched": "one for each failover",
    "store/redis/sentinel.py:Sentinels._listen sentinel.failed": "a pause that doubles, up to 5 s",
    "store/redis/sentinel.py:Sentinels._listen sentinel.unreachable": "debug; the same pause",
    "store/redis/sentinel.py:Sentinels._receive sentinel.aborted": "one for each failover",
    "store/redis/sentinel.py:Sentinels._receive sentinel.failover": "one for each failover",
    "store/sqlite/store.py:_log_line": "a RefusalLog counts it",
    "tracing/exporter.py:CountingExporter.export tracing.export_failed": "the first of a row",
    "store/sqlite/file.py:SqliteFile._check store.upgraded": "once for each opening",
    "store/sqlite/file.py:SqliteFile._narrow store.narrowed": "one a file, for each opening",
    "store/sqlite/file.py:SqliteFile._narrow store.readable": "one a file, for each opening",
    "store/sqlite/file.py:SqliteFile._recognise store.epoch_changed": "once for each opening",
    "store/sqlite/log.py:SqliteLog._checkpoint store.checkpoint_failed": "one for 4,000 pages",
    "store/sqlite/log.py:SqliteLog.commit store.sidecar_failed": "once until it works again",
    "app.py:create_app environment.ignored": "once for each application",
    "app.py:App.open limits.private_addresses_uncounted": "once in a process",
    "api/revocation.py:revoke.work revocation.added": "one for each request of an operator",
    "auth/jwks_source.py:JwksSource._refresh jwks.failed": "once until the reason changes",
    "auth/jwks_source.py:JwksSource._refresh jwks.refreshed": "a change of the provider's keys",
    "app.py:App.reconfigure settings.reloaded": "one for each reload",
    "api/bosh_handler.py:BoshHandler.handle bosh.refused": "debug: on in a search for a fault",
    "canary/check.py:_write canary.failed": "a change; one a round for each check",
    "canary/check.py:_write canary.works_again": "a change; one a round for each check",
    "console/agent.py:ConsoleAgent._reply.settled console.feed_failed": "debug; one for each turn",
    "auth/audit.py:AuditLog.refuse": "`NETWORK_RATE` and `PROCESS_RATE`",
    "xmpp/sasl/login.py:_offered xmpp.unknown_mechanisms": "once in a process",
    "xmpp/server.py:XmppServer.open xmpp.unsafe_expat": "once in a process",
    "embedding/push_hub.py:PushHub.lifespan waits.not_upgraded": "once for each start of the host",
    "contrib/django/publishing.py:_write %s (%s, %d in the last minute)": "a RefusalLog counts it",
    "xmpp/storage/backoff.py:Backoff.give_up xmpp.stalled": "once a minute for each loop",
}


def qualified(module: str) -> Iterator[tuple[str, ast.AST, ast.AST | None]]:
    """Every node of a module, with the names of the functions around it, and its parent."""

    def visit(
        node: ast.AST, names: tuple[str, ...], parent: ast.AST | None
    ) -> Iterator[tuple[str, ast.AST, ast.AST | None]]:
        yield ".".join(names), node, parent
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names = (*names, node.name)
        for child in ast.iter_child_nodes(node):
            yield from visit(child, names, node)

    yield from visit(tree(MODULES[module]), (), None)


def lines(module: str) -> Iterator[str]:
    """The direct uses of a module's logger, by function and event."""
    for function, node, parent in qualified(module):
        if not isinstance(node, ast.Attribute) or node.attr not in LEVELS:
            continue
        if not isinstance(node.value, ast.Name) or node.value.id not in ("log", "logger", "_log"):
            continue
        event = ""
        if isinstance(parent, ast.Call) and parent.func is node and parent.args:
            first = parent.args[0]
            event = str(first.value) if isinstance(first, ast.Constant) else ""
        yield f"{module.removeprefix('pushhub/')}:{function} {event}".strip()


def test_every_log_line_has_a_bound() -> None:
    found = {line for module in MODULES if not module.startswith(OUT) for line in lines(module)}
    assert found == LINES.keys()
