"""What can be measured: a function for each, from a target and a load to figures."""

from pushhub.testing.load.scenarios.fan_out import fan_out

__all__ = ["fan_out"]
