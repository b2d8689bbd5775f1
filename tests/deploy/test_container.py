"""The image and the compose file: linted, and compared with the hub's settings and defaults."""

import ast
import fnmatch
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from pushhub import __version__
from pushhub.server.server import stop_seconds
from pushhub.settings import Settings, load
from tests import outside
from tests.serving import serve

ROOT = Path(__file__).parents[2]
CONTAINERFILE = ROOT / "deploy" / "container" / "Containerfile"
COMPOSE = ROOT / "deploy" / "compose"
TEXT = CONTAINERFILE.read_text()


def lint(program: str, *arguments: str | Path) -> None:
    folder = Path(outside.require("lint"))
    done = subprocess.run(
        [folder / "bin" / program, *arguments], capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stdout + done.stderr


def compose() -> Any:
    return yaml.safe_load((COMPOSE / "compose.yaml").read_text())


# -- the image -----------------------------------------------------------------


def test_hadolint_finds_nothing() -> None:
    lint("hadolint", CONTAINERFILE)


def test_the_user_is_a_number_and_the_commands_have_the_exec_form() -> None:
    last = TEXT.rpartition("\nFROM ")[2]
    assert re.search(r"^USER [1-9]\d+:[1-9]\d+$", last, re.MULTILINE)
    for instruction in ("ENTRYPOINT", "CMD"):
        (value,) = re.findall(rf"^{instruction} (.*)$", last, re.MULTILINE)
        assert isinstance(ast.literal_eval(value), list)
    assert f"ARG VERSION={__version__}\n" in TEXT
    labels = set(re.findall(r"org\.opencontainers\.image\.(\w+)=", TEXT))
    assert labels >= {"source", "version", "revision", "licenses"}


def test_the_variables_of_the_image_are_settings() -> None:
    given = dict(re.findall(r"\b(PUSHHUB_\w+)=(\S+)", TEXT))
    assert given
    loaded = load({}, given, ROOT / "deploy" / "debian" / "pushhub.toml")
    assert loaded.settings.host == "0.0.0.0"


def test_the_health_check_is_that_of_a_hub() -> None:
    (text,) = re.findall(r"^HEALTHCHECK .*\\\n  CMD (.*)$", TEXT, re.MULTILINE)
    command = ast.literal_eval(text)
    assert command[0] == "python3"
    assert "127.0.0.1" in command[2]
    with serve("front") as server:
        script = command[2].replace("8080", str(server.port))
        done = subprocess.run(["python3", "-c", script], timeout=60)
        assert done.returncode == 0
        port = server.port
    stopped = command[2].replace("8080", str(port))
    assert subprocess.run(["python3", "-c", stopped], timeout=60, capture_output=True).returncode


def test_the_build_gets_what_it_copies_and_nothing_else() -> None:
    lines = (ROOT / ".containerignore").read_text().split("\n")
    assert "*" in lines
    kept = {line[1:] for line in lines if line.startswith("!")}
    copied = {
        word
        for line in re.findall(r"^COPY (?!--from)(.*)$", TEXT, re.MULTILINE)
        for word in line.split()[:-1]
    }
    assert copied == kept
    assert all((ROOT / name).exists() for name in copied)


# -- compose -------------------------------------------------------------------


def test_compose_fits_its_schema() -> None:
    lint("check-jsonschema", "--builtin-schema", "vendor.compose-spec", COMPOSE / "compose.yaml")


@pytest.mark.parametrize("name", ["hub1", "hub2"])
def test_a_hub_of_compose_has_valid_settings_and_time_to_stop(name: str, tmp_path: Path) -> None:
    service = compose()["services"][name]
    empty = tmp_path / "empty.toml"
    empty.touch()
    settings = load({}, service["environment"], empty).settings
    assert settings.refusal() is None
    assert service["stop_grace_period"] == f"{stop_seconds(settings):g}s"
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert name in settings.control_hosts, "Prometheus scrapes it by this name"
    subnet = compose()["networks"]["default"]["ipam"]["config"][0]["subnet"]
    assert list(settings.trusted_proxies) == [subnet]
    assert service["build"]["dockerfile"] == str(CONTAINERFILE.relative_to(ROOT))
    assert (COMPOSE / service["build"]["context"]).resolve() == ROOT
    assert service["ulimits"]["nofile"]["soft"] >= Settings().max_holds + 500


def test_each_mounted_file_is_there() -> None:
    """Also those of the dashboard and the alerts, which have folders of their own."""
    for name, service in compose()["services"].items():
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            if source.startswith("."):
                path = (COMPOSE / source).resolve()
                folder = ROOT / "deploy" / path.relative_to(ROOT / "deploy").parts[0]
                # A folder that is not in this tree is in none of its parts.
                assert path.exists() or not folder.exists(), f"{name}: {source}"
    for image in [service["image"] for service in compose()["services"].values()]:
        tag = image.partition(":")[2]
        assert image == "localhost/pushhub" or not fnmatch.fnmatch(tag, "latest*"), image


def test_nginx_and_prometheus_name_the_hubs() -> None:
    hubs = {"hub1:8080", "hub2:8080"}
    nginx = (COMPOSE / "nginx.conf").read_text()
    assert set(re.findall(r"^ +server (\S+) ", nginx, re.MULTILINE)) == hubs
    prometheus = yaml.safe_load((COMPOSE / "prometheus.yml").read_text())
    assert set(prometheus["scrape_configs"][0]["static_configs"][0]["targets"]) == hubs
    # nginx closes an idle connection first.
    (seconds,) = re.findall(r"keepalive_timeout (\d+)s;", nginx)
    assert int(seconds) < Settings().keep_alive_seconds
    (read,) = re.findall(r"proxy_read_timeout (\d+)s;", nginx)
    assert int(read) > Settings().max_wait


def test_nginx_accepts_its_configuration(tmp_path: Path) -> None:
    program = outside.require("nginx")
    text = (COMPOSE / "nginx.conf").read_text()
    # Names that only the network of compose has, and a file that another nginx may have.
    for number in (1, 2):
        text = text.replace(f"server hub{number}:", f"server 127.0.0.{number}:")
    text = text.replace("/tmp/nginx.pid", str(tmp_path / "nginx.pid"))
    file = tmp_path / "nginx.conf"
    file.write_text(text)
    done = subprocess.run(
        [program, "-t", "-p", tmp_path, "-c", file, "-e", "stderr"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
