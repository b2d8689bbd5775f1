"""A chat on Django and django-eventstream. Its events are sent by Django itself, or by pushhub.

With GRIP_URL, django-eventstream answers each reader with an instruct and publishes to pushhub;
nothing else differs. Any WSGI server will do then, since no reader occupies it.
"""

import os

import django
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt

settings.configure(
    SECRET_KEY="of the example alone, and of nothing else",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "django_eventstream"],
    MIDDLEWARE=["django_grip.GripMiddleware"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": os.environ.get("DATABASE", "chat.db"),
        }
    },
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    EVENTSTREAM_STORAGE_CLASS="django_eventstream.storage.DjangoModelStorage",
    **({"GRIP_URL": os.environ["GRIP_URL"]} if "GRIP_URL" in os.environ else {}),
)
django.setup()

from django.core.management import call_command  # noqa: E402
from django_eventstream import send_event  # noqa: E402


@csrf_exempt
def say(request: HttpRequest) -> HttpResponse:
    """Say something to everybody."""
    send_event("room", "message", {"text": request.POST["text"]})
    return HttpResponse(status=204)


urlpatterns = [
    path("say", say),
    path("events/", include("django_eventstream.urls"), {"channels": ["room"]}),
]

if __name__ == "__main__":
    call_command("migrate", verbosity=0)
    port = int(os.environ.get("ORIGIN_PORT", "8000"))
    if "GRIP_URL" in os.environ:
        from django.core.wsgi import get_wsgi_application
        from waitress import serve

        serve(get_wsgi_application(), host="127.0.0.1", port=port, threads=4)
    else:
        import uvicorn
        from django.core.asgi import get_asgi_application

        uvicorn.run(get_asgi_application(), host="127.0.0.1", port=port, log_level="warning")
