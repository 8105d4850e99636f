"""Makes tests/golden/gguf with the reference package gguf (pip install gguf==0.19.0): python3 dev/golden_gguf.py

blocks.safetensors  per type T: T.blocks, raw random blocks, and T.values, what gguf.quants makes of them
reference.gguf      a file by gguf.GGUFWriter: a key of every type, tensors of several
"""
import json
import struct
from pathlib import Path

import gguf
import numpy as np
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType as T

out = Path(__file__).resolve().parent.parent / "tests/golden/gguf"
out.mkdir(parents=True, exist_ok=True)
rng = np.random.default_rng(20)

# Where the f16 scales of a block are.
scales = {T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2], T.Q8_0: [0],
          T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208]}
names = {T.Q4_K: "q4_K", T.Q5_K: "q5_K", T.Q6_K: "q6_K"}
tensors = {}
for t, places in scales.items():
    block, size = GGML_QUANT_SIZES[t]
    raw = rng.integers(0, 256, (12, size), dtype=np.uint8)
    for p in places:  # finite scales: normal, and in some blocks subnormal, zero, largest
        half = rng.normal(0, 0.05, 12).astype(np.float16)
        half[1], half[2], half[3] = np.float16(5.96e-8) * 37, 0, np.float16(-65504)
        raw[:, p:p + 2] = half.view(np.uint8).reshape(12, 2)
    name = names.get(t, t.name.lower())
    tensors[name + ".blocks"] = ("U8", raw)
    tensors[name + ".values"] = ("F32", gguf.quants.dequantize(raw, t).astype(np.float32))

header, at = {}, 0
for name, (dtype, a) in tensors.items():
    header[name] = {"dtype": dtype, "shape": list(a.shape), "data_offsets": [at, at + a.nbytes]}
    at += a.nbytes
text = json.dumps(header).encode()
text += b" " * (-len(text) % 8)
with open(out / "blocks.safetensors", "wb") as f:
    f.write(struct.pack("<Q", len(text)) + text)
    for _, a in tensors.values():
        f.write(a.tobytes())

w = gguf.GGUFWriter(out / "reference.gguf", "qwen2")
w.add_uint8("test.u8", 200)
w.add_int8("test.i8", -100)
w.add_uint16("test.u16", 60000)
w.add_int16("test.i16", -30000)
w.add_uint32("test.u32", 4000000000)
w.add_int32("test.i32", -2000000000)
w.add_float32("test.f32", 1.5)
w.add_bool("test.bool", True)
w.add_string("test.string", "grüße")
w.add_array("test.strings", ["", "a", "bc", "def"])
w.add_array("test.integers", [7, 7, 7])
w.add_array("test.floats", [0.5, -2.0])
w.add_uint64("test.u64", 2**63 + 5)
w.add_int64("test.i64", -(2**62))
w.add_float64("test.f64", -0.1)
values = np.arange(2 * 64, dtype=np.float32).reshape(2, 64) / 8 - 8
w.add_tensor("matrix.f32", values)
w.add_tensor("matrix.f16", values.astype(np.float16))
w.add_tensor("matrix.q8_0", gguf.quants.quantize(values, T.Q8_0), raw_dtype=T.Q8_0)
w.add_tensor("matrix.q4_1", gguf.quants.quantize(values, T.Q4_1), raw_dtype=T.Q4_1)
w.add_tensor("matrix.bf16", gguf.quants.quantize(values, T.BF16), raw_dtype=T.BF16)
w.add_tensor("cube", np.arange(24, dtype=np.float32).reshape(2, 3, 4))
w.write_header_to_file()
w.write_kv_data_to_file()
w.write_tensors_to_file()
w.close()
