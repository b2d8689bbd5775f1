import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pydantic import SecretStr, ValidationError

from pushhub.bosh.negotiation import BoshPolicy
from pushhub.settings import ApiKey, Namespace, Route, Settings, SettingsError, TokenKey, load
from pushhub.settings.change_source import ChangeSource
from pushhub.settings.errors import sentences
from pushhub.settings.host import is_local
from pushhub.settings.limits import LIMIT_SPECS, Limit
from pushhub.settings.sources import env_name
from pushhub.store.base import Retention
from tests.auth.signing import SECRET, private_key, public_key

HASH = "0" * 64


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder without a pushhub.toml, and an environment without settings."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith("PUSHHUB_"):
            monkeypatch.delenv(name)
    return tmp_path


def refused(
    flags: dict[str, str] | None = None, environ: dict[str, str] | None = None, toml: str = ""
) -> str:
    Path("refused.toml").write_text(toml)
    with pytest.raises(SettingsError) as caught:
        load(flags or {}, environ or {}, Path("refused.toml"))
    return str(caught.value)


# -- where they come from ------------------------------------------------------


def test_nothing_is_needed() -> None:
    loaded = load({}, {})
    assert loaded.settings == Settings()
    assert set(loaded.origins.values()) == {"default"}
    assert loaded.file is None


def test_flag_before_environment_before_file_before_default() -> None:
    Path("pushhub.toml").write_text("port = 1\nmax_wait = 2\nworkers = 1\n")
    loaded = load({"port": "3"}, {"PUSHHUB_PORT": "4", "PUSHHUB_MAX_WAIT": "5"})
    assert loaded.settings.port == 3
    assert loaded.settings.max_wait == 5
    assert loaded.settings.max_channels == 1000
    origins = {name: loaded.origins[name] for name in ("port", "max_wait", "workers", "host")}
    assert origins == {"port": "flag", "max_wait": "env", "workers": "file", "host": "default"}
    assert loaded.file == Path("pushhub.toml")


def test_the_environment_of_the_process_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUSHHUB_PORT", "4")
    assert load().settings.port == 4
    assert Settings().port == 8080  # a model that is made by hand reads nothing


def test_which_file() -> None:
    for name in ("pushhub.toml", "env.toml", "flag.toml"):
        Path(name).write_text(f'token_issuer = "{name}"')
    environ = {"PUSHHUB_CONFIG": "env.toml"}
    assert load({}, environ, Path("flag.toml")).settings.token_issuer == "flag.toml"
    assert load({}, environ).settings.token_issuer == "env.toml"
    assert load({}, {}).settings.token_issuer == "pushhub.toml"


