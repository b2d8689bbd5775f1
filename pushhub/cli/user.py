"""`pushhub user`: the accounts of the XMPP server, in its store."""

import asyncio
import secrets
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar

import typer

from pushhub.cli.audit import command_audit
from pushhub.cli.config import Json
from pushhub.cli.flags import ConfigFile, read_settings
from pushhub.cli.key import Patterns
from pushhub.cli.terminal import USAGE, fail, note, say, say_json
from pushhub.log.grant import GrantError, grant_from_claim
from pushhub.settings import Settings
from pushhub.store.base import StoreError

app = typer.Typer(help="Make and remove accounts of the XMPP server.", no_args_is_help=True)

T = TypeVar("T")

Address = Annotated[str, typer.Argument(metavar="ADDRESS", help="Such as juliet@chat.example.com.")]

# Nodes end an account's sessions within a second. A session on its way between two nodes, or a node
# that cannot reach the store, finds the entry for so long.
ENTRY_SECONDS = 86_400.0

# OWASP's least length without a second factor; a shorter password gives only a note.
MIN_PASSWORD = 8


@app.callback()
def group() -> None:
    """Make and remove accounts of the XMPP server. They live in the store, so with SQLite the
    server must not run meanwhile.
    """


@app.command()
def add(
    address: Address,
    read: Patterns = None,
    publish: Patterns = None,
    manage: Patterns = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Make an account. The command prompts for its password, or reads it from standard input.

    --read, --publish and --manage name the channels that it may use by PubSub.
    """
    settings = read_settings(config).settings
    lists = {"read": read or [], "publish": publish or [], "manage": manage or []}
    try:
        grant = grant_from_claim({action: each for action, each in lists.items() if each})
    except GrantError as error:
        fail(str(error), code=USAGE)
    local, domain = _parts(address, settings)
    password = _password()
    bare = _run(
        settings,
        lambda accounts: accounts.add(local, domain, password, grant),
        audited=("account.add", f"{local}@{domain}"),
    )
    say_json({"account": bare, "grant": grant.claim()}) if as_json else say(f"{bare} can log in.")


@app.command(short_help="Change the password of an account.")
def passwd(address: Address, config: ConfigFile = None) -> None:
    """Change an account's password. The command prompts for it, or reads it from standard input.

    The account's sessions end within a second, on all nodes.
    """
    settings = read_settings(config).settings
    local, domain = _parts(address, settings)
    password = _password()
    _run(
        settings,
        lambda accounts: accounts.set_password(f"{local}@{domain}", password),
        audited=("account.password", f"{local}@{domain}"),
        ended=f"{local}@{domain}",
    )
    say(f"{local}@{domain} has a new password.")


@app.command(short_help="Remove an account and its data.")
def remove(address: Address, config: ConfigFile = None) -> None:
    """Remove an account and its data: roster, vCard, block list, archive.

    The account's sessions end within a second, on all nodes.
    """
    settings = read_settings(config).settings
    local, domain = _parts(address, settings)
    _run(
        settings,
        lambda accounts: accounts.remove(f"{local}@{domain}", domain),
        audited=("account.remove", f"{local}@{domain}"),
        ended=f"{local}@{domain}",
    )
    say(f"{local}@{domain} is removed.")


@app.command(name="list")
def list_(
    domain: Annotated[
        str | None, typer.Argument(help="The domain; else all domains that are served.")
    ] = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """List the accounts, one a line."""
    settings = read_settings(config).settings

    async def every(accounts: Any) -> list[str]:
        named = [domain] if domain else _domains(settings)
        return [bare for each in named for bare in await accounts.every(each)]

    found = _run(settings, every)
    if as_json:
        say_json(found)
    else:
        for bare in found:
            say(bare)


def _domains(settings: Settings) -> list[str]:
    return list(settings.xmpp_domains) or (["localhost"] if settings.dev else [])


def _parts(address: str, settings: Settings) -> tuple[str, str]:
    """Localpart and domain of an address, which must be served."""
    from pushhub.xmpp.model.jid import JidError, parse_jid

    try:
        jid = parse_jid(address)
    except JidError as error:
        fail(str(error), code=USAGE)
    if not jid.local or jid.resource:
        fail("An account must be name@domain.", code=USAGE)
    if jid.domain not in _domains(settings):
        # No client could log in to such an account: the address or the settings are wrong.
        served = ", ".join(_domains(settings)) or "none; set xmpp_domains"
        fail(f"The domain {jid.domain} is not served here (served: {served}).", code=USAGE)
    return jid.local, jid.domain


def _password() -> str:
    """The password: from a prompt, or the first line of standard input."""
    if sys.stdin.isatty():
        password: str = typer.prompt(
            "Password", hide_input=True, confirmation_prompt=True, err=True
        )
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        fail("A password must have at least one character.", code=USAGE)
    if len(password) < MIN_PASSWORD:
        note(f"The password is short: at least {MIN_PASSWORD} characters are better.")
    return password


def _run(
    settings: Settings,
    work: Callable[[Any], Awaitable[T]],
    *,
    audited: tuple[str, str] | None = None,
    ended: str = "",
) -> T:
    """Run `work` on the accounts of the settings' store; `audited` is its action and account, for
    the audit log, and `ended` the account whose sessions end with it.
    """
    if settings.store.startswith("memory:"):
        fail(
            "memory:// loses accounts when the process ends; use a store on disk or Redis.",
            code=USAGE,
        )
    # Imported here, so that other commands start faster.
    from pushhub.api.revocation_register import RevocationRegister
    from pushhub.auth.revocation import Revocation, RevocationKind, Revocations, RevocationsFull
    from pushhub.hub.hub import Hub
    from pushhub.store.urls import open_store_url
    from pushhub.xmpp.model.jid import JidError
    from pushhub.xmpp.storage.accounts import AccountError, Accounts
    from pushhub.xmpp.storage.key_value import KeyValueStore

    async def end_sessions(hub: Hub, bare: str) -> None:
        now = time.time()
        entry = Revocation(RevocationKind.SUBJECT, bare, now, now + ENTRY_SECONDS)
        await RevocationRegister(hub, Revocations(time.time)).add(entry)

    async def run() -> T:
        hub = Hub(open_store_url(settings.store, may_evict=settings.store_may_evict))
        try:
            await hub.open()
        except StoreError:
            if audited is not None:
                # The attempt leaves a line, too; the channel cannot have it.
                with command_audit(settings, *audited, target_type="account"):
                    raise
            raise
        try:
            accounts = Accounts(KeyValueStore(hub), secrets.token_bytes)
            if audited is None:
                return await work(accounts)
            with command_audit(
                settings, *audited, target_type="account", hub=hub, expected=expected
            ):
                result = await work(accounts)
                if ended:
                    await end_sessions(hub, ended)
                return result
        finally:
            await hub.close()

    expected = (AccountError, JidError, RevocationsFull)
    try:
        return asyncio.run(run())
    except (*expected, StoreError) as error:
        fail(str(error))
