"""A sample API of Django REST framework, with the middlewares that Django's projects have.

All users share the orders of the shop. `/mine/` has those of the user who is logged in, by Django's
session; each of its responses renews the CSRF cookie, as those of pages with a form do.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.apps.application import Application, Place, Poll
from tests.apps.client import send_json
from tests.apps.own_client import pages, text_of

_PROJECT = """
import sys
from django.conf import settings
from django.db import connection, models

settings.configure(
    DEBUG=True, SECRET_KEY="sample", ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "sample.db"}},
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth",
                    "django.contrib.sessions", "django.contrib.staticfiles", "rest_framework"],
    MIDDLEWARE=["django.middleware.gzip.GZipMiddleware",
                "django.middleware.security.SecurityMiddleware",
                "django.contrib.sessions.middleware.SessionMiddleware",
                "django.middleware.common.CommonMiddleware",
                "django.middleware.csrf.CsrfViewMiddleware",
                "django.contrib.auth.middleware.AuthenticationMiddleware"],
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    LOGIN_REDIRECT_URL="/mine/",
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}],
    STATIC_URL="/static/", DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    REST_FRAMEWORK={"DEFAULT_PAGINATION_CLASS": "rest_framework.pagination.PageNumberPagination",
                    "PAGE_SIZE": 50, "DEFAULT_AUTHENTICATION_CLASSES": []},
)
import django
django.setup()
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.models import Session
from django.middleware.csrf import get_token
from django.urls import include, path
from rest_framework import authentication, generics, permissions, routers, serializers, viewsets

class Order(models.Model):
    text = models.CharField(max_length=200)
    owner = models.CharField(max_length=200, default="")
    class Meta:
        app_label = "sample"

class OrderSerializer(serializers.ModelSerializer):
    class Meta:
        model = Order
        fields = ["id", "text"]

class Orders(viewsets.ModelViewSet):
    queryset = Order.objects.filter(owner="").order_by("-id")
    serializer_class = OrderSerializer

class Mine(generics.ListCreateAPIView):
    serializer_class = OrderSerializer
    authentication_classes = [authentication.SessionAuthentication]
    permission_classes = [permissions.IsAuthenticated]
    def get_queryset(self):
        get_token(self.request)
        return Order.objects.filter(owner=self.request.user.username).order_by("-id")
    def perform_create(self, serializer):
        serializer.save(owner=self.request.user.username)

router = routers.DefaultRouter()
router.register("orders", Orders)
urlpatterns = [path("mine/", Mine.as_view()), path("auth/", include("rest_framework.urls")),
               path("", include(router.urls))]

if __name__ == "__main__":
    from django.core.management import execute_from_command_line
    with connection.schema_editor() as editor:
        for model in [ContentType, Permission, Group, User, Session, Order]:
            editor.create_model(model)
    for name in ["ann", "bob"]:
        User.objects.create_user(name, password="secret-of-" + name)
        Order.objects.create(owner=name, text="the first order of " + name)
    for number in range(20):
        Order.objects.create(text=f"the first order, number {number}")
    execute_from_command_line(["sample", "runserver", "--noreload", "--insecure", sys.argv[1]])
"""


@contextmanager
def start(place: Place) -> Iterator[None]:
    (place.folder / "sample.py").write_text(_PROJECT)
    with place.running(place.command("python"), "sample.py", f"127.0.0.1:{place.port}"):
        yield


def create(place: Place) -> None:
    send_json("POST", f"{place.url}/orders/", {"text": "another order"})


APPLICATION = Application(
    name="django_rest",
    title="Django REST framework",
    server="djangorestframework 3.18 of PyPI, on Django's own server",
    part="apps",
    start=start,
    polls=(
        Poll("/orders/?format=json", create, name="plain"),
        Poll("/orders/?format=json", create, name="gzip", headers={"Accept-Encoding": "gzip"}),
    ),
    routes="""\
[[routes]]
path = "/orders/"
step = "poll"

[[routes]]
path = "/mine/"   # what the user of the session may see
step = "poll"
identity = ["authorization", "cookie:sessionid"]
drop_set_cookie = ["csrftoken"]
""",
    noticed="rows of the table",
    remark=(
        "Django pads gzip at random; pushhub compares the decoded body. With sessions, the cookie"
        " of the session separates users, and neither the CSRF cookie nor those of analytics do"
    ),
    own_client=pages(
        "its browsable API",
        "/orders/",
        text_of(".response-info"),
        changes="""
            await page.fill("form[enctype] input[name=text]", "an order of the form");
            await page.click("form[enctype] button.js-tooltip");
            await page.locator(".response-info", { hasText: "201 Created" }).waitFor();
        """,
    ),
    paths=(
        "/",
        "/orders/",
        "/orders/?format=json",
        "/orders/?format=api",
        "/orders/1/",
        "/orders/1/?format=json",
        "/orders/999/",
        "/orders",
        "/mine/",
        "/auth/login/",
        "/static/rest_framework/css/default.css",
    ),
    unstable=(
        r'csrfToken: "\w+"',
        r'"csrfToken":\s*"\w+"',
        r"csrftoken=\w+",
        r'csrfmiddlewaretoken" value="\w+"',
        r"expires=[^;]*",
    ),
)
