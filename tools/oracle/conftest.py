import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
pytest.register_assert_rewrite("checks")
torch.set_num_threads(2)

import peer
from installation import Installation
from lowrank import Kernels


@pytest.fixture(scope="module", params=["fast", "reference"])
def kernels(request):
    return Kernels(backend=request.param)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A model folder of each of peer.CONFIGS, by name."""
    out = {}
    for name in peer.CONFIGS:
        out[name] = tmp_path_factory.mktemp(name)
        peer.write_named(name, out[name])
    return out


@pytest.fixture(scope="session")
def installation(tmp_path_factory):
    """The whole product, running, after it has trained and published the sample adapter."""
    with Installation(tmp_path_factory.mktemp("lowrank")) as running:
        yield running
