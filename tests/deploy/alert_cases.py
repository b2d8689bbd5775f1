"""For each alert of deploy/prometheus/rules.yml: series with which it fires, and with which not."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Case:
    """Series, by selector, in the notation of `promtool test rules`, a sample for each `interval`.
    Those without the label `instance` belong to the first hub. `at` is the time of evaluation.
    """

    fires: dict[str, str]
    quiet: dict[str, str]
    at: str = "30m"
    interval: str = "1m"
    beside: frozenset[str] = frozenset()
    """Alerts that the series of `fires` cause, too. No others may fire with it."""


def _above(metric: str, value: str, below: str) -> Case:
    """A value above its threshold for long, and one below."""
    return Case({metric: f"{value}+0x60"}, {metric: f"{below}+0x60"})


def _grows(metric: str) -> Case:
    """A counter that grows now, and one that grew long ago."""
    return Case({metric: "3+0x20 4+1x20"}, {metric: "0+5x4 20+0x60"})


def _ratio(part: str, whole: str, fires: int, quiet: int) -> Case:
    """Parts of 1,000 a minute."""
    return Case(
        {part: f"0+{fires}x60", whole: f"0+{1000 - fires}x60"},
        {part: f"0+{quiet}x60", whole: f"0+{1000 - quiet}x60"},
    )


def _slow(fires: int, quiet: int, at: str, interval: str = "1m") -> Case:
    """Of 1,000 deliveries in each interval, those slower than 250 ms."""
    bucket = 'pushhub_wake_latency_seconds_bucket{le="0.25"}'
    count = {"pushhub_wake_latency_seconds_count": "0+1000x150"}
    return Case(
        {bucket: f"0+{1000 - fires}x150", **count},
        {bucket: f"0+{1000 - quiet}x150", **count},
        at=at,
        interval=interval,
    )


UP = "up"
UP_B = 'up{instance="b:8080"}'
LOST = "pushhub_canary_lost_untold_total"
RED = 'pushhub_canary_ok{check="poll"}'
AGE = 'pushhub_canary_age_seconds{check="poll"}'
INTERVAL = "pushhub_canary_interval_seconds"
FULL = 'pushhub_rejected_total{reason="full"}'
INTERNAL = 'pushhub_rejected_total{reason="internal"}'
AUDIT = 'pushhub_audit_dropped_total{reason="%s"}'
APPEND = 'pushhub_store_seconds_bucket{op="append",le="%s"}'
LAG = 'pushhub_loop_lag_seconds_bucket{le="%s"}'
RSS = "process_resident_memory_bytes"

CASES: dict[str, Case] = {
    "PushhubNobodyServed": Case(
        {UP: "0+0x60", UP_B: "0+0x60"},
        {UP: "0+0x60", UP_B: "1+0x60"},
        beside=frozenset({"PushhubNodeDown"}),
    ),
    "PushhubNodeDown": Case({UP_B: "1+0x20 0+0x20"}, {UP_B: "1+0x29 0+0x20"}, at="25m"),
    # A series without new samples is there for five minutes more.
    "PushhubNodeMissing": Case({UP_B: "1+0x20 _x40"}, {UP_B: "1+0x32 _x40"}, at="40m"),
    "PushhubWorkerMissing": Case(
        {"pushhub_workers": "4+0x20 3+0x40"}, {"pushhub_workers": "4+0x29 3+0x40"}
    ),
    "PushhubWorkersReplaced": _grows('pushhub_workers_replaced_total{reason="hung"}'),
    "PushhubDrainStuck": Case(
        {"pushhub_draining": "0+0x10 1+0x30"}, {"pushhub_draining": "0+0x25 1+0x30"}
    ),
    # The first error has no sample before it.
    "PushhubInternalErrors": Case({INTERNAL: "_x25 1+0x20"}, {INTERNAL: "_x5 1+0x60"}),
    "PushhubLostUntold": Case({LOST: "0+0x60 1+0x60"}, {LOST: "2+0x150"}, at="90m"),
    "PushhubCanaryRed": Case({RED: "1+0x20 0+0x20"}, {RED: "1+0x29 0 1+0x20"}),
    "PushhubCanaryOld": _above(AGE, "151", "149"),
    "PushhubCanaryOld with an interval": Case(
        {AGE: "751+0x60", INTERVAL: "300+0x60"}, {AGE: "749+0x60", INTERVAL: "300+0x60"}
    ),
    # Never less: a round may take a minute.
    "PushhubCanaryOld with a short interval": Case(
        {AGE: "151+0x60", INTERVAL: "10+0x60"}, {AGE: "149+0x60", INTERVAL: "10+0x60"}
    ),
    "PushhubCanaryMissing": Case({AGE: "30+0x2 _x60"}, {AGE: "30+0x60"}),
    # More than 14.4 times the objective, 1 of 1,000, for an hour.
    "PushhubDeliverySlow": Case(
        {**_slow(16, 0, "").fires},
        {**_slow(0, 5, "").quiet},
        at="90m",
        beside=frozenset({"PushhubDeliveryBudget"}),
    ),
    # Less than that, and more than 6 times, for hours: rates of five minutes do not exist here.
    "PushhubDeliverySlow by hours": Case(
        {**_slow(8, 0, "").fires},
        {**_slow(0, 2, "").quiet},
        at="10h",
        interval="10m",
        beside=frozenset({"PushhubDeliveryBudget"}),
    ),
    "PushhubDeliveryBudget": _slow(5, 2, at="90m"),
    "PushhubGaps": _ratio(
        'pushhub_recover_total{result="trimmed"}', 'pushhub_recover_total{result="ok"}', 3, 0
    ),
    "PushhubReconnectStorm": Case(
        {"pushhub_disconnect_total": "0+10x65 650+1200x20"},
        {"pushhub_disconnect_total": "0+1200x80"},
        at="70m",
    ),
    "PushhubHoldsNearLimit": Case(
        {"pushhub_channel_waits": "81000+0x60", "pushhub_channel_waits_limit": "100000+0x60"},
        {"pushhub_channel_waits": "79000+0x60", "pushhub_channel_waits_limit": "100000+0x60"},
    ),
    "PushhubHoldsRefused": _grows(FULL),
    "PushhubStoreAway": Case(
        {"pushhub_store_ready": "1+0x20 0+0x20"}, {"pushhub_store_ready": "1+0x60"}
    ),
    "PushhubStoreStuck": _above("pushhub_store_lag_seconds", "1.5", "0.5"),
    "PushhubPublishFails": _ratio(
        'pushhub_publish_total{result="failed"}', 'pushhub_publish_total{result="ok"}', 20, 5
    ),
    "PushhubStoreSlow": Case(
        {APPEND % "0.25": "0+90x60", APPEND % "0.5": "0+100x60", APPEND % "+Inf": "0+100x60"},
        {APPEND % "0.25": "0+100x60", APPEND % "0.5": "0+100x60", APPEND % "+Inf": "0+100x60"},
    ),
    "PushhubStoreReadsFail": _grows("pushhub_store_read_failed_total"),
    "PushhubStoreEvicts": _above("pushhub_store_evicts", "1", "0"),
    "PushhubFeedLate": Case(
        {"pushhub_feed_repaired_total": "0+1x60"}, {"pushhub_feed_repaired_total": "0+0x20 1+0x60"}
    ),
    "PushhubNamespaceNearlyFull": Case(
        {'pushhub_namespace_bytes{namespace="news"}': "95+0x60"},
        {'pushhub_namespace_bytes{namespace="news"}': "85+0x60"},
    ),
    "PushhubOriginFails": _ratio(
        'pushhub_origin_looks_total{result="failed"}',
        'pushhub_origin_looks_total{result="unchanged"}',
        80,
        20,
    ),
    "PushhubOriginAlwaysNew": Case(
        {"pushhub_origin_always_new_total": "0+1x200"},
        {"pushhub_origin_always_new_total": "0+1x10 10+0x200"},
        at="2h",
    ),
    "PushhubOriginStalled": _grows("pushhub_origin_stalled_total"),
    "PushhubOriginStretched": _above("pushhub_origin_stretched_seconds", "61", "59"),
    # For two workers.
    "PushhubOriginResourcesNearLimit": _above("pushhub_origin_resources", "33000", "31000"),
    "PushhubSourceDisconnected": _above("pushhub_sources_disconnected", "1", "0"),
    "PushhubSessionBytesNearLimit": Case(
        {
            "pushhub_bosh_session_bytes": "81+0x60",
            "pushhub_bosh_session_limit_bytes": "100+0x60",
        },
        {
            "pushhub_bosh_session_bytes": "79+0x60",
            "pushhub_bosh_session_limit_bytes": "100+0x60",
        },
    ),
    "PushhubXmppStalls": _grows('pushhub_xmpp_stalls_total{loop="register"}'),
    "PushhubLimitsRefuse": Case(
        {'pushhub_limited_total{limit="address-requests"}': "0+61x60"},
        {'pushhub_limited_total{limit="address-requests"}': "0+59x60"},
    ),
    "PushhubLimitsDegraded": _grows("pushhub_limits_degraded_total"),
    "PushhubBodiesRefused": _grows('pushhub_body_refused_total{limit="process"}'),
    # Without an identity provider there are no reads and no keys.
    "PushhubNoIdentityKeys": Case(
        {"pushhub_jwks_keys": "0+0x60", 'pushhub_jwks_reads_total{result="failed"}': "1+1x60"},
        {"pushhub_jwks_keys": "0+0x60", 'pushhub_jwks_reads_total{result="failed"}': "0+0x60"},
    ),
    "PushhubIdentityKeysOld": _above("pushhub_jwks_age_seconds", "3700", "600"),
    "PushhubAuditDropped": Case(
        {AUDIT % "file": "0+0x20 1+0x20"}, {AUDIT % "file": "0+0x60", AUDIT % "rate": "0+9x60"}
    ),
    # For two workers, whose limit is 1,000 each.
    "PushhubFilesNearLimit": Case(
        {"process_open_fds": "1700+0x60", "process_max_fds": "1000+0x60"},
        {"process_open_fds": "1500+0x60", "process_max_fds": "1000+0x60"},
    ),
    "PushhubFilesExhausted": _grows("pushhub_descriptors_exhausted_total"),
    "PushhubLoopLag": Case(
        {LAG % "0.1": "0+900x60", LAG % "0.25": "0+1000x60", LAG % "+Inf": "0+1000x60"},
        {LAG % "0.1": "0+999x60", LAG % "0.25": "0+1000x60", LAG % "+Inf": "0+1000x60"},
    ),
    "PushhubMemoryGrows": Case(
        {RSS: "2e9+5e7x70", "pushhub_holds": "1000+0x70"},
        {RSS: "2e9+5e7x70", "pushhub_holds": "1000+100x70"},
        at="26h",
        interval="30m",
    ),
}

# A healthy hub of two workers, in every case unless the case says otherwise.
HEALTHY = {
    UP: "1+0x150",
    UP_B: "1+0x150",
    "pushhub_workers": "2+0x150",
    AGE: "30+0x150",
    'pushhub_canary_age_seconds{check="poll",instance="b:8080"}': "30+0x150",
    'pushhub_namespace_limit_bytes{namespace="news"}': "100+0x150",
}
