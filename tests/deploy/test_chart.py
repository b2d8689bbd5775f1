"""The Helm chart: rendered by Helm's own code, validated against the schemas of Kubernetes.

No cluster runs here: scheduling, rolling updates, autoscaling and policies are not tested.
"""

from __future__ import annotations

import itertools
import json
import re
import tomllib
from typing import TYPE_CHECKING, Any

import pytest

import pushhub
from pushhub.capacity.model import Workload, estimate
from pushhub.settings import Settings, load
from pushhub.settings.secret_files import FILE_FORMS
from tests.deploy import chart
from tests.deploy.chart import Helm
from tests.ports import free_port
from tests.serving import serve

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROOT = chart.CHART.parents[2]
REDIS = {"kind": "redis", "url": "redis://valkey:6379/0"}
KEY = [{"name": "backend", "sha256": "ab" * 32, "publish": ["*"]}]
SMALL = {
    "serviceAccount": {"create": False},
    "topologySpread": {"enabled": False},
    "podDisruptionBudget": {"enabled": False},
    "rollOnConfigChange": False,
    "terminationLogs": False,
    "preStopSeconds": 0,
    "resources": {"requests": None, "limits": None},
}
FULL = {
    "image": {"repository": "registry.example/pushhub", "digest": "sha256:" + "0" * 64},
    "imagePullSecrets": [{"name": "registry"}],
    "store": {"kind": "redis"},
    "secrets": {"existingSecret": "push", "keys": chart.SECRETS},
    "config": {
        "workers": 2,
        "origin": "http://api:8000",
        "routes": [{"path": "/orders/{id}", "step": "poll", "interval": 0.5}],
        "namespaces": {"news": {"public": True, "retained_bytes": 10**15}},
        "limits": {"address-holds": {"most": 10_000_000}, "key-requests": {"rate": 0.25}},
        "token_audience": 'a "quoted" <text> \u2028 é \\',
        "cors_origins": ["https://app.example.com"],
        "control_hosts": ["push.internal"],
        "trusted_proxies": ["10.0.0.0/8"],
    },
    "service": {"annotations": {"example.com/a": "b"}},
    "httpRoute": {
        "enabled": True,
        "annotations": {"example.com/a": "b"},
        "parentRefs": [{"name": "gateway", "namespace": "gateways"}],
        "hostnames": ["push.example.com"],
    },
    "ingress": {
        "enabled": True,
        "className": "nginx",
        "annotations": {"nginx.ingress.kubernetes.io/proxy-read-timeout": "75"},
        "hosts": [{"host": "push.example.com", "paths": ["/"]}],
        "tls": [{"secretName": "tls", "hosts": ["push.example.com"]}],
    },
    "autoscaling": {"enabled": True},
    "networkPolicy": {
        "enabled": True,
        "from": [{"namespaceSelector": {"matchLabels": {"name": "gateways"}}}],
        "controlFrom": [{"podSelector": {"matchLabels": {"app": "backend"}}}],
        "storeTo": [{"podSelector": {"matchLabels": {"app": "valkey"}}}],
        "egress": [{"ports": [{"port": 8000, "protocol": "TCP"}]}],
    },
    "monitor": {"kind": "ServiceMonitor", "labels": {"r": "p"}, "keySecret": {"name": "metrics"}},
    "serviceAccount": {"annotations": {"example.com/a": "b"}},
    "podAnnotations": {"example.com/a": "b"},
    "podLabels": {"team": "push"},
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"key": "push", "operator": "Exists"}],
    "affinity": {"podAntiAffinity": {}},
    "priorityClassName": "high",
    "extraEnv": [{"name": "TZ", "value": "UTC"}],
}
COMMON = {"ConfigMap", "Service"}
# Values, the kinds that they make, and those that Kubernetes itself has no schema for.
CASES: dict[str, tuple[dict[str, Any], set[str], list[str]]] = {
    "default": ({}, {"StatefulSet", "ServiceAccount"}, []),
    "small": (SMALL, {"StatefulSet"}, []),
    "claim": (
        {"store": {"sqlite": {"existingClaim": "old"}}},
        {"StatefulSet", "ServiceAccount"},
        [],
    ),
    "class": (
        {"store": {"sqlite": {"storageClassName": "fast"}}},
        {"StatefulSet", "ServiceAccount"},
        [],
    ),
    "memory": ({"store": {"kind": "memory"}}, {"Deployment", "ServiceAccount"}, []),
    "redis": (
        {"store": REDIS},
        {"Deployment", "ServiceAccount", "PodDisruptionBudget"},
        [],
    ),
    "redis, one pod": (
        {"store": REDIS, "replicas": 1},
        {"Deployment", "ServiceAccount"},
        [],
    ),
    "pod monitor": (
        {"monitor": {"kind": "PodMonitor"}, "config": {"metrics_public": True}},
        {"StatefulSet", "ServiceAccount", "PodMonitor"},
        ["PodMonitor"],
    ),
    "policy": (
        {"networkPolicy": {"enabled": True}},
        {"StatefulSet", "ServiceAccount", "NetworkPolicy"},
        [],
    ),
    "ingress": (
        {"ingress": {"enabled": True, "hosts": [{"host": "push.example.com"}]}},
        {"StatefulSet", "ServiceAccount", "Ingress"},
        [],
    ),
    "full": (
        FULL,
        {
            *("Deployment", "ServiceAccount", "PodDisruptionBudget", "HorizontalPodAutoscaler"),
            *("NetworkPolicy", "Ingress", "HTTPRoute", "ServiceMonitor"),
        },
        ["ServiceMonitor", "HTTPRoute"],
    ),
}
# Wrong values, and what the sentence has.
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "unknown value": ({"replica": 2}, "'replica' not allowed"),
    "unknown setting": ({"config": {"drain_second": 3}}, "'/config': .*'drain_second' not allowed"),
    "wrong type": ({"config": {"max_holds": "many"}}, "'/config/max_holds': got string"),
    "too long a drain": ({"config": {"drain_seconds": 301}}, "/config/drain_seconds.* 300"),
    "no drain": ({"config": {"drain_seconds": None}}, "drain_seconds"),
    "a setting of a route": (
        {"config": {"routes": [{"path": "/a", "stp": "poll"}]}},
        "'stp' not allowed",
    ),
    "a setting that the chart sets": ({"config": {"host": "::"}}, "'host' not allowed"),
    "a secret in the ConfigMap": ({"config": {"grip_key": "x"}}, "'grip_key' not allowed"),
    "a key that is no secret": ({"secrets": {"keys": ["api_keys", "port"]}}, "/secrets/keys/1"),
    "a setting as a variable": (
        {"extraEnv": [{"name": "PUSHHUB_PORT", "value": "1"}]},
        "/extraEnv/0/name",
    ),
    "a digest": ({"image": {"digest": "latest"}}, "/image/digest"),
    "a metric": ({"monitor": {"kind": "Datadog"}}, "/monitor/kind"),
    "pods on SQLite": (
        {"replicas": 2},
        "More than one pod needs a store that pods share: set store.kind to redis",
    ),
    "autoscaling on SQLite": (
        {"autoscaling": {"enabled": True}},
        "Autoscaling needs a store that pods share",
    ),
    "workers in memory": (
        {"store": {"kind": "memory"}, "config": {"workers": 2}},
        "More than one worker needs store.kind redis",
    ),
    "an address of SQLite": ({"store": {"url": "redis://a"}}, "store.url is for store.kind redis"),
    "a secret store of SQLite": (
        {"secrets": {"keys": ["api_keys", "store"]}},
        "store in secrets.keys is for store.kind redis",
    ),
    "no address": ({"store": {"kind": "redis"}}, "needs an address: set store.url"),
    "two addresses": (
        {"store": REDIS, "secrets": {"keys": ["api_keys", "store"]}},
        "The store has two addresses",
    ),
    "a password": (
        {"store": {"kind": "redis", "url": "redis://:secret@valkey"}},
        "put the URL into the Secret",
    ),
    "an address of another kind": ({"store": {"kind": "redis", "url": "valkey:1"}}, "/store/url"),
    "no keys": ({"secrets": {"keys": []}}, "does not start without an API key"),
    "bounds of autoscaling": (
        {"store": REDIS, "autoscaling": {"enabled": True, "minReplicas": 11}},
        "minReplicas is more than autoscaling.maxReplicas",
    ),
    "one port": ({"control": {"port": 8080}}, "control.port is 8080"),
    "a route without a gateway": ({"httpRoute": {"enabled": True}}, "httpRoute.parentRefs"),
    "an ingress without hosts": ({"ingress": {"enabled": True}}, "ingress.hosts"),
    "metrics without a key": ({"monitor": {"kind": "PodMonitor"}}, "monitor.keySecret.name"),
}


