"""Hugging Face transformers at a shape with random bf16 weights: prefill and greedy decode, one line a test and round.
Usage: peer_hf.py CONFIG.json PROMPT GEN ROUNDS"""
import json
import sys
import time

import torch
from transformers import AutoConfig, AutoModelForCausalLM

settings = json.load(open(sys.argv[1]))
prompt, gen, rounds = map(int, sys.argv[2:5])
model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**settings), dtype=torch.bfloat16).eval()
ids = torch.arange(prompt)[None] * 7919 % settings["vocab_size"]
with torch.inference_mode():
    for r in range(rounds):
        start = time.perf_counter()
        model(ids, use_cache=True, logits_to_keep=1)
        print("transformers-bf16-pp %f" % (prompt / (time.perf_counter() - start)), flush=True)
        cache, token = None, ids[:, :1]
        start = time.perf_counter()
        for _ in range(gen):
            out = model(token, past_key_values=cache, use_cache=True)
            cache, token = out.past_key_values, out.logits[:, -1:].argmax(-1)
        print("transformers-bf16-tg %f" % (gen / (time.perf_counter() - start)), flush=True)