TEXTS: dict[str, tuple[str, object]] = {
    "host": ("::1", "::1"),
    "port": ("0", 0),
    "store": ("memory://", "memory://"),
    "workers": ("1", 1),
    "dev": ("true", True),
    "demo": ("true", True),
    "origin": ("http://api:8000/", "http://api:8000"),
    "control": ("127.0.0.1:5561", "127.0.0.1:5561"),
    "prefix": ("/push", "/push"),
    "routes": (
        '[{"path": "/orders/*", "target": "http://api:8000"}]',
        [Route(path="/orders/*", target="http://api:8000")],
    ),
    "sources": (
        '[{"name": "forge", "signature": "gitea", "resources": ["/repos/*"], '
        f'"secret": "{SECRET.decode()}"}}]',
        [
            ChangeSource(
                name="forge",
                signature="gitea",
                resources=("/repos/*",),
                secret=SecretStr(SECRET.decode()),
            )
        ],
    ),
    "trusted_proxies": ('["10.0.0.0/8"]', ("10.0.0.0/8",)),
    "forwarded": ("both", "both"),
    "origin_connect_seconds": ("2", 2.0),
    "origin_seconds": ("30", 30.0),
    "origin_connections": ("64", 64),
    "origin_fetches": ("8", 8),
    "fetch_rate": ("2.5", 2.5),
    "replaces": ("10", 10.0),
    "grip_key": ("changeme", "changeme"),
    "grip_issuer": ("us", "us"),
    "grip_min_seconds": ("2", 2),
    "namespaces": ('{"news": {"public": true}}', {"news": Namespace(public=True)}),
    "public": ("1", True),
    "retention_events": ("10", 10),
    "retention_age": ("0", 0),
    "api_keys": (
        f'[{{"name": "a", "sha256": "{HASH}", "read": ["*"]}}]',
        [ApiKey(name="a", sha256=HASH, read=["*"])],
    ),
    "token_keys": (
        f'[{{"algorithm": "HS256", "key": "{SECRET.decode()}"}}]',
        [TokenKey(algorithm="HS256", key=SecretStr(SECRET.decode()))],
    ),
    "token_audience": ("hub", "hub"),
    "token_issuer": ("us", "us"),
    "token_max_seconds": ("3600", 3600),
    "token_jwks": ("https://idp.test/keys", "https://idp.test/keys"),
    "token_jwks_seconds": ("60", 60),
    "token_jwks_grace": ("0", 0),
    "ticket_seconds": ("5", 5),
    "cors_origins": ('["https://a.test"]', ["https://a.test"]),
    "control_hosts": ('["push.internal"]', ["push.internal"]),
    "cors_headers": ('["X-Request-Id"]', ["X-Request-Id"]),
    "unix_socket": ("/run/pushhub.sock", "/run/pushhub.sock"),
    "unix_socket_mode": ("600", "600"),
    "max_wait": ("25", 25),
    "max_channels": ("7", 7),
    "max_holds": ("9", 9),
    "limits": ('{"address-holds": {"most": 5}}', {"address-holds": Limit(most=5)}),
    "limits_shared": ("false", False),
    "head_seconds": ("3", 3.0),
    "body_seconds": ("4.5", 4.5),
    "max_body_bytes": ("8388608", 8_388_608),
    "max_body_bytes_per_address": ("4194304", 4_194_304),
    "min_body_rate": ("1000", 1000),
    "origin_buffer_bytes": ("0", 0),
    "origin_share": ("0.5", 0.5),
    "origin_upload_share": ("1", 1.0),
    "max_tunnels": ("0", 0),
    "max_tunnels_per_address": ("5", 5),
    "keep_alive_seconds": ("90", 90.0),
    "stream_seconds": ("60", 60.0),
    "write_seconds": ("30", 30.0),
    "ack": ("replicated", "replicated"),
    "ack_replicas": ("2", 2),
    "ack_seconds": ("0.25", 0.25),
    "xmpp_domains": ('["Chat.example."]', ["chat.example"]),
    "xmpp_anonymous": ("true", True),
    "xmpp_mechanisms": ('["PLAIN", "X-OWN"]', ["PLAIN", "X-OWN"]),
    "xmpp_resources": ("2", 2),
    "xmpp_roster_items": ("3", 3),
    "xmpp_archive_events": ("4", 4),
    "xmpp_archive_age": ("0", 0),
    "xmpp_offline": ("5", 5),
    "xmpp_stranger_share": ("0.5", 0.5),
    "xmpp_stanza_rate": ("7", 7.0),
    "xmpp_pair_rate": ("3", 3.0),
    "bosh_session_bytes": ("200000", 200_000),
    "bosh_total_bytes": ("2000000", 2_000_000),
    "xmpp_login_seconds": ("9.5", 9.5),
    "bosh_inactivity": ("30", 30),
    "bosh_maxpause": ("0", 0),
    "bosh_polling": ("5", 5),
    "bosh_rate": ("1.5", 1.5),
    "bosh_sessions": ("6", 6),
    "worker_hung_seconds": ("20", 20.0),
    "worker_start_seconds": ("30", 30.0),
    "ready_writes": ("true", True),
    "canary": ("30", 30),
    "canary_account": ("canary@localhost", "canary@localhost"),
    "canary_password": ("secret", "secret"),
    "channel_idle_age": ("86400", 86400),
    "store_may_evict": ("true", True),
    "drain_delay": ("0.5", 0.5),
    "drain_seconds": ("1", 1.0),
    "metrics_public": ("yes", True),
    "access_log": ("on", True),
    "log_level": ("debug", "debug"),
    "log_format": ("json", "json"),
    "audit_file": ("/var/log/audit.log", "/var/log/audit.log"),
    "audit_channel": ("true", True),
    "audit_channel_events": ("100", 100),
    "audit_channel_age": ("3600", 3600),
    "tracing": ("true", True),
}


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_a_flag_and_a_variable(name: str) -> None:
    text, value = TEXTS[name]
    assert getattr(load({name: text}, {}).settings, name) == value
    assert getattr(load({}, {env_name(name): text}).settings, name) == value


