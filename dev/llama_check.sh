#!/bin/bash
# usage: dev/llama_check.sh SOURCE [BUILD]: GGUF files that `merge` writes, opened by a llama.cpp that was built without
# shared libraries (cmake -DBUILD_SHARED_LIBS=OFF): greedy ids of every golden model and of the real one beside ours, in f32;
# the real tokenizer's ids of 300 texts; blocks of q8_0 and q4_0 beside llama-quantize's.
set -euo pipefail
source=$1 build=${2:-$1/build} work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
g++ -O1 -I"$source/include" -I"$source/ggml/include" dev/llama_greedy.cpp -o "$work/llama" -Wl,--start-group \
    "$build/src/libllama.a" "$build"/ggml/src/*.a -Wl,--end-group -fopenmp -lpthread -ldl
python3 - "$work" "$build" <<'END'
import hashlib, json, os, random, subprocess, sys
work, build = sys.argv[1:]
random.seed(1)
steps, wrong = 24, 0


def run(*arguments, **more):
    return subprocess.run([str(a) for a in arguments], check=True, capture_output=True, **more).stdout


def compare(model, gguf, prompt):
    with open(f"{work}/in", "w") as file:
        file.write(json.dumps({"ids": prompt, "max_new_tokens": steps}))
    run("./qwenmesh", "generate", "-m", model, "--in", f"{work}/in", "--out", f"{work}/out", "--temp", 0, "--act", "f32",
        "--ignore-eos", "-c", 256)
    ours = json.load(open(f"{work}/out"))["ids"]
    theirs = [x.split(":") for x in run(f"{work}/llama", "ids", gguf, steps, *prompt).decode().split()]
    for i, (id, (other, margin)) in enumerate(zip(ours, theirs)):
        if id != int(other):
            return f"other id at step {i}, where the margin is {margin}", float(margin) > 1e-3
    return f"{len(theirs)} ids are equal", len(theirs) < steps


models = ["tiny", "heads14-2", "heads28-4", "llama-9-3", "qwen3-6-3", "qwen3-10-2t", "yarn", "linear"]
for model in models:
    folder = f"tests/golden/{model}"
    run("./qwenmesh", "merge", folder, "-o", f"{work}/m.gguf", "--save-dtype", "f32")
    vocab = json.load(open(folder + "/config.json"))["vocab_size"]
    text, bad = compare(folder, f"{work}/m.gguf", [random.randrange(vocab) for _ in range(40)])
    wrong += bad
    print(model, text)
real = os.environ.get("QWENMESH_SMOLLM2", "models/SmolLM2-135M-Instruct.Q4_1.gguf")
run("./qwenmesh", "merge", real, "-o", f"{work}/real", "--save-dtype", "f32")
run("./qwenmesh", "merge", f"{work}/real", "-o", f"{work}/real.gguf")
for case in json.load(open("tests/golden/smollm2-135m/golden.json"))["cases"][:3]:
    text, bad = compare(real, f"{work}/real.gguf", case["ids"])
    wrong += bad
    print("SmolLM2-135M", text)
rows = [json.loads(line) for line in open("tests/golden/tokenizer/smollm2.jsonl", encoding="utf-8")]
texts = b"".join(b"%d\n%s\n" % (len(r["text"].encode()), r["text"].encode()) for r in rows)
ids = [[int(i) for i in line.split()] for line in run(f"{work}/llama", "texts", f"{work}/real.gguf", input=texts).decode().split("\n")]
bad = sum(a["ids"] != b for a, b in zip(rows, ids))
wrong += bad
print(f"{len(rows) - bad} of {len(rows)} texts have the same ids")
for kind in ("q8_0", "q4_0"):
    run("./qwenmesh", "merge", f"{work}/real", "-o", f"{work}/ours.gguf", "--save-dtype", kind)
    run(build + "/bin/llama-quantize", "--token-embedding-type", "q8_0", f"{work}/real.gguf", f"{work}/theirs.gguf", kind)
    for name in ("ours", "theirs"): # a folder of each has the values of the blocks
        run("./qwenmesh", "merge", f"{work}/{name}.gguf", "-o", f"{work}/{name}", "--save-dtype", "f32")
    a, b = (hashlib.sha256(open(f"{work}/{n}/model.safetensors", "rb").read()).hexdigest() for n in ("ours", "theirs"))
    wrong += a != b
    print(f"{kind}: the values are {'those' if a == b else 'not those'} of llama-quantize")
sys.exit(wrong > 0)
END
