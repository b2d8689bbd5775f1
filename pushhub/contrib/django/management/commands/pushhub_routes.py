"""`manage.py pushhub_routes`: the routes of the hub for the views that wait."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.urls import get_resolver

from pushhub.contrib.django.waiting import ViewRoute, waiting_routes

_LOCALE = "django.middleware.locale.LocaleMiddleware"
_CSRF = "django.middleware.csrf.CsrfViewMiddleware"


class Command(BaseCommand):
    """Prints the routes, or compares them with a file."""

    help = "Print the routes of pushhub.toml for the views that wait."

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument(
            "--check", metavar="FILE", type=Path, help="Fail if the file lacks one of the routes."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        routes = list(waiting_routes(get_resolver().url_patterns))
        if options["check"] is None:
            self.stdout.write("\n".join(map(_toml, routes)), ending="")
            return
        found = tomllib.loads(options["check"].read_text()).get("routes", [])
        there = {(one.get("path"), one.get("channel"), one.get("step")) for one in found}
        for route in routes:
            if (route.path, route.channel, "notify") not in there:
                raise CommandError(
                    f"{options['check']} has no route for {route.path}. Add the lines that "
                    "`manage.py pushhub_routes` prints."
                )


def _toml(route: ViewRoute) -> str:
    """A route. Only the cookies of the session and of the language separate clients."""
    cookies = [settings.SESSION_COOKIE_NAME]
    if _LOCALE in settings.MIDDLEWARE:
        cookies.append(settings.LANGUAGE_COOKIE_NAME)
    identity = ["authorization", *(f"cookie:{name}" for name in cookies)]
    # Django renews this cookie with some responses. A client that waits can do without.
    renewed = [settings.CSRF_COOKIE_NAME] if _CSRF in settings.MIDDLEWARE else []
    # A JSON string without control characters is a basic string of TOML.
    return (
        "[[routes]]\n"
        f"path = {json.dumps(route.path, ensure_ascii=False)}\n"
        'step = "notify"\n'
        f"channel = {json.dumps(route.channel, ensure_ascii=False)}\n"
        f"identity = {json.dumps(identity)}\n"
    ) + (f"drop_set_cookie = {json.dumps(renewed)}\n" if renewed else "")
