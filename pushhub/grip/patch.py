"""`body-patch`: a change to the body of the timeout response, as a JSON Patch (RFC 6902).

The patch comes from a publisher and the body from an origin, and pushhub does the work. So both are
bounded before the patch is applied. `copy` can double a document with every operation; the document
may not grow beyond the largest event.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import jsonpatch
from jsonpointer import JsonPointerException

from pushhub.grip.fields import GripError
from pushhub.log.event import MAX_EVENT_BYTES
from pushhub.log.json_body import JsonError, dump_exact, load, load_exact

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# A patch with more operations should be a new body.
MAX_OPERATIONS = 100
# The library's exceptions for a patch that does not fit.
_PATCH_ERRORS = (jsonpatch.JsonPatchException, JsonPointerException, TypeError, KeyError)
_OPERATIONS = frozenset({"add", "copy", "move", "remove", "replace", "test"})


def check_patch(value: object) -> tuple[Mapping[str, Any], ...]:
    """The operations of a patch.

    Raises:
        GripError: the value is no list of operations, or has too many.
    """
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        _refuse("'body-patch' is a list of operations (RFC 6902).")
    if len(value) > MAX_OPERATIONS:
        _refuse(f"'body-patch' has at most {MAX_OPERATIONS} operations.")
    for operation in value:
        if operation.get("op") not in _OPERATIONS or not isinstance(operation.get("path"), str):
            _refuse("An operation of 'body-patch' has an 'op' and a 'path' (RFC 6902 §4).")
    return tuple(value)


def apply_patch(body: bytes, patch: Sequence[Mapping[str, Any]]) -> bytes:
    """The patched body; a final line end stays.

    Raises:
        GripError: the body is no JSON object or list, or the patch does not fit it.
    """
    try:
        document = load_exact(body)
    except JsonError as error:
        _refuse(f"The body that a 'body-patch' changes is no JSON: {error}.")
    if not isinstance(document, dict | list):
        _refuse("A 'body-patch' changes a JSON object or list.")
    try:
        for operation in patch:
            step: Any = [operation]
            document = jsonpatch.apply_patch(document, step, in_place=True)
            if operation["op"] == "copy" and len(dump_exact(document)) > MAX_EVENT_BYTES:
                _refuse(f"A 'body-patch' makes a body of at most {MAX_EVENT_BYTES} bytes.")
        patched = dump_exact(document)
        load(patched)
    except (*_PATCH_ERRORS, JsonError) as error:
        _refuse(f"The 'body-patch' does not fit the body: {error}.")
    end = b"\r\n" if body.endswith(b"\r\n") else b"\n" if body.endswith(b"\n") else b""
    return patched + end


def _refuse(sentence: str) -> NoReturn:
    raise GripError(sentence)
