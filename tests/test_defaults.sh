#!/bin/sh
# test_defaults.sh: activations that nobody asked for: 8 bits where weights are quantised in the commands that answer, f32
# in those that compare; on every mesh, kernel and process the same bits; and what is in force is said everywhere.
set -u
. tests/tap.sh
tiny=tests/golden/tiny model=$work/model
mkdir "$model" "$work/data"
cp $tiny/* "$model" && chmod -R u+w "$model"
cp tests/data/bytes/tokenizer.json "$model"
cp tests/data/bytes/tokenizer_config.json "$model"
echo '{"eos_token_id": 511}' >"$model/generation_config.json"
cat >"$work/in" <<'END'
{"ids":[215,442,328,278,253,401,75],"max_new_tokens":10,"logprobs":2}
{"ids":[215,442,328,278,253,401,75],"max_new_tokens":10,"num_beams":3,"num_return_sequences":3}
{"ids":[9,8,7,9,8,7,9,8],"max_new_tokens":14,"do_sample":true,"prompt_lookup_num_tokens":4,"logprobs":0}
END
answer() { # MODEL FILE OPTIONS...
    from=$1 to=$2
    shift 2
    run generate -m "$from" --in "$work/in" --out "$to" --ctx 64 "$@"
}
same() { cmp -s "$1" "$2"; }

for weights in 8bit 4bit; do
    answer "$model" "$work/default" --weights $weights -v
    check "generate, $weights: says what is in force, and why" 'is 0' \
        'err "activations int8 (auto: weights are quantised; 3 of 22 linears keep f32: sums of 3 are cut within groups of 32 columns)"'
    answer "$model" "$work/int8" --weights $weights --act int8 -v
    check "generate, $weights: by default as with --act int8" 'is 0' 'same "$work/default" "$work/int8"' 'err "activations int8 (as asked; 3 of"'
    answer "$model" "$work/f32" --weights $weights --act f32 -v
    check "generate, $weights: f32 is another thing" 'is 0' '! same "$work/default" "$work/f32"' 'err "activations f32 (as asked)"'
    for options in "--mesh 2x4" "--mesh 1x32 --slots 3" "--mesh dp2,tp2 --slots 6" "--threads 1 --rows 3" "--isa reference" "--isa avx2 --act auto"; do
        # shellcheck disable=SC2086 # words
        answer "$model" "$work/other" --weights $weights $options
        check "generate, $weights: the same bits with $options" 'is 0' 'same "$work/default" "$work/other"'
    done
    run pack "$model" --weights $weights -o "$work/$weights.qm"
    answer "$work/$weights.qm" "$work/other" --mesh 1x3
    check "generate, $weights: the same bits from a packed file" 'is 0' 'same "$work/default" "$work/other"'
    run forward -m "$model" --weights $weights --in $tiny/golden.safetensors --out "$work/a.st"
    run forward -m "$model" --weights $weights --in $tiny/golden.safetensors --out "$work/b.st" --act f32
    check "forward, $weights: f32 unless asked" 'is 0' 'same "$work/a.st" "$work/b.st"'
    run forward -m "$model" --weights $weights --in $tiny/golden.safetensors --out "$work/b.st" --act auto
    check "forward, $weights: as asked" 'is 0' '! same "$work/a.st" "$work/b.st"'
done
grep -v num_beams "$work/in" | sed 's/"prompt_lookup_num_tokens":4,//' >"$work/plain" && mv "$work/plain" "$work/in"
answer "$model" "$work/default" --weights 8bit
answer "$model" "$work/other" --weights 8bit --draft-model tests/golden/sliding --mesh 2x4
check "a draft model changes nothing" 'is 0' '[ "$(wc -l <"$work/other")" = 2 ]' 'same "$work/default" "$work/other"'
for weights in file bf16; do
    answer "$model" "$work/default" --weights $weights -v
    check "weights $weights: f32, for they are not quantised" 'is 0' 'err "activations f32 (auto: no quantised weights)"' 'no_err "note:"'
    answer "$model" "$work/f32" --weights $weights --act f32
    check "weights $weights: the bits of f32" 'is 0' 'same "$work/default" "$work/f32"'
done
answer "$model" "$work/other" --weights bf16 --act bf16 -v
check "activations in bf16 for the asking" 'is 0' 'err "activations bf16 (as asked)"' '! same "$work/default" "$work/other"' 'no_err "note:"'
answer "$model" "$work/other" --weights 8bit --act bf16
check "activations that change nothing say so: bf16" 'is 0' \
    'err "note: --act bf16 changes nothing in $model: activations are f32 (bf16: no bf16 weights)"'
run bench -m "$model" --act int8 -p 4 -n 0 -r 1 --mesh 1x1,2x4
check "activations that change nothing say so, once: int8" 'is 0' '[ "$(grep -c "note: --act int8 changes nothing" "$work/err")" = 1 ]'

# ---- Said everywhere
run run -m "$model" --weights 8bit -p abc -n 2 --stats
check "run --stats" 'is 0' 'err "in force: activations int8 (auto: weights are quantised; 3 of 22"' 'err "weights 8bit, key/value cache f32, kernels "'
status=0
echo abc | "$QWENMESH" chat -m "$model" --weights 8bit -n 2 -v >"$work/out" 2>"$work/err" || status=$?
check "chat -v" 'is 0' 'err "activations int8 (auto: "'
run env --no-bandwidth
check "env" 'is 0' 'out "- Activations by default: int8 where weights are quantised"'
run bench -m "$model" --weights 8bit -p 4 -n 2 -r 1
check "bench: md" 'is 0' '[ "$(grep -c "| cpu [a-z0-9]* act int8 |" "$work/out")" = 2 ]' \
    'out "activations int8 (auto: weights are quantised; 3 of 22"' 'out "weights 8bit, key/value cache f32"'
run bench -m "$model" --weights 8bit -p 4 -n 2 -r 1 -o csv --cache-type 8bit
check "bench: csv" 'is 0' '[ "$(grep -c ",\"int8\",.*,\"cpu\",\"8bit\",\"auto: weights are quantised; " "$work/out")" = 2 ]'
run bench -m "$model" --weights 8bit -p 4 -n 2 -r 1 -o json
check "bench: json" 'is 0' 'out "\"act\": \"int8\""' 'out "\"act_why\": \"auto: "' 'out "\"kv_cache\": \"f32\""' 'out "\"backend\": \"cpu\""'
run bench -m "$model" --weights 8bit -p 4 -n 2 -r 1 -o svg --act f32
check "bench: svg" 'is 0' 'out "activations f32, weights 8bit, cache f32</text>"'
sed 's/"hidden_size": *[0-9]*/"hidden_size": 256/; s/"intermediate_size": *[0-9]*/"intermediate_size": 512/' $tiny/config.json >"$work/k.json"
for type in q4_K q5_K q6_K; do
    run bench --random "$work/k.json" --random-type $type -p 4 -n 2 -r 1 --mesh 1x1,2x4
    check "GGUF's $type" 'is 0' '[ "$(grep -c " $type |.* act int8 |" "$work/out")" = 4 ]' 'out "activations int8 (auto: weights are quantised)"'
