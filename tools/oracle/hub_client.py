"""Reads adapters and base models from a hub with Hugging Face's own clients. What the hub is, and who asks, says the environment, as for any
program that uses them: HF_ENDPOINT, HF_TOKEN, HF_HOME.

    python hub_client.py BASE_FOLDER TEAM
"""

import json
import sys
from pathlib import Path

import torch
from huggingface_hub import HfApi, hf_hub_download, snapshot_download
from huggingface_hub.errors import HfHubHTTPError
from peft import AutoPeftModelForCausalLM, PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

base_folder, team = sys.argv[1:]
name = f"{team}/captain"


def error_of(work) -> str:
    try:
        work()
    except HfHubHTTPError as error:
        return type(error).__name__
    return "none"


api = HfApi()
info = api.model_info(name, revision="prod", files_metadata=True)
snapshot = Path(snapshot_download(name, revision="prod"))
model = AutoModelForCausalLM.from_pretrained(base_folder, dtype=torch.float32)
tokenizer = AutoTokenizer.from_pretrained(f"{team}/sample")
ids = tokenizer("What is the capital of Norway?", return_tensors="pt").input_ids
with torch.no_grad():
    bare = model(ids).logits
    adapted = PeftModel.from_pretrained(model, name, revision="prod")
    moved = (adapted(ids).logits - bare).abs().max().item()
    # The adapter names its base by the folder that it came from, and the hub knows it by that.
    alone = AutoPeftModelForCausalLM.from_pretrained(f"{name}-v1", dtype=torch.float32)
    apart = (alone(ids).logits - adapted(ids).logits).abs().max().item()

print(json.dumps({
    "sha": info.sha,
    "files": {sibling.rfilename: sibling.size for sibling in info.siblings},
    "snapshot": {str(path.relative_to(snapshot)): path.stat().st_size for path in snapshot.rglob("*") if path.is_file()},
    "commit": snapshot.name,
    "tree": sorted(entry.path for entry in api.list_repo_tree(name, revision="v1")),
    "pinned": Path(hf_hub_download(f"{team}/captain-v1", "adapter_config.json")).stat().st_size,
    "exists": [api.repo_exists(name), api.file_exists(name, "adapter_config.json"), api.repo_exists(f"{team}/nobody")],
    "organisation": api.whoami()["orgs"][0]["name"],
    "moved": moved,
    "apart": apart,
    "errors": {
        "repository": error_of(lambda: api.model_info(f"{team}/nobody")),
        "revision": error_of(lambda: api.model_info(name, revision="v99")),
        "entry": error_of(lambda: hf_hub_download(name, "pytorch_model.bin")),
        "no token": error_of(lambda: HfApi(token=False).model_info(name)),
        "wrong token": error_of(lambda: HfApi(token="hf_wrong").model_info(name)),
    },
}))
