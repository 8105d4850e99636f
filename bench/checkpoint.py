"""A checkpoint with random bf16 weights at a true shape, for speed only. Usage: checkpoint.py CONFIG.json FOLDER
As in: python3 bench/checkpoint.py tests/golden/configs/0.5b.json /tmp/half && ./qwenmesh bench -m /tmp/half"""
import array
import json
import os
import random
import struct
import sys

config, folder = json.load(open(sys.argv[1])), sys.argv[2]
d, f, v = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
head = config.get("head_dim") or d // config["num_attention_heads"]
q, kv = head * config["num_attention_heads"], head * config["num_key_value_heads"]
shapes = {"model.embed_tokens.weight": (v, d), "model.norm.weight": (d,)}
if not config.get("tie_word_embeddings"):
    shapes["lm_head.weight"] = (v, d)
for i in range(config["num_hidden_layers"]):
    for name, shape in {
        "input_layernorm.weight": (d,), "post_attention_layernorm.weight": (d,),
        "self_attn.q_proj.weight": (q, d), "self_attn.k_proj.weight": (kv, d), "self_attn.v_proj.weight": (kv, d),
        "self_attn.q_proj.bias": (q,), "self_attn.k_proj.bias": (kv,), "self_attn.v_proj.bias": (kv,),
        "self_attn.o_proj.weight": (d, q), "mlp.gate_proj.weight": (f, d), "mlp.up_proj.weight": (f, d),
        "mlp.down_proj.weight": (d, f),
    }.items():
        shapes["model.layers.%d.%s" % (i, name)] = shape
header, end = {}, 0
for name, shape in shapes.items():
    size = 2
    for n in shape:
        size *= n
    header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [end, end + size]}
    end += size
text = json.dumps(header).encode()
text += b" " * (-len(text) % 8)
random.seed(1)
# Values near +-0.01: no zeros, no denormals, which would change the speed. The block repeats out of step with the rows.
block = array.array("H", (0x3C00 | random.randrange(128) | random.randrange(2) << 15 for _ in range(1000003))).tobytes()
os.makedirs(folder, exist_ok=True)
json.dump(config, open(os.path.join(folder, "config.json"), "w"))
with open(os.path.join(folder, "model.safetensors"), "wb") as out:
    out.write(struct.pack("<Q", len(text)) + text)
    for at in range(0, end, len(block)):
        out.write(block[: end - at])
print("%s: %.2f GB" % (folder, end / 1e9))