def test_every_setting_is_a_key_of_the_file() -> None:
    Path("pushhub.toml").write_text(
        f"""
        host = "::1"
        port = 0
        store = "memory://"
        workers = 1
        dev = true
        demo = true
        origin = "http://api:8000"
        control = "127.0.0.1:5561"
        prefix = "/push"
        trusted_proxies = ["10.0.0.0/8"]
        forwarded = "both"
        origin_connect_seconds = 2
        origin_seconds = 30
        origin_connections = 64
        origin_fetches = 8
        fetch_rate = 2.5
        replaces = 10
        grip_key = "changeme"
        grip_issuer = "us"
        grip_min_seconds = 2
        public = true
        retention_events = 10
        retention_age = 0
        token_audience = "hub"
        token_issuer = "us"
        token_max_seconds = 3600
        token_jwks = "https://idp.test/keys"
        token_jwks_seconds = 60
        token_jwks_grace = 0
        ticket_seconds = 5
        cors_origins = ["https://a.test"]
        control_hosts = ["push.internal"]
        cors_headers = ["X-Request-Id"]
        unix_socket = "/run/pushhub.sock"
        unix_socket_mode = "600"
        max_wait = 25
        max_channels = 7
        max_holds = 9
        head_seconds = 3
        body_seconds = 4.5
        max_body_bytes = 8388608
        max_body_bytes_per_address = 4194304
        min_body_rate = 1000
        origin_buffer_bytes = 0
        origin_share = 0.5
        origin_upload_share = 1
        max_tunnels = 0
        max_tunnels_per_address = 5
        keep_alive_seconds = 90
        stream_seconds = 60
        write_seconds = 30
        ack = "replicated"
        ack_replicas = 2
        ack_seconds = 0.25
        xmpp_domains = ["chat.example"]
        xmpp_anonymous = true
        xmpp_mechanisms = ["PLAIN", "X-OWN"]
        xmpp_resources = 2
        xmpp_roster_items = 3
        xmpp_archive_events = 4
        xmpp_archive_age = 0
        xmpp_offline = 5
        xmpp_stranger_share = 0.5
        xmpp_stanza_rate = 7
        xmpp_pair_rate = 3
        bosh_session_bytes = 200000
        bosh_total_bytes = 2000000
        xmpp_login_seconds = 9.5
        bosh_inactivity = 30
        bosh_maxpause = 0
        bosh_polling = 5
        bosh_rate = 1.5
        bosh_sessions = 6
        worker_hung_seconds = 20
        worker_start_seconds = 30
        ready_writes = true
        canary = 30
        canary_account = "canary@localhost"
        canary_password = "secret"
        channel_idle_age = 86400
        limits_shared = false
        store_may_evict = true
        drain_delay = 0.5
        drain_seconds = 1
        metrics_public = true
        access_log = true
        log_level = "debug"
        log_format = "json"
        audit_file = "/var/log/audit.log"
        audit_channel = true
        audit_channel_events = 100
        audit_channel_age = 3600
        tracing = true
        [limits.address-holds]
        most = 5
        [[routes]]
        path = "/orders/*"
        target = "http://api:8000"

        [[sources]]
        name = "forge"
        signature = "gitea"
        secret = "{SECRET.decode()}"
        resources = ["/repos/*"]

        [namespaces.news]
        public = true
        [[api_keys]]
        name = "a"
        sha256 = "{HASH}"
        read = ["*"]
        [[token_keys]]
        algorithm = "HS256"
        key = "{SECRET.decode()}"
        """
    )
    loaded = load({}, {})
    assert {name: getattr(loaded.settings, name) for name in TEXTS} == {
        name: value for name, (_, value) in TEXTS.items()
    }
    assert set(loaded.origins.values()) == {"file"}


