"""DoRA, biases, LoRA+, PiSSA and 8-bit AdamW against PEFT and bitsandbytes, in float32 on an NF4 base."""

import numpy as np
import pytest
import torch
from bitsandbytes import functional as bnb
from bitsandbytes.optim import AdamW8bit
from peft import LoraConfig, get_peft_model
from peft.optimizers import create_loraplus_optimizer
from transformers import AutoModelForCausalLM

import peer
from checks import check_step, relative
from lowrank import Kernels

METHODS = {
    "rslora": dict(use_rslora=True),
    "dora": dict(use_dora=True),
    "bias-lora": dict(bias="lora_only", target_modules=["q_proj", "down_proj"]),
    "bias-all": dict(bias="all"),
    "dora-bias": dict(use_dora=True, bias="all"),
}


@pytest.fixture(scope="module")
def fast():
    return Kernels()


def with_method(folder, method: str) -> torch.nn.Module:
    """With magnitudes and biases moved away from where they start, where much would cancel out."""
    model = peer.with_adapter(folder, **METHODS[method])
    torch.manual_seed(5)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad and "magnitude" in name:
                parameter.mul_(torch.empty_like(parameter).uniform_(0.7, 1.4))
            elif parameter.requires_grad and name.endswith("bias"):
                parameter.add_(torch.empty_like(parameter).normal_(0, 0.1))
    return model


def our_adapter(base, model: torch.nn.Module, method: str, **options):
    config = METHODS[method]
    alpha = peer.ALPHA * (np.sqrt(peer.RANK) if config.get("use_rslora") else 1)
    return base.adapter(peer.RANK, alpha, peer.lora(model), dora=config.get("use_dora", False), bias=config.get("bias", "none"),
                        names=config.get("target_modules"), **options)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["llama3-rope", "qwen2"])
def test_logits_and_gradients(kernels, folders, tmp_path, name, method):
    theirs = with_method(folders[name], method)
    base = kernels.open_base(folders[name], tmp_path / "base")
    batch = peer.make_batch(base.info["vocab"], [5, 17, 1, 30], seed=3)
    adapter = our_adapter(base, theirs, method)
    assert set(adapter.shapes) == set(peer.lora(theirs))
    assert relative(base.logits(batch, adapter), peer.forward(theirs, batch).detach().numpy()) < 1e-4

    loss = peer.loss_sum(theirs, batch) / peer.loss_tokens(batch)
    loss.backward()
    check_step(base, adapter, batch, loss.item(), peer.lora(theirs, gradients=True))


@pytest.mark.parametrize("method", METHODS)
def test_twenty_steps(fast, folders, tmp_path, method):
    name = "qwen2"
    theirs = with_method(folders[name], method)
    base = fast.open_base(folders[name], tmp_path / "base")
    adapter = our_adapter(base, theirs, method)
    batches = peer.trace_batches(base.info["vocab"])[:20]
    expected = peer.train(theirs, batches)
    ours = adapter.train(batches, peer.RATE, peer.MAX_NORM)
    assert expected[-1] < expected[0] - 0.1
    np.testing.assert_allclose(ours, expected, rtol=0.01)


def test_dora_starts_as_the_base(kernels, folders, tmp_path):
    theirs = peer.with_adapter(folders["llama"], use_dora=True)
    base = kernels.open_base(folders["llama"], tmp_path / "base")
    ours = base.adapter(peer.RANK, peer.ALPHA, dora=True)
    for tensor, expected in peer.lora(theirs).items():
        if tensor.endswith("magnitude_vector"):
            np.testing.assert_allclose(ours.read()[tensor], expected, rtol=1e-5)
    batch = peer.make_batch(base.info["vocab"], [20], seed=3)
    assert relative(base.logits(batch, ours), base.logits(batch, None)) < 1e-5


class Mask(torch.nn.Module):
    """Takes the place of Dropout: a mask given from outside."""

    def __init__(self, mask: torch.Tensor):
        super().__init__()
        self.mask = mask

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.mask


