"""The files of deploy/systemd, read by systemd itself and compared with the hub's own settings."""

import configparser
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pushhub.server.server import BACKLOG, stop_seconds
from pushhub.settings import Settings, load
from pushhub.settings.sources import env_name
from tests import outside

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "systemd"
VARIANTS = ("sqlite", "redis")
PROGRAM = "/opt/pushhub/bin/pushhub"
# What systemd-analyze calls OK, times ten.
EXPOSURE = 30
_VARIABLE = re.compile(r"\bPUSHHUB_([A-Z_]+)=")


def unit(name: str) -> configparser.ConfigParser:
    """A unit file. Of a repeated key the last value counts, except for `all_of`."""
    parser = configparser.ConfigParser(interpolation=None, strict=False, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string((FOLDER / name).read_text())
    return parser


def all_of(name: str, key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", (FOLDER / name).read_text(), re.MULTILINE)


@pytest.fixture(params=[(), ("sqlite",), ("redis",)], ids=lambda names: "+".join(names) or "plain")
def installed(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The units as on a machine, with the variant; the program is one that is there."""
    for name in ("pushhub.service", "pushhub.socket"):
        text = (FOLDER / name).read_text()
        (tmp_path / name).write_text(text.replace(PROGRAM, sys.executable))
    drop_ins = tmp_path / "pushhub.service.d"
    drop_ins.mkdir()
    for variant in request.param:
        shutil.copy(FOLDER / "pushhub.service.d" / f"{variant}.conf", drop_ins)
    return tmp_path


def analyze(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = outside.require("systemd-analyze")
    return subprocess.run(
        [program, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        # Where systemd finds the drop-ins and the other unit; its own folders follow.
        env={"SYSTEMD_UNIT_PATH": f"{folder}:", "PATH": "/usr/bin:/bin", "LC_ALL": "C"},
    )


def test_systemd_accepts_the_units(installed: Path) -> None:
    names = [str(installed / name) for name in ("pushhub.service", "pushhub.socket")]
    done = analyze(installed, "verify", *names)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_systemd_finds_faults_in_units_and_variants(tmp_path: Path) -> None:
    """The control of the test above."""
    text = (FOLDER / "pushhub.service").read_text().replace(PROGRAM, sys.executable)
    (tmp_path / "pushhub.service").write_text(text)
    (tmp_path / "pushhub.service.d").mkdir()
    (tmp_path / "pushhub.service.d" / "x.conf").write_text("[Service]\nStateDirektory=pushhub\n")
    done = analyze(tmp_path, "verify", str(tmp_path / "pushhub.service"))
    assert "StateDirektory" in done.stderr


def test_the_exposure_is_small(installed: Path) -> None:
    path = str(installed / "pushhub.service")
    done = analyze(installed, "security", "--offline=true", f"--threshold={EXPOSURE}", path)
    assert done.returncode == 0, done.stdout[-200:]
    found = re.search(r"exposure level for pushhub.service: ([\d.]+)", done.stdout)
    assert found is not None
    assert float(found[1]) <= EXPOSURE / 10


def test_the_stop_has_the_time_of_a_drain() -> None:
    seconds = float(unit("pushhub.service")["Service"]["TimeoutStopSec"])
    defaults = Settings()
    assert seconds == stop_seconds(defaults)
    assert seconds == defaults.drain_delay + defaults.drain_seconds + 15


def test_the_service_notifies_and_is_watched() -> None:
    service = unit("pushhub.service")["Service"]
    assert (service["Type"], service["NotifyAccess"]) == ("notify", "main")
    # The supervisor replaces a hung worker before systemd restarts them all.
    assert float(service["WatchdogSec"]) > Settings().worker_hung_seconds + 5
    assert service["RestartPreventExitStatus"] == "2"
    assert service["ExecReload"] == "/bin/kill -HUP $MAINPID"
    assert int(service["LimitNOFILE"]) >= Settings().max_holds + 500
    assert unit("pushhub.service")["Unit"]["StartLimitIntervalSec"] == "0"


def test_the_socket_is_that_of_the_default_settings() -> None:
    socket = unit("pushhub.socket")["Socket"]
    defaults = Settings()
    assert socket["ListenStream"] == f"{defaults.host}:{defaults.port}"
    assert int(socket["Backlog"]) == BACKLOG
    (somaxconn,) = re.findall(
        r"^net.core.somaxconn = (\d+)$",
        (FOLDER / "sysctl.d" / "60-pushhub.conf").read_text(),
        re.MULTILINE,
    )
    assert int(somaxconn) >= BACKLOG, "else the kernel cuts the backlog"


@pytest.mark.parametrize(
    "name",
    ["pushhub.service", "pushhub.env", *(f"pushhub.service.d/{name}.conf" for name in VARIANTS)],
)
def test_each_variable_is_a_setting(name: str, tmp_path: Path) -> None:
    """Also those of comments."""
    lines = (FOLDER / name).read_text()
    known = {env_name(setting) for setting in Settings.model_fields} | {"PUSHHUB_CONFIG"}
    used = {f"PUSHHUB_{found}" for found in _VARIABLE.findall(lines)}
    assert used <= known
    assert used or name.endswith("sqlite.conf")
    given = dict(re.findall(r"^#?(?:Environment=)?(PUSHHUB_\w+)=(.*)$", lines, re.MULTILINE))
    given.pop("PUSHHUB_CONFIG", None)
    empty = tmp_path / "empty.toml"
    empty.touch()
    load({}, {"PUSHHUB_STORE": "redis://localhost", **given}, empty)


def test_a_credential_of_redis_is_the_store(tmp_path: Path) -> None:
    """As systemd mounts it: a folder with a file of the credential's name."""
    (credential,) = all_of("pushhub.service.d/redis.conf", "LoadCredential")
    name = credential.partition(":")[0]
    (tmp_path / name).write_text("redis://user:password@host:6379/0\n")
    loaded = load({}, {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert loaded.settings.store == "redis://user:password@host:6379/0"


def test_the_database_is_in_the_state_directory() -> None:
    text = (FOLDER / "pushhub.service.d" / "sqlite.conf").read_text()
    (line,) = re.findall(r"^# +(store = .*)$", text, re.MULTILINE)
    directory = all_of("pushhub.service.d/sqlite.conf", "StateDirectory")[0]
    assert line == f'store = "sqlite:////var/lib/{directory}/pushhub.db"'


def test_each_value_of_the_kernel_has_a_reason_and_a_source() -> None:
    blocks = (FOLDER / "sysctl.d" / "60-pushhub.conf").read_text().strip().split("\n\n")[1:]
    for block in blocks:
        *comments, value = block.splitlines()
        assert re.fullmatch(r"-?[a-z0-9_.]+ = [\d ]+", value), value
        assert all(comment.startswith("# ") for comment in comments)
        assert "Source:" in block, value
        assert "efault" in block or "lsmod" in block or "60 s" in block, f"{value}: the usual value"


def test_systemd_creates_the_user(tmp_path: Path) -> None:
    """In a root folder of its own, where nothing of this machine is."""
    program = outside.require("systemd-sysusers")
    (tmp_path / "etc").mkdir()
    source = FOLDER / "sysusers.d" / "pushhub.conf"
    done = subprocess.run(
        [program, f"--root={tmp_path}", str(source)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    user = (tmp_path / "etc" / "passwd").read_text().split(":")
    service = unit("pushhub.service")["Service"]
    assert user[0] == service["User"] == service["Group"]
    assert (tmp_path / "etc" / "group").read_text().startswith(f"{service['Group']}:")
    assert user[-1].strip() == "/usr/sbin/nologin"