@pytest.mark.parametrize("name", ["store", "api_keys", "token_keys"])
def test_secrets_are_read_from_files(name: str) -> None:
    text, value = TEXTS[name]
    Path("secret").write_text(text + "\n")
    loaded = load({}, {env_name(name) + "_FILE": "secret"})
    assert getattr(loaded.settings, name) == value
    assert loaded.origins[name] == "env"


def test_key_files_are_found_beside_the_settings() -> None:
    Path("etc").mkdir()
    Path("etc/hub.toml").write_text('[[token_keys]]\nalgorithm = "HS256"\nkey_file = "my.secret"')
    Path("etc/my.secret").write_bytes(SECRET + b"\n")
    assert load({}, {}, Path("etc/hub.toml")).settings.token_keys[0].material() == SECRET


# -- mistakes ------------------------------------------------------------------


def test_unknown_names_are_refused_with_a_suggestion() -> None:
    assert "'prot'; did you mean 'port'?" in refused(toml="prot = 1")
    assert "PUSHHUB_PROT; did you mean 'PUSHHUB_PORT'?" in refused(environ={"PUSHHUB_PROT": "1"})
    told = refused(toml="[namespaces.news]\npubic = true")
    assert told == "namespaces.news has the unknown key 'pubic'; did you mean 'public'?"
    told = refused({"token_keys": f'[{{"algorithm": "HS256", "kay": "{SECRET.decode()}"}}]'})
    assert "--token-keys[0] has the unknown key 'kay'; did you mean 'key'?" in told
    told = refused(toml="[namespaces.news]\npublic = true\nport = 1")
    assert told.endswith("'port'; that is a setting, and in a file they stand above any [table].")
    assert "unknown setting 'zzzzzz'." in refused(toml="zzzzzz = 1")
    with pytest.raises(ValidationError, match="prot"):
        Settings(prot=1)  # type: ignore[call-arg]


