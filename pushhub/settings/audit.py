"""The settings of the audit log."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel

from pushhub.settings.field import LOGS, setting


class AuditSettings(BaseModel):
    """The settings of the audit log; part of `Settings`."""

    audit_file: Annotated[
        str | None,
        setting(
            LOGS,
            "The file that audit lines are appended to; without one they go to the log. Commands "
            "such as `pushhub user` write to it too. It may be rotated by renaming it.",
            min_length=1,
        ),
    ] = None
    audit_channel: Annotated[
        bool,
        setting(
            LOGS,
            "Keeps audit lines in the store too, where operators read them at `/console/audit`.",
        ),
    ] = False
    # A line has about 400 bytes: 4 MB.
    audit_channel_events: Annotated[
        int,
        setting(
            LOGS, "The number of audit lines that the store keeps.", unit="events", ge=1, le=100_000
        ),
    ] = 10_000
    # 90 days, as PCI DSS 4.0 requires to be immediately available (10.5.1).
    audit_channel_age: Annotated[
        int,
        setting(
            LOGS,
            "The time that the store keeps an audit line.",
            unit="s",
            ge=60,
            le=315_360_000,
        ),
    ] = 7_776_000
