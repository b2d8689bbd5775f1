"""A Django project with django-eventstream, unmodified; it is run with a port and a GRIP_URL.

`/events/` is its stream of the channel `news`; `POST /send` sends what it is given there.
"""

import sys
from wsgiref.simple_server import make_server

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import include, path

urlpatterns: list[object] = []


def send(request: HttpRequest) -> HttpResponse:
    from django_eventstream import send_event

    send_event("news", "message", {"text": request.body.decode()})
    return HttpResponse("sent")


def main(port: str, grip_url: str) -> None:
    settings.configure(
        ALLOWED_HOSTS=["*"],
        GRIP_URL=grip_url,
        INSTALLED_APPS=["django_eventstream"],
        MIDDLEWARE=["django_grip.GripMiddleware"],
        ROOT_URLCONF=__name__,
        SECRET_KEY="only a test",
        USE_TZ=True,
    )
    django.setup()
    urlpatterns.append(path("send", send))
    urlpatterns.append(path("events/", include("django_eventstream.urls"), {"channels": ["news"]}))
    application = get_wsgi_application()
    with make_server("127.0.0.1", int(port), application) as server:
        print("ready", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
