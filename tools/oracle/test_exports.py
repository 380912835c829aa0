"""Versions exported: merged weights against PEFT's merge_and_unload, GGUF files through the gguf package and transformers."""

import json
import shutil
import subprocess

import numpy as np
import pytest
import torch
from gguf import MODEL_ARCH_NAMES, GGMLQuantizationType, GGUFReader, dequantize, get_tensor_name_map, quantize
from safetensors.torch import load_file
from tokenizers import Tokenizer, normalizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from transformers import (AutoConfig, AutoModelForCausalLM, AutoTokenizer, Gemma2Config, Gemma3TextConfig, LlamaConfig, MistralConfig,
                          Phi3Config, Qwen2Config, Qwen3Config)

import peer
from checks import relative
from lowrank import REPOSITORY

KINDS = {"lora": {}, "rslora": {"use_rslora": True, "rank_pattern": {"q_proj": 7}, "alpha_pattern": {"down_proj": 3.0}},
         "dora": {"use_dora": True}, "bias": {"bias": "all"}}
TOKENS = torch.arange(30).reshape(2, 15) * 3 % 101


def export(format: str, *paths) -> None:
    subprocess.run(["node", "--require", "./tools/typescript.cjs", "tools/oracle/exports.ts", format, *paths], cwd=REPOSITORY, check=True,
                   timeout=120)


def adapted(folder, into, zero: bool = False, **config):
    """The model of `folder` in float32 with an adapter of random weights (or one that changes nothing), which is saved."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    model = peer.add_adapter(model, **config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if zero and "lora_B" in name:
                parameter.zero_()
            elif "magnitude" in name:
                parameter.mul_(torch.empty_like(parameter).uniform_(0.8, 1.2))
            elif name.endswith(".bias") and parameter.requires_grad:
                parameter.add_(0.1)
    model.save_pretrained(into)
    return model.eval()


def logits(model) -> np.ndarray:
    with torch.no_grad():
        return model(TOKENS).logits.numpy()


def check_merged(folder, tmp_path, dtype: torch.dtype, tolerance: float, **config):
    model = adapted(folder, tmp_path / "adapter", **config)
    export("merged", folder, tmp_path / "adapter", tmp_path / "merged")
    ours = AutoModelForCausalLM.from_pretrained(tmp_path / "merged", attn_implementation="eager")
    assert ours.dtype == dtype
    theirs = model.merge_and_unload()
    assert relative(logits(ours.float()), logits(theirs)) < tolerance
    wanted = theirs.state_dict()
    for name, value in ours.float().state_dict().items():
        assert relative(value.numpy(), wanted[name].numpy()) < tolerance, name


@pytest.mark.parametrize("name", peer.CONFIGS)
def test_merged_model_is_pefts(tmp_path, name):
    peer.write_model(peer.CONFIGS[name](), tmp_path / "model", dtype=torch.float32, shard="100KB")
    check_merged(tmp_path / "model", tmp_path, torch.float32, 1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_adapter(tmp_path, kind):
    peer.write_model(peer.CONFIGS["llama3-rope"](), tmp_path / "model", dtype=torch.float32)
    check_merged(tmp_path / "model", tmp_path, torch.float32, 1e-5, **KINDS[kind])


def test_bfloat16_is_rounded_once(tmp_path):
    peer.write_model(peer.CONFIGS["llama"](), tmp_path / "model", shard="100KB")
    model = adapted(tmp_path / "model", tmp_path / "adapter")
    export("merged", tmp_path / "model", tmp_path / "adapter", tmp_path / "merged")
    wanted = model.merge_and_unload().state_dict()
    shards = sorted((tmp_path / "merged").glob("*.safetensors"))
    assert len(shards) > 1
    differing = total = 0
    for shard in shards:
        for name, value in load_file(shard).items():
            assert value.dtype == torch.bfloat16
            differing += int((value != wanted[name].to(torch.bfloat16)).sum())
            total += value.numel()
    # Where float32 and double sums fall on different sides of the middle between two bfloat16 numbers.
    assert differing < total * 1e-4


# What GGUF's readers take for granted of these architectures is so in these models.
SHAPE = peer.SHAPE | {"vocab_size": 1024, "num_hidden_layers": 2}
GGUF_CONFIGS = {
    "llama": lambda: LlamaConfig(**SHAPE, tie_word_embeddings=True),
    "llama3-rope": peer.CONFIGS["llama3-rope"],
    "mistral": lambda: MistralConfig(**SHAPE, sliding_window=None, head_dim=24),
    "qwen2": lambda: Qwen2Config(**SHAPE, tie_word_embeddings=True),
    "qwen3": lambda: Qwen3Config(**SHAPE, head_dim=24),
    "gemma2": lambda: Gemma2Config(**SHAPE, head_dim=24, query_pre_attn_scalar=24, sliding_window=8),
    "gemma3": lambda: Gemma3TextConfig(**SHAPE | {"num_hidden_layers": 6}, head_dim=24, query_pre_attn_scalar=24, sliding_window=8),
    "phi3": lambda: Phi3Config(**SHAPE, sliding_window=None, rope_parameters={"rope_type": "default", "rope_theta": 1e4,
                                                                              "partial_rotary_factor": 0.5}),
}
TYPES = {"gguf-f16": GGMLQuantizationType.F16, "gguf-q8_0": GGMLQuantizationType.Q8_0}


def write_gguf_model(name: str, folder) -> None:
    """With the sample's tokenizer, whose vocabulary every model here has."""
    config = GGUF_CONFIGS[name]()
    config.vocab_size = 1024
    peer.write_model(config, folder, dtype=torch.float32)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(REPOSITORY / "samples/base" / file, folder)


