"""Variables that Kubernetes and Docker set for a Service or a container named `pushhub`."""

import os
from pathlib import Path

import pytest

from pushhub.settings import Settings, SettingsError, load
from pushhub.settings.service_links import service_links
from pushhub.settings.sources import env_name

# As Kubernetes sets them for a Service with the ports `http` 8080 and `xmpp` 5222, in each pod of
# the namespace; and for a second Service, `pushhub-control`.
KUBERNETES = {
    "PUSHHUB_SERVICE_HOST": "10.96.13.7",
    "PUSHHUB_SERVICE_PORT": "8080",
    "PUSHHUB_SERVICE_PORT_HTTP": "8080",
    "PUSHHUB_SERVICE_PORT_XMPP": "5222",
    "PUSHHUB_PORT": "tcp://10.96.13.7:8080",
    "PUSHHUB_PORT_8080_TCP": "tcp://10.96.13.7:8080",
    "PUSHHUB_PORT_8080_TCP_PROTO": "tcp",
    "PUSHHUB_PORT_8080_TCP_PORT": "8080",
    "PUSHHUB_PORT_8080_TCP_ADDR": "10.96.13.7",
    "PUSHHUB_PORT_5222_TCP": "tcp://10.96.13.7:5222",
    "PUSHHUB_PORT_5222_TCP_PROTO": "tcp",
    "PUSHHUB_PORT_5222_TCP_PORT": "5222",
    "PUSHHUB_PORT_5222_TCP_ADDR": "10.96.13.7",
    "PUSHHUB_CONTROL_SERVICE_HOST": "fd00:10:96::1a",
    "PUSHHUB_CONTROL_SERVICE_PORT": "5561",
    "PUSHHUB_CONTROL_PORT": "tcp://[fd00:10:96::1a]:5561",
    "PUSHHUB_CONTROL_PORT_5561_UDP": "udp://[fd00:10:96::1a]:5561",
    "PUSHHUB_CONTROL_PORT_5561_UDP_PROTO": "udp",
    "PUSHHUB_CONTROL_PORT_5561_UDP_PORT": "5561",
    "PUSHHUB_CONTROL_PORT_5561_UDP_ADDR": "fd00:10:96::1a",
}
# As Docker sets them for `--link other:pushhub`, and for a second container, `pushhub_1`.
DOCKER = {
    "PUSHHUB_NAME": "/web/pushhub",
    "PUSHHUB_ENV_PATH": "/usr/bin",
    "PUSHHUB_ENV_max_wait": "not a number",
    "PUSHHUB_PORT": "tcp://172.17.0.5:8080",
    "PUSHHUB_PORT_8080_TCP": "tcp://172.17.0.5:8080",
    "PUSHHUB_PORT_8080_TCP_START": "tcp://172.17.0.5:8080",
    "PUSHHUB_PORT_8080_TCP_END": "tcp://172.17.0.5:8082",
    "PUSHHUB_PORT_8080_TCP_PORT_START": "8080",
    "PUSHHUB_PORT_8080_TCP_PORT_END": "8082",
    "PUSHHUB_1_NAME": "/web/pushhub_1",
    "PUSHHUB_1_ENV_GPG_KEY": "",
    "PUSHHUB_1_PORT": "tcp://172.17.0.6:8080",
}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without a pushhub.toml, and an environment without settings."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith("PUSHHUB_"):
            monkeypatch.delenv(name)


@pytest.mark.parametrize("links", [KUBERNETES, DOCKER], ids=["kubernetes", "docker"])
def test_they_have_no_effect_and_one_sentence(links: dict[str, str]) -> None:
    assert service_links(links) == links.keys()
    loaded = load({}, {**links, "PUSHHUB_MAX_WAIT": "5"})
    assert loaded.settings.model_dump() == Settings(max_wait=5).model_dump()
    assert loaded.origins["port"] == "default"
    assert loaded.ignored is not None
    assert "enableServiceLinks: false" in loaded.ignored
    assert sorted(links)[0] in loaded.ignored
    assert f"and {len(links) - 3} more" in loaded.ignored
    # A reload reads the same environment.
    assert loaded.again().settings.model_dump() == loaded.settings.model_dump()


@pytest.mark.parametrize("variable", sorted({**KUBERNETES, **DOCKER}))
def test_each_is_ignored_alone(variable: str) -> None:
    value = {**KUBERNETES, **DOCKER}[variable]
    link = variable.partition("_ENV_")
    named = {f"{link[0]}_NAME": "/a/b"} if link[1] else {}
    loaded = load({}, {variable: value, **named})
    assert loaded.settings.model_dump() == Settings().model_dump()
    assert loaded.ignored is not None
    assert variable in loaded.ignored


def test_the_port_of_a_file_or_a_flag_stays() -> None:
    Path("pushhub.toml").write_text("port = 9000\n")
    assert load({}, KUBERNETES).settings.port == 9000
    assert load({"port": "9001"}, KUBERNETES).settings.port == 9001


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PUSHHUB_PORT", "tcp"),
        ("PUSHHUB_PORT", "http://10.0.0.1:8080"),
        ("PUSHHUB_PORT", "10.0.0.1:8080"),
        ("PUSHHUB_PORTS", "tcp://10.0.0.1:8080"),
        ("PUSHHUB_SERVICE_HOST", "push.example.com"),
        ("PUSHHUB_SERVICE_HOSTS", "10.0.0.1"),
        ("PUSHHUB_SERVICE_PORT", "http"),
        ("PUSHHUB_PORT_8080", "tcp://10.0.0.1:8080"),
        ("PUSHHUB_PORT_8080_TCP", "yes"),
        ("PUSHHUB_NAME", "hub"),
        ("PUSHHUB_ENV_PATH", "/usr/bin"),
        ("PUSHHUB_MAX_WIAT", "5"),
    ],
)
def test_what_resembles_them_is_an_error(variable: str, value: str) -> None:
    with pytest.raises(SettingsError, match=variable):
        load({}, {variable: value})


def test_no_setting_is_taken_for_one() -> None:
    """With the default of each setting, and with each value that the family of names allows."""
    values = ("10.96.13.7", "8080", "tcp", "/web/pushhub")
    for name in Settings.model_fields:
        for value in values:
            assert not service_links({env_name(name): value}), name
    assert load({}, {}).ignored is None