def test_other_variables_are_left_alone() -> None:
    known = {"PUSHHUB_URL": "x", "PUSHHUB_KEY": "x", "PUSHHUB_TOKEN_SECRET": "x", "PATH": "x"}
    assert load({}, {**known, "PUSHHUB_TEST_ALL": "1"}).settings == Settings()


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("port", "65536", "must be at most 65535, not '65536'."),
        ("port", "-1", "must be at least 0, not '-1'."),
        ("port", "http", "must be a whole number, not 'http'."),
        ("workers", "0", "must be at least 1, not '0'."),
        ("max_wait", "56", "must be at most 55, not '56'."),
        ("max_channels", "1001", "must be at most 1000, not '1001'."),
        ("retention_events", "100001", "must be at most 100000, not '100001'."),
        ("retention_age", "-1", "must be at least 0, not '-1'."),
        ("drain_seconds", "nan", "not 'nan'."),
        ("drain_seconds", "soon", "must be a number, not 'soon'."),
        ("dev", "perhaps", "must be true or false, not 'perhaps'."),
        ("log_level", "loud", "must be one of 'debug', 'info', 'warning' or 'error', not 'loud'."),
        ("token_issuer", "", "must not be empty, not ''."),
        ("namespaces", "news", "is not JSON: Expecting value: line 1 column 1 (char 0)."),
        ("namespaces", "[]", "must be a table."),
        ("namespaces", '{"a:b": {}}', "before the first ':'"),
        ("namespaces", '{"$a": {}}', "before the first ':'"),
        ("namespaces", '{"a": {"retention_events": 0}}', ".a.retention_events must be at least 1"),
        ("cors_origins", '"*"', "must be a list, not '*'."),
        ("control_hosts", '["http://push"]', "'http://push' is not a name of a host"),
        ("cors_headers", '["a b"]', "'a b' is not the name of a header."),
        ("cors_headers", '["*"]', "'*' is not the name of a header."),
        ("unix_socket", f'"/{"a" * 103}"', "at most 103 bytes"),
        ("unix_socket_mode", '"0660"', "three octal digits"),
        ("unix_socket_mode", '"rw-"', "three octal digits"),
        ("canary", "0.5", "1 s at least, or 0"),
        ("canary", "301", "300"),
        ("channel_idle_age", "86399", "86400 s (a day) at least"),
        ("cors_origins", '["https://a.test/"]', "without a path; not 'https://a.test/'."),
        ("cors_origins", '["a.test"]', "scheme://host"),
        ("cors_origins", '["null"]', "scheme://host"),
        ("cors_origins", '["https://*.a.test"]', "scheme://host"),
        ("cors_origins", '["*", "https://a.test"]', "already means every origin"),
        ("host", "127.0.0.1/8", "without port and brackets"),
        ("store", "mysql://root:hunter2@db", "A store is memory://"),
        ("store", "sqlite://x", "A store is memory://"),
        ("api_keys", '[{"name": "a", "sha256": "hunter2"}]', "must be 64 hexadecimal digits"),
        ("api_keys", f'[{{"sha256": "{HASH}"}}]', "[0].name is required."),
        ("api_keys", f'[{{"name": "a", "sha256": "{HASH}"}}]', "allows nothing"),
        ("api_keys", f'[{{"name": "a\\n", "sha256": "{HASH}", "read": ["*"]}}]', "control"),
        ("api_keys", f'[{{"name": "a", "sha256": "{HASH}", "read": ["a*b"]}}]', "before its end"),
        (
            "api_keys",
            f'[{{"name": "a", "sha256": "{HASH}", "read": ["a"]}},'
            f' {{"name": "b", "sha256": "{HASH}", "read": ["a"]}}]',
            "the same sha256",
        ),
        ("token_keys", '[{"algorithm": "HS256", "key": "hunter2"}]', "at least 32 bytes, not 7"),
        (
            "token_keys",
            '[{"algorithm": "none", "key": "hunter2"}]',
            "algorithm must be one of 'HS256'",
        ),
        ("token_keys", '[{"algorithm": "HS256"}]', "either key or key_file"),
        ("token_keys", '[{"algorithm": "RS256", "key": "hunter2"}]', "a public key as PEM"),
        ("token_keys", '[{"algorithm": "HS256", "key_file": "/none"}]', "No such file"),
        ("token_keys", '[{"algorithm": "HS256", "key_file": "/dev/zero"}]', "larger than a key"),
    ],
)
def test_a_bad_value_is_a_sentence_with_the_spelled_name(name: str, text: str, told: str) -> None:
    flag, variable = refused({name: text}), refused(environ={env_name(name): text})
    assert told in flag
    assert told in variable
    assert flag.startswith("--" + name.replace("_", "-"))
    assert variable.startswith(env_name(name))
    assert "hunter2" not in flag + variable


