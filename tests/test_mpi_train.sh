#!/bin/sh
# test_mpi_train.sh: training over several processes: the bytes of one process, whoever holds what, also where a run goes on
# with other processes; and an end with a message, and checkpoints to go on from, whatever happens to a rank.
set -u
. tests/tap.sh
. tests/mpi.sh
mpi_or_skip "training over processes"
model_of() { # NAME: a copy of a golden model that reads text
    mkdir "$work/$1"
    cp "tests/golden/$1"/* "$work/$1" && chmod -R u+w "$work/$1"
    cp tests/data/bytes/tokenizer.json tests/data/bytes/tokenizer_config.json "$work/$1"
}
model_of tiny
model_of heads14-2
model_of qwen3-6-3
i=0
while [ $i -lt 20 ]; do
    echo "{\"prompt\":\"$i plus $((i * 7 % 13)) is \",\"completion\":\"$((i + i * 7 % 13))\"}"
    i=$((i + 1))
done >"$work/data.jsonl"
options="--data $work/data.jsonl --micro-batch 2 --seq-len 40 --learning-rate 1e-3 --threads 1"
one() { # FOLDER MODEL OPTIONS...
    rm -rf "${work:?}/$1"
    to=$1 model=$2
    shift 2
    # shellcheck disable=SC2086 # words
    run train -m "$work/$model" $options -o "$work/$to" "$@"
}
all() { # RANKS MESH MODEL OPTIONS...: into "all"
    rm -rf "$work/all" "$work/all.jsonl"
    ranks=$1 mesh=$2 model=$3
    shift 3
    # shellcheck disable=SC2086 # words
    spread "$ranks" train -m "$work/$model" $options -o "$work/all" --mesh "$mesh" "$@"
}
tensors() { (cd "$work/$1" && find . -name '*.safetensors' | sort); }
# same FOLDER OTHER: all tensors that one holds, bit for bit.
same() {
    [ -n "$(tensors "$1")" ] && [ "$(tensors "$1")" = "$(tensors "$2")" ] || return 1
    for file in $(tensors "$1"); do cmp "$work/$1/$file" "$work/$2/$file" || return 1; done
}
numbers() { sed 's/,"[a-z_]*seconds":[^}]*//' "$1"; }

# ---- The same bits ---------------------------------------------------------------------------------------------------
full="--batch-size 8 --max-steps 2 --packing bfd --eval-split 0.2 --eval-steps 1 --ema 0.9 --label-smoothing-factor 0.1"
# shellcheck disable=SC2086 # words
one one tiny $full --log "$work/one.jsonl"
for layout in "2 dp2,tp4" "4 dp2,tp4" "4 dp4,tp2" "3 1x3"; do
    # shellcheck disable=SC2086 # words
    all "${layout% *}" "${layout#* }" tiny $full --log "$work/all.jsonl"
    check "${layout#* } on ${layout% *} ranks: weights, moments and averages of one process, and its log" 'is 0' 'same one all' \
        '[ "$(numbers "$work/one.jsonl")" = "$(numbers "$work/all.jsonl")" ]'
done
slow=${BUILD:-build}/tests/fake_link.so
if [ -e "$slow" ]; then
    FAKE_LINK_UNDER=$(realpath "$(dirname "$QWENMESH")/qwenmesh-mpi.so") FAKE_LINK_BYTES=4e6 QWENMESH_MPI_LIBRARY=$(realpath "$slow")
    export FAKE_LINK_UNDER FAKE_LINK_BYTES QWENMESH_MPI_LIBRARY
    # shellcheck disable=SC2086 # words
    all 4 dp2,tp4 tiny $full --micro-batch 1 --log "$work/all.jsonl"
    check "... where sums of gradients come late, amid the backward pass: dp2,tp4 on 4 ranks" 'is 0' 'same one all' \
        '[ "$(numbers "$work/one.jsonl")" = "$(numbers "$work/all.jsonl")" ]'
    unset FAKE_LINK_UNDER FAKE_LINK_BYTES QWENMESH_MPI_LIBRARY
else
    skip "a slow link" "$slow is missing"
fi
one one heads14-2 --batch-size 4 --max-steps 2 --recompute
all 4 2x4 heads14-2 --batch-size 4 --max-steps 2 --recompute
check "tied embeddings, 14 and 2 heads, layers computed again: 2x4 on 4 ranks" 'is 0' 'same one all'
one one heads14-2 --batch-size 4 --max-steps 2 --act bf16 --packing bfd
all 4 dp2,tp4 heads14-2 --batch-size 4 --max-steps 2 --act bf16 --packing bfd
check "in bf16: dp2,tp4 on 4 ranks" 'is 0' 'same one all'
one one qwen3-6-3 --batch-size 4 --max-steps 2 --save-steps 0
all 2 1x8 qwen3-6-3 --batch-size 4 --max-steps 2 --save-steps 0
check "gains that heads share: 1x8 on 2 ranks" 'is 0' 'same one all'
lora="--batch-size 4 --max-steps 2 --lora-r 4 --lora-targets all-linear"
# shellcheck disable=SC2086 # words
one one heads14-2 $lora --dora
# shellcheck disable=SC2086 # words
all 4 dp2,tp4 heads14-2 $lora --dora
check "DoRA: dp2,tp4 on 4 ranks" 'is 0' 'same one all'
# shellcheck disable=SC2086 # words
one one heads14-2 $lora --lora-dropout 0.1
# shellcheck disable=SC2086 # words
all 2 1x4 heads14-2 $lora --lora-dropout 0.1
check "LoRA with dropout: 1x4 on 2 ranks" 'is 0' 'same one all'

muon="--batch-size 4 --max-steps 2 --optim muon --muon-lr 0.02"
# shellcheck disable=SC2086 # words
one one heads14-2 $muon
# shellcheck disable=SC2086 # words
all 4 dp2,tp4 heads14-2 $muon
check "muon, its matrices dealt: dp2,tp4 on 4 ranks" 'is 0' 'same one all'

eight="--batch-size 4 --max-steps 2 --moments 8bit"
# shellcheck disable=SC2086 # words
one one heads14-2 $eight
# shellcheck disable=SC2086 # words
all 4 dp2,tp4 heads14-2 $eight
check "moments in 8 bits: dp2,tp4 on 4 ranks" 'is 0' 'same one all'

# ---- Going on with other processes -----------------------------------------------------------------------------------
one whole tiny --batch-size 4 --max-steps 4 --save-steps 2
go_on() { # WHERE RANKS: from step 2 of `whole`, alone or spread
    rm -rf "$work/all"
    cp -r "$work/whole" "$work/all"
    rm -r "$work/all/checkpoint-4"
    # shellcheck disable=SC2086 # words
    spread "$1" train -m "$work/tiny" $options --batch-size 4 --max-steps 4 --save-steps 2 --mesh "$2" -o "$work/all" --resume "$work/all"
}
go_on 4 dp2,tp2
check "a run of one process goes on with 4" 'is 0' 'same whole all'
all 2 dp2 tiny --batch-size 4 --max-steps 4 --save-steps 2
check "... a run of 2" 'is 0' 'same whole all'
rm -r "$work/all/checkpoint-4"
# shellcheck disable=SC2086 # words
run train -m "$work/tiny" $options --batch-size 4 --max-steps 4 --save-steps 2 -o "$work/all" --resume "$work/all"
check "... goes on with one" 'is 0' 'same whole all'

# ---- What does not fit -----------------------------------------------------------------------------------------------
all 4 dp2,tp3 tiny --batch-size 4 --max-steps 1
check "a rank with parts of two replicas" 'is 2' 'err "mesh dp2,tp3 over 4 processes"' 'no_err MPI_ABORT' '[ ! -e "$work/all/model.safetensors" ]'
for rank in 0 1; do mkdir -p "$work/each/$rank" && cp -r "$work/tiny" "$work/each/$rank/m"; done
cp tests/golden/heads14-2/config.json tests/golden/heads14-2/model.safetensors "$work/each/1/m"
each_in_its_folder
status=0
# shellcheck disable=SC2086 # words
timeout 60 mpirun $root --oversubscribe -n 2 "$work/each.sh" "$work/each" "$(realpath "$QWENMESH")" train -m m $options --mesh dp2 \
    -o "$work/all" --max-steps 1 >"$work/out" 2>"$work/err" </dev/null || status=$?
check "another model is named" 'is 1' 'err "rank 1: another model"' 'no_err MPI_ABORT'
strange=${BUILD:-build}/tests/strange_rank
if [ -x "$strange" ]; then
    for wrong in "train-kind:order to train: kind: expected 0 to 5, got 99" "train-early:order to train: no trainer is open" \
        "train-open:order to train: optimizer: expected 0 to 2, got "; do
        status=0
        # shellcheck disable=SC2086 # words
        timeout 60 mpirun $root --oversubscribe -n 1 "$strange" "${wrong%%:*}" : -n 1 "$QWENMESH" run -m "$work/tiny" -p a \
            >"$work/out" 2>"$work/err" </dev/null || status=$?
        check "a strange rank 0, ${wrong%%:*}: a clear error, and all end" 'is 1' "err 'rank 1 of 2: ${wrong#*:}'"
    done
else
    skip "strange ranks" "$strange is missing: built where mpicc is"
fi

# ---- A rank that dies, or falls silent; an end that is asked for -----------------------------------------------------
long="--batch-size 4 --max-steps 100000 --save-steps 2 --keep 2 --lr-scheduler-type constant"
until=$work/dead/checkpoint-4
# shellcheck disable=SC2086 # words
endless 2 train -m "$work/tiny" $options $long -o "$work/dead" --mesh dp2,tp2
kill -9 "$(cat "$work/pid.1")"
ended
check "a rank that is killed ends all" '[ "$running" = 2 ]' '[ "$status" != 0 ]' '[ "$status" != 124 ]' '[ "$took" -lt 20 ]' \
    '[ "$left" = 0 ]' 'err "rank 1"' 'err "Killed"'
last=$(find "$work/dead" -maxdepth 1 -name 'checkpoint-*' | sed 's/.*-//' | sort -n | tail -n 1)
# shellcheck disable=SC2086 # words
one whole tiny $long --max-steps $((last + 2)) --save-steps 0
# shellcheck disable=SC2086 # words
run train -m "$work/tiny" $options $long --max-steps $((last + 2)) -o "$work/dead" --resume "$work/dead"
check "... and the run goes on to what it would have been" 'is 0' 'cmp "$work/whole/model.safetensors" "$work/dead/model.safetensors"'
export QWENMESH_MPI_TIMEOUT=2
until=$work/silent/checkpoint-4
# shellcheck disable=SC2086 # words
endless 2 train -m "$work/tiny" $options $long -o "$work/silent" --mesh 1x2
kill -STOP "$(cat "$work/pid.1")"
ended
unset QWENMESH_MPI_TIMEOUT
check "a rank that falls silent ends all" '[ "$running" = 2 ]' 'is 1' '[ "$took" -lt 30 ]' '[ "$left" = 0 ]' \
    'err "no answer in 2 s from one of the ranks 1"'
until=$work/asked/checkpoint-4
# shellcheck disable=SC2086 # words
endless 2 train -m "$work/tiny" $options $long --micro-batch 1 -o "$work/asked" --mesh dp2,tp1
signal USR1
ended
last=$(sed -n 's/.*interrupted after step \([0-9]*\).*/\1/p' "$work/err")
check "SIGUSR1 at the launcher: saves, and all leave" '[ "$running" = 2 ]' 'is 138' '[ "$took" -lt 30 ]' '[ "$left" = 0 ]' \
    '[ -d "$work/asked/checkpoint-${last:-none}" ]' 'no_err MPI_ABORT'
last=${last:-4}
# shellcheck disable=SC2086 # words
one whole tiny $long --max-steps $((last + 2)) --save-steps 0
# shellcheck disable=SC2086 # words
run train -m "$work/tiny" $options $long --max-steps $((last + 2)) -o "$work/asked" --resume "$work/asked"
check "... and the run goes on to what it would have been" 'is 0' 'cmp "$work/whole/model.safetensors" "$work/asked/model.safetensors"'
until=$work/over/checkpoint-4
# shellcheck disable=SC2086 # words
endless 2 train -m "$work/tiny" $options $long -o "$work/over" --mesh 1x2
signal TERM
ended
check "SIGTERM at the launcher, which makes it of Ctrl-C: likewise" '[ "$running" = 2 ]' '[ "$status" != 0 ]' '[ "$took" -lt 20 ]' \
    '[ "$left" = 0 ]' 'err "leaves this step, saves the one before"'
finish
