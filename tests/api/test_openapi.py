"""The description of the API describes the API."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import validate

from pushhub.api import batch, cors
from pushhub.api.endpoints import MAX_BATCH_BYTES, ROUTES
from pushhub.api.openapi.document import document
from pushhub.http.problem import PROBLEMS, TYPE_PREFIX
from pushhub.log.channel import MAX_NAME_BYTES
from pushhub.log.event import RESERVED_TYPES
from pushhub.log.read import Reason
from pushhub.polls.base import DEFAULT_LIMIT, MAX_LIMIT
from pushhub.polls.multi import MAX_CHANNELS
from pushhub.store.base import IDEMPOTENCY_SECONDS

DOCUMENT = document()
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]
PARAMETERS: dict[str, Any] = DOCUMENT["components"]["parameters"]
OPERATIONS = {
    (path, method.upper()): operation
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
    if method != "parameters"
}
ASSETS = {
    "/docs.css",
    "/docs.js",
    "/page.css",
    "/client.js",
    "/client.mjs",
    "/client.d.ts",
    "/client.js.map",
    "/client.mjs.map",
    "/demo/faces.json",
    "/demo/{file}",
    "/console/{file}",
}


def examples(schema: str) -> Iterator[object]:
    yield from SCHEMAS[schema].get("examples", [])


@pytest.mark.slow
def test_it_is_valid() -> None:
    validate(DOCUMENT)
    json.dumps(DOCUMENT, allow_nan=False)


def test_every_route_and_method_is_described() -> None:
    endpoints = {(route.path, method) for route in ROUTES for method in route.endpoints}
    assert endpoints - OPERATIONS.keys() == set()
    described = {one for one in OPERATIONS if one[0].startswith("/v1/")}
    assert described - endpoints == set()


def test_every_page_is_described(page_paths: set[str]) -> None:
    endpoints = {route.path for route in ROUTES}
    assert page_paths - ASSETS == {path for path, _ in OPERATIONS} - endpoints


@pytest.fixture
def page_paths() -> set[str]:
    from pushhub.app import create_app
    from pushhub.settings import Settings

    app = create_app(Settings(dev=True, store="memory://"))
    return {route.path for route in app.pages.routes if hasattr(route, "path")}


def test_the_types_of_problems_are_those_there_are() -> None:
    types = SCHEMAS["Problem"]["properties"]["type"]["enum"]
    assert types == [TYPE_PREFIX + slug for slug in PROBLEMS]


def test_problems_are_listed_under_their_status() -> None:
    for operation in OPERATIONS.values():
        for status, answer in operation["responses"].items():
            problem = answer.get("content", {}).get("application/problem+json")
            if problem:
                for type in problem["schema"]["allOf"][1]["properties"]["type"]["enum"]:
                    assert PROBLEMS[type.removeprefix(TYPE_PREFIX)][0] == int(status)


def test_ids_are_unique() -> None:
    ids = [operation["operationId"] for operation in OPERATIONS.values()]
    assert len(set(ids)) == len(ids)


def test_everything_defined_is_used() -> None:
    text = json.dumps(DOCUMENT)
    for kind in ("schemas", "parameters", "headers"):
        for name in DOCUMENT["components"][kind]:
            assert f'"#/components/{kind}/{name}"' in text, f"{kind}/{name} is used nowhere"


@pytest.mark.parametrize("schema", SCHEMAS)
def test_examples_fit_their_schemas(schema: str) -> None:
    validator = OAS31Validator(
        {"$ref": f"#/components/schemas/{schema}", "components": DOCUMENT["components"]}
    )
    for example in examples(schema):
        validator.validate(example)


def test_limits_are_those_of_the_code() -> None:
    limit = PARAMETERS["limit"]["schema"]
    assert (limit["maximum"], limit["default"]) == (MAX_LIMIT, DEFAULT_LIMIT)
    assert SCHEMAS["Poll"]["properties"]["limit"]["maximum"] == MAX_LIMIT
    assert SCHEMAS["Poll"]["properties"]["channels"]["maxProperties"] == MAX_CHANNELS
    assert SCHEMAS["Channel"]["maxLength"] == MAX_NAME_BYTES
    assert SCHEMAS["Gap"]["properties"]["reason"]["enum"] == [reason.value for reason in Reason]
    assert str(IDEMPOTENCY_SECONDS) in PARAMETERS["IdempotencyKey"]["description"]
    assert all(f"`{type}`" in PARAMETERS["EventType"]["description"] for type in RESERVED_TYPES)
    assert (
        f"{MAX_BATCH_BYTES >> 20} MiB and {batch.MAX_APPENDS:,}" in SCHEMAS["Batch"]["description"]
    )


def test_a_batch_item_has_the_fields_that_are_read() -> None:
    assert SCHEMAS["BatchItem"]["properties"].keys() == batch._FIELDS


def test_headers_may_cross_origins() -> None:
    allowed = {name.lower() for name in cors.ALLOWED.split(", ")}
    sent = {one["name"].lower() for one in PARAMETERS.values() if one["in"] == "header"}
    assert sent - allowed == set()
    # Every response has a Date (RFC 9110 §6.6.1), so no operation lists it.
    exposed = set(cors.EXPOSED.split(", ")) - {"Date"}
    answered = {
        name
        for operation in OPERATIONS.values()
        for answer in operation["responses"].values()
        for name in answer.get("headers", {})
    }
    # Each response has a Date (RFC 9110 §6.6.1), which no operation lists.
    assert answered == exposed - {"Date"}