def permuted(name: str, values: np.ndarray, heads: dict[str, int]) -> np.ndarray:
    """Rows of q and k as llama.cpp's converter lays them out."""
    count = next((count for part, count in heads.items() if part in name), None)
    if count is None:
        return values
    return values.reshape(count, 2, values.shape[0] // count // 2, *values.shape[1:]).swapaxes(1, 2).reshape(values.shape)


def wanted_tensors(model, arch: str) -> dict[str, np.ndarray]:
    """The model's tensors by their names in the gguf package, as they have to lie in the file."""
    config = model.config
    names = get_tensor_name_map(next(key for key, value in MODEL_ARCH_NAMES.items() if value == arch), config.num_hidden_layers)
    heads = {"attn_q.": config.num_attention_heads, "attn_k.": config.num_key_value_heads} if arch == "llama" else {}
    out = {}
    for name, value in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        module, kind = name.rsplit(".", 1)
        called = f"{names.get_name(module)}.{kind}"
        values = value.float().numpy()
        out[called] = permuted(called, values + 1 if arch.startswith("gemma") and "norm" in called else values, heads)
    return out


def field(reader: GGUFReader, name: str):
    return reader.get_field(name).contents()


@pytest.mark.parametrize("format", TYPES)
@pytest.mark.parametrize("name", GGUF_CONFIGS)
def test_gguf_model_is_read_back(tmp_path, name, format):
    folder = tmp_path / "model"
    write_gguf_model(name, folder)
    model = adapted(folder, tmp_path / "adapter")
    file = tmp_path / "model.gguf"
    export(format, folder, tmp_path / "adapter", file)
    theirs = model.merge_and_unload()
    reader = GGUFReader(file)
    arch = field(reader, "general.architecture")
    wanted = wanted_tensors(theirs, arch)
    found = {tensor.name: tensor for tensor in reader.tensors}
    assert found.keys() - {"rope_freqs.weight"} == wanted.keys()
    for called, values in wanted.items():
        tensor = found[called]
        expected = TYPES[format] if values.ndim > 1 else GGMLQuantizationType.F32
        if expected == GGMLQuantizationType.Q8_0 and values.shape[-1] % 32:
            expected = GGMLQuantizationType.F16
        assert tensor.tensor_type == expected, called
        read = dequantize(tensor.data, tensor.tensor_type)
        assert read.shape == values.shape
        nearest = dequantize(quantize(values, expected), expected)
        # float32 and double sums may fall on different sides of the middle between two codes.
        assert np.mean(read != nearest) < 1e-3 or expected == GGMLQuantizationType.F32, called
        assert relative(read, values) < (1e-2 if format == "gguf-q8_0" else 1e-3), called
    check_metadata(reader, arch, theirs.config)
    config = AutoConfig.from_pretrained(folder)
    if name == "mistral":  # in GGUF a llama, which is what it is without a window
        known = LlamaConfig().to_dict().keys() - {"model_type"}
        config = LlamaConfig(**{key: value for key, value in config.to_dict().items() if key in known})
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="model.gguf", config=config, dtype=torch.float32,
                                                  attn_implementation="eager")
    assert relative(logits(loaded), logits(theirs)) < (5e-2 if format == "gguf-q8_0" else 5e-3)