@pytest.fixture(scope="module")
def helm() -> Iterator[Helm]:
    running = Helm()
    yield running
    running.close()


class Rendered:
    """The manifests of one release."""

    def __init__(self, helm: Helm, values: dict[str, Any], name: str = "pushhub") -> None:
        reply = helm.render(values, name)
        assert "error" not in reply, reply["error"]
        self.manifests: list[dict[str, Any]] = reply["manifests"]
        self.notes: str = reply["notes"]
        self.kinds = [one["kind"] for one in self.manifests]

    def one(self, kind: str) -> dict[str, Any]:
        """The first manifest of a kind."""
        return next(one for one in self.manifests if one["kind"] == kind)

    @property
    def workload(self) -> dict[str, Any]:
        kind = "StatefulSet" if "StatefulSet" in self.kinds else "Deployment"
        return dict(self.one(kind)["spec"])

    @property
    def pod(self) -> dict[str, Any]:
        return dict(self.workload["template"]["spec"])

    @property
    def container(self) -> dict[str, Any]:
        return dict(self.pod["containers"][0])

    @property
    def toml(self) -> str:
        return str(self.one("ConfigMap")["data"]["pushhub.toml"])


def test_the_chart_has_no_lint(helm: Helm) -> None:
    report = helm.ask(lint=f"v{chart.KUBERNETES}.0")
    # 1 is information: there is no icon.
    assert (report["errors"], max(m["severity"] for m in report["messages"])) == ([], 1), report


