"""What transformers + PEFT + bitsandbytes make of the same model, adapter and packed batches, in float32 on the CPU."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from transformers import (AutoModelForCausalLM, BitsAndBytesConfig, Gemma2Config, Gemma3TextConfig, LlamaConfig, Phi3Config,
                          PretrainedConfig, Qwen2Config)

import bitsandbytes_cpu  # noqa: F401
from lowrank import Batch

RANK, ALPHA = 4, 8.0
LLAMA3_ROPE = {"rope_type": "llama3", "rope_theta": 5000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
               "original_max_position_embeddings": 32}
SHAPE = dict(vocab_size=160, hidden_size=64, intermediate_size=192, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=256, bos_token_id=1, eos_token_id=2, pad_token_id=0)
SMALL = {**SHAPE, "vocab_size": 112, "hidden_size": 32, "intermediate_size": 72}
GEMMA3_ROPE = {"full_attention": {"rope_type": "linear", "rope_theta": 5000.0, "factor": 8.0},
               "sliding_attention": {"rope_type": "default", "rope_theta": 100.0}}
LONGROPE = {"rope_type": "longrope", "rope_theta": 500.0, "partial_rotary_factor": 0.5, "short_factor": [1.0, 1.1],
            "long_factor": [1.5, 3.0], "original_max_position_embeddings": 16}
CONFIGS = {
    "llama": lambda: LlamaConfig(**SHAPE, tie_word_embeddings=True),
    # head_dim differs from hidden / heads, biases everywhere, an untied head, stretched RoPE
    "llama3-rope": lambda: LlamaConfig(**SHAPE, tie_word_embeddings=False, attention_bias=True, mlp_bias=True, head_dim=32,
                                       rope_parameters=LLAMA3_ROPE),
    "qwen2": lambda: Qwen2Config(**{**SHAPE, "num_key_value_heads": 1}, tie_word_embeddings=True),
    # windows, soft-caps, four norms, GELU
    "gemma2": lambda: Gemma2Config(**SMALL, head_dim=12, sliding_window=8, query_pre_attn_scalar=20, attn_logit_softcapping=2.0,
                                   final_logit_softcapping=4.0),
    # q/k norms, and a RoPE for each kind of layer
    "gemma3": lambda: Gemma3TextConfig(**SMALL, head_dim=12, sliding_window=8, query_pre_attn_scalar=20, sliding_window_pattern=2,
                                       rope_parameters=GEMMA3_ROPE),
    # fused layers, part of a head turns, and sequences on both sides of longrope's switch
    "phi3": lambda: Phi3Config(**SMALL, sliding_window=20, original_max_position_embeddings=16, rope_parameters=LONGROPE),
}
BNB = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
                         bnb_4bit_compute_dtype=torch.float32)


def write_model(config: PretrainedConfig, folder: Path, seed: int = 1, shard: str = "50GB",
                dtype: torch.dtype = torch.bfloat16) -> None:
    """Random weights, biases and norms too, so that nothing is hidden by zeros and ones."""
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name:
                parameter.uniform_(0.5, 1.5)
                if config.model_type.startswith("gemma"):
                    parameter.sub_(1)  # these norms multiply by 1 + w
            else:
                parameter.normal_(0, 0.08 if parameter.ndim > 1 else 0.3)
    model.to(dtype).save_pretrained(folder, max_shard_size=shard)


def write_named(name: str, folder: Path) -> None:
    write_model(CONFIGS[name](), folder, shard="100KB" if name == "llama" else "50GB")


def quantized(folder: Path) -> torch.nn.Module:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, device_map="cpu", quantization_config=BNB,
                                                 attn_implementation="eager")
    model.config.use_cache = False
    embedding = model.get_input_embeddings()
    if hasattr(embedding, "embed_scale"):
        # Gemma's factor in the type of the checkpoint, as it is where nobody asks for another type than the checkpoint's.
        stored = torch.bfloat16 if stored_in_bf16(folder) else torch.float32
        embedding.embed_scale = embedding.embed_scale.to(stored).float()
    return model


def stored_in_bf16(folder: Path) -> bool:
    return json.loads((folder / "config.json").read_text()).get("dtype") == "bfloat16"


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


