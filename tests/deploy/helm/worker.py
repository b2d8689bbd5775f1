"""The process that renders the chart with Helm's Go code, and validates the results.

It runs in .outside/helm, whose packages are not those of the tests. Each line of its input is a
request in JSON, each line of its output the response.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from typing import Any

helm = importlib.import_module("helm_python")
kubernetes_validate = importlib.import_module("kubernetes_validate")
yaml = importlib.import_module("yaml")

# The Go code writes to standard output as it likes; the responses have a file of their own.
RESPONSES = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(2, 1)


def render(chart: Any, request: dict[str, Any]) -> dict[str, Any]:
    """The manifests and the notes, or the error."""
    values, name = request["values"], request["name"]
    try:
        chart.validate_schema(values)
        files = chart.render(values, name=name, namespace=request["namespace"], is_install=True)
    except Exception as error:
        return {"error": str(error)}
    notes = [files.pop(path) for path in list(files) if path.endswith("NOTES.txt")]
    found = [one for _, text in sorted(files.items()) for one in yaml.safe_load_all(text) if one]
    return {"manifests": found, "notes": "".join(notes)}


def validate(manifests: list[dict[str, Any]], version: str) -> dict[str, Any]:
    """What the schemas of Kubernetes refuse, and the kinds without a schema."""
    invalid, unknown = [], []
    for manifest in manifests:
        kind = manifest["kind"]
        try:
            kubernetes_validate.validate(manifest, version, strict=True)
        except kubernetes_validate.SchemaNotFoundError:
            unknown.append(kind)
        except Exception as error:
            invalid.append(f"{kind}: {error}")
    return {"invalid": invalid, "unknown": unknown}


def main() -> None:
    """Respond to every line until the end of the input."""
    folder = sys.argv[1]
    with helm.Chart.load(folder) as chart:
        for line in sys.stdin:
            request = json.loads(line)
            if request.get("lint"):
                reply = helm.lint(folder, strict=True, kube_version=request["lint"])
            elif "validate" in request:
                reply = validate(request["validate"], request["kubernetes"])
            else:
                reply = render(chart, request)
            RESPONSES.write(json.dumps(reply) + "\n")
            RESPONSES.flush()


main()
