"""Which channels a session may read: the orders of its user."""

from shop.models import Order


def channels(request):
    if not request.user.is_authenticated:
        return []
    return [
        f"orders:{id}"
        for id in Order.objects.filter(owner=request.user).values_list("id", flat=True)
    ]
