"""Label smoothing, NEFTune, DPO and ORPO, written out from the papers in torch on top of transformers + PEFT + bitsandbytes."""

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy, logsigmoid

import peer
from lowrank import Batch, Preference, pointer

BETA, LAMBDA = 0.3, 0.5
LENGTHS = [12, 9, 20, 17, 10, 14]


class World:
    def __init__(self, kernels, folder, file, name="llama"):
        peer.write_named(name, folder)
        self.theirs = peer.with_adapter(folder)
        self.base = kernels.open_base(folder, file)
        self.adapter = self.base.adapter(peer.RANK, peer.ALPHA, peer.lora(self.theirs))

    def batch(self, seed: int, lengths=LENGTHS) -> Batch:
        return peer.make_batch(self.base.info["vocab"], lengths, seed)

    def same_gradients(self) -> None:
        ours = self.adapter.read(1)
        for module, expected in peer.lora(self.theirs, gradients=True).items():
            assert np.linalg.norm(ours[module] - expected) < 1e-3 * np.linalg.norm(expected), module
        self.base.kernels.check(self.base.kernels.lib.lr_adapter_zero_gradients(self.adapter.handle))


@pytest.fixture(params=["llama", "qwen2"])
def world(kernels, tmp_path, request):
    return World(kernels, tmp_path / "model", tmp_path / "base", request.param)


def logps(model, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Σ log p of each sequence's targets [S], and how many they are [S]."""
    logits = peer.forward(model, batch).double()
    targets = torch.from_numpy(batch.targets).long()
    each = torch.log_softmax(logits, -1).gather(1, targets.clamp(min=0)[:, None])[:, 0] * (targets >= 0)
    spans = list(zip(batch.starts[:-1], batch.starts[1:]))
    return torch.stack([each[a:b].sum() for a, b in spans]), torch.tensor([int((batch.targets[a:b] >= 0).sum()) for a, b in spans])


def reference_logps(model, batch: Batch) -> torch.Tensor:
    with model.disable_adapter(), torch.no_grad():
        return logps(model, batch)[0]


def dpo(model, batch: Batch, smoothing: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Rafailov et al. 2023, equation 7; smoothed as in Mitchell 2023. Loss and rewards [S], summed over pairs."""
    rewards = BETA * (logps(model, batch)[0] - reference_logps(model, batch))
    margin = rewards[0::2] - rewards[1::2]
    return (-(1 - smoothing) * logsigmoid(margin) - smoothing * logsigmoid(-margin)).sum(), rewards


def orpo(model, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Hong et al. 2024, equations 4 to 7."""
    sums, counts = logps(model, batch)
    mean = sums / counts
    odds = mean - torch.log1p(-torch.exp(mean))
    return (-mean[0::2] - LAMBDA * logsigmoid(odds[0::2] - odds[1::2])).sum(), LAMBDA * mean


OBJECTIVES = {"dpo": dpo, "cdpo": lambda model, batch: dpo(model, batch, 0.1), "orpo": orpo}


def our_preference(name: str, reference: np.ndarray) -> Preference:
    if name == "orpo":
        return Preference(1, LAMBDA, 0, None)
    return Preference(0, BETA, 0.1 if name == "cdpo" else 0, pointer(reference).value)


def test_log_probabilities(world):
    batch = world.batch(3)
    np.testing.assert_allclose(world.base.sequence_logps(batch, world.adapter), logps(world.theirs, batch)[0].detach(), rtol=1e-5)
    np.testing.assert_allclose(world.base.sequence_logps(batch, None), reference_logps(world.theirs, batch), rtol=1e-5)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_preferences(world, name):
    batch = world.batch(5)
    pairs = len(LENGTHS) // 2
    loss, rewards = OBJECTIVES[name](world.theirs, batch)
    (loss / pairs).backward()
    reference = world.base.sequence_logps(batch, None)
    for checkpointing in (False, True):
        ours = world.base.preference_step(batch, world.adapter, 1 / pairs, our_preference(name, reference), checkpointing)
        assert ours.sum == pytest.approx(loss.item(), rel=1e-4)
        assert ours.chosen_reward == pytest.approx(rewards[0::2].sum().item(), rel=1e-3, abs=1e-4)
        assert ours.rejected_reward == pytest.approx(rewards[1::2].sum().item(), rel=1e-3, abs=1e-4)
        assert (ours.pairs, ours.correct) == (pairs, int((rewards[0::2] > rewards[1::2]).sum()))
        sums, counts = logps(world.theirs, batch)
        assert ours.chosen_nll == pytest.approx(-sums[0::2].sum().item(), rel=1e-5)
        assert ours.chosen_tokens == counts[0::2].sum()
        world.same_gradients()


@pytest.mark.parametrize("name", ["dpo", "orpo"])
def test_twenty_steps(kernels, tmp_path, name):
    """Losses within 1% at every step, last weights with cosine ≥ 0.99 in every matrix."""
    world = World(kernels, tmp_path / "model", tmp_path / "base")
    weights = [p for p in world.theirs.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=peer.RATE, weight_decay=0.0)
    batches = [world.batch(100 + step % 4) for step in range(20)]
    pairs = len(LENGTHS) // 2
    expected, ours = [], []
    for batch in batches:
        loss = OBJECTIVES[name](world.theirs, batch)[0] / pairs
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, peer.MAX_NORM)
        optimizer.step()
        optimizer.zero_grad()
        expected.append(loss.item())
        preference = our_preference(name, world.base.sequence_logps(batch, None))
        ours.append(world.base.preference_step(batch, world.adapter, 1 / pairs, preference).sum / pairs)
        world.adapter.optimizer_step(peer.RATE, peer.MAX_NORM)
    assert np.mean(expected[-4:]) < np.mean(expected[:4]) - 0.1, "the trace must be of something that learns"
    np.testing.assert_allclose(ours, expected, rtol=0.01, atol=1e-3)
    last = world.adapter.read()
    for module, theirs in peer.lora(world.theirs).items():
        a, b = last[module].ravel().astype(np.float64), theirs.ravel().astype(np.float64)
        assert a @ b / (np.linalg.norm(a) * np.linalg.norm(b)) >= 0.99, module


@pytest.mark.parametrize("smoothing", [0.05, 0.4])
def test_label_smoothing(world, smoothing):
    batch = world.batch(7)
    total = peer.loss_tokens(batch)
    loss = cross_entropy(peer.forward(world.theirs, batch), torch.from_numpy(batch.targets).long(), ignore_index=-100,
                         reduction="sum", label_smoothing=smoothing)
    (loss / total).backward()
    ours = world.base.train_step(batch, world.adapter, 1 / total, label_smoothing=smoothing)
    assert ours.sum == pytest.approx(loss.item(), rel=1e-5)
    world.same_gradients()


# ---- NEFTune. Another generator cannot give the same noise, so ours is drawn here once more (Philox 4x32-10 under a key that
# SplitMix64's finalizer makes, as keys.h and philox.h say), its distribution compared with the formula of transformers' hook, which
# TRL uses, and the model run on embeddings with that noise.

MASK = (1 << 64) - 1


def noise_key(seed: int) -> int:
    z = (seed + ((1 << 32) + 1) * 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ z >> 27) * 0x94D049BB133111EB) & MASK
    return z ^ z >> 31


