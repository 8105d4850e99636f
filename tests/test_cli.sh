#!/bin/sh
# test_cli.sh: the commands of README.md, and bad input at the command line.
set -u
. tests/tap.sh
tiny=tests/golden/tiny

run plan tests/golden/heads28-4 --mesh 8x4
check "plan: 32 devices for 28 heads" 'is 0' 'out "mesh 8x4: 32 devices"' 'out "(2 per layer)"' 'out "4 devices have no heads"'
run plan tests/golden/heads28-4/config.json --mesh 2x4 --svg "$work/plan.svg" --memory 1
check "plan: from config.json alone, with a picture" 'is 0' 'out "fits"' 'grep -q "<svg" "$work/plan.svg"'
run plan tests/golden/heads28-4 --mesh 0
check "a mesh of 0 is refused" 'is 1' 'err "bad mesh"'
run forward -m $tiny --in $tiny/golden.safetensors --out "$work/a.safetensors" --hidden
check "forward" 'is 0' '[ -s "$work/a.safetensors" ]'
run forward -m $tiny --in $tiny/golden.safetensors --out "$work/b.safetensors" --hidden --mesh 5x3 --rows 3
check "forward: the same file on another mesh" 'is 0' 'cmp "$work/a.safetensors" "$work/b.safetensors"'
run forward -m $tiny --in $tiny/config.json --out "$work/c.safetensors"
check "forward: an input that is no safetensors" 'is 1' 'err "error:"' '[ ! -e "$work/c.safetensors" ]'
printf '{"ids":[5,6,7],"max_new_tokens":4,"eos_token_id":null}\n{"ids":[8,9],"max_new_tokens":3}\n' >"$work/req.jsonl"
run generate -m $tiny --in "$work/req.jsonl" --out "$work/res.jsonl" --mesh 2x4
check "generate: results in request order" 'is 0' '[ "$(wc -l <"$work/res.jsonl")" = 2 ]' 'grep -q "\"finish_reason\":" "$work/res.jsonl"'
cp "$work/res.jsonl" "$work/one.jsonl"
run generate -m $tiny --in "$work/req.jsonl" --out "$work/res.jsonl" --slots 1 --threads 1
check "generate: the same with one slot" 'is 0' 'cmp "$work/one.jsonl" "$work/res.jsonl"'
echo '{"ids":[5,99999]}' >"$work/req.jsonl"
run generate -m $tiny --in "$work/req.jsonl" --out "$work/bad.jsonl"
check "generate: an id outside the vocabulary" 'is 1' 'err "request 1"' '[ ! -e "$work/bad.jsonl" ]'
echo '{"ids":' >"$work/req.jsonl"
run generate -m $tiny --in "$work/req.jsonl" --out "$work/bad.jsonl"
check "generate: broken JSON names the line" 'is 1' 'err "line 1"'
run run -p hi
check "no model" 'is 2' 'err "no model"'
run run -m /nonexistent -p hi
check "a missing model" 'is 1' 'err "/nonexistent"'
run tokenize -m tests/data/qwen2.5 "Hello, world!"
check "tokenize" 'is 0' 'out "9707 11 1879 0"'
model=${QWENMESH_SMOLLM2:-models/SmolLM2-135M-Instruct.Q4_1.gguf}
if [ -f "$model" ]; then
    run run -m "$model" --mesh 2x4 --temp 0 -n 8 --chat -p "What is the capital of France?" --stats
    check "run: a real answer" 'is 0' 'out "Paris"' 'err "logits sha256: "'
    run run -m "$model" -p hi -n 4 --ctx 1
    check "a prompt longer than the context" 'is 1' 'err "context"'
else
    skip "run: a real answer" "no $model"
    skip "a prompt longer than the context" "no $model"
fi
finish