def check_metadata(reader: GGUFReader, arch: str, config) -> None:
    heads, head_dim = config.num_attention_heads, getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    keys = {"block_count": config.num_hidden_layers, "embedding_length": config.hidden_size,
            "feed_forward_length": config.intermediate_size, "attention.head_count": heads,
            "attention.head_count_kv": config.num_key_value_heads, "attention.key_length": head_dim,
            "attention.layer_norm_rms_epsilon": pytest.approx(config.rms_norm_eps), "vocab_size": config.vocab_size,
            "context_length": config.max_position_embeddings}
    for key, value in keys.items():
        assert field(reader, f"{arch}.{key}") == value, key
    assert field(reader, "general.type") == "model"
    assert len(field(reader, "tokenizer.ggml.tokens")) == config.vocab_size


def test_gguf_bytes_are_the_gguf_packages(tmp_path):
    """With an adapter that changes nothing, so that both quantize the same numbers."""
    write_gguf_model("qwen2", tmp_path / "model")
    model = adapted(tmp_path / "model", tmp_path / "adapter", zero=True)
    wanted = wanted_tensors(model.merge_and_unload(), "qwen2")
    for format, kind in TYPES.items():
        export(format, tmp_path / "model", tmp_path / "adapter", tmp_path / format)
        for tensor in GGUFReader(tmp_path / format).tensors:
            if len(tensor.shape) > 1:
                assert np.array_equal(tensor.data, quantize(wanted[tensor.name], kind)), tensor.name


def test_llama3_rope_factors(tmp_path):
    """The file's divisors make of plain frequencies those that transformers computes."""
    write_gguf_model("llama3-rope", tmp_path / "model")
    model = adapted(tmp_path / "model", tmp_path / "adapter")
    export("gguf-f16", tmp_path / "model", tmp_path / "adapter", tmp_path / "model.gguf")
    factors = next(tensor for tensor in GGUFReader(tmp_path / "model.gguf").tensors if tensor.name == "rope_freqs.weight").data
    theta = peer.LLAMA3_ROPE["rope_theta"]
    plain = theta ** -(np.arange(0, 32, 2) / 32)
    rotary = model.base_model.model.model.rotary_emb
    assert len(set(factors.tolist())) > 2
    assert relative(plain / factors, rotary.inv_freq.numpy()) < 1e-6


def test_tokenizer_of_a_gguf_model(tmp_path):
    write_gguf_model("llama", tmp_path / "model")
    adapted(tmp_path / "model", tmp_path / "adapter")
    export("gguf-f16", tmp_path / "model", tmp_path / "adapter", tmp_path / "model.gguf")
    ours = AutoTokenizer.from_pretrained(tmp_path, gguf_file="model.gguf")
    theirs = AutoTokenizer.from_pretrained(tmp_path / "model")
    for text in ["<|im_start|>user\nHow many apples? 12 + 30.<|im_end|>\n", "naïve café — 你好 \t x", "it's we'll  spaces   "]:
        assert ours.encode(text, add_special_tokens=False) == theirs.encode(text, add_special_tokens=False)
    assert (ours.eos_token_id, ours.chat_template) == (theirs.eos_token_id, theirs.chat_template)


