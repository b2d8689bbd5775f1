"""Runs one application alone, to look at it: `python -m tests.apps NAME`."""

import sys
import tempfile
import time
from pathlib import Path

from tests.apps.catalogue import APPLICATIONS

if __name__ == "__main__":
    application = APPLICATIONS[sys.argv[1]]
    with (
        tempfile.TemporaryDirectory(prefix="pushhub-app-") as folder,
        application.running(Path(folder)) as place,
    ):
        print(place.url, place.folder, flush=True)
        if len(sys.argv) == 2:
            time.sleep(3600)
        for _ in range(2):
            for poll in application.polls:
                import urllib.request
                request = urllib.request.Request(place.url + poll.target, headers=dict(poll.headers), method=poll.method, data=poll.body or None)
                for _ in range(2):
                    with urllib.request.urlopen(request) as response:
                        print(poll.method, poll.target, response.status, dict(response.headers), response.read()[:1500])
                    time.sleep(1.1)
                poll.change(place)
        for poll in application.polls:
            with urllib.request.urlopen(place.url + poll.target) as response:
                print(response.status, response.read()[:1500])
