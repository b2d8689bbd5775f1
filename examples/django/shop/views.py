"""The shop's views. `waits` and `publish` are the lines for pushhub."""

from django.contrib.auth import authenticate, login, logout
from django.db import transaction
from django.http import HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_POST
from rest_framework import generics, permissions, serializers

from pushhub.contrib.django import publish, waits
from shop.models import Order


@waits("orders:{id}")
def order(request, id):
    found = get_object_or_404(Order, id=id)
    if found.owner != request.user:
        return HttpResponse("This is another user's order.\n", status=403)
    return JsonResponse({"id": found.id, "state": found.state})


@require_POST
def change(request, id):
    with transaction.atomic():
        found = get_object_or_404(Order, id=id, owner=request.user)
        found.state = request.POST["state"]
        found.save()
        publish(f"orders:{id}", {"state": found.state})  # after the commit
        if not found.state:
            transaction.set_rollback(True)  # no commit, so no event
            return HttpResponse("An order has a state.\n", status=400)
    return JsonResponse({"id": found.id, "state": found.state})


class OrderSerializer(serializers.ModelSerializer):
    class Meta:
        model = Order
        fields = ("id", "state")


class OrderView(generics.RetrieveUpdateAPIView):
    """The same with Django REST framework."""

    serializer_class = OrderSerializer
    permission_classes = (permissions.IsAuthenticated,)

    def get_queryset(self):
        return Order.objects.filter(owner=self.request.user)

    def perform_update(self, serializer):
        found = serializer.save()
        publish(f"orders:{found.id}", serializer.data)


@require_POST
def enter(request):
    user = authenticate(request, username=request.POST["user"], password=request.POST["password"])
    if user is None:
        return HttpResponse("Another name or password.\n", status=403)
    login(request, user)
    return HttpResponse("Welcome.\n")


@require_POST
def leave(request):
    logout(request)
    return HttpResponse("Goodbye.\n")
