"""The settings of the channels of one namespace."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from pushhub.log.channel import PRIVATE_MARK, check_name


def _namespace_name(name: str) -> str:
    check_name(name)
    if ":" in name or name.startswith(PRIVATE_MARK):
        raise ValueError("A namespace is the part of a channel's name before the first ':'.")
    return name


NamespaceName = Annotated[str, AfterValidator(_namespace_name)]
EventCount = Annotated[int, Field(ge=1, le=100_000)]
# Ten years: more is a mistake of units.
Age = Annotated[int, Field(ge=0, le=315_360_000)]
# A petabyte: Lua counts exactly beyond that.
ByteCount = Annotated[int, Field(ge=1, le=1_000_000_000_000_000)]


class Namespace(BaseModel):
    """The settings of the channels `<name>:…`; missing ones are those of all channels."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    public: Annotated[
        bool | None, Field(description="Allows reads of its channels without a token.")
    ] = None
    retention_events: Annotated[
        EventCount | None, Field(description="The number of events that a channel keeps.")
    ] = None
    retention_age: Annotated[
        Age | None,
        Field(description="The time that an event is kept, in seconds; 0 is without a limit."),
    ] = None
    retained_bytes: Annotated[
        ByteCount | None,
        Field(
            description="The most bytes that all its channels keep together, from 1 to 10^15; by "
            "default without a limit. A publish beyond it gets 429 (docs/limits.md)."
        ),
    ] = None
