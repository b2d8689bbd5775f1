"""A Django project for the tests of this folder. A process has one; here it is set up before they
are imported, because Django's models need it.
"""

import django
from django.conf import settings

settings.configure(
    ROOT_URLCONF="tests.contrib.test_django",
    SECRET_KEY="of a test",
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "pushhub.contrib.django",
    ],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
)
django.setup()
