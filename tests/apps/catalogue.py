"""All applications of this folder, by name: each module `app_NAME` describes one."""

from importlib import import_module
from pathlib import Path

from tests.apps.application import Application


def _found() -> dict[str, Application]:
    modules = sorted(Path(__file__).parent.glob("app_*.py"))
    applications = [import_module(f"tests.apps.{path.stem}").APPLICATION for path in modules]
    return {application.name: application for application in applications}


APPLICATIONS = _found()
