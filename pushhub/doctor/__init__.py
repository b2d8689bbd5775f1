"""Checks of a deployment: its settings, its machine and its store.

It looks and measures, and changes nothing that stays.
"""

from pushhub.doctor.examine import examine
from pushhub.doctor.finding import Finding, Severity

__all__ = ["Finding", "Severity", "examine"]
