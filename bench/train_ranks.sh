#!/bin/sh
# bench/train_ranks.sh [-c CONFIG.json] [-b BATCH] [-s SEQ] [-n STEPS] [-r ROUNDS] [-l BYTES]
# A training step over two processes beside one with as many cores: replicas (dp2) and parts of one (1x2), in turns. Seconds of
# a step, the best and the median of all but each run's first, and the best of one process over theirs (above 1: two are faster);
# and processor seconds of a step, user and system, all processes together: what a run of all steps takes beyond one of a single
# step, where other programs want the cores too. Random weights of CONFIG's shape and rows of random ids, all labels. -l: over a link of so many bytes a second (build/tests/fake_link.so, which `make tests` builds).
set -eu
cd "$(dirname "$0")/.."
config=bench/smollm2-135m.json batch=4 seq=512 steps=4 rounds=1 link=
while getopts c:b:s:n:r:l: option; do
    case $option in
    c) config=$OPTARG ;; b) batch=$OPTARG ;; s) seq=$OPTARG ;; n) steps=$OPTARG ;; r) rounds=$OPTARG ;; l) link=$OPTARG ;;
    *) sed -n '2,7s/^# //p' "$0" >&2; exit 2 ;;
    esac
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root='' # mpirun's flag
[ "$(id -u)" != 0 ] || root=--allow-run-as-root
vocab=$(tr '{,' '\n\n' <"$config" | sed -n 's/.*"vocab_size": *\([0-9]*\).*/\1/p')
awk -v rows="$batch" -v seq="$seq" -v vocab="$vocab" 'BEGIN {
    srand(1)
    for (i = 0; i < rows; i++) {
        line = "{\"ids\":["
        for (t = 0; t < seq; t++) line = line (t ? "," : "") int(rand() * vocab)
        print line "]}"
    }
}' >"$work/data.jsonl"
each=$(((batch + 1) / 2)) # rows of a pass of each replica's process
if [ -n "$link" ]; then # one process asks for no link
    FAKE_LINK_UNDER=$PWD/qwenmesh-mpi.so FAKE_LINK_BYTES=$link QWENMESH_MPI_LIBRARY=$PWD/build/tests/fake_link.so
    export FAKE_LINK_UNDER FAKE_LINK_BYTES QWENMESH_MPI_LIBRARY
fi
processors() { # the seconds that ended programs have had
    times >"$work/times"
    sed -n '2s/[ms]/ /gp' "$work/times" | awk '{ print ($1 + $3) * 60 + $2 + $4 }'
}
trained() { # STEPS MICRO COMMAND...
    of=$1 micro=$2
    shift 2
    "$@" train --init "$work/model/config.json" --data "$work/data.jsonl" --batch-size "$batch" --micro-batch "$micro" --seq-len "$seq" \
        --max-steps "$of" --save-steps 0 -o "$work/out" --log "$work/log" $mesh >/dev/null 2>"$work/err" </dev/null ||
        { cat "$work/err" >&2; exit 1; }
    rm -rf "$work/out"
}
measure() { # NAME MICRO COMMAND...
    name=$1
    shift
    processors >"$work/begin"
    trained 1 "$@"
    processors >"$work/single"
    rm "$work/log"
    trained "$steps" "$@"
    processors >"$work/all"
    sed -n 's/.*"seconds":\([0-9.e-]*\).*/\1/p' "$work/log" | tail -n +2 >>"$work/$name"
    cat "$work/begin" "$work/single" "$work/all" |
        awk -v more=$((steps - 1)) '{ t[NR] = $1 } END { print (t[3] - t[2] - (t[2] - t[1])) / more }' >>"$work/$name.cpu"
    rm "$work/log"
}
mkdir "$work/model"
cp "$config" "$work/model/config.json"
round=0
while [ "$round" -lt "$rounds" ]; do
    round=$((round + 1))
    mesh="--threads 2" measure one "$batch" ./qwenmesh
    # shellcheck disable=SC2086 # a flag or nothing
    mesh="--mesh dp2,tp1" measure dp2 "$each" mpirun $root --oversubscribe -n 2 ./qwenmesh
    # shellcheck disable=SC2086 # a flag or nothing
    mesh="--mesh 1x2" measure 1x2 "$batch" mpirun $root --oversubscribe -n 2 ./qwenmesh
done
best() { sort -g "$work/$1" | head -n 1; }
median() { sort -g "$work/$1" | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
for name in one dp2 1x2; do
    awk -v name="$name" -v best="$(best $name)" -v median="$(median $name)" -v one="$(best one)" -v cpu="$(best $name.cpu)" \
        -v alone="$(best one.cpu)" 'BEGIN {
            printf "%-4s best %.2f s, median %.2f s, ratio %.2f; %.2f s of processors a step, ratio %.2f\n", name, best, median,
                one / best, cpu, alone / cpu
        }'
done
