"""The shop with an order of Ann's, on a WSGI server with 4 threads."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
django.setup()

from django.contrib.auth import get_user_model  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from shop.models import Order  # noqa: E402
from waitress import serve  # noqa: E402

call_command("check")
call_command("migrate", run_syncdb=True, verbosity=0)
for name in ("ann", "ben"):
    user, made = get_user_model().objects.get_or_create(username=name)
    if made:
        user.set_password(name)
        user.save()
Order.objects.get_or_create(id=1, owner=get_user_model().objects.get(username="ann"))
serve(get_wsgi_application(), host="127.0.0.1", port=int(os.environ["ORIGIN_PORT"]), threads=4)
