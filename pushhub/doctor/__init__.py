"""Checks of a deployment: its settings, its machine and its store.

The checks read and measure, and change nothing permanently.
"""

from pushhub.doctor.examine import examine
from pushhub.doctor.finding import Finding, Severity

__all__ = ["Finding", "Severity", "examine"]
