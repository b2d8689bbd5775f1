"""What may be wrong with a deployment: the settings, this machine, and the store that they name.

It looks and measures, and changes nothing that stays.
"""

from pushhub.doctor.examine import examine
from pushhub.doctor.finding import Finding, Level

__all__ = ["Finding", "Level", "examine"]
