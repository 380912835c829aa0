"""What transformers + PEFT + bitsandbytes make of the same model, adapter and packed batches, in float32 on the CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, LlamaConfig, Qwen2Config

from lowrank import Batch

RANK, ALPHA = 4, 8.0
LLAMA3_ROPE = {"rope_type": "llama3", "rope_theta": 5000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
               "original_max_position_embeddings": 32}
SHAPE = dict(vocab_size=160, hidden_size=64, intermediate_size=192, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=256, bos_token_id=1, eos_token_id=2, pad_token_id=0)
CONFIGS = {
    "llama": lambda: LlamaConfig(**SHAPE, tie_word_embeddings=True),
    # head_dim differs from hidden / heads, biases everywhere, an untied head, stretched RoPE
    "llama3-rope": lambda: LlamaConfig(**SHAPE, tie_word_embeddings=False, attention_bias=True, mlp_bias=True, head_dim=32,
                                       rope_parameters=LLAMA3_ROPE),
    "qwen2": lambda: Qwen2Config(**{**SHAPE, "num_key_value_heads": 1}, tie_word_embeddings=True),
}
BNB = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
                         bnb_4bit_compute_dtype=torch.float32)


def write_model(name: str, folder: Path, seed: int = 1) -> None:
    """Random weights, biases and norms too, so that nothing is hidden by zeros and ones; llama in two shards."""
    torch.manual_seed(seed)
    config = CONFIGS[name]()
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            if "norm" in parameter_name:
                parameter.uniform_(0.5, 1.5)
            else:
                parameter.normal_(0, 0.08 if parameter.ndim > 1 else 0.3)
    model.to(torch.bfloat16).save_pretrained(folder, max_shard_size="100KB" if name == "llama" else "50GB")


def quantized(folder: Path) -> torch.nn.Module:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, device_map="cpu", quantization_config=BNB,
                                                 attn_implementation="eager")
    model.config.use_cache = False
    return model


def with_adapter(folder: Path, seed: int = 2, **config) -> torch.nn.Module:
    return add_adapter(quantized(folder), seed, **config)


def add_adapter(base: torch.nn.Module, seed: int = 2, **config) -> torch.nn.Module:
    """LoRA on every linear layer; B random too, so that A has a gradient from the first step. `config` as LoraConfig's."""
    torch.manual_seed(seed)
    model = get_peft_model(base, LoraConfig(
        **({"r": RANK, "lora_alpha": ALPHA, "lora_dropout": 0.0, "target_modules": "all-linear"} | config),
        task_type="CAUSAL_LM"))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.05)
    model.train()
    return model


def lora(model: torch.nn.Module, gradients: bool = False) -> dict[str, np.ndarray]:
    """`<module>.lora_A`, `.lora_B`, `.lora_magnitude_vector`, `.bias` → array, of what is trained."""
    out = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            short = name.removeprefix("base_model.model.").removesuffix(".default.weight").replace(".base_layer.", ".")
            value = parameter.grad if gradients else parameter
            out[short] = value.detach().float().numpy().copy()
    return out


def make_batch(vocabulary: int, lengths: list[int], seed: int) -> Batch:
    """Sequences of an order-1 Markov kind (so that there is something to learn), a third of the targets masked."""
    rng = np.random.default_rng(seed)
    step = np.random.default_rng(0).integers(1, vocabulary, size=vocabulary)
    tokens, targets, starts = [], [], [0]
    for length in lengths:
        sequence = [int(rng.integers(vocabulary))]
        while len(sequence) < length:
            follow = step[sequence[-1]] if rng.random() < 0.8 else rng.integers(vocabulary)
            sequence.append(int(follow))
        following = sequence[1:] + [-100]
        tokens += sequence
        targets += [t if rng.random() > 1 / 3 else -100 for t in following]
        starts.append(len(tokens))
    return Batch(*(np.array(a, np.int32) for a in (tokens, targets, starts)))


def forward(model: torch.nn.Module, batch: Batch) -> torch.Tensor:
    """Logits [T, vocab]: each sequence alone, so that packing cannot leak."""
    parts = [model(input_ids=torch.from_numpy(batch.tokens[a:b]).long()[None]).logits[0]
             for a, b in zip(batch.starts[:-1], batch.starts[1:])]
    return torch.cat(parts)


def loss_sum(model: torch.nn.Module, batch: Batch) -> torch.Tensor:
    return torch.nn.functional.cross_entropy(forward(model, batch), torch.from_numpy(batch.targets).long(), ignore_index=-100,
                                             reduction="sum")


def loss_tokens(batch: Batch) -> int:
    return int((batch.targets != -100).sum())


# ---- the 50-step trace

STEPS, ACCUMULATION, RATE, MAX_NORM = 50, 2, 5e-3, 1.0


def trace_batches(vocabulary: int) -> list[list[Batch]]:
    """STEPS × ACCUMULATION packed batches of ragged sequences."""
    lengths = [[7, 19, 1, 5], [23, 9], [32], [3, 4, 5, 6, 7]]
    return [[make_batch(vocabulary, lengths[(s + a) % len(lengths)], 1000 + 2 * s + a) for a in range(ACCUMULATION)]
            for s in range(STEPS)]


def train(model: torch.nn.Module, batches: list[list[Batch]], optimizer: torch.optim.Optimizer | None = None) -> list[float]:
    """Mean loss per token of each optimizer step, normalised over the tokens of its accumulated batch. Default: AdamW."""
    weights = [p for p in model.parameters() if p.requires_grad]
    optimizer = optimizer or torch.optim.AdamW(weights, lr=RATE, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0)
    losses = []
    for micro_batches in batches:
        total = sum(loss_tokens(b) for b in micro_batches)
        loss = 0.0
        for batch in micro_batches:
            part = loss_sum(model, batch) / total
            part.backward()
            loss += part.item()
        torch.nn.utils.clip_grad_norm_(weights, MAX_NORM)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss)
    return losses


