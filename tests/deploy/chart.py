"""The Helm chart: the schema of its settings, and the rendering of its manifests.

`python -m tests.deploy.chart` writes the schema of `config` again, after a change of the settings.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from pushhub.settings import Settings
from pushhub.settings.field import is_secret
from tests import outside

CHART = Path(__file__).parents[2] / "deploy" / "helm" / "pushhub"
SCHEMA = CHART / "values.schema.json"
KUBERNETES = "1.34"
WORKER = Path(__file__).parent / "helm" / "worker.py"

SECRETS = sorted(name for name, field in Settings.model_fields.items() if is_secret(field))
# Settings that are no part of `config`, with the reason.
OWNED = {
    "host": "the chart sets it",
    "port": "the chart sets it, and service.port is what clients see",
    "control": "control.port",
    "unix_socket": "a pod has a port",
    "unix_socket_mode": "a pod has a port",
    "dev": "it allows loopback only",
    "audit_file": "the root is read-only: audit lines go to the log, or to audit_channel",
}
# Of the model's own declaration; no use for Helm.
NOTES = {"panel", "unit", "secret", "reload", "title", "default"}


def config_schema() -> tuple[dict[str, Any], dict[str, Any]]:
    """The schema of `config`, and the definitions that it refers to, from the model."""
    model = Settings.model_json_schema()
    properties = {
        name: _nullable(_plain(schema))
        for name, schema in model["properties"].items()
        if name not in OWNED and name not in SECRETS
    }
    needed = ["drain_delay", "drain_seconds", "trusted_proxies"]
    config = {
        "type": "object",
        "description": "Settings of the hub (docs/settings.md).",
        "additionalProperties": False,
        "required": needed,
        "properties": properties,
    }
    for name in needed:
        properties[name] = _plain(model["properties"][name])
    text = json.dumps(properties)
    used = {name: _plain(one) for name, one in model["$defs"].items() if f"$defs/{name}" in text}
    return config, used


def schema() -> dict[str, Any]:
    """The whole of values.schema.json: its own part, with what follows from the settings."""
    found: dict[str, Any] = json.loads(SCHEMA.read_text())
    config, used = config_schema()
    found["properties"]["config"] = config
    found["properties"]["secrets"]["properties"]["keys"] = {
        "type": "array",
        "uniqueItems": True,
        "items": {"enum": SECRETS},
    }
    found["$defs"] = used
    return found


def _plain(value: Any, *, names: bool = False) -> Any:
    """A schema without the model's notes. Below `properties` keys are names, not keywords."""
    if isinstance(value, dict):
        return {
            key: _plain(one, names=key == "properties" and not names)
            for key, one in value.items()
            if names or key not in NOTES
        }
    return [_plain(one) for one in value] if isinstance(value, list) else value


def _nullable(one: dict[str, Any]) -> dict[str, Any]:
    """Null takes a setting of a lower file of values away, as everywhere in Helm."""
    return {"anyOf": [one, {"type": "null"}], "description": one.pop("description", "")}


class Helm:
    """A process that renders the chart."""

    def __init__(self) -> None:
        python = Path(outside.require("helm")) / "bin" / "python"
        self._rendered: dict[str, dict[str, Any]] = {}
        self._process = subprocess.Popen(
            [str(python), str(WORKER), str(CHART)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, **request: Any) -> dict[str, Any]:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "The process that renders has ended."
        reply: dict[str, Any] = json.loads(line)
        return reply

    def render(self, values: dict[str, Any], name: str = "pushhub") -> dict[str, Any]:
        """The response of the worker, which is an error or manifests."""
        key = json.dumps([values, name])
        if key not in self._rendered:
            self._rendered[key] = self.ask(values=values, name=name, namespace="push")
        return self._rendered[key]

    def validate(self, manifests: list[dict[str, Any]]) -> dict[str, Any]:
        """What the schemas of Kubernetes refuse, and the kinds without a schema."""
        return self.ask(validate=manifests, kubernetes=KUBERNETES)

    def close(self) -> None:
        with self._process as process:
            assert process.stdin
            process.stdin.close()
            process.wait(30)


if __name__ == "__main__":
    SCHEMA.write_text(json.dumps(schema(), indent=2) + "\n")
