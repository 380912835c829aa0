"""Every storage of a base, and checkpoints that bitsandbytes has quantized, against transformers + PEFT + bitsandbytes."""

import json

import numpy as np
import pytest
import torch
from bitsandbytes import functional as bnb
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

import peer
from checks import relative

FORMATS = [("nf4", True), ("nf4", False), ("fp4", True), ("fp4", False), ("int8", False), ("bf16", False), ("f32", False)]
BNB_FORMATS = FORMATS[:5]


def config(format: str, double_quant: bool, **more) -> BitsAndBytesConfig | None:
    if format == "int8":
        return BitsAndBytesConfig(load_in_8bit=True, **more)
    if format in ("bf16", "f32"):
        return None
    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type=format, bnb_4bit_use_double_quant=double_quant,
                              bnb_4bit_compute_dtype=torch.float32, **more)


def load(folder, quantization: BitsAndBytesConfig | None = None) -> torch.nn.Module:
    """In float32. A checkpoint of its own quantization needs none named."""
    more = {} if quantization is None else {"quantization_config": quantization}
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, device_map="cpu", attn_implementation="eager", **more)
    model.config.use_cache = False
    return model


def without_activation_quantization(model: torch.nn.Module) -> torch.nn.Module:
    """LLM.int8() also rounds activations to 8 bits, which Lowrank does not: the same weights multiplied in float32."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if type(child).__name__ != "Linear8bitLt":
                continue
            weight = child.weight
            plain = torch.nn.Linear(child.in_features, child.out_features, bias=child.bias is not None)
            plain.weight = torch.nn.Parameter(weight.CB.float() * (weight.SCB.unsqueeze(1) * (1.0 / 127.0)), requires_grad=False)
            if child.bias is not None:
                plain.bias = torch.nn.Parameter(child.bias.data.float(), requires_grad=False)
            setattr(module, name, plain)
    return model


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Biases, an untied head, head_dim of its own."""
    folder = tmp_path_factory.mktemp("source")
    peer.write_named("llama3-rope", folder)
    return folder


@pytest.mark.parametrize("format,double_quant", FORMATS)
def test_logits_and_gradients(kernels, source, tmp_path, format, double_quant):
    model = load(source, config(format, double_quant))
    theirs = peer.add_adapter(without_activation_quantization(model) if format == "int8" else model)
    base = kernels.open_base(source, tmp_path / "base", format, double_quant)
    assert base.info["quantization"] == {"format": format, "doubleQuantization": double_quant}
    assert {linear["storage"] for linear in base.info["linears"]} == {format}
    batch = peer.make_batch(base.info["vocab"], [5, 17, 1, 30], seed=3)
    adapter = base.adapter(peer.RANK, peer.ALPHA, peer.lora(theirs))
    with theirs.disable_adapter(), torch.no_grad():
        assert relative(base.logits(batch, None), peer.forward(theirs, batch).numpy()) < 1e-4
    assert relative(base.logits(batch, adapter), peer.forward(theirs, batch).detach().numpy()) < 1e-4

    total = peer.loss_tokens(batch)
    loss = peer.loss_sum(theirs, batch) / total
    loss.backward()
    ours = base.train_step(batch, adapter, 1 / total)
    assert ours.sum / total == pytest.approx(loss.item(), rel=1e-5)
    gradients = adapter.read(1)
    for module, expected in peer.lora(theirs, gradients=True).items():
        assert relative(gradients[module], expected) < 1e-3, module


def test_distance_to_llm_int8(kernels, source, tmp_path):
    """With its activations rounded to 8 bits too, LLM.int8() is near, not the same, and further from the model in full precision."""
    base = kernels.open_base(source, tmp_path / "base", "int8", False)
    batch = peer.make_batch(base.info["vocab"], [5, 17, 1, 30], seed=3)
    with torch.no_grad():
        theirs = peer.forward(load(source, config("int8", False)), batch).numpy()
        exact = peer.forward(load(source), batch).numpy()
    ours = base.logits(batch, None)
    assert 1e-4 < relative(ours, theirs) < 0.05
    assert relative(ours, exact) < relative(theirs, exact)


