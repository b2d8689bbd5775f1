"""The shop's paths."""

from django.urls import path

from pushhub.contrib.django import waits
from pushhub.contrib.django.views import token
from shop import views

urlpatterns = [
    path("orders/<int:id>", views.order),
    path("orders/<int:id>/state", views.change),
    path("api/orders/<int:pk>", waits("orders:{pk}")(views.OrderView.as_view())),
    path("login", views.enter),
    path("logout", views.leave),
    path("push/token", token),
]
