"""llama.cpp's side of check_llama_cpp.py: reads a GGUF file, says how it cuts texts and what it answers. Needs llama-cpp-python and nothing else of the oracle."""

import json
import sys

import numpy as np
from llama_cpp import Llama


def main() -> None:
    asked = json.load(sys.stdin)
    # type_k, type_v 0: keys and values as floats. One thread: sums in one order.
    model = Llama(asked["model"], lora_path=asked.get("adapter"), n_ctx=256, n_threads=1, logits_all=True, type_k=0, type_v=0, verbose=False)
    answered = []
    for tokens in asked["tokens"]:
        model.reset()
        model.eval(tokens)
        answered.append(model.scores[:len(tokens)].copy())
    np.save(asked["logits"], np.stack(answered))
    cut = [model.tokenize(text.encode(), add_bos=False, special=True) for text in asked.get("texts", [])]
    bos = model.tokenize(b"a", add_bos=True, special=True)
    json.dump({"texts": cut, "begins": bos, "template": model.metadata.get("tokenizer.chat_template")}, sys.stdout)


main()
