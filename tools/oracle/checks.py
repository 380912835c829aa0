"""What several suites hold the kernels to."""

from __future__ import annotations

import numpy as np
import pytest

import peer
from lowrank import Adapter, Base, Batch


def relative(ours: np.ndarray, theirs: np.ndarray) -> float:
    """‖ours − theirs‖ / ‖theirs‖"""
    return float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))


def check_step(base: Base, adapter: Adapter, batch: Batch, loss: float, gradients: dict[str, np.ndarray]) -> None:
    """A training step gives this mean loss and these gradients of it, with activation checkpointing and without."""
    total = peer.loss_tokens(batch)
    for checkpointing in (False, True):
        ours = base.train_step(batch, adapter, 1 / total, checkpointing)
        assert ours.tokens == total
        assert ours.sum / total == pytest.approx(loss, rel=1e-5)
        got = adapter.read(1)
        for tensor, expected in gradients.items():
            assert relative(got[tensor], expected) < 1e-3, tensor
        base.kernels.check(base.kernels.lib.lr_adapter_zero_gradients(adapter.handle))
