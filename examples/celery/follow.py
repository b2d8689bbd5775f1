"""Send a task, and print its progress until it is done."""

import os
from uuid import uuid4

from tasks import pack, send

from pushhub_client import Client, Gap

job = uuid4().hex
pack.delay(job, 3)
send.delay("jobs", {"begun": job}, job)
hub = Client(os.environ.get("HUB_URL", "http://127.0.0.1:8080"))
for event in hub.subscribe(f"jobs:{job}", since="earliest"):
    if isinstance(event, Gap):
        raise SystemExit("Events may be lost: the hub was started again.")
    print(f"{event.data['done']} of {event.data['of']} parcels", flush=True)
    if event.data["done"] == event.data["of"]:
        break
