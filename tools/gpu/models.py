"""Llama checkpoints with random weights, written without torch: something of a given shape to compute with."""
from __future__ import annotations

import json
from pathlib import Path

import numpy as np

# name: hidden, intermediate, heads, key-value heads, layers, vocabulary
SHAPES = {
    "tiny": (256, 320, 4, 2, 3, 517),
    "1b": (2048, 8192, 32, 8, 16, 128256),
    "8b": (4096, 14336, 32, 8, 32, 128256),
    "70b": (8192, 28672, 64, 8, 80, 128256),
}


def parameters(shape: str, layers: int) -> int:
    """N of the linear layers of so many of a shape's decoder layers."""
    hidden, intermediate, heads, kv_heads, _, _ = SHAPES[shape]
    kv = hidden // heads * kv_heads
    return layers * hidden * (2 * hidden + 2 * kv + 3 * intermediate)


def write(shape: str, folder: Path, layers: int | None = None, seed: int = 1) -> dict:
    """A Hugging Face folder with `layers` decoder layers of a shape, in bfloat16; returns its configuration. A tensor's values repeat
    those of one block of random numbers, each tensor from a place of its own: what a kernel does depends on no value."""
    hidden, intermediate, heads, kv_heads, all_layers, vocab = SHAPES[shape]
    layers = layers or all_layers
    kv = hidden // heads * kv_heads
    config = {
        "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": hidden, "intermediate_size": intermediate,
        "num_attention_heads": heads, "num_key_value_heads": kv_heads, "num_hidden_layers": layers, "vocab_size": vocab,
        "max_position_embeddings": 8192, "rms_norm_eps": 1e-5, "rope_theta": 500000.0, "hidden_act": "silu",
        "tie_word_embeddings": True, "torch_dtype": "bfloat16",
    }
    tensors = {"model.embed_tokens.weight": (vocab, hidden), "model.norm.weight": (hidden,)}
    for i in range(layers):
        name = f"model.layers.{i}."
        tensors |= {name + "input_layernorm.weight": (hidden,), name + "post_attention_layernorm.weight": (hidden,)}
        for module, out, width in (("self_attn.q_proj", hidden, hidden), ("self_attn.k_proj", kv, hidden), ("self_attn.v_proj", kv, hidden),
                                   ("self_attn.o_proj", hidden, hidden), ("mlp.gate_proj", intermediate, hidden),
                                   ("mlp.up_proj", intermediate, hidden), ("mlp.down_proj", hidden, intermediate)):
            tensors[f"{name}{module}.weight"] = (out, width)
    random = np.random.default_rng(seed)
    block = (random.standard_normal(1 << 20, dtype=np.float32) * 0.02).view(np.uint32)
    block = ((block + 0x8000) >> 16).astype(np.uint16)
    header, at = {}, 0
    for name, dimensions in tensors.items():
        size = int(np.prod(dimensions)) * 2
        header[name] = {"dtype": "BF16", "shape": list(dimensions), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    with open(folder / "model.safetensors", "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for dimensions in tensors.values():
            count = int(np.prod(dimensions))
            values = np.full(count, 0x3F80, np.uint16) if len(dimensions) == 1 else np.resize(np.roll(block, int(random.integers(len(block)))), count)
            file.write(values.tobytes())
    return config
