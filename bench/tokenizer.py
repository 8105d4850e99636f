"""The same measurement as tokenizer.c for Hugging Face tokenizers. Usage: tokenizer.py FOLDER FILE.jsonl ROUNDS"""
import json
import sys
import time

from tokenizers import Tokenizer

folder, path, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
start = time.perf_counter()
tokenizer = Tokenizer.from_file(folder + "/tokenizer.json")
line = ["%.4f" % (time.perf_counter() - start)]
texts = [json.loads(row)[key] for row in open(path, encoding="utf-8") for key in ("question", "answer")]
size = sum(len(text.encode()) for text in texts)
# One batch: the loop is then in Rust, and so are the ids; RAYON_NUM_THREADS=1 keeps it on one thread.
encode = getattr(tokenizer, "encode_batch_fast", tokenizer.encode_batch)
for _ in range(rounds):
    start = time.perf_counter()
    encode(texts)
    line.append("%.2f" % (size / 1e6 / (time.perf_counter() - start)))
print(" ".join(line))