def test_four_bits_from_bfloat16(kernels, source, tmp_path):
    """A quantized checkpoint whose other tensors are bfloat16."""
    settings = config("nf4", True)
    AutoModelForCausalLM.from_pretrained(source, dtype=torch.bfloat16, device_map="cpu",
                                         quantization_config=settings).save_pretrained(tmp_path / "saved")
    ours = kernels.open_base(tmp_path / "saved", tmp_path / "base")
    again = kernels.open_base(source, tmp_path / "again", "nf4", True)
    batch = peer.make_batch(ours.info["vocab"], [5, 17, 1, 30], seed=3)
    logits = ours.logits(batch, None)
    assert np.array_equal(logits, again.logits(batch, None))
    running = load(tmp_path / "saved")
    for parameter in running.parameters():  # transformers leaves a quantized checkpoint in its own dtype
        if parameter.dtype == torch.bfloat16:
            parameter.data = parameter.data.float()
    with torch.no_grad():
        theirs = peer.forward(running, batch).numpy()
    assert relative(logits, theirs) < 1e-4


@pytest.mark.parametrize("format,double_quant", BNB_FORMATS)
@pytest.mark.parametrize("skipped", [None, ["lm_head", "layers.1.mlp.up_proj"]], ids=["all", "skip"])
def test_quantized_checkpoint(kernels, source, tmp_path, format, double_quant, skipped):
    """Saved by transformers, loaded by us: nothing is quantized again, and layers that were left alone stay exact."""
    more = {} if skipped is None else {"llm_int8_skip_modules": skipped}
    load(source, config(format, double_quant, **more)).save_pretrained(tmp_path / "saved")
    ours = kernels.open_base(tmp_path / "saved", tmp_path / "base", "f32", False)  # what was asked for does not matter
    assert ours.info["prequantized"]
    assert ours.info["quantization"] == {"format": format, "doubleQuantization": double_quant}
    left_alone = {linear["name"] for linear in ours.info["linears"] if linear["storage"] != format}
    assert left_alone == (set() if skipped is None else {"model.layers.1.mlp.up_proj"})
    batch = peer.make_batch(ours.info["vocab"], [5, 17, 1, 30], seed=3)
    logits = ours.logits(batch, None)
    if skipped is None:
        again = kernels.open_base(source, tmp_path / "again", format, double_quant)
        assert np.array_equal(logits, again.logits(batch, None)), "the same weights, bit for bit, as when we quantize"

    running = load(tmp_path / "saved")
    assert type(running.model.layers[0].mlp.up_proj).__name__ == ("Linear8bitLt" if format == "int8" else "Linear4bit")
    with torch.no_grad():
        theirs = peer.forward(without_activation_quantization(running) if format == "int8" else running, batch).numpy()
    assert relative(logits, theirs) < 1e-4


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_sixteen_bit_checkpoints(kernels, source, tmp_path, dtype):
    """f32 holds either exactly, bf16 its own."""
    model = AutoModelForCausalLM.from_pretrained(source, dtype=dtype)
    model.save_pretrained(tmp_path / "saved")
    batch = peer.make_batch(model.config.vocab_size, [5, 17], seed=3)
    with torch.no_grad():
        theirs = peer.forward(load(tmp_path / "saved"), batch).numpy()
    exact = kernels.open_base(tmp_path / "saved", tmp_path / "f32", "f32", False).logits(batch, None)
    assert relative(exact, theirs) < 1e-4
    rounded = relative(kernels.open_base(tmp_path / "saved", tmp_path / "bf16", "bf16", False).logits(batch, None), theirs)
    # The sample's weights are bfloat16 numbers, and the halves nearest to them lose no bits but of the very small.
    assert rounded < (1e-4 if dtype == torch.bfloat16 else 1e-2)


def test_refused_by_name(kernels, source, tmp_path):
    """Another block size is bitsandbytes' right and not ours."""
    saved = tmp_path / "saved"
    load(source, config("nf4", True)).save_pretrained(saved)
    settings = json.loads((saved / "config.json").read_text())
    settings["quantization_config"]["quant_method"] = "awq"
    (saved / "config.json").write_text(json.dumps(settings))
    with pytest.raises(RuntimeError, match='quantized by "awq" are not supported'):
        kernels.open_base(saved, tmp_path / "base")


def test_row_scales_are_bitsandbytes_own(kernels):
    """int8_vectorwise_dequant multiplies in another order: a bit at most."""
    values = np.random.default_rng(1).standard_normal((33, 70)).astype(np.float32)
    parts = kernels.quantize(values, "int8", False)
    theirs = bnb.int8_vectorwise_dequant(torch.from_numpy(parts["codes"]), torch.from_numpy(parts["absmax"])).numpy()
    np.testing.assert_allclose(kernels.dequantize(parts, "int8", False, values.shape), theirs, rtol=3e-7)