@pytest.mark.parametrize("case", CASES)
def test_values_make_valid_manifests(helm: Helm, case: str) -> None:
    values, kinds, unknown = CASES[case]
    rendered = Rendered(helm, values)
    assert set(rendered.kinds) == COMMON | kinds
    reply = helm.validate(rendered.manifests)
    assert reply["invalid"] == []
    assert sorted(reply["unknown"]) == sorted(unknown)


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_values_are_refused_with_a_sentence(helm: Helm, case: str) -> None:
    values, sentence = REFUSED[case]
    assert re.search(sentence, helm.render(values).get("error", "rendered")), helm.render(values)


# -- settings ------------------------------------------------------------------


def test_the_schema_follows_the_settings() -> None:
    assert json.loads(chart.SCHEMA.read_text()) == chart.schema(), (
        "run: python -m tests.deploy.chart"
    )


def test_each_setting_has_one_place() -> None:
    config = set(chart.config_schema()[0]["properties"])
    places = [*config, *chart.OWNED, *chart.SECRETS]
    assert sorted(places) == sorted(Settings.model_fields)


@pytest.mark.parametrize("case", CASES)
def test_the_hub_reads_the_file_as_it_was_written(
    helm: Helm, case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = CASES[case][0]
    rendered = Rendered(helm, values)
    file = tmp_path / "pushhub.toml"
    file.write_text(rendered.toml)
    wanted = {**tomllib.loads(rendered.toml), **values.get("config", {})}
    environ = {}
    for variable in rendered.container["env"]:
        name = variable["name"].removeprefix("PUSHHUB_").lower()
        if name not in FILE_FORMS:
            assert variable in values["extraEnv"]
            continue
        # A mounted Secret is a link to a file in a folder that changes.
        setting = FILE_FORMS[name]
        real = tmp_path / f"..{setting}"
        contents = {"store": "redis://:secret@valkey", "grip_key": "x" * 32}
        real.write_text(contents.get(setting) or json.dumps(KEY if setting == "api_keys" else []))
        (tmp_path / setting).symlink_to(real)
        assert variable["value"] == f"/etc/pushhub-secrets/{setting}"
        environ[variable["name"]] = str(tmp_path / setting)
    loaded = load(environ=environ, file=file)
    settings = loaded.settings.model_dump(mode="json", exclude_unset=True)
    for name, value in wanted.items():
        if name == "control_hosts":
            continue
        found = settings[name]
        if name in ("routes", "namespaces", "limits"):
            assert json.loads(json.dumps(value)).__class__ is found.__class__
            _is_within(value, found)
        else:
            assert found == value, name
    assert loaded.settings.refusal() is None
    assert rendered.container["ports"] == [
        {"name": "http", "containerPort": loaded.settings.port},
        {"name": "control", "containerPort": (loaded.settings.control_address or ("", 0))[1]},
    ]


def _is_within(less: Any, more: Any) -> None:
    """Each entry of `less` is in `more`, which may have defaults beside it."""
    if isinstance(less, dict):
        for key, value in less.items():
            _is_within(value, more[key])
    elif isinstance(less, list):
        assert len(less) == len(more)
        for one, other in zip(less, more, strict=True):
            _is_within(one, other)
    else:
        assert less == more


def test_the_control_listener_knows_its_names(helm: Helm) -> None:
    hosts = tomllib.loads(Rendered(helm, FULL, "a").toml)["control_hosts"]
    assert {"a-pushhub-control", "a-pushhub-control.push.svc", "push.internal"} < set(hosts)


def test_a_changed_setting_replaces_the_pods_unless_it_must_not(helm: Helm) -> None:
    def annotations(values: dict[str, Any]) -> Any:
        return Rendered(helm, values).workload["template"]["metadata"].get("annotations")

    assert annotations({"config": {"max_wait": 25}}) != annotations({})
    assert annotations({"serviceAccount": {"create": False}}) == annotations({})
    assert annotations({"rollOnConfigChange": False}) is None


def test_the_version_and_the_licence_are_those_of_the_project(helm: Helm) -> None:
    text = (chart.CHART / "Chart.yaml").read_text()
    assert f'appVersion: "{pushhub.__version__}"' in text
    assert "artifacthub.io/license: MIT" in text
    assert 'license = "MIT"' in (ROOT / "pyproject.toml").read_text()
    assert Rendered(helm, {}).container["image"] == f"pushhub:{pushhub.__version__}"
    assert Rendered(helm, FULL).container["image"].endswith("pushhub@sha256:" + "0" * 64)


# -- pods ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stop", "delay", "drain", "grace"),
    [(10, 0, 30, 55), (0, 0, 0, 15), (5, 20, 300, 340), (10, 0.5, 0.75, 27), (10, 0, 5, 30)],
)
def test_the_grace_follows_the_drain(
    helm: Helm, stop: int, delay: float, drain: float, grace: int
) -> None:
    values = {
        "preStopSeconds": stop,
        "config": {"drain_delay": delay, "drain_seconds": drain},
    }
    rendered = Rendered(helm, values)
    assert rendered.pod["terminationGracePeriodSeconds"] == grace
    assert f"{grace} s of grace" in rendered.notes
    sleep = {"preStop": {"sleep": {"seconds": stop}}} if stop else None
    assert rendered.container.get("lifecycle") == sleep


