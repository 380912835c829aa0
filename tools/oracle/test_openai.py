"""OpenAI's API, with OpenAI's own Python package: a script that knows nothing of Lowrank trains an adapter from a file to a
model, and asks it."""

import json
import subprocess
import sys

from installation import clean_environment
from lowrank import REPOSITORY


def test_openai_client_trains_an_adapter(installation):
    env = clean_environment() | {"OPENAI_BASE_URL": f"{installation.url}/v1", "OPENAI_API_KEY": installation.key}
    out = subprocess.run([sys.executable, "openai_client.py", REPOSITORY / "samples/data/train.jsonl"], env=env, check=True,
                         cwd=REPOSITORY / "tools/oracle", timeout=400, stdout=subprocess.PIPE, text=True).stdout
    seen = json.loads(out.splitlines()[-1])
    team, job, metrics = installation.team, seen["job"], seen["metrics"]

    assert seen["file"]["status"] == "processed" and seen["content_is_file"]
    assert job["status"] == "succeeded"
    assert job["fine_tuned_model"] == f"{team}/openai-sailor@v1"
    assert job["model"] == "sample" and job["seed"] == 7 and job["metadata"] == {"run": "oracle"}
    assert job["hyperparameters"] == {"n_epochs": 1, "batch_size": 2, "learning_rate_multiplier": 10}
    assert job["qlora"]["lora"]["rank"] == 4
    assert job["trained_tokens"] > 0 and job["finished_at"] >= job["created_at"]

    # The same job by our own API, which brings back what was deleted, and what it trained.
    version = installation.call("/api/v1/adapters/openai-sailor/versions/v1/restore", "POST")
    assert version["jobId"] == job["id"] and version["metrics"]["trainedTokens"] == job["trained_tokens"]
    assert metrics["train"][-1] < metrics["train"][0]
    assert len(metrics["train"]) == version["metrics"]["steps"]
    assert seen["events_are_unique"] and seen["first_event"].startswith("Submitted")
    assert seen["checkpoint"]["fine_tuned_model_checkpoint"] == job["fine_tuned_model"]
    assert seen["model"] == {"id": job["fine_tuned_model"], "object": "model", "owned_by": team}
    check_completions(seen["completions"])
    assert {"sample", f"{team}/captain@v1", job["fine_tuned_model"]} <= set(seen["models"])
    assert seen["listed_by_metadata"] == [job["id"]]
    assert seen["statuses"] == ["paused", "queued", "cancelled"]
    assert seen["deleted"] == [{"id": seen["file"]["id"], "deleted": True, "object": "file"},
                               {"id": job["fine_tuned_model"], "deleted": True, "object": "model"}]
    assert job["fine_tuned_model"] not in seen["left"]
    assert seen["errors"] == {
        "no key": ["AuthenticationError", "invalid_api_key"],
        "no model": ["NotFoundError", "model_not_found"],
        "no file": ["NotFoundError", "not_found"],
        "no route": ["NotFoundError", "unknown_url"],
        "cancelled twice": ["ConflictError", "illegal_transition"],
        "wrong setting": ["BadRequestError", "validation_failed"],
    }


def check_completions(seen):
    assert seen["chat"] == seen["chat_streamed"] != ""
    assert seen["finish"][0] == seen["finish"][1] in ("stop", "length")
    assert seen["usage"][0] == seen["usage"][1] == len(seen["logprobs"]) > 0 and seen["usage_comes_alone"]
    assert all(token == [2, True] for token in seen["logprobs"]) and seen["logprobs_are_streamed"]
    assert seen["text"] == seen["text_streamed"] != ""
    assert seen["text_logprobs"] == [seen["text_usage"]] * 2
    assert isinstance(seen["json"]["sure"], bool)
    assert seen["errors"] == {
        "wrong setting": ["BadRequestError", "validation_failed"],
        "wrong setting, streamed": ["BadRequestError", "validation_failed"],
        "too long, streamed": ["BadRequestError", "context_length_exceeded"],
    }
