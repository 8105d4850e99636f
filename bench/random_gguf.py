"""A GGUF file with random bf16 weights at a true Qwen2.5 shape, for speed only. Usage: random_gguf.py CONFIG.json FILE.gguf
llama.cpp and qwenmesh read the same file; it has no vocabulary ("no_vocab"), so it takes ids only. Format: ggml's docs/gguf.md."""
import array
import json
import random
import struct
import sys

config, path = json.load(open(sys.argv[1])), sys.argv[2]
d, f, v = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
head = config.get("head_dim") or d // heads
F32, BF16, ALIGN = 0, 30, 32
tensors = [("token_embd.weight", (v, d)), ("output_norm.weight", (d,))]
if not config.get("tie_word_embeddings"):
    tensors.append(("output.weight", (v, d)))
for i in range(config["num_hidden_layers"]):
    for name, shape in {
        "attn_norm.weight": (d,), "ffn_norm.weight": (d,), "attn_q.weight": (heads * head, d), "attn_k.weight": (kv_heads * head, d),
        "attn_v.weight": (kv_heads * head, d), "attn_q.bias": (heads * head,), "attn_k.bias": (kv_heads * head,),
        "attn_v.bias": (kv_heads * head,), "attn_output.weight": (d, heads * head), "ffn_gate.weight": (f, d),
        "ffn_up.weight": (f, d), "ffn_down.weight": (d, f),
    }.items():
        tensors.append(("blk.%d.%s" % (i, name), shape))


def text(s):
    return struct.pack("<Q", len(s)) + s.encode()


def value(key, kind, *x):  # 4: u32, 6: f32, 8: text
    return text(key) + struct.pack("<I", kind) + (text(x[0]) if kind == 8 else struct.pack("<f" if kind == 6 else "<I", x[0]))


values = [
    value("general.architecture", 8, "qwen2"), value("qwen2.block_count", 4, config["num_hidden_layers"]),
    value("qwen2.context_length", 4, config.get("max_position_embeddings", 32768)), value("qwen2.embedding_length", 4, d),
    value("qwen2.feed_forward_length", 4, f), value("qwen2.attention.head_count", 4, heads),
    value("qwen2.attention.head_count_kv", 4, kv_heads), value("qwen2.vocab_size", 4, v),
    value("qwen2.rope.freq_base", 6, config.get("rope_theta", 1e6)),
    value("qwen2.attention.layer_norm_rms_epsilon", 6, config["rms_norm_eps"]), value("tokenizer.ggml.model", 8, "no_vocab"),
]
out, at, infos = open(path, "wb"), 0, b""
sizes = []
for name, shape in tensors:
    n = shape[0] * (shape[1] if len(shape) == 2 else 1)
    kind, size = (BF16, 2 * n) if len(shape) == 2 else (F32, 4 * n)
    infos += text(name) + struct.pack("<I", len(shape)) + struct.pack("<%dQ" % len(shape), *reversed(shape)) + struct.pack("<IQ", kind, at)
    sizes.append((name, kind, size))
    at += -(-size // ALIGN) * ALIGN
header = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(values)) + b"".join(values) + infos
out.write(header + b"\0" * (-len(header) % ALIGN))
random.seed(1)
# Values near +-0.02, never 0 or subnormal; the block repeats out of step with the rows.
block = array.array("H", (0x3C80 | random.randrange(128) | random.randrange(2) << 15 for _ in range(1000003))).tobytes()
for name, kind, size in sizes:
    if kind == F32:
        out.write(struct.pack("<f", 1.0 if "norm" in name else 0.001) * (size // 4))
    else:
        for start in range(0, size, len(block)):
            out.write(block[: size - start])
    out.write(b"\0" * (-size % ALIGN))
print("%s: %.2f GB" % (path, out.tell() / 1e9))
