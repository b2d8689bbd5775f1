"""The package: one dependency, its types, and nothing else; its names are the ones documented."""

from __future__ import annotations

import inspect
import subprocess
import sys
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

import pushhub_client
from pushhub_client import AsyncClient, AsyncPoll, AsyncSubscription, Client, Poll, Subscription

ROOT = Path(__file__).parents[3]
PACKAGE = ROOT / "clients" / "python"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built from the tree with what is installed."""
    folder = tmp_path_factory.mktemp("wheel")
    command = ["wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(folder)]
    subprocess.run([sys.executable, "-m", "pip", *command, str(PACKAGE)], check=True, timeout=100)
    (path,) = folder.iterdir()
    return zipfile.ZipFile(path)


def test_the_wheel_has_one_package_and_one_dependency(wheel: zipfile.ZipFile) -> None:
    names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    source = PACKAGE / "src"
    files = source.rglob("*.py")
    expected = {str(path.relative_to(source)) for path in files} | {"pushhub_client/py.typed"}
    assert names == expected
    (metadata,) = (name for name in wheel.namelist() if name.endswith("/METADATA"))
    fields = message_from_bytes(wheel.read(metadata))
    assert fields.get_all("Requires-Dist") == ["httpx2>=2.16"]
    assert fields["Name"] == "pushhub-client"


def test_it_imports_no_hub() -> None:
    """Not even by way of something else: a program that publishes needs no server."""
    code = "import sys, pushhub_client; sys.exit('pushhub' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize(
    ("sync", "other"), [(Client, AsyncClient), (Subscription, AsyncSubscription), (Poll, AsyncPoll)]
)
def test_both_clients_have_the_same_names_and_arguments(sync: type, other: type) -> None:
    def names(kind: type) -> dict[str, list[str]]:
        public = {name: found for name, found in vars(kind).items() if not name.startswith("_")}
        return {
            name: list(inspect.signature(found).parameters) if callable(found) else []
            for name, found in public.items()
        }

    assert names(sync) == names(other)


def test_the_readme_names_every_method() -> None:
    readme = (PACKAGE / "README.md").read_text()
    for name in vars(Client):
        assert name.startswith("_") or name in ("close",) or f"`{name}(" in readme, name


def test_every_public_name_exists() -> None:
    for name in pushhub_client.__all__:
        assert hasattr(pushhub_client, name)
