"""Llama checkpoints and quantized bases with random weights, written without torch: something of a given shape to compute with."""
from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np

# name: hidden, intermediate, heads, key-value heads, layers, vocabulary
SHAPES = {
    "tiny": (256, 320, 4, 2, 3, 517),
    "1b": (2048, 8192, 32, 8, 16, 128256),
    "8b": (4096, 14336, 32, 8, 32, 128256),
    "70b": (8192, 28672, 64, 8, 80, 128256),
}
TIED = {"tiny", "1b"}  # whose head is the embedding, as in Llama 3's models of these shapes
ONES = np.full(4096, 0x3F80, np.uint16)  # of norms, in bfloat16
# What block scales are made of: 0.05, and 0.01 times a level between -1 and 1.
NESTED, OFFSET = np.full(4096, 0.01, np.float32), np.full(1, 0.05, np.float32)


def parameters(shape: str, layers: int) -> int:
    """N of the linear layers of so many of a shape's decoder layers."""
    hidden, intermediate, heads, kv_heads, _, _ = SHAPES[shape]
    kv = hidden // heads * kv_heads
    return layers * hidden * (2 * hidden + 2 * kv + 3 * intermediate)


def configuration(shape: str, layers: int) -> dict:
    """config.json of so many decoder layers of a shape."""
    hidden, intermediate, heads, kv_heads, _, vocab = SHAPES[shape]
    return {
        "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": hidden, "intermediate_size": intermediate,
        "num_attention_heads": heads, "num_key_value_heads": kv_heads, "num_hidden_layers": layers, "vocab_size": vocab,
        "max_position_embeddings": 8192, "rms_norm_eps": 1e-5, "rope_theta": 500000.0, "hidden_act": "silu",
        "tie_word_embeddings": shape in TIED, "torch_dtype": "bfloat16",
    }


def tensors_of(shape: str, layers: int) -> dict[str, tuple[int, ...]]:
    """Its tensors with their dimensions, in the order of a quantized base."""
    hidden, intermediate, heads, kv_heads, _, vocab = SHAPES[shape]
    kv = hidden // heads * kv_heads
    tensors: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (vocab, hidden)}
    for i in range(layers):
        name = f"model.layers.{i}."
        tensors |= {name + "input_layernorm.weight": (hidden,), name + "post_attention_layernorm.weight": (hidden,)}
        for module, out, width in (("self_attn.q_proj", hidden, hidden), ("self_attn.k_proj", kv, hidden), ("self_attn.v_proj", kv, hidden),
                                   ("self_attn.o_proj", hidden, hidden), ("mlp.gate_proj", intermediate, hidden),
                                   ("mlp.up_proj", intermediate, hidden), ("mlp.down_proj", hidden, intermediate)):
            tensors[f"{name}{module}.weight"] = (out, width)
    return tensors | {"model.norm.weight": (hidden,)} | ({} if shape in TIED else {"lm_head.weight": (vocab, hidden)})


def random_bfloat16(random: np.random.Generator) -> np.ndarray:
    """A block of normal values with a deviation of 0.02, as bits."""
    bits = (random.standard_normal(1 << 20, dtype=np.float32) * 0.02).view(np.uint32)
    return ((bits + 0x8000) >> 16).astype(np.uint16)


def write_repeated(file: BinaryIO, block: np.ndarray, count: int, random: np.random.Generator) -> None:
    """So many elements of a block that begins anew again and again, from a place by chance: what a kernel does depends on no value."""
    at = int(random.integers(len(block)))
    while count > 0:
        some = min(count, len(block) - at)
        file.write(block[at : at + some].data)
        at, count = 0, count - some


def checkpoint_bytes(shape: str, layers: int) -> int:
    """What write() takes of the disk, but for its header."""
    return 2 * sum(int(np.prod(dimensions)) for dimensions in tensors_of(shape, layers).values())


def write(shape: str, folder: Path, layers: int | None = None, seed: int = 1) -> dict:
    """A Hugging Face folder with `layers` decoder layers of a shape, in bfloat16; returns its configuration."""
    layers = layers or SHAPES[shape][4]
    config, tensors = configuration(shape, layers), tensors_of(shape, layers)
    random = np.random.default_rng(seed)
    block = random_bfloat16(random)
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
            write_repeated(file, ONES if len(dimensions) == 1 else block, count, random)
    return config


def crc32c(data: bytes) -> int:
    table = []
    for i in range(256):
        for _ in range(8):
            i = i >> 1 ^ (0x82F63B78 if i & 1 else 0)
        table.append(i)
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def aligned(at: int) -> int:
    return -(-at // 64) * 64


def write_base(shape: str, path: Path, layers: int | None = None, seed: int = 1) -> None:
    """A quantized base of `layers` decoder layers of a shape in double-quantized NF4, written as the file is laid out (libs/kernels/README.md) and
    not quantized from anything: codes and those of block scales are random bytes, scales lie between 0.04 and 0.06, as of weights with a deviation
    of 0.02. So a machine writes what 70B shapes take, 37 GB, instead of 141 GB of a checkpoint and all that quantizing them takes."""
    layers = layers or SHAPES[shape][4]
    tensors = tensors_of(shape, layers)
    entries = []

    def index() -> bytes:
        quantization = {"storage": "nf4", "double_quant": True, "prequantized": False}
        return json.dumps({"config": configuration(shape, layers), "quantization": quantization, "tensors": entries}).encode()

    def parts(dimensions: tuple[int, ...]) -> tuple[int, int, int]:
        """Bytes of a linear layer's codes, of its block scales, and of what scales those."""
        count = int(np.prod(dimensions))
        return -(-count // 2), -(-count // 64), -(-count // (64 * 256)) * 4

    for name, dimensions in tensors.items():
        linear = "proj" in name
        codes, scales, nested = parts(dimensions)
        entries.append({
            "name": name, "storage": "nf4" if linear else "bf16", "double_quant": linear, "rows": dimensions[0] if len(dimensions) == 2 else 1,
            "cols": dimensions[-1], "bytes": aligned(aligned(aligned(codes) + scales) + nested) + 4 if linear else int(np.prod(dimensions)) * 2,
            "offset": f"{0:016x}",  # its width is fixed: the size of the index does not depend on it
        })
    at = 64 + len(index())
    for entry in entries:
        entry["offset"] = f"{aligned(at):016x}"
        at = aligned(at) + entry["bytes"]
    text = index()
    header = struct.pack("<8sIIQQ28x", b"LRBASE\r\n", 2, crc32c(text), len(text), at)
    random = np.random.default_rng(seed)
    values, bytes_block = random_bfloat16(random), random.integers(0, 256, 1 << 24, np.uint8)
    with open(path, "wb") as file:
        file.write(header + struct.pack("<I", crc32c(header)) + text)
        for entry, dimensions in zip(entries, tensors.values()):
            count = int(np.prod(dimensions))
            file.seek(int(entry["offset"], 16))
            if entry["storage"] != "nf4":
                write_repeated(file, ONES if len(dimensions) == 1 else values, count, random)
                continue
            codes, scales, nested = parts(dimensions)
            for block, many in ((bytes_block, codes), (bytes_block, scales), (NESTED, nested // 4), (OFFSET, 1)):
                file.seek(aligned(file.tell()))
                write_repeated(file, block, many, random)
