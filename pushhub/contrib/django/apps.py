"""The application of `INSTALLED_APPS`."""

from django.apps import AppConfig
from django.core.checks import register

from pushhub.contrib.django.configuration import check


class PushhubConfig(AppConfig):
    """Registers the check of the settings, and the command `pushhub_routes`."""

    name = "pushhub.contrib.django"
    label = "pushhub"
    verbose_name = "pushhub"

    def ready(self) -> None:
        register(check)
