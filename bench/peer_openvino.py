"""OpenVINO GenAI on a GGUF file: prefill and greedy decode, one line a test, after one that does not count.
Usage: peer_openvino.py FILE.gguf NAME THREADS PROMPT GEN   lines "NAME-pp VALUE" and "NAME-tg VALUE", tokens per second

It refuses a file without a vocabulary, so FILE.gguf of bench/random_gguf.py and llama-quantize is given a made-up one first, in
FILE.openvino.gguf; its weights are the same. Everything else is as OpenVINO has it by default on this CPU: activations in 8 bits, cache
in 8 bits, other values in bf16 where the CPU multiplies those."""
import os
import struct
import sys

import numpy as np
import openvino
import openvino_genai

U32, STRING, ARRAY = 4, 8, 9
SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
path, name, threads, prompt, gen = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6])


def text(s):
    return struct.pack("<Q", len(s.encode())) + s.encode()


def texts(key, values):
    return text(key) + struct.pack("<IIQ", ARRAY, STRING, len(values)) + b"".join(map(text, values))


class Head:
    """The keys of a GGUF file as {key: bytes of its type and value}, and the bytes of its tensors' list."""

    def __init__(self, file):
        self.file = file
        magic, version, self.tensors, keys = struct.unpack("<4sIQQ", file.read(24))
        if magic != b"GGUF" or version not in (2, 3):
            sys.exit("peer_openvino: %s: expected GGUF 2 or 3" % path)
        self.keys, self.align = {}, 32
        for _ in range(keys):
            key = self.string()
            kind = struct.unpack("<I", file.read(4))[0]
            self.keys[key] = struct.pack("<I", kind) + self.value(kind)
        if "general.alignment" in self.keys:
            self.align = struct.unpack("<II", self.keys["general.alignment"])[1]
        infos = file.tell()
        for _ in range(self.tensors):
            self.string()
            rank = struct.unpack("<I", file.read(4))[0]
            file.seek(8 * rank + 12, 1)
        end = file.tell()
        file.seek(infos)
        self.infos = file.read(end - infos)
        self.data = -(-end // self.align) * self.align

    def string(self):
        return self.file.read(struct.unpack("<Q", self.file.read(8))[0]).decode()

    def value(self, kind):
        if kind == STRING:
            return text(self.string())
        if kind != ARRAY:
            return self.file.read(SIZES[kind])
        head = self.file.read(12)
        of, count = struct.unpack("<IQ", head)
        return head + b"".join(self.value(of) for _ in range(count))


def with_vocabulary():
    """The file, or its copy with a vocabulary: one letter per byte, one merge, then names that no text has."""
    with open(path, "rb") as file:
        head = Head(file)
        if head.keys["tokenizer.ggml.model"][4:] != text("no_vocab"):
            return path
        copy = path[: -len(".gguf")] + ".openvino.gguf"
        if os.path.exists(copy) and os.path.getmtime(copy) >= os.path.getmtime(path):
            return copy
        arch = head.keys["general.architecture"][12:].decode()
        size = struct.unpack("<II", head.keys[arch + ".vocab_size"])[1]
        plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
        letters = [chr(b) for b in plain] + [chr(256 + i) for i in range(256 - len(plain))]
        words = letters + ["ab", "<|im_end|>"]
        words += ["<|%d|>" % i for i in range(len(words), size)]
        kinds = [1] * 257 + [3] * (size - 257)
        del head.keys["tokenizer.ggml.model"]
        added = [
            text("tokenizer.ggml.model") + struct.pack("<I", STRING) + text("gpt2"),
            text("tokenizer.ggml.pre") + struct.pack("<I", STRING) + text("qwen2"),
            texts("tokenizer.ggml.tokens", words), texts("tokenizer.ggml.merges", ["a b"]),
            text("tokenizer.ggml.token_type") + struct.pack("<IIQ%di" % size, ARRAY, 5, size, *kinds),
            *(text("tokenizer.ggml.%s_token_id" % k) + struct.pack("<II", U32, 257) for k in ("bos", "eos", "padding")),
            text("tokenizer.chat_template") + struct.pack("<I", STRING) + text("{% for m in messages %}{{ m.content }}{% endfor %}"),
        ]
        if "general.file_type" not in head.keys:  # it must be there, whatever it says
            added.append(text("general.file_type") + struct.pack("<II", U32, 2))
        out = b"GGUF" + struct.pack("<IQQ", 3, head.tensors, len(head.keys) + len(added))
        out += b"".join(text(k) + v for k, v in head.keys.items()) + b"".join(added) + head.infos
        with open(copy + ".part", "wb") as to:
            to.write(out + b"\0" * (-len(out) % head.align))
            file.seek(head.data)
            while piece := file.read(1 << 24):
                to.write(piece)
        os.rename(copy + ".part", copy)
        return copy


pipe = openvino_genai.LLMPipeline(with_vocabulary(), "CPU", INFERENCE_NUM_THREADS=threads, PERFORMANCE_HINT="LATENCY")
config = openvino_genai.GenerationConfig()
config.max_new_tokens = config.min_new_tokens = max(gen, 1) + 1
config.ignore_eos, config.do_sample, config.apply_chat_template = True, False, False
random = np.random.default_rng(0)
for counts in (False, True):  # other ids each time: nothing is remembered
    ids = random.integers(300, 30000, (1, max(prompt, 1)), dtype=np.int64)
    metrics = pipe.generate(openvino.Tensor(ids), config).perf_metrics
    if counts and prompt:
        print("%s-pp %f" % (name, prompt / metrics.get_ttft().mean * 1e3), flush=True)
    if counts and gen:
        print("%s-tg %f" % (name, 1e3 / metrics.get_tpot().mean), flush=True)