def write_byte_fallback_tokenizer(folder) -> None:
    """BPE as Llama 2 and Mistral have it: spaces as ▁, and a token for every byte that no other token spells."""
    tokenizer = Tokenizer(BPE(unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    lines = (REPOSITORY / "samples/data/train.jsonl").read_text().splitlines()
    texts = [message["content"] for line in lines for message in json.loads(line)["messages"]]
    tokenizer.train_from_iterator(texts, BpeTrainer(vocab_size=700, special_tokens=["<unk>", "<s>", "</s>"], show_progress=False))
    written = json.loads(tokenizer.to_str())
    learnt = written["model"]["vocab"]
    written["model"]["vocab"] = ({token: id for token, id in learnt.items() if id < 3}
                                 | {f"<0x{byte:02X}>": 3 + byte for byte in range(256)}
                                 | {token: id + 256 for token, id in learnt.items() if id >= 3})
    written["model"]["byte_fallback"] = True
    written["decoder"] = {"type": "Sequence", "decoders": [
        {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
        {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}
    (folder / "tokenizer.json").write_text(json.dumps(written))
    (folder / "tokenizer_config.json").write_text(json.dumps({
        "tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>",
        "add_bos_token": True, "chat_template": "{% for m in messages %}{{ m['content'] }}</s>{% endfor %}"}))


def test_byte_fallback_tokenizer_of_a_gguf_model(tmp_path):
    """Scores say in which order to merge what the list of merges says."""
    write_gguf_model("mistral", tmp_path / "model")
    write_byte_fallback_tokenizer(tmp_path / "model")
    adapted(tmp_path / "model", tmp_path / "adapter")
    export("gguf-f16", tmp_path / "model", tmp_path / "adapter", tmp_path / "model.gguf")
    reader = GGUFReader(tmp_path / "model.gguf")
    assert field(reader, "tokenizer.ggml.model") == "llama"
    assert field(reader, "tokenizer.ggml.add_bos_token") and field(reader, "tokenizer.ggml.add_space_prefix")
    kinds = field(reader, "tokenizer.ggml.token_type")
    assert kinds[:4] + [kinds[258], kinds[259], kinds[-1]] == [2, 3, 3, 6, 6, 1, 5]
    theirs = Tokenizer.from_file(str(tmp_path / "model" / "tokenizer.json"))
    tokens, scores = field(reader, "tokenizer.ggml.tokens"), field(reader, "tokenizer.ggml.scores")
    ids = {token: id for id, token in enumerate(tokens)}
    for text in ["The capital of Norway is Oslo.", "What does a bear eat? café — 你", "aaaa  bb", "it's we'll"]:
        assert sentencepiece(text, ids, scores) == theirs.encode(text, add_special_tokens=False).ids, text


def sentencepiece(text: str, ids: dict[str, int], scores: list[float]) -> list[int]:
    """As readers of such vocabularies have it: of all neighbours the pair with the best score becomes one, the left one of equal ones."""
    parts = list("▁" + text.replace(" ", "▁"))
    while True:
        pairs = [(-scores[ids[a + b]], i) for i, (a, b) in enumerate(zip(parts, parts[1:])) if a + b in ids]
        if not pairs:
            break
        at = min(pairs)[1]
        parts[at:at + 2] = [parts[at] + parts[at + 1]]
    return [id for part in parts for id in ([ids[part]] if part in ids else [3 + byte for byte in part.encode()])]


@pytest.mark.parametrize("kind", ["lora", "rslora"])
@pytest.mark.parametrize("name", ["llama", "phi3", "gemma2"])
def test_gguf_adapter(tmp_path, name, kind):
    """What readers make of it, base + alpha / rank · B · A tensor by tensor, is the merged model."""
    folder = tmp_path / "model"
    write_gguf_model(name, folder)
    config = KINDS[kind] if name != "phi3" or kind == "lora" else {"use_rslora": True, "rank_pattern": {"qkv_proj": 7}}
    model = adapted(folder, tmp_path / "adapter", **config)
    export("gguf-adapter", folder, tmp_path / "adapter", tmp_path / "adapter.gguf")
    reader = GGUFReader(tmp_path / "adapter.gguf")
    assert (field(reader, "general.type"), field(reader, "adapter.type")) == ("adapter", "lora")
    alpha, arch = field(reader, "adapter.lora.alpha"), field(reader, "general.architecture")
    plain = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    bare, wanted = wanted_tensors(plain, arch), wanted_tensors(model.merge_and_unload(), arch)
    found = {tensor.name: tensor.data for tensor in reader.tensors}
    adapted_names = {called.removesuffix(".lora_a") for called in found if called.endswith(".lora_a")}
    assert len(found) == 2 * len(adapted_names)
    for called in adapted_names:
        a, b = found[f"{called}.lora_a"], found[f"{called}.lora_b"]
        assert relative(bare[called] + alpha / len(a) * (b @ a), wanted[called]) < 1e-5, called
    assert all(np.array_equal(bare[called], wanted[called]) for called in wanted.keys() - adapted_names)
