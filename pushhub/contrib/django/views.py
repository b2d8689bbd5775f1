"""The view that gives a page its token."""

from __future__ import annotations

from typing import Any

import jwt
from django.http import HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from pushhub.contrib.django.configuration import ALGORITHM, configuration
from pushhub.runtime import Runtime

_RUNTIME = Runtime()


@require_GET
@never_cache
def token(request: Any) -> Any:
    """A token (JWT) for the channels that the session may read; 403 if there are none.

    `PUSHHUB["READ"]` decides. The token's `sub` is the user's primary key, so that the hub can
    revoke it.
    """
    found = configuration()
    channels = list(found.rights()(request))
    if not channels:
        return HttpResponse("This session may read no channel.", status=403)
    now = int(_RUNTIME.clock())
    user = getattr(request, "user", None)
    claims = {
        "iat": now,
        "exp": now + found.token_seconds,
        "pushhub": {"read": channels},
        "sub": str(user.pk) if user is not None and user.is_authenticated else None,
        "iss": found.token_issuer,
        "aud": found.token_audience,
    }
    given = {name: value for name, value in claims.items() if value is not None}
    text = jwt.encode(given, found.signing_key(), ALGORITHM)
    return HttpResponse(text, content_type="text/plain")
