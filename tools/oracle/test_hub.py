"""Hugging Face's hub protocol, with the clients that people have: huggingface_hub, transformers and PEFT read the sample adapter of an
installation by name. Once with its objects in a folder, and once on S3, where weights come from by a redirect."""

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from installation import Installation
from lowrank import REPOSITORY

HERE = REPOSITORY / "tools/oracle"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


@contextlib.contextmanager
def s3_server(log):
    """moto, with a bucket; the URL is what it yields. Every request is a line of the log."""
    port = free_port()
    command = [sys.executable, str(REPOSITORY / "tools/oracle/s3_server.py"), str(port)]
    with log.open("w") as lines, subprocess.Popen(command, stdout=lines, stderr=lines) as server:
        try:
            url = f"http://127.0.0.1:{port}"
            for _ in range(120):
                with contextlib.suppress(OSError):
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                time.sleep(0.25)
            urllib.request.urlopen(urllib.request.Request(f"{url}/lowrank", method="PUT"), timeout=30).close()
            yield url
        finally:
            server.terminate()


def test_hugging_face_clients_read_adapters_and_bases(installation, tmp_path):
    read_with_clients(installation, tmp_path)


def test_hugging_face_clients_follow_weights_to_s3(tmp_path):
    log = tmp_path / "s3.log"
    with s3_server(log) as s3:
        settings = {"S3_ENDPOINT": s3, "S3_BUCKET": "lowrank", "S3_ACCESS_KEY_ID": "test", "S3_SECRET_ACCESS_KEY": "test",
                    # Checkpoints are not what is asked about; they would go there after every step.
                    "LOWRANK_MIRROR_SECONDS": "off",
                    # The other installation's is running still.
                    "LOWRANK_SERVE_PORT": str(free_port())}
        with Installation(tmp_path / "data", settings) as hub:
            fetched = len(log.read_text())
            files = read_with_clients(hub, tmp_path / "clients")
            asked = log.read_text()[fetched:]
            # What the clients have fetched by links they were sent to; the API itself signs by a header.
            followed = set(re.findall(r'"GET /lowrank/blobs/\S*?([0-9a-f]{64})\?\S*X-Amz-Signature=', asked))
            weights = {file["sha256"] for file in files if file["path"].endswith(".safetensors")}
            assert weights and weights <= followed
            # An adapter's configuration is small, and comes from the API.
            assert not followed & {file["sha256"] for file in files if file["path"].endswith(".json")}

            links = hub.call("/api/v1/adapters/captain/versions/v1/links")["files"]
            assert sorted(link["path"] for link in links) == sorted(file["path"] for file in files)
            for link in links:
                assert link["url"].startswith(f"{s3}/")
                with urllib.request.urlopen(link["url"], timeout=30) as answer:
                    assert len(answer.read()) == link["bytes"]


def read_with_clients(hub, cache) -> list[dict]:
    """Has clients read the sample adapter, with an alias on it, and its base; the adapter's files."""
    hub.call("/api/v1/adapters/captain/aliases/prod", "PUT", {"version": "v1"})
    env = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
    env |= {"HF_ENDPOINT": hub.url, "HF_TOKEN": hub.key, "HF_HOME": str(cache), "HF_HUB_DISABLE_TELEMETRY": "1"}
    out = subprocess.run([sys.executable, "hub_client.py", REPOSITORY / "samples/base", hub.team], cwd=HERE, env=env, check=True,
                         timeout=180, stdout=subprocess.PIPE, text=True).stdout
    seen = json.loads(out.splitlines()[-1])

    version = hub.call("/api/v1/adapters/captain/versions/prod")
    files = {file["path"]: file["bytes"] for file in version["files"]}
    assert seen["files"] == files
    assert seen["snapshot"] == files
    assert seen["tree"] == sorted(files)
    assert seen["sha"] == seen["commit"] == version["revision"]
    assert seen["pinned"] == files["adapter_config.json"]
    assert seen["exists"] == [True, True, False]
    assert seen["organisation"] == hub.team
    # The adapter is there, and not a bare base.
    assert seen["moved"] > 1
    assert seen["apart"] < 1e-4
    assert seen["errors"] == {
        "repository": "RepositoryNotFoundError",
        "revision": "RevisionNotFoundError",
        "entry": "RemoteEntryNotFoundError",
        "no token": "RepositoryNotFoundError",
        "wrong token": "HfHubHTTPError",
    }
    return version["files"]