def test_defaults_outlast_the_timers_of_hidden_tabs() -> None:
    # Chrome 88 and later wakes a tab that is hidden for five minutes once in this time.
    wake_up = 60
    settings = Settings(dev=True)
    # One wake-up may be missed; a client's own pause is longer still.
    assert settings.bosh_inactivity > 2 * wake_up
    assert settings.bosh_maxpause > settings.bosh_inactivity
    # One step of a login may have to wait for a wake-up.
    assert settings.xmpp_login_seconds >= 1.5 * wake_up
    assert BoshPolicy().inactivity == settings.bosh_inactivity
    assert BoshPolicy().maxpause == settings.bosh_maxpause


def test_several_errors_are_reported_together() -> None:
    assert refused({"port": "x"}, toml="max_wait = 99").splitlines() == [
        "--port must be a whole number, not 'x'.",
        "max_wait must be at most 55, not '99'.",
    ]


def test_files_that_cannot_be_read() -> None:
    for content, told in ((b"port =", "is not TOML"), (b"\xff", "is not UTF-8")):
        Path("bad.toml").write_bytes(content)
        with pytest.raises(SettingsError, match=told):
            load({}, {}, Path("bad.toml"))
    with pytest.raises(SettingsError, match=r"missing\.toml cannot be read: No such file"):
        load({}, {"PUSHHUB_CONFIG": "missing.toml"})
    with pytest.raises(SettingsError, match="larger than a file of settings"):
        load({}, {}, Path("/dev/zero"))
    with pytest.raises(SettingsError, match="cannot be read"):
        load({}, {"PUSHHUB_API_KEYS_FILE": "missing"})
    with pytest.raises(SettingsError, match="not both"):
        load({}, {"PUSHHUB_STORE": "memory://", "PUSHHUB_STORE_FILE": "missing"})


def test_public_and_private_keys_are_not_confused() -> None:
    pem = public_key("RS256").decode()
    assert TokenKey(algorithm="RS256", key=SecretStr(pem)).material().decode() == pem
    with pytest.raises(ValidationError, match="is no HS256 secret"):
        TokenKey(algorithm="HS256", key=SecretStr(pem))
    private = private_key("RS256").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(ValidationError, match="This is a private key"):
        TokenKey(algorithm="RS256", key=SecretStr(private.decode()))


# -- what excludes what --------------------------------------------------------


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "hub.test", "localhost.test"])
def test_dev_stays_on_loopback(host: str) -> None:
    assert "loopback only" in refused({"dev": "true", "host": host})
    assert not is_local(host)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "::1", "localhost"])
def test_dev_may_be_anywhere_on_loopback(host: str) -> None:
    assert Settings(dev=True, host=host).refusal() is None


@pytest.mark.parametrize("store", ["memory://", "sqlite:///x.db"])
def test_workers_need_a_store_that_is_shared(store: str) -> None:
    told = refused({"workers": "2", "store": store})
    assert told == "2 workers need a store that processes can share; use redis://, or one worker."
    assert Settings(workers=2, store="redis://db").workers == 2


def test_production_needs_a_key() -> None:
    told = Settings().refusal()
    assert told is not None
    assert "pushhub key new" in told
    assert Settings(api_keys=[ApiKey(name="a", sha256=HASH, publish=["*"])]).refusal() is None


# -- what they say -------------------------------------------------------------

SPACES = Settings(
    public=False,
    retention_events=10,
    retention_age=60,
    namespaces={
        "open": Namespace(public=True, retention_age=0),
        "few": Namespace(retention_events=1),
    },
)


@pytest.mark.parametrize(
    ("channel", "retention", "public"),
    [
        ("a", Retention(10, 60), False),
        ("open", Retention(10, 60), False),  # a name without ':' is in no namespace
        ("open:1", Retention(10, None), True),
        ("open:1:2", Retention(10, None), True),
        ("few:1", Retention(1, 60), False),
        ("other:1", Retention(10, 60), False),
        (":1", Retention(10, 60), False),
    ],
)
def test_a_channel_is_kept_and_shown_by_its_namespace(
    channel: str, retention: Retention, public: bool
) -> None:
    assert SPACES.retention(channel) == retention
    assert SPACES.is_public(channel) is public


