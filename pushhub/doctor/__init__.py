"""What may be wrong with a deployment: the settings, this machine, and the store that they name.

It looks and measures, and changes nothing that stays.
"""

from pushhub.doctor.examine import examine
from pushhub.doctor.finding import Finding, Severity

__all__ = ["Finding", "Severity", "examine"]
