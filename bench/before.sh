#!/bin/bash
# bench/before.sh [-o PROGRAM] [-m MODEL.gguf] [-c CONFIG.json] [-r ROUNDS] [-s SECONDS] [-t THREADS]
# Another build of qwenmesh (PROGRAM) beside ./qwenmesh, round by round, who is first changing: prefill, decode and decode
# of 4 sequences of random weights at a true shape (CONFIG, in bf16) and of MODEL, and the seconds from start to the first
# token of MODEL. A row: the medians of both, and median, least and largest of the rounds' ratios; above 1: ./qwenmesh is
# better. No round begins after SECONDS (default 300). Wants a machine with nothing else to do.
#   git archive COMMIT | tar x -C FOLDER && make -C FOLDER -j2 qwenmesh && bench/before.sh -o FOLDER/qwenmesh
set -eu
cd "$(dirname "$0")/.."
other= model=models/SmolLM2-135M-Instruct.Q4_1.gguf config=tests/golden/configs/0.5b.json rounds=9 most=300 threads=$(nproc)
while getopts o:m:c:r:s:t: option; do
    case $option in
    o) other=$OPTARG ;; m) model=$OPTARG ;; c) config=$OPTARG ;; r) rounds=$OPTARG ;; s) most=$OPTARG ;; t) threads=$OPTARG ;;
    *) sed -n '2,7s/^# //p' "$0" >&2; exit 2 ;;
    esac
done
[ -x "$other" ] || { echo "before: expected another build as -o PROGRAM, got '$other'" >&2; exit 2; }
[ -r "$model" ] || { echo "before: no $model: make model brings it" >&2; exit 1; }
make -s qwenmesh
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
results=$work/results # CASE ROUND WHO NUMBER, more is better
note() { while read -r case number; do echo "$case $round $1 $number" >>"$results"; done; }
rates() { # NAME PROGRAM OPTIONS...: a line each: prefill, decode, decode of several
    name=$1 program=$2
    shift 2
    "$program" bench -t "$threads" -p 256 -n 32 -b 1,4 -r 1 -o csv "$@" 2>"$work/err" >"$work/csv" ||
        { cat "$work/err" >&2; exit 1; }
    python3 - "$name" "$work/csv" <<'P'
import csv, sys
for row in csv.DictReader(open(sys.argv[2])):
    test = "pp" + row["n_prompt"] if row["n_prompt"] != "0" else "tg" + row["n_gen"]
    print(sys.argv[1] + "," + test + ("x" + row["n_batch"] if row["n_batch"] != "1" else ""), row["avg_ts"])
P
}
start() { # NAME PROGRAM: 1 / the seconds of the best of three
    best=
    for _ in 1 2 3; do
        began=$(date +%s%N)
        "$2" run -m "$model" -t "$threads" -n 1 --temp 0 -p "The capital of France is" >/dev/null 2>"$work/err" ||
            { cat "$work/err" >&2; exit 1; }
        took=$(($(date +%s%N) - began))
        [ -n "$best" ] && [ "$best" -le "$took" ] || best=$took
    done
    echo "$1,start $(awk -v t="$best" 'BEGIN {printf "%.4f", 1e9 / t}')"
}
all_of() { # WHO PROGRAM
    rates "$(basename "$config" .json)" "$2" --random "$config" | note "$1"
    rates "$(basename "$model" .gguf)" "$2" -m "$model" | note "$1"
    start "$(basename "$model" .gguf)" "$2" | note "$1"
}
SECONDS=0
for ((round = 1; round <= rounds && SECONDS < most; round++)); do
    if ((round % 2)); then all_of other "$other" && all_of ours ./qwenmesh
    else all_of ours ./qwenmesh && all_of other "$other"; fi
    echo "before: round $round of $rounds, $SECONDS s" >&2
done
echo "| tokens per second; start: 1 / seconds | other | this | this / other: median | least | largest |"
echo "|---|---|---|---|---|---|"
python3 - "$results" <<'P'
import sys
from statistics import median
seen = {}
for line in open(sys.argv[1]):
    case, turn, who, number = line.split()
    seen.setdefault(case, {}).setdefault(who, {})[turn] = float(number)
for case, who in seen.items():
    ratios = [who["ours"][turn] / who["other"][turn] for turn in who["ours"] if turn in who["other"]]
    print("| %s | %.2f | %.2f | %.3f | %.3f | %.3f |" % (case, median(who["other"].values()), median(who["ours"].values()),
                                                        median(ratios), min(ratios), max(ratios)))
P
