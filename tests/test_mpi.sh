#!/bin/sh
# test_mpi.sh: one mesh over several processes: the same bits, its own shards only, and an end whatever happens to a rank.
set -u
. tests/tap.sh
. tests/mpi.sh
tiny=tests/golden/tiny heads=tests/golden/heads28-4 smollm2=${QWENMESH_SMOLLM2:-models/SmolLM2-135M-Instruct.Q4_1.gguf}
mpi_or_skip mpi
hash() { sed -n 's/.*logits sha256: \([0-9a-f]\{64\}\).*/\1/p' "$work/err"; }

# ---- The same bits. -----------------------------------------------------------------------------------------------
run forward -m $heads --in $heads/golden.safetensors --out "$work/one.st" --hidden
for layout in "1 1x8" "2 1x8" "3 1x8" "4 2x4" "3 8x4" "4 1x32" "3 dp2,tp4" "2 1x1"; do
    ranks=${layout% *} mesh=${layout#* }
    spread "$ranks" forward -m $heads --in $heads/golden.safetensors --out "$work/all.st" --hidden --mesh "$mesh"
    check "28 and 4 heads, $mesh on $ranks ranks: the file of one process" 'is 0' 'cmp "$work/one.st" "$work/all.st"'
    rm -f "$work/all.st"
done
qwen3=tests/golden/qwen3-6-3
run forward -m $qwen3 --in $qwen3/golden.safetensors --out "$work/one.st" --hidden
spread 3 forward -m $qwen3 --in $qwen3/golden.safetensors --out "$work/all.st" --hidden --mesh 1x8
check "Qwen3, 1x8 on 3 ranks" 'is 0' 'cmp "$work/one.st" "$work/all.st"'
lora=tests/golden/train-lora
for adapter in adapter-lora-10 adapter-dora-5; do
    run forward -m $lora --in $lora/golden.safetensors --out "$work/one.st" --lora "$lora/$adapter:0.5"
    spread 3 forward -m $lora --in $lora/golden.safetensors --out "$work/all.st" --lora "$lora/$adapter:0.5" --mesh 2x4
    check "$adapter, 2x4 on 3 ranks: the scale is told too" 'is 0' 'cmp "$work/one.st" "$work/all.st"'
done
cat >"$work/req.jsonl" <<'REQUESTS'
{"ids":[5,6,7],"max_new_tokens":5,"num_beams":3,"num_return_sequences":2}
{"ids":[5,6,7,5,6,7,5,6],"max_new_tokens":12,"do_sample":true,"eos_token_id":null}
{"ids":[9],"max_new_tokens":6,"logprobs":2}
REQUESTS
run generate -m $tiny --in "$work/req.jsonl" --out "$work/one.jsonl"
spread 3 generate -m $tiny --in "$work/req.jsonl" --out "$work/all.jsonl" --mesh 2x4 --slots 4
check "generate: beams, draws and log-probabilities" 'is 0' '[ "$(wc -l <"$work/all.jsonl")" = 3 ]' \
    'cmp "$work/one.jsonl" "$work/all.jsonl"'
cat >"$work/narrow.jsonl" <<'REQUESTS'
{"ids":[1,2,3],"max_new_tokens":8,"eos_token_id":null}
{"ids":[4],"max_new_tokens":8,"eos_token_id":null}
REQUESTS
run generate -m tests/data/narrow --in "$work/narrow.jsonl" --out "$work/one16.jsonl"
for layout in "2 8x4" "3 1x3" "2 dp2,tp33"; do
    spread "${layout% *}" generate -m tests/data/narrow --in "$work/narrow.jsonl" --out "$work/all16.jsonl" --slots 2 \
        --mesh "${layout#* }"
    check "16 ids, ${layout#* } on ${layout% *} ranks: devices and ranks without vocabulary" 'is 0' \
        'cmp "$work/one16.jsonl" "$work/all16.jsonl"'
done
spread 2 generate -m $tiny --in "$work/req.jsonl" --out "$work/all.jsonl" --mesh dp2,tp2 --slots 4
check "generate: replicas on ranks of their own" 'is 0' 'cmp "$work/one.jsonl" "$work/all.jsonl"'
spread 2 generate -m $tiny --in "$work/req.jsonl" --out "$work/all.jsonl" --mesh 1x3 --draft-model tests/golden/sliding
check "generate: two engines, one of them a draft" 'is 0' 'cmp "$work/one.jsonl" "$work/all.jsonl"'
spread 2 bench -m $tiny --mesh 1x1,1x4 -p 8 -n 4 -r 1 --ctx 64
check "bench: meshes in turn" 'is 0' 'out "1x4"'

if [ -e "$smollm2" ]; then
    run run -m "$smollm2" --chat -p "Why is the sky blue?" -n 8 --stats
    one=$(hash) answer=$(cat "$work/out")
    for layout in "2 1x8" "3 1x8" "4 2x4" "3 8x4" "4 1x32"; do
        ranks=${layout% *} mesh=${layout#* }
        spread "$ranks" run -m "$smollm2" --chat -p "Why is the sky blue?" -n 8 --stats --mesh "$mesh"
        check "SmolLM2, $mesh on $ranks ranks: the same hash, one answer" 'is 0' '[ -n "$one" ]' '[ "$one" = "$(hash)" ]' \
            '[ "$answer" = "$(cat "$work/out")" ]'
    done
    run run -m "$smollm2" -p "Once" -n 4 --stats --act int8
    eight=$(hash)
    run run -m "$smollm2" -p "Once" -n 4 --stats --act f32
    one=$(hash)
    spread 3 run -m "$smollm2" -p "Once" -n 4 --stats --act f32 --mesh 1x8
    check "SmolLM2 with activations in f32 on 3 ranks" 'is 0' '[ -n "$one" ]' '[ "$one" = "$(hash)" ]' '[ "$one" != "$eight" ]'
    spread 3 run -m "$smollm2" -p "Once" -n 4 --stats --mesh 1x8
    check "SmolLM2 by default on 3 ranks: activations in 8 bits" 'is 0' '[ -n "$eight" ]' '[ "$eight" = "$(hash)" ]'
    run run -m "$smollm2" -p "Once" -n 4 --stats --act bf16 --weights bf16
    one=$(hash)
    spread 3 run -m "$smollm2" -p "Once" -n 4 --stats --act bf16 --weights bf16 --mesh 1x8
    check "SmolLM2 with activations in bf16 on 3 ranks" 'is 0' '[ -n "$one" ]' '[ "$one" = "$(hash)" ]' '[ "$one" != "$eight" ]'

    # ---- Its own shards only: 4 equal ranks pack less than a third each. ------------------------------------------------
    packed() { sed -n 's/.*weights q8 \([0-9.]*\) MiB, q4 \([0-9.]*\) MiB.*/\1 \2/p' "$work/err" | awk '{ print int(($1 + $2) * 10) }'; }
    run run -m "$smollm2" -p a -n 1 -v
    whole=$(packed)
    spread 4 run -m "$smollm2" -p a -n 1 -v --mesh 1x8
    check "a rank packs the weights of its devices" '[ "$(packed)" -gt 0 ]' '[ $(($(packed) * 3)) -lt "$whole" ]'
else
    skip "SmolLM2" "$smollm2 is missing: make model"
fi

# ---- Ranks that do not fit together. ------------------------------------------------------------------------------
status=0
# shellcheck disable=SC2086
timeout 60 mpirun $root --oversubscribe -n 1 "$QWENMESH" run -m $tiny -p a --ctx 32 : -n 1 "$QWENMESH" run -m $tiny -p a --ctx 64 \
    >"$work/out" 2>"$work/err" </dev/null || status=$?
check "other arguments are named" 'is 1' "err \"rank 1 was started with other arguments: argument 7: expected '32' as on rank 0, got '64'\""
strange=${BUILD:-build}/tests/strange_rank
with_strange() { # RANK WHAT TEXT: the other rank says the text, names the strange one or itself, and all end
    status=0 began=$(date +%s)
    # shellcheck disable=SC2086
    if [ "$1" = 0 ]; then
        timeout 60 mpirun $root --oversubscribe -n 1 "$strange" "$2" : -n 1 "$QWENMESH" run -m $tiny -p a
    else
        timeout 60 mpirun $root --oversubscribe -n 1 "$QWENMESH" run -m $tiny -p a : -n 1 "$strange" "$2"
    fi >"$work/out" 2>"$work/err" </dev/null || status=$?
    check "a strange rank $1, $2: a clear error, and all end" 'is 1' "err '$3'" '[ $(($(date +%s) - began)) -lt 50 ]'
}
if [ -x "$strange" ]; then
    with_strange 1 short "rank 0 of 2: first meeting: a message failed: rank 1: expected "
    with_strange 1 long "rank 0 of 2: first meeting: a message failed: rank 1: "
    with_strange 1 garbage "rank 1 is qwenmesh xxxxxxxxxxxxxxx: expected "
    with_strange 0 kind "rank 1 of 2: order 99 for engine 1, which is not open"
    with_strange 0 engine "rank 1 of 2: order 2 for engine 16: expected 1 to 15"
    with_strange 0 torn "rank 1 of 2: orders of rank 0: a message failed: rank 0: expected "
    with_strange 0 open "rank 1 of 2: the order to open an engine: the text of "
else
    skip "strange ranks" "$strange is missing: built where mpicc is"
fi
mkdir "$work/0" "$work/1"
cp -r $tiny "$work/0/m"
cp -r tests/golden/heads14-2 "$work/1/m"
cp $tiny/golden.safetensors "$work/ids.st"
each_in_its_folder
program=$(realpath "$QWENMESH")
each() {
    status=0
    # shellcheck disable=SC2086
    timeout 60 mpirun $root --oversubscribe -n 2 "$work/each.sh" "$work" "$program" "$@" >"$work/out" 2>"$work/err" </dev/null || status=$?
}
each forward -m m --in "$work/ids.st" --out "$work/x.st"
check "another model in the same place is named" 'is 1' 'err "rank 1: another model"' 'no_err "MPI_ABORT"'
# The same weights turned otherwise.
for rank in 0 1; do
    mkdir "$work/$rank/turned"
    cp tests/golden/yarn/* "$work/$rank/turned" && chmod u+w "$work/$rank/turned"/*
done
sed -i 's/"beta_fast": [0-9.]*/"beta_fast": 30.0/; t; s/"rope_type": "yarn"/"rope_type": "yarn", "beta_fast": 30.0/' "$work/1/turned/config.json"
each forward -m turned --in "$work/ids.st" --out "$work/x.st"
check "... by a number of its rotary embedding alone" 'is 1' 'err "rank 1: another model"'
rm -rf "$work/1/m"
each forward -m m --in "$work/ids.st" --out "$work/x.st"
check "a model that one rank lacks" 'is 1' 'err "rank 1: cannot open m"' 'no_err "MPI_ABORT"'
spread 2 run -m nowhere -p a
check "a model that nobody has" 'is 1' 'err "qwenmesh: error: cannot open nowhere"' \
    '[ "$(grep -c "qwenmesh: error" "$work/err")" = 1 ]'
spread 2 run -m nowhere
check "usage is said once" 'is 2' '[ "$(grep -c "the prompt is empty" "$work/err")" = 1 ]'
export QWENMESH_MPI_LIBRARY=/nowhere.so
spread 2 run -m $tiny -p a
check "no library: says what to do" 'is 1' 'err "/nowhere.so does not load"' 'err "mpicc"'
unset QWENMESH_MPI_LIBRARY
spread 3 --version
check "rank 0 alone writes" 'is 0' '[ "$(wc -l <"$work/out")" = 1 ]'

# ---- A rank that dies, one that falls silent, Ctrl-C: all end, none hangs. ------------------------------------------
long="bench -m $heads --mesh 1x8 -p 16 -n 100 -r 100 -b 4,3,2,1"
# shellcheck disable=SC2086
endless 3 $long
kill -9 "$(cat "$work/pid.1")"
ended
check "a rank that is killed ends all" '[ "$running" = 3 ]' '[ "$status" != 0 ]' '[ "$status" != 124 ]' '[ "$took" -lt 20 ]' \
    '[ "$left" = 0 ]' 'err "rank 1"' 'err "Killed"'
# shellcheck disable=SC2086
endless 3 $long
kill -9 "$(cat "$work/pid.0")"
ended
check "also if it is rank 0" '[ "$running" = 3 ]' '[ "$status" != 0 ]' '[ "$took" -lt 20 ]' '[ "$left" = 0 ]' 'err "Killed"'
export QWENMESH_MPI_TIMEOUT=2
# shellcheck disable=SC2086
endless 3 $long
kill -STOP "$(cat "$work/pid.2")"
ended
unset QWENMESH_MPI_TIMEOUT
check "a rank that falls silent ends all, by the others' watchdog" '[ "$running" = 3 ]' 'is 1' '[ "$took" -lt 30 ]' \
    '[ "$left" = 0 ]' 'err "no answer in 2 s from one of the ranks"' 'err "2 (QWENMESH_MPI_TIMEOUT)"'
# shellcheck disable=SC2086
endless 3 $long
signal INT
ended
# What rank 0 says of it may be lost: the launcher ends its pipes too.
check "Ctrl-C at the launcher" '[ "$running" = 3 ]' '[ "$status" != 0 ]' '[ "$took" -lt 20 ]' '[ "$left" = 0 ]'
finish