done

# ---- Eval: f32 unless asked; the head of a file says what made it
head -n 4 tests/data/gsm8k/test.jsonl >"$work/data/test.jsonl"
cp "$work/data/test.jsonl" "$work/data/train.jsonl"
gsm8k() { run eval gsm8k -m "$model" --weights 8bit --data "$work/data" --shots 0 -n 6 "$@"; }
head_of() { head -n 1 "$1" | grep -qF -e "$2"; }
gsm8k -o "$work/f32.jsonl"
check "eval gsm8k: f32" 'is 0' 'head_of "$work/f32.jsonl" "\"activations\":\"f32\",\"activations_why\":\"the default\",\"weights\":\"8bit\""'
gsm8k -o "$work/auto.jsonl" --act auto --mesh 2x4
check "eval gsm8k: as asked" 'is 0' 'head_of "$work/auto.jsonl" "\"activations\":\"int8\",\"activations_why\":\"auto: weights are quantised; "'
cp "$work/auto.jsonl" "$work/kept.jsonl"
gsm8k -o "$work/auto.jsonl" --act int8 --resume
check "eval gsm8k: the same activations for another reason go on" 'is 0' 'same "$work/auto.jsonl" "$work/kept.jsonl"'
gsm8k -o "$work/auto.jsonl" --resume
check "eval gsm8k: other activations do not" 'is 1' 'err "activations: expected \"f32\", got \"int8\""' 'same "$work/auto.jsonl" "$work/kept.jsonl"'
run bench -m "$model" --weights 8bit --eval gsm8k --data "$work/data" --limit 2 --mesh 1x1,2x4 --html "$work/page"
check "bench --eval" 'is 0' 'out "activations int8 (auto: weights are quantised; "' 'grep -qF "activations int8 (auto: " "$work/page"'
head -c 400 README.md >"$work/text"
compare() { run eval compare "$model" -f "$work/text" --window 64 --weights 8bit "$@"; }
compare --act-b f32 --mesh-b 2x4
check "eval compare: f32 unless asked" 'is 0' 'out "(100.00 %), same likeliest token"'
compare --act auto --act-b int8 --mesh-b 1x8 --isa-b reference --threads-b 1
check "eval compare: auto on two meshes and two kernels, the same bits" 'is 0' 'out "(100.00 %), same likeliest token"'
compare --act-b auto
check "eval compare: the twin's activations alone" 'is 0' 'out "first differing bits"'

# ---- PJRT: one type for all
plugin=plugins/pjrt_c_api_cpu_plugin.so
if [ -r $plugin ]; then
    echo "leak:pjrt_c_api_cpu_plugin.so" >"$work/suppressions"
    export LSAN_OPTIONS="suppressions=$work/suppressions:print_suppressions=0"
    pjrt="--plugin $plugin --ctx 32 --rows 8 --program-cache $work/cache"
    # shellcheck disable=SC2086
    run run -m "$model" -p abc -n 2 --temp 0 --stats $pjrt
    check "PJRT: f32" 'is 0' 'err "in force: activations f32 (the type of everything on a PJRT device"'
    # shellcheck disable=SC2086
    run run -m "$model" -p abc -n 2 --act int8 $pjrt
    check "PJRT: no 8 bits" 'is 2' 'err "expected f32 or auto, got '"'int8'"'"'
    # shellcheck disable=SC2086
    run run -m "$model" -p abc -n 2 --cache-type bf16 $pjrt
    check "PJRT: a cache of another type is refused" 'is 2' 'err "expected that of its weights, f32, got bf16"'
else
    skip "PJRT: f32, or refused" "no $plugin: dev/plugins.sh brings it"
fi
finish
