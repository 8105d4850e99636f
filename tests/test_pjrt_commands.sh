#!/bin/sh
# test_pjrt_commands.sh: the commands with --backend pjrt on eight virtual devices of XLA's CPU plugin give what the CPU engine
# gives: tokens of greedy search, beams and samples, texts, scores. Skipped where plugins/ has no plugin.
set -u
. tests/tap.sh
plugin=plugins/pjrt_c_api_cpu_plugin.so
if [ ! -r $plugin ]; then
    skip "commands on a PJRT plugin" "no $plugin: dev/plugins.sh brings it"
    finish
    exit
fi
# XLA keeps a few bytes of each program it compiles.
echo "leak:pjrt_c_api_cpu_plugin.so" >"$work/suppressions"
export LSAN_OPTIONS="suppressions=$work/suppressions:print_suppressions=0"
model=$work/model
mkdir "$model"
cp tests/golden/tiny/* "$model" && chmod -R u+w "$model"
echo '{}' >"$model/generation_config.json"
cp tests/data/bytes/tokenizer.json "$model"
cp tests/data/bytes/tokenizer_config.json "$model"
pjrt="--backend pjrt --plugin $plugin --mesh 2x4 --program-cache $work/cache"

for command in "run -p abcabc -n 8 --temp 0" "run -p abcabc -n 8 --temp 1 --top-k 20 -s 5"; do
    # shellcheck disable=SC2086 # words
    run $command -m "$model"
    cp "$work/out" "$work/cpu"
    # shellcheck disable=SC2086
    run $command -m "$model" $pjrt
    check "$command" 'is 0' '[ -s "$work/out" ]' 'cmp "$work/out" "$work/cpu"'
done
# shellcheck disable=SC2086
run run -p abcabc -n 8 --temp 0 -m "$model" $pjrt -v
check "run: the second time every program comes from the cache" 'is 0' 'err "from the cache"' 'no_err ": compiled in"'

programs() { grep -q "^program $1 .* as $2 in $3 pieces" "$work/err"; }
check "run: three equal layers are one program, what follows them another" 'is 0' 'programs decode 2 4' 'programs prefill 2 4'

# A real model whose 9 and 3 heads divide none of these meshes.
real=${QWENMESH_SMOLLM2:-models/SmolLM2-135M-Instruct.Q4_1.gguf}
if [ -r "$real" ]; then
    real="$real -p Gravity -n 8 --temp 0 --ctx 64"
    # shellcheck disable=SC2086
    run run -m $real --act f32
    cp "$work/out" "$work/cpu"
    for mesh in 2x4 1x8 8x4; do
        # shellcheck disable=SC2086
        run run -m $real --backend pjrt --plugin $plugin --mesh $mesh --program-cache "$work/cache"
        check "run: SmolLM2 on $mesh, the same greedy tokens" 'is 0' '[ -s "$work/out" ]' 'cmp "$work/out" "$work/cpu"'
    done
else
    skip "run: SmolLM2 on meshes" "no $real: make model brings it"
fi

cat >"$work/req.jsonl" <<'J'
{"ids":[215,442,328,278,253,401,75,81,245,235],"max_new_tokens":12,"eos_token_id":null}
{"ids":[215,442,328,278,253,401,75,81,245,235],"max_new_tokens":12,"num_beams":4,"num_return_sequences":2,"eos_token_id":null}
{"ids":[302,166,170,256,34,379,78,67,94,35],"max_new_tokens":10,"num_beams":4,"num_beam_groups":2,"diversity_penalty":0.5,"eos_token_id":null}
{"ids":[302,166,170,256,34,379,78,67,94,35],"max_new_tokens":10,"do_sample":true,"top_k":30,"top_p":0.9,"seed":4,"eos_token_id":null}
{"ids":[215,442,328,278,253,401,75,81,7,8,9],"max_new_tokens":9,"eos_token_id":null}
J
ids() { sed -E 's/"(score|logprob|logprobs)":[^,}]*//g' "$1"; } # scores are equal to rounding only
run generate -m "$model" --in "$work/req.jsonl" --out "$work/cpu.jsonl" --slots 5
# shellcheck disable=SC2086
run generate -m "$model" --in "$work/req.jsonl" --out "$work/pjrt.jsonl" --slots 5 $pjrt -v
ids "$work/cpu.jsonl" >"$work/a"
ids "$work/pjrt.jsonl" >"$work/b"
check "generate: greedy, beams, groups of beams, samples and a shared prefix" 'is 0' '[ "$(wc -l <"$work/b")" = 5 ]' \
    'cmp "$work/a" "$work/b"' '[ "$(grep -c "^program copy " "$work/err")" = 1 ]'

