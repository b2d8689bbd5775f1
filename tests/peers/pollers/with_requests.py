"""A poller as people write it with requests: by ETag, at once again if the answer had waited."""

import sys
import time

import requests

url, every = sys.argv[1], float(sys.argv[2])
headers = {"Prefer": "wait=25"} if "--wait" in sys.argv else {}
session = requests.Session()
while True:
    answer = session.get(url, headers=headers, timeout=35)
    if answer.status_code == 200:
        headers["If-None-Match"] = answer.headers["ETag"]
        print(answer.text, flush=True)
    elif answer.status_code != 304:
        print(answer.status_code, answer.text, file=sys.stderr, flush=True)
    if "Preference-Applied" not in answer.headers:
        time.sleep(every)