def test_the_grace_is_written_once() -> None:
    """The sum is in one helper: no other template names what it adds."""
    for template in (chart.CHART / "templates").iterdir():
        uses = re.findall(r"\.Values\.config\.drain_\w+", template.read_text())
        assert len(uses) == (2 if template.name == "_helpers.tpl" else 0), template


@pytest.mark.parametrize("case", CASES)
def test_pods_have_no_rights(helm: Helm, case: str) -> None:
    pod = Rendered(helm, CASES[case][0]).pod
    context, container = pod["securityContext"], pod["containers"][0]["securityContext"]
    # With a Service called pushhub, PUSHHUB_PORT would be tcp://….
    assert pod["enableServiceLinks"] is False
    assert pod["automountServiceAccountToken"] is False
    assert context["runAsNonRoot"] is True
    assert isinstance(context["runAsUser"], int)
    assert context["runAsUser"] > 0
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["readOnlyRootFilesystem"] is True
    assert container["allowPrivilegeEscalation"] is False
    assert container["capabilities"] == {"drop": ["ALL"]}
    # A mount inside a read-only one would need a folder there.
    paths = [mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]]
    assert not [(a, b) for a, b in itertools.permutations(paths, 2) if b.startswith(a + "/")]
    mounts = {mount["name"] for mount in pod["containers"][0]["volumeMounts"]}
    claims = Rendered(helm, CASES[case][0]).workload.get("volumeClaimTemplates", [])
    volumes = [*pod["volumes"], *(claim["metadata"] for claim in claims)]
    assert sorted(volume["name"] for volume in volumes) == sorted(mounts)


def test_the_number_of_pods(helm: Helm) -> None:
    assert Rendered(helm, {}).workload["replicas"] == 1
    assert Rendered(helm, {"store": REDIS}).workload["replicas"] == 2
    assert Rendered(helm, {"store": REDIS, "replicas": 5}).workload["replicas"] == 5
    full = Rendered(helm, FULL)
    assert "replicas" not in full.workload
    assert full.one("HorizontalPodAutoscaler")["spec"]["minReplicas"] == 2
    assert len(full.pod["topologySpreadConstraints"]) == 2


def test_pods_are_added_by_a_metric_that_exists(helm: Helm) -> None:
    [metric] = Rendered(helm, FULL).one("HorizontalPodAutoscaler")["spec"]["metrics"]
    assert metric["pods"]["target"] == {"type": "AverageValue", "averageValue": "10800"}
    name = metric["pods"]["metric"]["name"]
    assert f"| `{name}` | gauge |" in (ROOT / "docs" / "metrics.md").read_text()


