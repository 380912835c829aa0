"""The peer of bench/serve.mjs: answers with transformers + PEFT + bitsandbytes on the CPU, rows of several adapters in one batch.

    python tools/oracle/peer_serve.py MODEL --rows 32 --adapters 5 --rank 4 --prompt 32 --answer 32

Prints one JSON line: seconds of the fastest of two batches, and the tokens that it generated.
"""

from __future__ import annotations

import argparse
import json
import time

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, BitsAndBytesConfig


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    for name, default in {"rows": 32, "adapters": 5, "rank": 4, "prompt": 32, "answer": 32, "threads": 2}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(
        args.model, dtype=torch.float32, device_map="cpu", attn_implementation="sdpa",
        quantization_config=BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=torch.float32))
    config = LoraConfig(r=args.rank, lora_alpha=2 * args.rank, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    model = get_peft_model(model, config, adapter_name="0")
    for i in range(1, args.adapters):
        model.add_adapter(str(i), config)
    model.eval()
    names = [str(i % args.adapters) for i in range(args.rows)]
    tokens = torch.randint(3, model.config.vocab_size, (args.rows, args.prompt))
    seconds = []
    with torch.no_grad():
        for _ in range(2):
            started = time.perf_counter()
            model.generate(input_ids=tokens, attention_mask=torch.ones_like(tokens), adapter_names=names, do_sample=False,
                           min_new_tokens=args.answer, max_new_tokens=args.answer)
            seconds.append(time.perf_counter() - started)
    print(json.dumps({"seconds": min(seconds), "tokens": args.rows * args.answer}))


if __name__ == "__main__":
    main()
