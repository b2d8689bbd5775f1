"""The settings of the shop; `PUSHHUB` is what pushhub.contrib.django adds."""

import os

SECRET_KEY = os.environ["SHOP_SECRET"]
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "shop.urls"
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "rest_framework",
    "pushhub.contrib.django",
    "shop",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
DATABASES = {
    "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["SHOP_DATABASE"]}
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

PUSHHUB = {
    "URL": os.environ["CONTROL_URL"],
    "READ": "shop.rights.channels",
    "TOKEN_KEY": os.environ["SHOP_SECRET"],
}
