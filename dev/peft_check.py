#!/usr/bin/env python3
"""An adapter in PEFT and in qwenmesh: peft_check.py MODEL ADAPTER [ADAPTER...]

The largest difference between the logits of some random tokens, of the largest logit, for each adapter that PEFT loads
without a missing or an unexpected key. Exit status 1 where one is above 1e-4. Needs torch, transformers and peft;
MODEL is a Hugging Face folder with a causal head. QWENMESH: the program (default ./qwenmesh).
"""
import os
import subprocess
import sys
import tempfile

import torch
from peft import PeftModel, get_peft_model_state_dict
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM


def in_peft(model, adapter, ids):
    base = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32, attn_implementation="eager")
    peft = PeftModel.from_pretrained(base, adapter)
    there = {k for k in load_file(os.path.join(adapter, "adapter_model.safetensors"))}
    wanted = {k for k in get_peft_model_state_dict(peft) if not k.endswith(".base_layer.weight")}  # the base's own
    if there != wanted:
        sys.exit(f"{adapter}: missing {sorted(wanted - there)[:4]}, unexpected {sorted(there - wanted)[:4]}")
    peft.eval()
    with torch.no_grad():
        return peft(input_ids=ids).logits


def in_qwenmesh(model, adapter, ids):
    with tempfile.TemporaryDirectory() as work:
        save_file({"input_ids": ids.to(torch.int32)}, work + "/in.safetensors")
        subprocess.run([os.environ.get("QWENMESH", "./qwenmesh"), "forward", "-m", model, "--in",
                        work + "/in.safetensors", "--out", work + "/out.safetensors", "--lora", adapter,
                        "--mesh", "1x3"], check=True)
        return load_file(work + "/out.safetensors")["logits"]


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    model, worst = sys.argv[1], 0.0
    torch.manual_seed(1)
    vocab = AutoModelForCausalLM.from_pretrained(model).config.vocab_size
    ids = torch.randint(0, vocab, (2, 24))
    for adapter in sys.argv[2:]:
        want, got = in_peft(model, adapter, ids), in_qwenmesh(model, adapter, ids)
        off = ((want - got).abs().max() / want.abs().max()).item()
        print(f"{adapter}: {off:.2g} of the largest logit")
        worst = max(worst, off)
    sys.exit(worst > 1e-4)


if __name__ == "__main__":
    main()