def test_a_pod_has_the_memory_of_its_holds(helm: Helm) -> None:
    """The load is the one of `pushhub capacity --holds 10800`."""
    holds = json.loads((chart.CHART / "values.yaml").read_text().split("holds: ")[1].split()[0])
    need = estimate(Workload(holds=holds, channels=1000, publishes=10.0, event_bytes=1000))
    resources = Rendered(helm, {}).container["resources"]
    assert need.process_mib < int(resources["requests"]["memory"].removesuffix("Mi"))
    assert need.process_mib * 2 < int(resources["limits"]["memory"].removesuffix("Gi")) * 1024
    assert need.cores < int(resources["requests"]["cpu"].removesuffix("m")) / 1000
    assert (need.processes, need.notes) == (1, ())


def test_two_releases_live_in_one_namespace(helm: Helm) -> None:
    one, other = Rendered(helm, FULL, "pushhub"), Rendered(helm, FULL, "chat")

    def names(rendered: Rendered) -> set[tuple[str, str]]:
        return {(m["kind"], m["metadata"]["name"]) for m in rendered.manifests}

    assert not names(one) & names(other)
    assert ("Service", "pushhub") in names(one)
    assert ("Service", "chat-pushhub-control") in names(other)

    def selectors(value: Any) -> Iterator[dict[str, str]]:
        if isinstance(value, dict):
            for key, inside in value.items():
                if key in ("matchLabels", "selector") and "app.kubernetes.io/name" in inside:
                    yield inside
                yield from selectors(inside)
        elif isinstance(value, list):
            for inside in value:
                yield from selectors(inside)

    found = list(selectors(other.manifests))
    assert len(found) >= 8
    assert {one["app.kubernetes.io/instance"] for one in found} == {"chat"}
    # By default each has its own Secret, too.
    assert {
        Rendered(helm, {}, name).pod["volumes"][1]["secret"]["secretName"]
        for name in ("pushhub", "chat")
    } == {"pushhub", "chat-pushhub"}


# -- routes --------------------------------------------------------------------


def test_no_route_leads_to_the_control_listener(helm: Helm) -> None:
    full = Rendered(helm, FULL)
    services = {m["metadata"]["name"]: m for m in full.manifests if m["kind"] == "Service"}
    assert services["pushhub-control"]["spec"]["type"] == "ClusterIP"
    [rule] = full.one("HTTPRoute")["spec"]["rules"]
    assert rule["backendRefs"] == [{"name": "pushhub", "port": 80}]
    assert rule["timeouts"] == {"request": "0s"}
    [path] = full.one("Ingress")["spec"]["rules"][0]["http"]["paths"]
    assert path["backend"] == {"service": {"name": "pushhub", "port": {"name": "http"}}}
    [port] = services["pushhub"]["spec"]["ports"]
    assert (port["name"], port["targetPort"]) == ("http", "http")


def test_kinds_without_a_schema_have_known_fields_alone(helm: Helm) -> None:
    """Kubernetes' own schemas lack these: their fields as Gateway API 1.2 and the Prometheus
    operator have them."""
    full = Rendered(helm, FULL)
    assert set(full.one("HTTPRoute")["spec"]) == {"parentRefs", "hostnames", "rules"}
    assert set(full.one("HTTPRoute")["spec"]["rules"][0]) == {"matches", "backendRefs", "timeouts"}
    monitor = full.one("ServiceMonitor")["spec"]
    assert set(monitor) == {"selector", "endpoints"}
    credentials = {"name": "metrics", "key": "api_key"}
    assert monitor["endpoints"] == [
        {
            "port": "control",
            "path": "/metrics",
            "interval": "15s",
            "authorization": {"type": "Bearer", "credentials": credentials},
        }
    ]
    pods = Rendered(helm, CASES["pod monitor"][0]).one("PodMonitor")["spec"]
    assert set(pods) == {"selector", "podMetricsEndpoints"}
    assert pods["podMetricsEndpoints"][0]["port"] == "control"


@pytest.mark.parametrize("case", ["default", "full"])
async def test_the_probes_find_a_real_hub(helm: Helm, case: str, tmp_path: Path) -> None:
    """A hub with the rendered file, on other ports and in memory."""
    values = CASES[case][0]
    rendered = Rendered(helm, values)
    file, keys = tmp_path / "pushhub.toml", tmp_path / "api_keys"
    file.write_text(re.sub(r"^(store|workers) = .*\n", "", rendered.toml, flags=re.MULTILINE))
    keys.write_text(json.dumps(KEY))
    keys.chmod(0o600)
    with serve(
        dev=False,
        config=str(file),
        api_keys_file=str(keys),
        host="127.0.0.1",
        control=f"127.0.0.1:{free_port()}",
    ) as server:
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            request = rendered.container[probe]["httpGet"]
            assert request["port"] == "http"
            assert (await server.get(request["path"])).status == 200, request