def philox(key: int, count: int) -> np.ndarray:
    """Element i of the stream `key` as in the kernel library: word i % 4 of Philox 4x32-10's block i / 4, 24 bits."""
    blocks = np.arange(-(-count // 4), dtype=np.uint64)
    low = np.uint64(0xFFFFFFFF)
    words = [blocks & low, blocks >> np.uint64(32), np.zeros_like(blocks), np.zeros_like(blocks)]
    k0, k1 = key & 0xFFFFFFFF, key >> 32
    for _ in range(10):
        p0, p1 = np.uint64(0xD2511F53) * words[0], np.uint64(0xCD9E8D57) * words[2]
        words = [(p1 >> np.uint64(32)) ^ words[1] ^ np.uint64(k0), p1 & low, (p0 >> np.uint64(32)) ^ words[3] ^ np.uint64(k1),
                 p0 & low]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return (np.stack(words, 1).ravel()[:count] >> np.uint64(8)).astype(np.float32) / np.float32(1 << 24)


def stream_key(seed: int, stream: int) -> int:
    bits = (1 << 64) - 1
    z = (seed + (stream + 1) * 0x9E3779B97F4A7C15) & bits
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & bits
    z = (z ^ z >> 27) * 0x94D049BB133111EB & bits
    return z ^ z >> 31


@pytest.mark.parametrize("dora", [False, True])
def test_dropout(kernels, folders, tmp_path, dora):
    """Loss and gradients under dropout, with our masks in PEFT: in DoRA the base's own product sees dropped inputs too."""
    p, length, seed = 0.3, 21, 0
    theirs = peer.with_adapter(folders["llama"], use_dora=dora, lora_dropout=p)
    base = kernels.open_base(folders["llama"], tmp_path / "base")
    adapter = base.adapter(peer.RANK, peer.ALPHA, peer.lora(theirs), dropout=p, dora=dora)
    for index, linear in enumerate(base.info["linears"]):
        uniform = philox(stream_key(seed, index), length * linear["in"]).reshape(length, linear["in"])
        mask = np.where(uniform < p, 0, 1 / np.float32(1 - p)).astype(np.float32)
        theirs.get_submodule(f"base_model.model.{linear['name']}").lora_dropout["default"] = Mask(torch.from_numpy(mask))
    theirs.train()
    batch = peer.make_batch(base.info["vocab"], [length], seed=3)
    loss = peer.loss_sum(theirs, batch) / peer.loss_tokens(batch)
    loss.backward()
    check_step(base, adapter, batch, loss.item(), peer.lora(theirs, gradients=True))


def test_lora_plus(fast, folders, tmp_path):
    theirs = with_method(folders["qwen2"], "dora-bias")
    base = fast.open_base(folders["qwen2"], tmp_path / "base")
    adapter = our_adapter(base, theirs, "dora-bias")
    batches = peer.trace_batches(base.info["vocab"])[:10]
    optimizer = create_loraplus_optimizer(theirs, torch.optim.AdamW, lr=1e-3, loraplus_lr_ratio=8.0, betas=(0.9, 0.999), eps=1e-8,
                                          loraplus_weight_decay=0.1)
    expected = peer.train(theirs, batches, optimizer)
    ours = adapter.train(batches, 1e-3, peer.MAX_NORM, b_rate_ratio=8.0, weight_decay=0.1)
    np.testing.assert_allclose(ours, expected, rtol=2e-3)
    for tensor, last in peer.lora(theirs).items():
        assert relative(adapter.read()[tensor], last) < 0.02, tensor


# ---- PiSSA

def dequantized(folder) -> torch.nn.Module:
    """The model in float with the weights that NF4 keeps, in which PEFT can put PiSSA's residual."""
    quantized = peer.quantized(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    with torch.no_grad():
        for name, module in quantized.named_modules():
            if hasattr(module, "quant_state") or hasattr(getattr(module, "weight", None), "quant_state"):
                model.get_submodule(name).weight.copy_(bnb.dequantize_4bit(module.weight.data, module.weight.quant_state))
    model.config.use_cache = False
    return model


@pytest.fixture(scope="module")
def pissa(folders):
    weights = {name: m.weight.detach().numpy().copy() for name, m in dequantized(folders["llama"]).named_modules()
               if name.endswith("_proj")}
    model = get_peft_model(dequantized(folders["llama"]), LoraConfig(
        r=peer.RANK, lora_alpha=peer.ALPHA, target_modules="all-linear", init_lora_weights="pissa", task_type="CAUSAL_LM"))
    return weights, model


def test_pissa_start(kernels, folders, tmp_path, pissa):
    weights, theirs = pissa
    base = kernels.open_base(folders["llama"], tmp_path / "base")
    adapter = base.adapter(peer.RANK, peer.ALPHA, pissa_iterations=60)
    ours, expected = adapter.read(), peer.lora(theirs)
    scale = peer.ALPHA / peer.RANK
    for module, weight in weights.items():
        a, b = ours[f"{module}.lora_A"], ours[f"{module}.lora_B"]
        principal = scale * b @ a
        assert relative(principal, scale * expected[f"{module}.lora_B"] @ expected[f"{module}.lora_A"]) < 2e-3, module
        residual = theirs.get_submodule(f"base_model.model.{module}").base_layer.weight.detach().numpy()
        assert relative(residual + principal, weight) < 2e-3
        np.testing.assert_allclose(np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=0), rtol=1e-3)
        assert np.array_equal(a, ours[f"{module}.initial_A"]) and np.array_equal(b, ours[f"{module}.initial_B"])
    batch = peer.make_batch(base.info["vocab"], [20], seed=3)
    assert relative(base.logits(batch, adapter), base.logits(batch, None)) < 1e-5


def test_pissa_few_rounds_catch_most(fast, folders, tmp_path, pissa):
    """Even on these weights without structure, whose singular values hardly fall: the energy of the best approximation."""
    weights, _ = pissa
    base = fast.open_base(folders["llama"], tmp_path / "base")
    ours = base.adapter(peer.RANK, peer.ALPHA, pissa_iterations=8).read()
    for module, weight in weights.items():
        best = np.sqrt((np.linalg.svd(weight, compute_uv=False)[:peer.RANK] ** 2).sum())
        found = np.linalg.norm(peer.ALPHA / peer.RANK * ours[f"{module}.lora_B"] @ ours[f"{module}.lora_A"])
        assert 0.98 * best < found <= 1.0001 * best, module


def test_pissa_trace(fast, folders, tmp_path, pissa):
    """From PEFT's own pair, so that both start at the same point of many equivalent ones."""
    _, theirs = pissa
    base = fast.open_base(folders["llama"], tmp_path / "base")
    adapter = base.adapter(peer.RANK, peer.ALPHA, pissa_iterations=1)
    start = peer.lora(theirs)
    for tensor, values in start.items():
        adapter.write(tensor, values)
        adapter.write(tensor.replace("lora_", "initial_"), values)
    state = {k: v.clone() for k, v in theirs.state_dict().items()}
    batches = peer.trace_batches(base.info["vocab"])[:20]
    expected = peer.train(theirs, batches)
    theirs.load_state_dict(state)
    ours = adapter.train(batches, peer.RATE, peer.MAX_NORM)
    assert expected[-1] < expected[0] - 0.2
    np.testing.assert_allclose(ours, expected, rtol=0.01)
    assert np.array_equal(adapter.read()["model.layers.0.mlp.up_proj.initial_A"], start["model.layers.0.mlp.up_proj.lora_A"])


# ---- 8-bit AdamW

def nearest(values: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """The levels nearest to values; on a tie the lower."""
    ends = (np.float32(0.5) * (levels[:-1] + levels[1:])).astype(np.float32)
    return levels[np.searchsorted(ends, values, side="left")]


class PlainAdamW8:
    """The published algorithm (Dettmers et al. 2022) as it is written, on one tensor."""

    def __init__(self, n: int):
        self.m, self.v, self.step = np.zeros(n, np.float32), np.zeros(n, np.float32), 0
        self.maps = [bnb.create_dynamic_map(signed=s).numpy() for s in (True, False)]

    def round(self, values: np.ndarray, levels: np.ndarray) -> np.ndarray:
        out = values.copy()
        for begin in range(0, values.size, 256):
            block = values[begin:begin + 256]
            absmax = np.abs(block).max()
            out[begin:begin + 256] = 0 if absmax == 0 else nearest(block / absmax, levels) * absmax
        return out

    def update(self, w: np.ndarray, g: np.ndarray, rate: float) -> np.ndarray:
        self.step += 1
        one, b1, b2 = np.float32(1), np.float32(0.9), np.float32(0.999)
        m, v = b1 * self.m + (one - b1) * g, b2 * self.v + (one - b2) * g * g
        c1, c2 = np.float32(1 - float(b1) ** self.step), np.float32(1 - float(b2) ** self.step)
        new = w - np.float32(rate) / c1 * m / (np.sqrt(v) / np.sqrt(c2) + np.float32(1e-8))
        self.m, self.v = self.round(m, self.maps[0]), self.round(v, self.maps[1])
        return new


def test_adamw8_is_the_published_algorithm(kernels, folders, tmp_path):
    base = kernels.open_base(folders["llama"], tmp_path / "base")
    adapter = base.adapter(64, 64.0, optimizer="adamw8bit")
    name = "model.layers.0.mlp.up_proj.lora_A"  # 64 × 64: the smallest that gets 8 bits
    w, plain = adapter.read()[name].ravel(), PlainAdamW8(64 * 64)
    for step in range(6):
        rng = np.random.default_rng(step)
        g = (rng.standard_normal(64 * 64) * 10.0 ** rng.uniform(-6, 0, 64 * 64)).astype(np.float32)
        adapter.write(name, g.reshape(64, 64), kind=1)
        adapter.optimizer_step(1e-2, 0.0)
        w = plain.update(w, g, 1e-2)
        np.testing.assert_allclose(adapter.read()[name].ravel(), w, rtol=1e-4, atol=1e-6)
        for kind, expected in ((2, plain.m), (3, plain.v)):
            ours = adapter.read(kind)[name].ravel()
            same = np.isclose(ours, expected, rtol=1e-5, atol=0)
            assert same.mean() > 0.999, "a code may differ where a value lies on the border of two"


def test_adamw8_trace(fast, folders, tmp_path):
    """bitsandbytes' AdamW8bit on the CPU looks codes up in a table of 2^16 entries, ours are the nearest: losses within 1 %."""
    config = dict(r=64, lora_alpha=64.0)
    theirs, plain = (peer.with_adapter(folders["llama"], **config) for _ in range(2))
    base = fast.open_base(folders["llama"], tmp_path / "base")
    adapter = base.adapter(64, 64.0, peer.lora(theirs), optimizer="adamw8bit")
    batches = peer.trace_batches(base.info["vocab"])[:20]
    rate = 1e-3
    ours = adapter.train(batches, rate, peer.MAX_NORM)
    weights = [p for p in theirs.parameters() if p.requires_grad]
    eight = peer.train(theirs, batches, AdamW8bit(weights, lr=rate, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0))
    full = peer.train(plain, batches, torch.optim.AdamW([p for p in plain.parameters() if p.requires_grad], lr=rate,
                                                        weight_decay=0.0))
    assert full[-1] < full[0] - 0.2
    np.testing.assert_allclose(ours, eight, rtol=0.01)
    np.testing.assert_allclose(ours, full, rtol=0.01)