# Candidates from the devices: forced here, where whole rows are the default. 4 a device are enough for some draws only, so
# that some rows are read whole after all.
cat >"$work/top.jsonl" <<'J'
{"ids":[302,166,170,256,34,379,78,67,94,35],"max_new_tokens":24,"do_sample":true,"top_k":40,"top_p":0.95,"temperature":0.8,"seed":4,"eos_token_id":null}
{"ids":[215,442,328,278,253,401,75,81,245,235],"max_new_tokens":24,"do_sample":true,"top_k":8,"repetition_penalty":1.05,"seed":7,"eos_token_id":null}
{"ids":[215,442,328,278,253,401,75,81,245,1],"max_new_tokens":24,"repetition_penalty":1.3,"eos_token_id":null}
{"ids":[9,8,7,6,5],"max_new_tokens":24,"do_sample":true,"top_p":0.9,"seed":1,"eos_token_id":null}
J
for k in 0 4 8 64; do
    # shellcheck disable=SC2086
    run generate -m "$model" --in "$work/top.jsonl" --out "$work/top$k" --slots 3 $pjrt -v --candidates $k
    check "generate: $k candidates a device, the same draws" 'is 0' '[ -s "$work/top0" ]' 'cmp "$work/top0" "$work/top$k"'
done
read_back() { sed -n 's/^read back from the devices: \([0-9]*\) bytes$/\1/p' "$work/err"; }
sed -n 2p "$work/top.jsonl" >"$work/top1.jsonl"
# shellcheck disable=SC2086
run generate -m "$model" --in "$work/top1.jsonl" --out "$work/top0" --slots 3 $pjrt -v --candidates 0
whole=$(read_back)
# shellcheck disable=SC2086
run generate -m "$model" --in "$work/top1.jsonl" --out "$work/top8" --slots 3 $pjrt -v --candidates 8
check "generate: a third of the bytes are read back" 'is 0' 'cmp "$work/top0" "$work/top8"' \
    '[ "$(read_back)" -gt 0 ]' '[ $((3 * $(read_back))) -lt "$whole" ]'

# A prompt and 7 more tokens: a (max, id) pair a device each; with --stats also the row of logits, padded to the devices.
for flags in "-v" "-v --stats"; do
    # shellcheck disable=SC2086
    run run -p abcabc -n 8 --temp 0 -m "$model" $pjrt $flags
    check "run $flags: reads back what is asked for" 'is 0' '[ "$(read_back)" -ge 64 ]' \
        "[ \"\$(read_back)\" -$([ "$flags" = -v ] && echo le 2048 || echo ge 8192) ]"
done
# shellcheck disable=SC2086
run run -p abcabc -n 8 --temp 1 --top-k 8 -s 5 -m "$model" $pjrt --candidates 0
cp "$work/out" "$work/top0"
# shellcheck disable=SC2086
run run -p abcabc -n 8 --temp 1 --top-k 8 -s 5 -m "$model" $pjrt --candidates 8 -v
check "run: candidates, the same draws" 'is 0' 'cmp "$work/out" "$work/top0"' '[ "$(read_back)" -lt 8192 ]'
printf 'abcabc\n' >"$work/said"
# shellcheck disable=SC2086
status=0
"$QWENMESH" chat -m "$model" -n 8 --temp 0 --ctx 256 $pjrt -v <"$work/said" >"$work/out" 2>"$work/err" || status=$?
check "chat: greedy reads pairs" 'is 0' '[ "$(read_back)" -ge 64 ]' '[ "$(read_back)" -le 2048 ]'