def test_the_default_for_channels_can_be_public() -> None:
    settings = Settings(public=True, namespaces={"closed": Namespace(public=False)})
    assert settings.is_public("a")
    assert settings.is_public("other:1")
    assert not settings.is_public("closed:1")
    assert not settings.is_public("$own")


def test_origins_are_as_browsers_send_them() -> None:
    settings = Settings(
        cors_origins=["HTTPS://App.Example.com:443", "http://localhost:5173", "http://[::1]:80"]
    )
    assert settings.cors_origins == [
        "https://app.example.com",
        "http://localhost:5173",
        "http://[::1]",
    ]


@pytest.mark.parametrize(
    ("origins", "cookies"), [([], False), (["*"], False), (["https://a.test"], True)]
)
def test_only_named_origins_may_send_cookies(origins: list[str], cookies: bool) -> None:
    assert Settings(cors_origins=origins).cors_credentials is cookies


def test_secrets_do_not_show() -> None:
    settings: Any = Settings(
        token_keys=[TokenKey(algorithm="HS256", key=SecretStr(SECRET.decode()))]
    )
    for text in (repr(settings), str(settings), settings.model_dump_json()):
        assert SECRET.decode() not in text


WRONG: list[Any] = [
    -1,
    10**12,
    "",
    "x" * 2000,
    "*",
    3.5,
    True,
    None,
    [],
    [1],
    ["x y"] * 3,
    {"x": 1},
]


@pytest.mark.parametrize("name", Settings.model_fields)
def test_no_error_has_the_words_of_the_library(name: str) -> None:
    for value in WRONG:
        try:
            Settings(**{name: value})
        except ValidationError as error:
            for sentence in sentences(error, lambda setting: setting):
                assert not re.search(r"Input should|valid \w+|pydantic|Value error", sentence), (
                    sentence
                )
                assert sentence.endswith(".")


def test_a_wrong_mechanism_is_not_reported_as_a_hash() -> None:
    with pytest.raises(ValidationError) as caught:
        Settings(xmpp_mechanisms=["plain"])
    (told,) = sentences(caught.value, lambda setting: setting)
    assert told == (
        "xmpp_mechanisms[0] must be the name of a SASL mechanism, such as SCRAM-SHA-256, "
        "not 'plain'."
    )


@pytest.mark.parametrize(
    ("limits", "sentence"),
    [
        ({"address-request": {"rate": 1}}, "did you mean 'address-requests'?"),
        ({"address-holds": {"rate": 1}}, "is set by 'most'"),
        ({"address-requests": {"most": 1}}, "is set by 'rate' and 'burst'"),
        ({"address-requests": {"rate": 1, "most": 1}}, "is set by 'rate' and 'burst'"),
        ({"address-requests": {}}, "has 'rate' and 'burst', or 'most'"),
        ({"address-requests": {"rate": -1}}, "must be at least 0"),
        ({"address-requests": {"rte": 1}}, "did you mean 'rate'?"),
    ],
)
def test_a_limit_that_cannot_be_meant(limits: dict[str, dict[str, int]], sentence: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(sentence)):
        load({"limits": json.dumps(limits)}, {})


def test_a_limit_has_its_defaults() -> None:
    for name, spec in LIMIT_SPECS.items():
        assert Settings().limit(name) == spec
        assert name.startswith(f"{spec.scope}-")
    own = Settings(limits={"address-requests": Limit(rate=5), "key-bytes": Limit(rate=1, burst=7)})
    assert own.limit("address-requests")[3:5] == (5, 50), "ten seconds of its rate"
    assert own.limit("key-bytes")[3:5] == (1, 7)
    assert Settings(limits={"address-holds": Limit(most=0)}).limit("address-holds").most == 0
