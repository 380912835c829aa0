"""Hugging Face's hub protocol, with the clients that people have: huggingface_hub, transformers and PEFT read the sample adapter of an
installation by name."""

import json
import os
import subprocess
import sys

import pytest

from lowrank import REPOSITORY

HERE = REPOSITORY / "tools/oracle"


@pytest.fixture(scope="module")
def hub(installation):
    """The installation, with an alias on the sample adapter's version."""
    installation.call("/api/v1/adapters/captain/aliases/prod", "PUT", {"version": "v1"})
    return installation


def test_hugging_face_clients_read_adapters_and_bases(hub, tmp_path):
    env = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
    env |= {"HF_ENDPOINT": hub.url, "HF_TOKEN": hub.key, "HF_HOME": str(tmp_path), "HF_HUB_DISABLE_TELEMETRY": "1"}
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
