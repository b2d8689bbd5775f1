"""GET /orders on Django with django-cors-headers, for the pages of the origin in the argument."""

import sys
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import django
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpResponse, JsonResponse
from django.urls import path

version = {"n": 1}


def orders(request: Any) -> Any:
    return JsonResponse(version)


def change(request: Any, n: int) -> Any:
    version["n"] = n
    return HttpResponse()


urlpatterns = [path("orders", orders), path("version/<int:n>", change)]


class Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


if __name__ == "__main__":
    settings.configure(
        ROOT_URLCONF=sys.modules[__name__],
        ALLOWED_HOSTS=["*"],
        SECRET_KEY="of a test",
        INSTALLED_APPS=["corsheaders"],
        MIDDLEWARE=["corsheaders.middleware.CorsMiddleware"],
        CORS_ALLOWED_ORIGINS=[sys.argv[1]],
        CORS_ALLOW_CREDENTIALS=True,
    )
    django.setup()
    server = make_server("127.0.0.1", 0, WSGIHandler(), handler_class=Quiet)
    print(server.server_port, flush=True)
    server.serve_forever()
