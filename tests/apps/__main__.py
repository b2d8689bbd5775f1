"""Runs one application alone, to look at it: `python -m tests.apps NAME`."""

import sys
import tempfile
from pathlib import Path

from tests.apps.catalogue import APPLICATIONS

if __name__ == "__main__":
    with (
        tempfile.TemporaryDirectory(prefix="pushhub-app-") as folder,
        APPLICATIONS[sys.argv[1]].running(Path(folder)) as place,
    ):
        print(f"{place.url} in {place.folder}; Enter ends it", flush=True)
        sys.stdin.readline()
