"""Trains an adapter through OpenAI's API with OpenAI's own package, asks it, and prints what it saw. Where that is, and who asks, says the environment,
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


def completions(model: str) -> dict:
    """What the model answers, whole and in pieces."""
    asked = {"model": model, "messages": [{"role": "user", "content": "What is the capital of Norway?"}],
             "temperature": 0, "max_tokens": 12, "logprobs": True, "top_logprobs": 2}
    whole = client.chat.completions.create(**asked)
    chunks = list(client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    pieces = [chunk.choices[0] for chunk in chunks if chunk.choices]
    text = {"model": model, "prompt": "The capital of Norway is", "temperature": 0, "max_tokens": 8}
    continued = client.completions.create(**text, logprobs=2).choices[0]
    parts = list(client.completions.create(**text, stream=True, stream_options={"include_usage": True}))
    schema = {"type": "object", "properties": {"sure": {"type": "boolean"}}, "required": ["sure"], "additionalProperties": False}
    formed = client.chat.completions.create(
        model=model, messages=asked["messages"], max_tokens=100, seed=3,
        response_format={"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}})
    content = whole.choices[0].logprobs.content
    return {
        "chat": whole.choices[0].message.content,
        "chat_streamed": "".join(piece.delta.content or "" for piece in pieces),
        "finish": [whole.choices[0].finish_reason, pieces[-1].finish_reason],
        "usage": [whole.usage.completion_tokens, chunks[-1].usage.completion_tokens],
        "usage_comes_alone": chunks[-1].choices == [] and all(chunk.usage is None for chunk in chunks[:-1]),
        "logprobs": [[len(token.top_logprobs), token.logprob == token.top_logprobs[0].logprob] for token in content],
        "logprobs_are_streamed": content == [token for piece in pieces if piece.logprobs for token in piece.logprobs.content],
        "text": continued.text,
        "text_streamed": "".join(part.choices[0].text for part in parts if part.choices),
        "text_usage": parts[-1].usage.completion_tokens,
        "text_logprobs": [len(continued.logprobs.tokens), len(continued.logprobs.token_logprobs)],
        "json": json.loads(formed.choices[0].message.content),
        "errors": {
            "wrong setting": error_of(lambda: client.chat.completions.create(**asked | {"temperature": 3})),
            "wrong setting, streamed": error_of(lambda: list(client.chat.completions.create(**asked | {"temperature": 3}, stream=True))),
            "too long, streamed": error_of(lambda: list(client.completions.create(model=model, prompt="hello " * 4000, stream=True))),
        },
    }


job = settled(submit())

events = list(jobs.list_events(job.id, limit=7))
measured = [event.data for event in reversed(events) if event.type == "metrics"]
model = client.models.retrieve(job.fine_tuned_model)
answers = completions(model.id)
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
    "completions": answers,
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
    "deleted": [client.files.delete(file.id).to_dict(), client.models.delete(job.fine_tuned_model).to_dict()],
    "left": [one.id for one in client.models.list()],
}
print(json.dumps(seen))
