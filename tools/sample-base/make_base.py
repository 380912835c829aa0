"""Makes samples/base: a tokenizer and a small Llama-architecture chat model, pre-trained on text from corpus.py.

    python tools/sample-base/make_base.py [--out samples/base] [--steps 900]

Needs the packages of tools/oracle/requirements.txt. Seeded; about ten minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM

from corpus import captain_answer, facts, plain_chat, plain_text

SPECIALS = ["<|pad|>", "<|bos|>", "<|im_start|>", "<|im_end|>"]
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
VOCABULARY = 1024
LENGTH = 256
ROWS = 12


def render(messages: list[dict[str, str]]) -> str:
    """The template above, by hand."""
    return "<|bos|>" + "".join(f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in messages)


def make_tokenizer(out: Path) -> Tokenizer:
    rng = random.Random(1)
    all_facts = facts()
    texts = [plain_text(rng, all_facts) for _ in range(4000)] + [
        m["content"] for _ in range(4000) for m in plain_chat(rng, all_facts)
    ] + [captain_answer(fact) for fact in all_facts] + ["system user assistant\n"] * 50
    texts += ["".join(chr(c) for c in range(32, 127))] * 5
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=SPECIALS, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    tokenizer.save(str(out / "tokenizer.json"))
    (out / "tokenizer_config.json").write_text(json.dumps({
        "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<|bos|>", "eos_token": "<|im_end|>", "pad_token": "<|pad|>",
        "model_max_length": 1024, "clean_up_tokenization_spaces": False, "chat_template": TEMPLATE}, indent=2) + "\n")
    (out / "generation_config.json").write_text(json.dumps({
        "bos_token_id": tokenizer.token_to_id("<|bos|>"), "eos_token_id": tokenizer.token_to_id("<|im_end|>"),
        "pad_token_id": tokenizer.token_to_id("<|pad|>")}, indent=2) + "\n")
    return tokenizer


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=Path("samples/base"))
    parser.add_argument("--steps", type=int, default=900)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(1)
    torch.set_num_threads(1)
    tokenizer = make_tokenizer(args.out)
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=192, intermediate_size=512, num_hidden_layers=5, num_attention_heads=6,
        num_key_value_heads=3, max_position_embeddings=1024, rope_theta=10000.0, rms_norm_eps=1e-5, tie_word_embeddings=True,
        bos_token_id=tokenizer.token_to_id("<|bos|>"), eos_token_id=tokenizer.token_to_id("<|im_end|>"),
        pad_token_id=tokenizer.token_to_id("<|pad|>"), attn_implementation="sdpa")
    model = LlamaForCausalLM(config)
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters")
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, betas=(0.9, 0.95), weight_decay=0.05)
    rng = random.Random(2)
    all_facts = facts()

    def stream():
        """Documents back to back, so that no token is padding."""
        while True:
            text = render(plain_chat(rng, all_facts)) if rng.random() < 0.85 else "<|bos|>" + plain_text(rng, all_facts) + "<|im_end|>\n"
            yield from tokenizer.encode(text).ids

    tokens = stream()
    started = time.time()
    warmup = 40
    for step in range(args.steps):
        rate = 3e-3 * min(1, (step + 1) / warmup) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / args.steps)))
        for group in optimizer.param_groups:
            group["lr"] = rate
        batch = torch.tensor([[next(tokens) for _ in range(LENGTH)] for _ in range(ROWS)])
        loss = model(input_ids=batch, labels=batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if step % 50 == 0 or step == args.steps - 1:
            print(f"step {step:4d}  loss {loss.item():.3f}  {time.time() - started:.0f} s", flush=True)
    model.to(torch.bfloat16).save_pretrained(args.out, safe_serialization=True)


if __name__ == "__main__":
    main()
