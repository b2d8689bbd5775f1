"""The Debian package: its files, fields and scripts.

`scripts/deb --check` installs the whole package in a chroot, and starts it there.
"""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from pushhub import __version__
from pushhub.settings import load
from tests import outside

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "debian"
SCRIPTS = ("postinst", "prerm", "postrm")


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package without the program, which takes a minute to install."""
    outside.require("dpkg-deb")
    folder = tmp_path_factory.mktemp("deb")
    done = subprocess.run(
        [ROOT / "scripts" / "deb", "--files", folder], capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    (found,) = folder.glob("*.deb")
    return found


def dpkg_deb(*arguments: str | Path) -> str:
    return subprocess.run(
        ["dpkg-deb", *arguments], capture_output=True, text=True, check=True, timeout=60
    ).stdout


def test_the_fields(package: Path) -> None:
    assert package.name.startswith(f"pushhub_{__version__}-1_")
    fields = dict(
        line.split(": ", 1) for line in dpkg_deb("-f", package).splitlines() if ": " in line
    )
    assert fields["Package"] == "pushhub"
    assert fields["Version"] == f"{__version__}-1"
    assert re.search(r"python3 \(>= 3\.\d+\), python3 \(<< 3\.\d+\)", fields["Depends"])
    assert "@" not in re.sub(r"<.*>", "", dpkg_deb("-f", package)), "each place is filled"


def test_the_files(package: Path, tmp_path: Path) -> None:
    rows = [line.split() for line in dpkg_deb("-c", package).splitlines()]
    assert {row[1] for row in rows} == {"root/root"}
    files = {row[5].removeprefix("."): row[0] for row in rows if not row[5].endswith("/")}
    assert set(files.values()) == {"-rw-r--r--"}
    assert files.keys() >= {
        "/etc/pushhub/pushhub.toml",
        "/etc/default/pushhub",
        "/usr/lib/systemd/system/pushhub.service",
        "/usr/lib/systemd/system/pushhub.socket",
        "/usr/lib/systemd/system/pushhub.service.d/sqlite.conf",
        "/usr/lib/sysusers.d/pushhub.conf",
    }
    dpkg_deb("-R", package, tmp_path / "x")
    control = tmp_path / "x" / "DEBIAN"
    # dpkg asks before it replaces a changed file of /etc, so each has to be a conffile.
    conffiles = set((control / "conffiles").read_text().split())
    assert conffiles == {name for name in files if name.startswith("/etc/")}
    sums = {line.split()[1] for line in (control / "md5sums").read_text().splitlines()}
    assert sums == {name.removeprefix("/") for name in files}
    unit = ROOT / "deploy" / "systemd" / "pushhub.service"
    installed = tmp_path / "x" / "usr" / "lib" / "systemd" / "system" / "pushhub.service"
    assert installed.read_bytes() == unit.read_bytes()
    copyright = (tmp_path / "x" / "usr" / "share" / "doc" / "pushhub" / "copyright").read_text()
    assert "MIT License" in copyright
    assert "@LICENSE@" not in copyright


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_is_one_of_sh(name: str, package: Path, tmp_path: Path) -> None:
    dpkg_deb("-e", package, tmp_path)
    script = tmp_path / name
    assert script.stat().st_mode & 0o777 == 0o755
    text = script.read_text()
    assert text.startswith("#!/bin/sh\n")
    assert "\nset -e\n" in text
    subprocess.run(["sh", "-n", script], check=True, timeout=20)


def test_the_settings_start_a_server_without_a_secret() -> None:
    """As the package has them: `pushhub.toml` and no variable."""
    loaded = load({}, {}, FOLDER / "pushhub.toml")
    assert loaded.settings.refusal() is None
    assert loaded.settings.is_control_open
    assert loaded.settings.host == "127.0.0.1"
    text = (FOLDER / "pushhub.toml").read_text()
    assert not {"api_keys", "token_keys", "grip_key"} & tomllib.loads(text).keys()
    # The commented namespace is right, too.
    uncommented = text + "[namespaces.news]\npublic = true\n"
    assert "# [namespaces.news]\n# public = true\n" in text
    tomllib.loads(uncommented)


def test_the_program_is_the_one_of_the_unit() -> None:
    script = (ROOT / "scripts" / "deb").read_text()
    unit = (ROOT / "deploy" / "systemd" / "pushhub.service").read_text()
    assert "ExecStart=/opt/pushhub/bin/pushhub serve\n" in unit
    assert "program=$root/opt/pushhub\n" in script
    assert "#!/opt/pushhub/bin/python|" in script
