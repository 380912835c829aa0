"""Trains an adapter through OpenAI's API with OpenAI's own package, and prints what it saw. Where that is, and who asks, says the environment,
as for any program that uses it: OPENAI_BASE_URL, OPENAI_API_KEY.

    python openai_client.py CHATS.jsonl
"""

import json
import sys
import time
from pathlib import Path

from openai import APIStatusError, OpenAI

path = Path(sys.argv[1])
client = OpenAI()
jobs = client.fine_tuning.jobs


def error_of(work) -> list[str]:
    try:
        work()
    except APIStatusError as error:
        assert error.request_id and set(error.body) == {"message", "type", "param", "code"}
        return [type(error).__name__, error.code]
    return ["none"]


with path.open("rb") as source:
    file = client.files.create(file=source, purpose="fine-tune", expires_after={"anchor": "created_at", "seconds": 86400})


def submit(**overrides):
    hyperparameters = {"n_epochs": 1, "batch_size": 2, "learning_rate_multiplier": 10}
    qlora = {"lora": {"rank": 4}, "training": {"sequenceLength": 256}}
    return jobs.create(**{
        "model": "sample", "training_file": file.id, "suffix": "OpenAI Sailor", "seed": 7, "metadata": {"run": "oracle"},
        "method": {"type": "supervised", "supervised": {"hyperparameters": hyperparameters}}, "extra_body": {"qlora": qlora},
    } | overrides)


def settled(job):
    while job.status in ("validating_files", "queued", "running"):
        time.sleep(0.5)
        job = jobs.retrieve(job.id)
    return job


job = settled(submit())

events = list(jobs.list_events(job.id, limit=7))
measured = [event.data for event in reversed(events) if event.type == "metrics"]
model = client.models.retrieve(job.fine_tuned_model)
second = settled(jobs.pause(submit(metadata={"run": "second"}).id))
resumed = jobs.resume(second.id)
cancelled = settled(jobs.cancel(second.id))
seen = {
    "file": file.to_dict(),
    "content_is_file": client.files.content(file.id).read() == path.read_bytes(),
    "job": job.to_dict(),
    "metrics": {"train": [data["train_loss"] for data in measured if "train_loss" in data]},
    "events_are_unique": len({event.id for event in events}) == len(events),
    "first_event": events[-1].message,
    "checkpoint": next(iter(jobs.checkpoints.list(job.id))).to_dict(),
    "model": {"id": model.id, "object": model.object, "owned_by": model.owned_by},
    "models": [one.id for one in client.models.list()],
    "listed_by_metadata": [one.id for one in jobs.list(metadata={"run": "oracle"}, limit=1)],
    "statuses": [second.status, resumed.status, cancelled.status],
    "errors": {
        "no key": error_of(lambda: client.with_options(api_key="lrk_wrong").models.list()),
        "no model": error_of(lambda: client.models.retrieve("nobody/nothing@v1")),
        "no file": error_of(lambda: client.files.retrieve("file-none")),
        "no route": error_of(lambda: client.embeddings.create(model="sample", input="hello")),
        "cancelled twice": error_of(lambda: jobs.cancel(second.id)),
        "wrong setting": error_of(lambda: submit(extra_body={"qlora": {"lora": {"ranks": 4}}})),
    },
    "deleted": client.files.delete(file.id).to_dict(),
}
print(json.dumps(seen))
