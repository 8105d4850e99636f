"""A training step of torch with transformers (and PEFT) at a shape with random f32 weights: forward, backward, AdamW; one
line a step after the first: tokens per second, and at the end peak memory.
Usage: peer_train.py CONFIG.json BATCH SEQ STEPS LORA_RANK THREADS [f32|bf16]     (bf16: under autocast)"""
import json
import resource
import sys
import time

import torch
from transformers import AutoConfig, AutoModelForCausalLM

settings = json.load(open(sys.argv[1]))
batch, seq, steps, rank, threads = map(int, sys.argv[2:7])
torch.set_num_threads(threads)
torch.manual_seed(0)
model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**settings), dtype=torch.float32).train()
model.config.use_cache = False
if rank:
    from peft import LoraConfig, get_peft_model

    targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    model = get_peft_model(model, LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=targets, task_type="CAUSAL_LM"))
trained = [p for p in model.parameters() if p.requires_grad]
optimizer = torch.optim.AdamW(trained, lr=1e-4)
ids = torch.randint(0, settings["vocab_size"], (batch, seq))
for step in range(steps + 1):
    start = time.perf_counter()
    optimizer.zero_grad(set_to_none=True)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=sys.argv[7:] == ["bf16"]):
        loss = model(input_ids=ids, labels=ids).loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(trained, 1.0)
    optimizer.step()
    if step:
        print("torch %f" % (batch * seq / (time.perf_counter() - start)), flush=True)
print("torch-gb %f" % (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6))
