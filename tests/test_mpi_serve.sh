#!/bin/sh
# test_mpi_serve.sh: a server over several processes: the answers of one, also through adapters that requests choose and of
# vectors beside them; and whichever signal the launcher passes on, it drains and all ranks end.
set -u
. tests/tap.sh
. tests/mpi.sh
mpi_or_skip "a server over processes"
command -v python3 >/dev/null || { skip "a server over processes" "no python3"; finish; exit 0; }
model=$work/model
mkdir "$model"
cp tests/golden/train-lora/*.json tests/golden/train-lora/model.safetensors tests/data/bytes/tokenizer*.json "$model"
for adapter in adapter-lora-10 adapter-rslora-0 adapter-dora-5; do cp -r "tests/golden/train-lora/$adapter" "$work"; done
cat >"$work/ask.py" <<'CLIENT'
import concurrent.futures, json, sys, urllib.request
def ask(job):
    route, body = job
    r = urllib.request.Request(f"http://127.0.0.1:{sys.argv[1]}{route}", json.dumps(body).encode())
    answer = json.load(urllib.request.urlopen(r, timeout=60))
    return [route, answer.get("choices", answer.get("data"))]
say = {"max_tokens": int(sys.argv[2]), "ignore_eos": True, "seed": 3, "temperature": 1, "logprobs": 1}
jobs = []
for prompt in "ab", "Why is the sky blue?":
    jobs += [("/v1/completions", dict(say, model=m, prompt=prompt)) for m in ("model", "ten", "zero")]
    jobs += [("/v1/embeddings", {"model": "model", "input": [prompt, "two three"]})]
with concurrent.futures.ThreadPoolExecutor(8) as all:
    for answer in all.map(ask, jobs): print(json.dumps(answer))
CLIENT
adapters="--lora ten=$work/adapter-lora-10 --lora zero=$work/adapter-rslora-0"
served="serve -m $model -t 1 --port 0 --parallel 6 --embeddings $adapters"
asks() { # TOKENS FILE: of the server whose log is $work/err
    port=$(sed -n 's/.*listening at .*:\([0-9]*\)$/\1/p' "$work/err")
    python3 "$work/ask.py" "$port" "$1" >"$2" 2>"$2.err"
}
# shellcheck disable=SC2086 # words
"$QWENMESH" $served >"$work/out" 2>"$work/err" </dev/null &
pid=$!
until_ready "$work/err"
asks 24 "$work/one"
kill -TERM "$pid"
wait "$pid"
begin() { # RANKS MESH
    : >"$work/err"
    # shellcheck disable=SC2086 # words
    behind "$1" $served --mesh "$2"
    until_ready "$work/err"
    running=$(alive)
}
begin 3 2x4
asks 24 "$work/all"
check "adapters by request and vectors, at once: the answers of one process" '[ "$(wc -l <"$work/one")" = 8 ]' \
    'cmp "$work/one" "$work/all"' '[ "$(sort -u "$work/one" | wc -l)" = 8 ]'
cat >"$work/stream.py" <<'CLIENT'
import json, os, signal, sys, urllib.request
body = {"model": "ten", "prompt": "ab", "max_tokens": 400, "ignore_eos": True, "n": 4, "stream": True}
r = urllib.request.Request(f"http://127.0.0.1:{sys.argv[1]}/v1/completions", json.dumps(body).encode())
for number, line in enumerate(urllib.request.urlopen(r, timeout=60)):
    if number == 0: os.kill(int(sys.argv[2]), signal.SIGUSR1)
    print(line.decode())
CLIENT
python3 "$work/stream.py" "$port" "$(launched)" >"$work/stream"
ended
check "SIGUSR1 at the launcher: what is under way is ended first, then all ranks" 'is 0' '[ "$left" = 0 ]' \
    '[ "$(grep -c "\"length\"" "$work/stream")" = 4 ]' 'grep -q DONE "$work/stream"' 'err "draining: 1 requests are under way"' 'err " ended"' '[ "$took" -lt 30 ]'
begin 2 1x2
signal TERM
ended
check "SIGTERM, which the launcher hands to all ranks: rank 0 drains and ends all" '[ "$running" = 2 ]' '[ "$left" = 0 ]' 'err " ended"' \
    '[ "$took" -lt 20 ]'
# shellcheck disable=SC2086 # words
spread 2 $served --lora "dora=$work/adapter-dora-5"
check "DoRA by request is refused, and all ranks end" 'is 1' 'err "expected LoRA alone where requests choose"' 'no_err MPI_ABORT'

# ---- Vectors alone, and an end in the middle -------------------------------------------------------------------------
printf 'one\ntwo three\nWhy is the sky blue?\n' >"$work/texts"
run embed -m "$model" -f "$work/texts" --lora "$work/adapter-dora-5"
cp "$work/out" "$work/one"
spread 3 embed -m "$model" -f "$work/texts" --lora "$work/adapter-dora-5" --mesh 2x4
check "embed through DoRA: the lines of one process" 'is 0' '[ "$(wc -l <"$work/out")" = 3 ]' 'cmp "$work/one" "$work/out"'
i=0
while [ $i -lt 2000 ]; do echo '{"ids":[5,6,7],"max_new_tokens":100,"min_new_tokens":100}'; i=$((i + 1)); done >"$work/req.jsonl"
rm -f "$work"/res.jsonl*
behind 2 generate -m "$model" --in "$work/req.jsonl" --out "$work/res.jsonl" --mesh 1x2
for _ in $(seq 200); do if [ -n "$(find "$work" -name '*res.jsonl*' -size +0)" ]; then break; else sleep 0.05; fi; done
running=$(alive)
signal TERM
ended
check "generate, ended by SIGTERM at the launcher: keeps the results it has" '[ "$running" = 2 ]' '[ "$status" != 0 ]' '[ "$left" = 0 ]' \
    'err "of 2000 results are in"' '[ "$took" -lt 20 ]'
finish
