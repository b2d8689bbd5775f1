"""A task that publishes its progress. `hub.publish` is the line for pushhub."""

import os

from celery import Celery

from pushhub_client import Client, HubUnreachable

# A broker of files, so that the example needs no server. Yours stays what it is.
folder = os.environ["BROKER_FOLDER"]
app = Celery("tasks", broker="filesystem://")
app.conf.broker_transport_options = {
    "data_folder_in": folder,
    "data_folder_out": folder,
    "control_folder": f"{folder}/control",
}
hub = Client(os.environ.get("HUB_URL", "http://127.0.0.1:8080"))


@app.task
def pack(job: str, parcels: int) -> None:
    for done in range(1, parcels + 1):
        hub.publish(f"jobs:{job}", {"done": done, "of": parcels}, retry_seconds=30)


@app.task(autoretry_for=(HubUnreachable,), retry_backoff=True, retry_backoff_max=60, max_retries=20)
def send(channel: str, data: object, key: str) -> None:
    """An event that may not be lost. The key makes one that arrived before count once."""
    hub.publish(channel, data, idempotency_key=key)
