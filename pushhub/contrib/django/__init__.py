"""pushhub for Django: publish after the commit, views that wait, and tokens by session.

    INSTALLED_APPS = [..., "pushhub.contrib.django"]

It needs Django and `pushhub-client`. docs/frameworks.md is its guide.
"""

from pushhub.contrib.django.publishing import publish
from pushhub.contrib.django.waiting import waits

__all__ = ["publish", "waits"]