golden=tests/golden/tiny/golden.safetensors
run forward -m "$model" --in $golden --out "$work/cpu.safetensors" --hidden
# shellcheck disable=SC2086
run forward -m "$model" --in $golden --out "$work/pjrt.safetensors" --hidden $pjrt
check "forward: logits and hidden states of the same shapes" 'is 0' \
    '[ "$(wc -c <"$work/cpu.safetensors")" = "$(wc -c <"$work/pjrt.safetensors")" ]'

# shellcheck disable=SC2086
run bench -m "$model" -p 8 -n 2 -r 1 -b 1,3 -d 0,5 --rows 16 $pjrt -o csv
check "bench: prompts, depths and batches" 'is 0' '[ "$(wc -l <"$work/out")" -ge 5 ]'

head -c 300 tests/test_pjrt_commands.sh >"$work/text"
run eval perplexity -m "$model" -f "$work/text" -c 128
cp "$work/out" "$work/cpu"
# shellcheck disable=SC2086
run eval perplexity -m "$model" -f "$work/text" -c 128 $pjrt
first() { grep -oE '[0-9]+\.[0-9]{3}' "$1" | head -n 1; }
check "eval perplexity: the same to four digits" 'is 0' '[ -n "$(first "$work/out")" ]' '[ "$(first "$work/out")" = "$(first "$work/cpu")" ]'

if command -v python3 >/dev/null; then
    printf 'some text\nand more of it\n' >"$work/texts"
    run embed -m "$model" -f "$work/texts" --pooling mean
    cp "$work/out" "$work/cpu"
    # shellcheck disable=SC2086
    run embed -m "$model" -f "$work/texts" --pooling mean $pjrt
    near() { python3 - "$1" "$2" <<'PY'
import json, sys
a, b = ([json.loads(l)["embedding"] for l in open(f)] for f in sys.argv[1:])
sys.exit(not (len(a) == len(b) == 2 and len(a[0]) == 64 and all(abs(x - y) < 1e-5 for r, s in zip(a, b) for x, y in zip(r, s))))
PY
    }
    check "embed: the same vectors, to rounding" 'is 0' 'near "$work/out" "$work/cpu"'

    # Requests that choose adapters, at once, and vectors beside them.
    lora=tests/golden/train-lora
    mkdir "$work/ml"
    cp $lora/*.json $lora/model.safetensors "$work/ml" && chmod -R u+w "$work/ml"
    cp tests/data/bytes/tokenizer.json "$work/ml"
    asked() { # asked OPTIONS...: what a server says to three requests at once, and a vector
        "$QWENMESH" serve -m "$work/ml" --port 0 --embeddings --lora one=$lora/adapter-lora-10 --lora two=$lora/adapter-rslora-0 "$@" 2>"$work/err" &
        server=$!
        until_ready "$work/err" "$server"
        python3 - "$(grep -om1 'http://[0-9.:]*' "$work/err")" <<'PY'
import json, sys, threading, urllib.request
def ask(path, body, put):
    r = urllib.request.Request(sys.argv[1] + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
    put(json.load(urllib.request.urlopen(r, timeout=120)))
got = {}
many = [threading.Thread(target=ask, args=("/v1/completions", {"model": m, "prompt": [5, 6, 7, 8, 9], "max_tokens": 8, "temperature": 0, "ignore_eos": True,
        "return_token_ids": True}, lambda r, m=m: got.__setitem__(m, r["choices"][0]["token_ids"]))) for m in ("ml", "one", "two")]
for t in many: t.start()
for t in many: t.join()
ask("/v1/embeddings", {"input": "ab cd"}, lambda r: got.__setitem__("v", len(r["data"][0]["embedding"])))
print(sorted(got.items()), len({str(v) for v in got.values()}))
PY
        kill "$server" && wait "$server"
    }
    status=0
    asked --act f32 >"$work/cpu"
    # shellcheck disable=SC2086
    asked $pjrt >"$work/out" || status=$?
    check "serve: requests that choose adapters, and vectors" 'is 0' 'grep -q " 4$" "$work/cpu"' 'cmp "$work/out" "$work/cpu"'
else
    skip "embed and serve" "no python3"
fi
finish