def uniforms(key: int, first: int, n: int) -> np.ndarray:
    """n numbers of [0, 1) from element `first` of the stream on."""
    blocks = np.arange(first // 4, (first + n + 3) // 4 + 1, dtype=np.uint64)
    low = np.uint64(0xFFFFFFFF)
    c = [blocks & low, blocks >> np.uint64(32), np.zeros_like(blocks), np.zeros_like(blocks)]
    k0, k1 = key & 0xFFFFFFFF, key >> 32
    for _ in range(10):
        p0, p1 = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        c = [(p1 >> np.uint64(32)) ^ c[1] ^ np.uint64(k0), p1 & low, (p0 >> np.uint64(32)) ^ c[3] ^ np.uint64(k1), p0 & low]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    words = np.stack(c, 1).ravel()[first % 4:][:n]
    return (words >> np.uint64(8)).astype(np.float32) * np.float32(2.0 ** -24)


def test_neftune(world):
    batch, alpha, seed = world.batch(9), 5.0, 1234567
    width = world.base.info["hidden"]
    embed = world.theirs.get_input_embeddings()
    total = peer.loss_tokens(batch)
    logits, drawn = [], []
    for a, b in zip(batch.starts[:-1], batch.starts[1:]):
        bound = alpha / np.sqrt((b - a) * width)  # transformers: neftune_noise_alpha / sqrt(input_embeddings.size(1) · size(2))
        unit = 2 * uniforms(noise_key(seed), int(a) * width, int(b - a) * width) - 1
        noise = torch.from_numpy((bound * unit).astype(np.float32)).view(1, b - a, width)
        assert noise.abs().max() <= bound
        drawn.append(unit)
        embeddings = embed(torch.from_numpy(batch.tokens[a:b]).long()[None]) + noise
        logits.append(world.theirs(inputs_embeds=embeddings).logits[0])
    unit = np.concatenate(drawn)
    theirs = torch.empty(len(unit)).uniform_(-1, 1).numpy()
    for moment in (1, 2, 3, 4):
        assert np.mean(unit ** moment) == pytest.approx(np.mean(theirs ** moment), abs=0.05)
    assert np.var(unit) == pytest.approx(1 / 3, rel=0.05)
    loss = cross_entropy(torch.cat(logits), torch.from_numpy(batch.targets).long(), ignore_index=-100, reduction="sum")
    (loss / total).backward()
    ours = world.base.train_step(batch, world.adapter, 1 / total, seed=seed, neftune_alpha=alpha)
    assert ours.sum == pytest.approx(loss.item(), rel=1e-5)
    assert abs(ours.sum - world.base.train_step(batch, world.adapter, 0).sum) > 1e-3 * ours.sum
    world.same_gradients()
