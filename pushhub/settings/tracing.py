"""The settings of traces."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Annotated

from pydantic import BaseModel, field_validator

from pushhub.settings.field import LOGS, setting

# What pushhub imports of the extra.
_PACKAGES = ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http")


class TracingSettings(BaseModel):
    """The settings of traces; part of `Settings`. OpenTelemetry's own variables have all else."""

    tracing: Annotated[
        bool,
        setting(
            LOGS,
            "Exports traces by OpenTelemetry, whose own variables (`OTEL_…`) configure it; needs "
            "the extra `pushhub[otel]`.",
        ),
    ] = False

    @field_validator("tracing")
    @classmethod
    def _is_installed(cls, tracing: bool) -> bool:
        if tracing and not all(map(_has, _PACKAGES)):
            raise ValueError("Traces need an extra: pip install 'pushhub[otel]'")
        return tracing


def _has(module: str) -> bool:
    """Whether a module can be imported. It is not imported, but its parents are."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False
