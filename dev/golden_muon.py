#!/usr/bin/env python3
# golden_muon.py: writes tests/golden/train-muon: what torch.optim.Muon on the matrices of layers, and AdamW on the rest, make
# of the model and the rows of tests/golden/train. torch's own file computes Newton-Schulz in bf16: here it runs in f32,
# everything else as it is. Needs torch 2.9 or later and transformers; made with torch 2.15.0, transformers 5.24.0.
import inspect
import json
import os

import torch
import torch.optim._muon as torch_muon
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

source, out, steps = "tests/golden/train", "tests/golden/train-muon", 6
text = inspect.getsource(torch_muon._zeropower_via_newtonschulz)
assert text.count("bfloat16") == 1
exec(text.replace("bfloat16", "float32"), torch_muon.__dict__)

rows = load_file(f"{source}/golden.safetensors")
tensors = {name: rows[name] for name in ("input_ids", "labels")}
results = {"optimizer": "torch.optim.Muon (momentum 0.95, Nesterov, Newton-Schulz in f32) on matrices of layers, AdamW "
                        "(betas 0.9 0.95, eps 1e-8) on the rest; weight decay 0.1 on matrices; the same batch each time"}


def run(adjust, muon_rate, rate):
    model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32, attn_implementation="eager")
    hidden = [p for n, p in model.named_parameters() if p.ndim == 2 and "layers." in n]
    tables = [p for n, p in model.named_parameters() if p.ndim == 2 and "layers." not in n]
    vectors = [p for p in model.parameters() if p.ndim == 1]
    muon = torch.optim.Muon(hidden, lr=muon_rate, weight_decay=0.1, adjust_lr_fn=adjust)
    adamw = torch.optim.AdamW([{"params": tables, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0}],
                              lr=rate, betas=(0.9, 0.95), eps=1e-8)
    losses, norms = [], []
    for _ in range(steps):
        loss = model(input_ids=rows["input_ids"].long(), labels=rows["labels"].long()).loss
        model.zero_grad()
        loss.backward()
        norms.append(torch.nn.utils.get_total_norm([p.grad for p in model.parameters()]).item())
        losses.append(loss.item())
        muon.step()
        adamw.step()
    results[adjust] = {"muon_lr": muon_rate, "lr": rate, "losses": losses, "grad_norms": norms}
    for name, p in model.named_parameters():
        if "layers.1." in name and p.ndim == 2:
            tensors[f"{adjust}.{name}"] = p.detach().clone()


run("original", 0.02, 1e-3)
run("match_rms_adamw", 4e-3, 4e-3)
os.makedirs(out, exist_ok=True)
save_file(tensors, f"{out}/golden.safetensors")
with open(f"{out}/golden.json", "w") as file:
    json.dump(results, file, indent=1)
    file.write("\n")
print(json.dumps(results, indent=1))
