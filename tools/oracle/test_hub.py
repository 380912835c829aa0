"""Hugging Face's hub protocol, with the clients that people have: an installation of its own publishes the sample adapter, and
huggingface_hub, transformers and PEFT read it by name."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request

import pytest

from lowrank import REPOSITORY

HERE = REPOSITORY / "tools/oracle"


def call(url: str, key: str, method: str = "GET", body: object = None) -> dict:
    request = urllib.request.Request(url, method=method, data=None if body is None else json.dumps(body).encode(),
                                     headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """An installation that runs: its address, the admin's key, and the name of the team."""
    folder = tmp_path_factory.mktemp("lowrank")
    env = {k: v for k, v in os.environ.items() if not k.startswith(("S3_", "LOWRANK_", "HF_")) and k not in ("DATABASE_URL", "REDIS_URL")}
    running = subprocess.Popen(["node", "bin/lowrank.mjs", "up", "--sample"], cwd=REPOSITORY, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, text=True, env=env | {"LOWRANK_DATA": str(folder), "LOWRANK_PORT": "0"})
    try:
        url = None
        for line in running.stdout:
            url = url or (found := re.search(r"http://127\.0\.0\.1:\d+", line)) and found[0]
            if "Ask it more" in line:
                break
        assert url is not None and running.poll() is None
        key = (folder / "admin-key").read_text().strip()
        team = call(f"{url}/api/v1/team", key)["name"]
        call(f"{url}/api/v1/adapters/captain/aliases/prod", key, "PUT", {"version": "v1"})
        yield url, key, team
    finally:
        running.send_signal(signal.SIGINT)
        running.wait(timeout=60)


def test_hugging_face_clients_read_adapters_and_bases(hub, tmp_path):
    url, key, team = hub
    env = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
    env |= {"HF_ENDPOINT": url, "HF_TOKEN": key, "HF_HOME": str(tmp_path), "HF_HUB_DISABLE_TELEMETRY": "1"}
    out = subprocess.run([sys.executable, "hub_client.py", REPOSITORY / "samples/base", team], cwd=HERE, env=env, check=True,
                         timeout=180, stdout=subprocess.PIPE, text=True).stdout
    seen = json.loads(out.splitlines()[-1])

    version = call(f"{url}/api/v1/adapters/captain/versions/prod", key)
    files = {file["path"]: file["bytes"] for file in version["files"]}
    assert seen["files"] == files
    assert seen["snapshot"] == files
    assert seen["tree"] == sorted(files)
    assert seen["sha"] == seen["commit"] == version["revision"]
    assert seen["pinned"] == files["adapter_config.json"]
    assert seen["exists"] == [True, True, False]
    assert seen["organisation"] == team
    # The adapter is there, and not a bare base.
    assert seen["moved"] > 1
    assert seen["errors"] == {
        "repository": "RepositoryNotFoundError",
        "revision": "RevisionNotFoundError",
        "entry": "RemoteEntryNotFoundError",
        "no token": "RepositoryNotFoundError",
        "wrong token": "HfHubHTTPError",
    }
