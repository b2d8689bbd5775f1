"""The command of scripts/release."""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from tests import outside
from tests.release import readiness
from tests.release.building import Release
from tests.release.commands import Failed


def main() -> int:
    parser = argparse.ArgumentParser("scripts/release")
    parser.add_argument("--check", action="store_true", help="inspect, install and use them, too")
    parser.add_argument("--no-tests", action="store_true", help="leave the sdist's tests out")
    parser.add_argument("--ready", action="store_true", help="say whether a tag may be published")
    parser.add_argument("target", metavar="FOLDER|TAG")
    options = parser.parse_args()
    if options.ready:
        return ready(options.target)
    try:
        return build(Path(options.target).resolve(), options.check, not options.no_tests)
    except Failed as failure:
        print(f"release: {failure}", file=sys.stderr)
        return 1


def ready(tag: str) -> int:
    """Print what keeps the commit from being published; 1 if anything does."""
    problems = readiness.problems(outside.ROOT, tag, os.environ)
    for problem in problems:
        print(f"release: {problem}", file=sys.stderr)
    if not problems:
        print(f"release: {tag} may be published")
    return int(bool(problems))


def build(folder: Path, check: bool, tests: bool) -> int:
    """Build, and check if asked; 1 if something was left out and nothing may be."""
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="pushhub-release-") as stage:
        release = Release(folder, Path(stage))
        release.build()
        release.bill_of_materials()
        if check:
            release.inspect()
            release.use()
        if check and tests:
            release.test_sdist()
        elif check:
            release.left_out["the tests of the sdist"] = "--no-tests"
    for path in sorted(folder.glob("*/*")):
        size = path.stat().st_size / 1000
        print(f"release: {path.parent.name}/{path.name} ({size:.0f} kB)")
    for part, why in release.left_out.items():
        print(f"release: left out: {part}: {why}")
    result = "all checks passed" if check else "built"
    print(f"release: {result}, after {time.monotonic() - begun:.0f} s")
    return int(bool(release.left_out) and os.environ.get("PUSHHUB_TEST_ALL") == "1")


if __name__ == "__main__":
    sys.exit(main())
