"""Why a survey can suggest nothing, as a sentence with the remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urljoin

from pushhub.advice.observation import RequestForm

if TYPE_CHECKING:
    from pushhub.advice.observation import Observation, Survey


def refusal(survey: Survey) -> str:
    """The sentence; empty if at least two responses can be compared, or one never ends."""
    responses = survey.of(RequestForm.AS_GIVEN)
    if not responses:
        return "No request was sent."
    first = responses[0]
    failed = next((one for one in responses if one.problem or one.status != 200), None)
    if failed is None:
        return ""
    if failed.problem:
        return failed.problem
    if failed is not first:
        later = _sentence(failed, survey)
        return f"The first response was 200, and a later one {failed.status}: {later}"
    return _sentence(failed, survey)


def _sentence(one: Observation, survey: Survey) -> str:
    given = survey.has_authorization or survey.cookies
    match one.status:
        case 401 | 403:
            scheme = one.header(b"www-authenticate").partition(" ")[0]
            wants = f" ({scheme})" if scheme else ""
            if given:
                return f"The API refuses the credentials that were given: {one.status}{wants}."
            return (
                f"The API wants credentials: {one.status}{wants}. Give those of a client: "
                "-H 'Authorization: …' or -H 'Cookie: …'."
            )
        case 301 | 302 | 303 | 307 | 308:
            place = urljoin(survey.url, one.header(b"location"))
            login = " That looks like a login: give -H 'Cookie: …'." if "login" in place else ""
            return f"The URL redirects ({one.status}) to {place}; give that URL.{login}"
        case 404 | 410:
            return f"The API has no such resource: {one.status}."
        case 405:
            allowed = one.header(b"allow")
            return (
                f"The resource has no GET ({one.status}; it allows {allowed or 'others'}). For "
                "reads by another method a route has 'methods'; suggest sends only GET."
            )
        case 406:
            return "The API sends no form that the request accepts (406): give -H 'Accept: …'."
        case 429:
            after = one.header(b"retry-after")
            remedy = f"; try again in {after} s" if after else ""
            return f"The API has a limit of requests (429){remedy}."
        case 204:
            return "The response is empty (204): there is nothing to compare."
        case status if status >= 500:
            return f"The API fails: {status} {one.reason.decode('latin-1')}".rstrip() + "."
        case status:
            return f"The API responds with {status}, and not with 200."
