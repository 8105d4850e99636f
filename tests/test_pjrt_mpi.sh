#!/bin/sh
# test_pjrt_mpi.sh: one PJRT program over several processes. No plugin that is at hand has collectives between processes, so
# the test plugin stands in for CUDA's: every number it gives depends on the device and on all that was fed to it, its
# clients meet through the program's key-value store, and they run together or not at all (tests/fake_nodes.h).
set -u
. tests/tap.sh
. tests/mpi.sh
tiny=tests/golden/tiny heads=tests/golden/heads28-4
fake=${BUILD:-build}/tests/fake_plugin.so
mpi_or_skip "a PJRT program over several processes"
if [ ! -e "$fake" ]; then
    skip "a PJRT program over several processes" "no $fake"
    finish
    exit
fi
QWENMESH_PLUGIN_CUDA=$(realpath "$fake")
export QWENMESH_PLUGIN_CUDA FAKE_PLUGIN_LOG="$work/log"
cuda="--plugin cuda --program-cache none"
model=$work/model # with a tokenizer
mkdir "$model"
cp $tiny/* "$model" && chmod -R u+w "$model"
echo '{}' >"$model/generation_config.json"
cp tests/data/bytes/tokenizer.json "$model"
cp tests/data/bytes/tokenizer_config.json "$model"

# What the plugin's clients noted: of each device what was copied to it and how often it ran; then forgets it.
devices() {
    cat "$work"/log.* | grep -E '^device|^left: .' | sort
    rm -f "$work"/log.*
}

# ---- Every device's part in its place, every shard with its owner. ------------------------------------------------
for layout in "2 1x8 $tiny" "4 1x8 $tiny" "2 2x4 $heads" "4 8x4 $heads" "2 dp2,tp2 $tiny" "4 dp2,tp4 $heads" "3 dp2,tp3 $tiny"; do
    ranks=${layout%% *} mesh=${layout#* }
    mesh=${mesh% *} of=${layout##* }
    # shellcheck disable=SC2086 # words
    run forward -m $of --in $of/golden.safetensors --out "$work/one.st" --hidden --mesh "$mesh" $cuda
    one=$(devices)
    # shellcheck disable=SC2086
    spread "$ranks" forward -m $of --in $of/golden.safetensors --out "$work/all.st" --hidden --mesh "$mesh" $cuda
    all=$(devices)
    check "$mesh on $ranks ranks: results of one process, the same copied to each device, nothing left" 'is 0' \
        '[ -s "$work/one.st" ]' 'cmp "$work/one.st" "$work/all.st"' '[ -n "$one" ]' '[ "$one" = "$all" ]'
    rm -f "$work/one.st" "$work/all.st"
done
cat >"$work/req.jsonl" <<'REQUESTS'
{"ids":[5,6,7],"max_new_tokens":5,"num_beams":3,"num_return_sequences":2}
{"ids":[5,6,7,5,6,7,5,6],"max_new_tokens":12,"do_sample":true,"top_k":20,"seed":3,"eos_token_id":null}
{"ids":[5,6,7,5,6,7,9],"max_new_tokens":12,"do_sample":true,"top_p":0.9,"eos_token_id":null}
{"ids":[9],"max_new_tokens":6,"logprobs":2}
REQUESTS
for layout in "2 1x8" "4 2x4" "2 dp2,tp2"; do
    ranks=${layout% *} mesh=${layout#* }
    for candidates in 0 16; do
        # shellcheck disable=SC2086
        run generate -m $tiny --in "$work/req.jsonl" --out "$work/one" --slots 4 --mesh "$mesh" --candidates $candidates $cuda
        one=$(devices)
        # shellcheck disable=SC2086
        spread "$ranks" generate -m $tiny --in "$work/req.jsonl" --out "$work/all" --slots 4 --mesh "$mesh" \
            --candidates $candidates $cuda
        all=$(devices)
        check "generate: beams, draws from $candidates candidates, copies of caches; $mesh on $ranks ranks" 'is 0' \
            '[ "$(wc -l <"$work/one")" = 4 ]' 'cmp "$work/one" "$work/all"' '[ -n "$one" ]' '[ "$one" = "$all" ]'
    done
done
# shellcheck disable=SC2086
spread 2 generate -m $tiny --in "$work/req.jsonl" --out "$work/all" --mesh 1x2 --draft-model tests/golden/sliding $cuda
# shellcheck disable=SC2086
run generate -m $tiny --in "$work/req.jsonl" --out "$work/one" --mesh 1x2 --draft-model tests/golden/sliding $cuda
check "generate: two engines, one of them a draft" 'is 0' 'cmp "$work/one" "$work/all"'
rm -f "$work"/log.*
# shellcheck disable=SC2086
spread 2 forward -m $tiny --in $tiny/golden.safetensors --out "$work/all.st" --mesh 1x8 $cuda -v
check "ranks of one host use different devices of it, and its own loopback" 'is 0' \
    'err "ranks: 2 of 4 devices each, key-value store at 127.0.0.1:"' \
    '[ "$(grep visible "$work/log.0" "$work/log.1" | cut -d: -f3 | tr -d "\n")" = " 0 1 2 3 4 5 6 7" ]'

# shellcheck disable=SC2086
spread_as 1 CUDA_VISIBLE_DEVICES=4,5 2 forward -m $tiny --in $tiny/golden.safetensors --out "$work/all.st" --mesh 1x4 $cuda
check "unless the launcher gives each its own" 'is 0' \
    '[ "$(tail -n 2 -q "$work/log.0" "$work/log.1" | grep visible | tr -d "\n")" = "visible: 0 1visible: 0 1" ]'

# ---- Compiled programs: a file for each rank; all load it or none. -------------------------------------------------
kept="--plugin cuda --program-cache $work/cache --mesh 1x4"
export FAKE_PLUGIN=error=DeviceDescription_ToString # by what it says of its devices the files would differ anyway
for start in first second; do
    # shellcheck disable=SC2086
    spread 2 run -m $model -p abc -n 3 $kept -v
    cp "$work/err" "$work/$start"
done
check "the first start compiles, each rank for itself" 'grep -q ": compiled in" "$work/first"' \
    '! grep -q ": loaded in" "$work/first"' \
    '[ "$(grep -la "node 0 of 2" "$work"/cache/* | wc -l)" = "$(grep -c "^program" "$work/first")" ]' \
    '[ "$(grep -la "node 1 of 2" "$work"/cache/* | wc -l)" = "$(grep -c "^program" "$work/first")" ]'
check "the second loads" 'is 0' 'grep -q ": loaded in" "$work/second"' '! grep -q ": compiled in" "$work/second"'
grep -laZ "node 1 of 2" "$work"/cache/* | xargs -0 rm -f
# shellcheck disable=SC2086
spread 2 run -m $model -p abc -n 3 $kept -v
check "where one rank has lost its files all compile again" 'is 0' 'err ": compiled in"' 'no_err ": loaded in"'

unset FAKE_PLUGIN

# ---- Refused. ------------------------------------------------------------------------------------------------------
one="run -m $model -p abc -n 3"
said_once() { [ "$(grep -c "qwenmesh: error" "$work/err")" = 1 ]; }
# shellcheck disable=SC2086
QWENMESH_PLUGIN_CPU=$QWENMESH_PLUGIN_CUDA spread 2 $one --plugin cpu --mesh 1x2
check "XLA CPU" 'is 1' said_once 'err "expected the cuda plugin for one program on 2 ranks, got cpu (XLA CPU has no collectives"'
# shellcheck disable=SC2086
QWENMESH_PLUGIN_TT=$QWENMESH_PLUGIN_CUDA spread 2 $one --plugin tt --mesh 1x2
check "Tenstorrent" 'is 1' said_once 'err "got tt (one process drives all of Tenstorrent"'
# shellcheck disable=SC2086
spread 2 $one --plugin "$QWENMESH_PLUGIN_CUDA" --mesh 1x2
check "a plugin of which nothing is known" 'is 1' said_once 'err "got other ("'
for mesh in 1x1 1x3; do
    # shellcheck disable=SC2086
    spread 2 $one $cuda --mesh $mesh
    check "mesh $mesh on 2 ranks" 'is 1' said_once 'err "mesh $mesh on 2 ranks: expected equally many devices on each"'
done
rm -f "$work"/log.*
# refused MODE TEXT...: one rank of two whose plugin misbehaves; both say nothing but that, and leave nothing.
refused() {
    mode=$1 rank=$2 text=$3
    # shellcheck disable=SC2086
    spread_as "$rank" "FAKE_PLUGIN=$mode" 2 $one $cuda --mesh 1x4
    check "rank $rank, $mode" 'is 1' said_once 'err "$text"' 'no_err MPI_ABORT' '! grep -s "^left: ." "$work"/log.*'
    rm -f "$work"/log.*
}
refused old 1 "rank 1: "
refused deaf 1 "rank 1: $QWENMESH_PLUGIN_CUDA: expected 2 devices of node 1 and 4 of all 2, got 2 and 2"
refused crossed 1 "to be one of node 1"
refused newer 1 "rank 1 has another plugin: expected fake 1.0, API 0.114, devices paper as on rank 0, got fake 1.1"
refused mute 1 "fake/node/1"
refused error=Client_Compile 1 "rank 1: program decode 1x1: PJRT_Client_Compile failed (INTERNAL): fake failure"
refused memory=Client_BufferFromHostBuffer@9 1 "rank 1: uploading"
refused memory=Client_BufferFromHostBuffer@9 0 "qwenmesh: error: uploading"
status=0
# shellcheck disable=SC2086
timeout 60 mpirun $root --oversubscribe -n 1 "$QWENMESH" $one $cuda --mesh 1x2 : -n 1 "$QWENMESH" $one $cuda --mesh 1x4 \
    >"$work/out" 2>"$work/err" </dev/null || status=$?
check "other arguments" 'is 1' said_once 'err "rank 1 was started with other arguments"' 'err "expected '"'1x2'"'"'
mkdir "$work/0" "$work/1"
cp -r $tiny "$work/0/m"
cp -r tests/golden/heads14-2 "$work/1/m"
ids=$(realpath $tiny/golden.safetensors) program=$(realpath "$QWENMESH")
status=0
# shellcheck disable=SC2086,SC2016
timeout 60 mpirun $root --oversubscribe -n 2 sh -c 'cd "$0/$OMPI_COMM_WORLD_RANK" && exec "$@"' "$work" "$program" \
    forward -m m --in "$ids" --out "$work/all.st" $cuda --mesh 1x4 >"$work/out" 2>"$work/err" </dev/null || status=$?
check "another model" 'is 1' said_once 'err "rank 1: another model"' 'no_err MPI_ABORT'
# shellcheck disable=SC2086
spread_as 1 QWENMESH_PLUGIN_CUDA=/nowhere/x.so 2 $one $cuda --mesh 1x4
check "a rank without the plugin" 'is 2' said_once 'err "rank 1: QWENMESH_PLUGIN_CUDA: expected a plugin"'
port=$((10000 + $$ % 20000)) # below those that the system hands out itself
for told in localhost "127.0.0.1:$port" "[::1]"; do
    # shellcheck disable=SC2086
    QWENMESH_PJRT_COORDINATOR=$told spread 2 $one $cuda --mesh 1x4 -v
    check "the store's address as told: $told" 'is 0' 'err "key-value store at $told"'
done
# shellcheck disable=SC2086
QWENMESH_PJRT_COORDINATOR=nowhere.invalid spread 2 $one $cuda --mesh 1x4
check "an address that nobody knows" 'is 1' said_once 'err "QWENMESH_PJRT_COORDINATOR): cannot resolve nowhere.invalid"'
# shellcheck disable=SC2086
QWENMESH_PJRT_COORDINATOR=localhost:99999 spread 2 $one $cuda --mesh 1x4
check "a port that is none" 'is 1' said_once 'err "QWENMESH_PJRT_COORDINATOR=localhost:99999: "'

# ---- A rank that fails in the middle, dies or falls silent ends all. -----------------------------------------------
for call in LoadedExecutable_Execute@3 Buffer_ToHostBuffer@2 Client_BufferFromHostBuffer@150; do
    for rank in 0 1; do
        # shellcheck disable=SC2086
        spread_as $rank "FAKE_PLUGIN=error=$call" 2 run -m $model -p abc -n 50 --temp 1 --ignore-eos $cuda --mesh 1x4
        check "rank $rank: $call fails" '[ "$status" != 0 ]' '[ "$status" != 124 ]' \
            'err "rank $rank of 2: PJRT_${call%@*} failed (INTERNAL): fake failure"'
    done
done
for request in $(seq 5000); do
    echo "{\"ids\":[5,6,$((request % 500))],\"max_new_tokens\":400,\"do_sample\":true,\"seed\":$request,\"eos_token_id\":null}"
done >"$work/many.jsonl"
work_on="generate -m $tiny --in $work/many.jsonl --out $work/many --slots 4 --mesh 1x8 $cuda"
# shellcheck disable=SC2086
endless 4 $work_on
kill -9 "$(cat "$work/pid.3")"
ended
check "a rank that is killed ends all" '[ "$running" = 4 ]' '[ "$status" != 0 ]' '[ "$status" != 124 ]' '[ "$took" -lt 20 ]' \
    '[ "$left" = 0 ]' 'err "rank 3"' 'err "Killed"'
export QWENMESH_MPI_TIMEOUT=4
# shellcheck disable=SC2086
endless 2 $work_on
kill -STOP "$(cat "$work/pid.1")"
ended
kill -9 "$(cat "$work/pid.1")" 2>/dev/null
# Rank 0 waits for it in the plugin, which gives up after 10 s, or for an order to be taken.
check "one that is stopped ends all" '[ "$running" = 2 ]' '[ "$status" != 0 ]' '[ "$took" -lt 40 ]' \
    'err "rank 0 of 2: PJRT_LoadedExecutable_Execute failed (DEADLINE_EXCEEDED): another node does not run" ||
        err "no answer in 4 s from one of the ranks 1 (QWENMESH_MPI_TIMEOUT)"'
finish
