"""Random small configurations of every architecture, for test_architectures.py and the fixtures."""

from __future__ import annotations

import numpy as np
from transformers import (Gemma2Config, Gemma3Config, Gemma3TextConfig, LlamaConfig, MistralConfig, Phi3Config, PretrainedConfig,
                          Qwen2Config, Qwen3Config)

# Positions of pre-training where a RoPE has such a thing: the batches have sequences on both sides of it.
ORIGINAL = 16
LENGTHS = [5, 17, 1, 30, 41]  # rising beyond ORIGINAL: transformers' dynamic RoPE remembers the longest it has seen


def sizes(rng: np.random.Generator, layers: int, own_head_dim: bool) -> dict:
    """Grouped, single or equal heads, a head_dim that is not hidden / heads, and widths that fill no tile."""
    heads = int(rng.choice([2, 4, 6]))
    width = int(rng.choice([6, 10, 12, 18])) * heads
    out = dict(vocab_size=int(rng.integers(101, 190)), hidden_size=width, intermediate_size=int(rng.choice([56, 88, 130])),
               num_hidden_layers=layers, num_attention_heads=heads, num_key_value_heads=int(rng.choice([1, heads // 2, heads])),
               max_position_embeddings=64, bos_token_id=1, eos_token_id=2, pad_token_id=0,
               tie_word_embeddings=bool(rng.integers(2)))
    return out | ({"head_dim": int(rng.choice([8, 14, 20]))} if own_head_dim else {})


def longrope(rng: np.random.Generator, pairs: int) -> dict:
    return {"rope_type": "longrope", "rope_theta": 500.0, "short_factor": rng.uniform(1, 1.5, pairs).tolist(),
            "long_factor": rng.uniform(1.5, 4, pairs).tolist(), "original_max_position_embeddings": ORIGINAL}


ROPES = [
    {"rope_type": "default", "rope_theta": 700.0},
    {"rope_type": "linear", "rope_theta": 700.0, "factor": 3.0},
    {"rope_type": "dynamic", "rope_theta": 700.0, "factor": 4.0},
    {"rope_type": "yarn", "rope_theta": 200.0, "factor": 4.0, "original_max_position_embeddings": ORIGINAL},
    {"rope_type": "yarn", "rope_theta": 50.0, "factor": 4.0, "original_max_position_embeddings": ORIGINAL, "beta_fast": 4.0,
     "beta_slow": 0.5, "truncate": False, "attention_factor": 1.25},
    {"rope_type": "llama3", "rope_theta": 300.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
     "original_max_position_embeddings": ORIGINAL},
]


def llama(seed: int, rng: np.random.Generator) -> PretrainedConfig:
    rope = ROPES[seed % len(ROPES)]
    s = sizes(rng, 2, own_head_dim=bool(rng.integers(2)))
    if rope["rope_type"] == "dynamic":
        s["max_position_embeddings"] = ORIGINAL
    return LlamaConfig(**s, attention_bias=bool(rng.integers(2)), mlp_bias=bool(rng.integers(2)), rope_parameters=dict(rope))


def mistral(seed: int, rng: np.random.Generator) -> PretrainedConfig:
    return MistralConfig(**sizes(rng, 2, own_head_dim=True), sliding_window=[None, 2, 7, 19][seed % 4])


def qwen2(seed: int, rng: np.random.Generator) -> PretrainedConfig:
    return Qwen2Config(**sizes(rng, 3, own_head_dim=False), use_sliding_window=seed % 2 == 1, sliding_window=6, max_window_layers=1,
                       rope_parameters=dict(ROPES[3 if seed > 1 else 0]))


def qwen3(seed: int, rng: np.random.Generator) -> PretrainedConfig:
    return Qwen3Config(**sizes(rng, 3, own_head_dim=True), attention_bias=seed % 2 == 0, use_sliding_window=seed % 2 == 1,
                       sliding_window=9, max_window_layers=2, rope_parameters=dict(ROPES[3 if seed > 1 else 0]))


def gemma2(seed: int, rng: np.random.Generator) -> PretrainedConfig:
    """Soft-caps low enough that scores and logits feel them."""
    return Gemma2Config(**sizes(rng, 3, own_head_dim=True), sliding_window=[4, 11, 33][seed % 3], query_pre_attn_scalar=5 + seed,
                        attn_logit_softcapping=[0.7, None, 2.0][seed % 3], final_logit_softcapping=[1.5, 3.0, None][seed % 3])


def gemma3_rope(rng: np.random.Generator, seed: int) -> dict:
    full = {"rope_type": "linear", "rope_theta": 5000.0, "factor": 8.0} if seed % 2 else {"rope_type": "default", "rope_theta": 5000.0}
    return {"full_attention": full, "sliding_attention": {"rope_type": "default", "rope_theta": 90.0}}


def gemma3_text(seed: int, rng: np.random.Generator) -> PretrainedConfig:
    s = sizes(rng, 4, own_head_dim=True)
    return Gemma3TextConfig(**s, sliding_window=[3, 10, 21][seed % 3], query_pre_attn_scalar=5 + seed,
                            sliding_window_pattern=2 + seed % 2, final_logit_softcapping=2.0 if seed == 2 else None,
                            rope_parameters=gemma3_rope(rng, seed))


def gemma3(seed: int, rng: np.random.Generator) -> PretrainedConfig:
    text = gemma3_text(seed, rng).to_dict() | {"final_logit_softcapping": None}
    tied = text.pop("tie_word_embeddings")
    vision = dict(model_type="siglip_vision_model", hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
                  image_size=28, patch_size=14)
    return Gemma3Config(text_config=text, vision_config=vision, tie_word_embeddings=tied, mm_tokens_per_image=4)


def phi3(seed: int, rng: np.random.Generator) -> PretrainedConfig:
    s = sizes(rng, 2, own_head_dim=False)
    s["hidden_size"] = s["num_attention_heads"] * 16
    part = [1.0, 0.75, 0.5, 0.25][seed % 4]
    rope = longrope(rng, int(8 * part)) if seed % 4 != 0 else {"rope_type": "default", "rope_theta": 700.0}
    return Phi3Config(**s, original_max_position_embeddings=ORIGINAL, sliding_window=[None, 6][seed % 2],
                      rope_parameters=rope | {"partial_rotary_factor": part})


FAMILIES = {"llama": llama, "mistral": mistral, "qwen2": qwen2, "qwen3": qwen3, "gemma2": gemma2, "gemma3_text": gemma3_text,
            "gemma3": gemma3, "phi3": phi3}
CASES = [(family, seed) for family in FAMILIES for seed in range(len(ROPES) if family == "llama" else 4)]


def make(family: str, seed: int) -> PretrainedConfig:
    return FAMILIES[family](seed, np.random.default_rng([seed, *family.encode()]))
