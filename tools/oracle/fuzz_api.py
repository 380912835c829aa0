"""Fuzzes every operation of the OpenAPI description on a real installation with schemathesis (https://schemathesis.readthedocs.io): no answer may be
a 5xx. Bounded by the number of requests and the same each time but for ids. `--examples N` makes it longer."""

import argparse
import json
import os
import secrets
import subprocess
import sys
import tempfile
import urllib.error
from pathlib import Path

from installation import Installation

HERE = Path(__file__).parent


def values(installation) -> dict[str, list[str]]:
    """What there is, by the parameters that name it. Workers are drained first: fuzzed jobs shall not train."""
    ask = installation.call
    for worker in ask("/api/v1/workers")["data"]:
        ask(f"/api/v1/workers/{worker['id']}/drain", "POST", {})
    version = ask("/api/v1/adapters/captain/versions/1")
    dataset = version["dataset"]["id"]
    job = {"baseModel": "sample", "dataset": dataset, "adapter": "captain"}
    jobs = [version["jobId"], *(ask("/api/v1/jobs", "POST", job)["id"] for _ in range(3))]
    sweep = ask("/api/v1/sweeps", "POST", {
        "baseModel": "sample", "dataset": dataset, "adapter": "swept",
        "method": {"type": "grid"}, "space": {"lora.rank": {"values": [4, 8]}},
    })["id"]
    ask("/api/v1/adapters/captain/aliases/prod", "PUT", {"version": "v1"})
    webhook = ask("/api/v1/webhooks", "POST", {"url": "https://nowhere.invalid/hook"})["id"]
    team = ask("/api/v1/team")
    name = f"other-{secrets.token_hex(3)}"
    other = ask("/api/v1/teams", "POST", {"name": name, "owner": f"{name}@nowhere.invalid"})["id"]
    member = ask("/api/v1/service-accounts", "POST", {"name": name, "role": "member"})["id"]
    invitation = ask("/api/v1/invitations", "POST", {"email": f"who.{name}@nowhere.invalid", "role": "viewer"})["id"]
    grant = ask("/api/v1/grants", "POST", {"adapter": "captain", "to": name})["id"]
    files = [file["path"] for file in version["files"]]
    return {
        "jobs.id": jobs, "job_id": jobs, "files.id": [dataset], "file_id": [dataset],
        "sweeps.id": [sweep], "webhooks.id": [webhook], "teams.id": [other], "members.id": [member],
        "invitations.id": [invitation], "grants.id": [grant], "workers.id": [ask("/api/v1/workers")["data"][0]["id"]],
        "adapters.name": ["captain", "captain", "swept"], "base-models.name": ["sample"], "version": ["1", "latest", "prod"],
        "alias": ["prod", "next"], "revision": ["main", "v1"], "files.path": files, "main.path": files, "owner": [team["name"]],
        "name": ["captain", "sample"], "model": ["sample", "captain", "captain@prod"],
        "body.baseModel": ["sample"], "body.dataset": [dataset], "body.adapter": ["captain", "fresh"],
        "body.model": ["sample", "captain"], "body.training_file": [dataset], "body.to": [name],
    }


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--examples", type=int, default=5, help="made up for each operation and kind, beside the edge cases")
    examples = options.parse_args().examples
    with tempfile.TemporaryDirectory(prefix="lowrank-fuzz-") as folder:
        # There is no hub there, and nothing else outside is spoken to.
        with Installation(Path(folder), {"HF_ENDPOINT": "http://127.0.0.1:9"}) as installation:
            return fuzz(installation, examples)


def fuzz(installation, examples: int) -> int:
    environment = os.environ | {
        "LOWRANK_FUZZ_VALUES": json.dumps(values(installation)),
        "SCHEMATHESIS_HOOKS": "fuzz_hooks",
        "PYTHONPATH": str(HERE),
    }
    with tempfile.TemporaryDirectory() as folder:
        description = Path(folder, "openapi.json")
        description.write_text(json.dumps(installation.call("/docs-json")))
        done = subprocess.run(
            [Path(sys.executable).parent / "schemathesis", "run", description, "--url", installation.url,
             "--header", f"Authorization: Bearer {installation.key}", "--checks", "no_failure_of_the_server",
             # Streams have no end to wait for.
             "--exclude-path-regex", "/stream$",
             "--phases", "coverage,fuzzing", "--max-examples", str(examples), "--seed", "1", "--generation-database", "none",
             "--request-timeout", "30", "--continue-on-failure", "--warnings", "off", "--no-color"],
            cwd=folder, env=environment, check=False,
        )
    try:
        installation.call("/api/v1/me")
    except urllib.error.HTTPError as error:
        sys.exit(f"the key of the fuzzer does not work any more ({error.code}): what came after that has tested nothing")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
