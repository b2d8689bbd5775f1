"""The handling of a request, corrected by the response of the origin to it."""

from dataclasses import replace
from typing import Any

from pushhub.advice.connection_error import connection_error
from pushhub.origin.explain import Explanation


def after_response(result: Explanation, response: dict[str, Any]) -> Explanation:
    """The handling of a request whose response is known now."""
    if response.get("shared") is False and "why_not" in response:
        reason = f"The response cannot be shared: {response['why_not']}; so the request is passed."
        return replace(result, outcome="passed", because=reason)
    if result.outcome == "held" and "problem" not in response and response["status"] != 200:
        reason = f"Only a 200 is held; the origin's {response['status']} comes immediately."
        return replace(result, outcome="at-once", because=reason)
    return result


async def connection_reason(result: Explanation) -> dict[str, Any]:
    """Why no connection can be made, where that is so: the problem itself says less to clients."""
    assert result.match is not None
    reason = await connection_error(result.match.target)
    return {"reason": reason} if reason else {}
