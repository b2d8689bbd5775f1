"""What pushhub's own code keeps in memory."""

import gc
import tracemalloc
from pathlib import Path

import pushhub

_OWN = tracemalloc.Filter(True, str(Path(pushhub.__file__).parent / "*"))


def kept() -> int:
    """The bytes that pushhub's own code holds since tracemalloc was started; not what pytest and
    other threads come to hold.
    """
    gc.collect()
    traces = tracemalloc.take_snapshot().filter_traces([_OWN])
    return sum(one.size for one in traces.statistics("filename"))
