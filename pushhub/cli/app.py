"""The commands, put together."""

import typer

from pushhub import __version__
from pushhub.cli import (
    bench,
    config,
    delete,
    doctor,
    init,
    key,
    publish,
    reload,
    routes,
    serve,
    sources,
    store,
    suggest,
    tail,
    token,
    top,
    trial,
    user,
)
from pushhub.cli.help import GroupedCommand

_EPILOG = "Exit codes: 0 done, 1 refused or failed, 2 wrong usage or settings."

app = typer.Typer(
    name="pushhub",
    epilog=_EPILOG,
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,  # local variables can be secrets
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(epilog=_EPILOG, cls=GroupedCommand)(serve.serve)
app.command(epilog=_EPILOG, short_help="Write a first file of settings.")(init.init)
app.command(epilog=_EPILOG, cls=GroupedCommand)(publish.publish)
app.command(epilog=_EPILOG, cls=GroupedCommand)(tail.tail)
app.command(epilog=_EPILOG, cls=GroupedCommand)(delete.delete)
app.command(epilog=_EPILOG, cls=GroupedCommand, short_help="Let a hub read its settings again.")(
    reload.reload
)
app.command(epilog=_EPILOG, cls=GroupedCommand)(bench.bench)
app.command(
    epilog=_EPILOG, cls=GroupedCommand, short_help="Check the settings, the machine and the store."
)(doctor.doctor)
app.command(epilog=_EPILOG, cls=GroupedCommand, short_help="Show the figures of nodes, live.")(
    top.top
)
app.command("try", epilog=_EPILOG, short_help="Compare polling with waiting on your own API.")(
    trial.try_api
)
routes.app.command("suggest", short_help="Print the routes lines that suit an API.")(
    suggest.suggest_routes
)
app.add_typer(token.app, name="token")
app.add_typer(key.app, name="key")
app.add_typer(user.app, name="user")
app.add_typer(config.app, name="config")
app.add_typer(routes.app, name="routes")
app.add_typer(sources.app, name="sources")
app.add_typer(store.app, name="store", short_help="Back up, check and fence the log.")


def _version(value: bool) -> None:
    if value:
        typer.echo(f"pushhub {__version__}")
        raise typer.Exit


@app.callback()
def pushhub(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version and exit."
    ),
) -> None:
    """A realtime push service for HTTP: a poll is a read of a log that is allowed to wait."""
