"""An installation of the whole product, as `npm start` makes it, for as long as a `with` lasts."""

import json
import os
import re
import signal
import subprocess
import tarfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import requests

from lowrank import REPOSITORY

# What would have it use something other than its own folder, or clients something other than it.
FOREIGN = ("S3_", "LOWRANK_", "HF_", "OPENAI_")


def clean_environment() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith(FOREIGN) and k not in ("DATABASE_URL", "REDIS_URL")}


class Installation:
    """
    Where it is (`url`), the admin's `key`, the `team`'s name, and its data `folder`. It has published the adapter `captain`.
    `environment` adds to the configuration.
    """

    def __init__(self, folder: Path, environment: dict[str, str] | None = None):
        self.folder = folder
        self.environment = environment or {}

    def __enter__(self):
        env = clean_environment() | {"LOWRANK_DATA": str(self.folder), "LOWRANK_PORT": "0"} | self.environment
        self.process = subprocess.Popen(["node", "bin/lowrank.mjs", "up", "--sample"], cwd=REPOSITORY, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, text=True, env=env)
        try:
            url = None
            for line in self.process.stdout:
                url = url or (found := re.search(r"http://127\.0\.0\.1:\d+", line)) and found[0]
                if "Ask it more" in line:
                    break
            assert url is not None and self.process.poll() is None
            self.url = url
            self.key = (self.folder / "admin-key").read_text().strip()
            self.team = self.call("/api/v1/team")["name"]
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=60)

    def call(self, path: str, method: str = "GET", body: object = None) -> dict:
        return call(self.url, self.key, path, method, body)

    def upload(self, file: Path) -> str:
        """The id of the dataset that the file becomes, or is already."""
        response = requests.post(f"{self.url}/api/v1/files", headers={"Authorization": f"Bearer {self.key}"},
                                 files={"file": (file.name, file.read_bytes())}, timeout=60)
        response.raise_for_status()
        return response.json()["id"]

    def until_succeeded(self, job: str) -> None:
        for _ in range(1200):
            state = self.call(f"/api/v1/jobs/{job}")["state"]
            if state == "succeeded":
                return
            assert state not in ("failed", "cancelled"), state
            time.sleep(0.25)
        raise TimeoutError(job)

    def pull(self, adapter: str, version: int, into: Path) -> Path:
        """The folder with the files of a version, as they are."""
        request = urllib.request.Request(f"{self.url}/api/v1/adapters/{adapter}/versions/v{version}/archive",
                                         headers={"Authorization": f"Bearer {self.key}"})
        with urllib.request.urlopen(request, timeout=60) as response, tarfile.open(fileobj=response, mode="r|") as archive:
            archive.extractall(into, filter="data")
        return into / f"{adapter}-v{version}"


def call(url: str, key: str, path: str, method: str = "GET", body: object = None) -> dict:
    headers = {"Authorization": f"Bearer {key}"} | ({} if body is None else {"Content-Type": "application/json"})
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url + path, method=method, data=data, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        error.add_note(f"{method} {path}: {error.read().decode(errors='replace')}")
        raise
