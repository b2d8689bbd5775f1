"""A poller by ETag: every 5 seconds, or with --wait as soon as there is something new."""

import argparse
import time

import requests

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("url")
parser.add_argument("--every", type=float, default=5, help="seconds between two polls")
parser.add_argument("--wait", type=int, help="seconds that a poll may wait")
options = parser.parse_args()

session = requests.Session()
if options.wait:
    session.headers["Prefer"] = f"wait={options.wait}"  # all that is new
while True:
    try:
        answer = session.get(options.url, timeout=(options.wait or 0) + 10)
    except requests.RequestException as error:
        print(f"no answer: {error}", flush=True)
        time.sleep(options.every)
        continue
    if answer.status_code == 200:
        print(answer.text.strip(), flush=True)
        session.headers["If-None-Match"] = answer.headers["ETag"]
    if "Preference-Applied" not in answer.headers:
        time.sleep(options.every)
