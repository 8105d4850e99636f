#!/bin/bash
# bench/contended.sh [-w FOLDER] [-m MODEL.gguf] [-n N] [-r ROUNDS] [-l "0 1 2"] [-o PROGRAM]
# Decode beside other programs, as every laptop, container and CI runner has them: tokens per second of -t 2 and of -t 1 beside
# 0, 1 and 2 busy loops, ours and that of llama.cpp's default build in turns, round by round, all loops' counts in every round;
# the medians, and those of the rounds' ratios. FOLDER (/tmp/peers): where bench/peers.sh has built llama.cpp; without it ours
# alone. PROGRAM: another build of qwenmesh, whose -t 2 is timed in the same rounds. Activations are in 8 bits everywhere.
# The loops end with this script, whatever ends it. One run at a time, as bench/peers.sh: FOLDER.lock.
set -eu
cd "$(dirname "$0")/.."
work=/tmp/peers model=models/SmolLM2-135M-Instruct.Q4_1.gguf gen=64 rounds=5 counts="0 1 2" other=
while getopts w:m:n:r:l:o: option; do
    case $option in
    w) work=$OPTARG ;; m) model=$OPTARG ;; n) gen=$OPTARG ;; r) rounds=$OPTARG ;; l) counts=$OPTARG ;; o) other=$OPTARG ;;
    *) sed -n '2,7s/^# //p' "$0" >&2; exit 2 ;;
    esac
done
theirs=$work/llama/bin/llama-bench
[ -x "$theirs" ] || { echo "contended: no $theirs: bench/peers.sh builds it; ours alone" >&2; theirs=; }
[ -z "$other" ] || [ -x "$other" ] || { echo "contended: no program $other" >&2; exit 1; }
[ -r "$model" ] || { echo "contended: no $model: make model brings it" >&2; exit 1; }
make -s qwenmesh
mkdir -p "$(dirname "$work")"
tries=0
until mkdir "$work.lock" 2>/dev/null; do # another measurement would spoil both
    tries=$((tries + 1))
    [ $tries -lt 360 ] || { echo "contended: $work.lock is held for an hour: remove it if nothing runs" >&2; exit 1; }
    sleep 10
done
loops=() results=$(mktemp)
end_loops() {
    [ ${#loops[@]} = 0 ] || kill "${loops[@]}" 2>/dev/null || true
    [ ${#loops[@]} = 0 ] || wait "${loops[@]}" 2>/dev/null || true
    loops=()
}
trap 'end_loops; rm -f "$results"; rmdir "$work.lock"' EXIT
trap 'exit 130' INT TERM HUP
busy() { # COUNT loops; each ends by itself when this script is gone, or after an hour
    end_loops
    for ((i = 0; i < $1; i++)); do
        (trap - EXIT INT TERM HUP
            SECONDS=0
            while kill -0 $$ 2>/dev/null && [ $SECONDS -lt 3600 ]; do for ((j = 0; j < 100000; j++)); do :; done; done) &
        loops+=($!)
    done
}
field() { python3 -c 'import csv, sys
for row in csv.DictReader(sys.stdin): print(row["avg_ts"])'; }
ours() { "${2:-./qwenmesh}" bench -m "$model" --act int8 -t "$1" -p 0 -n "$gen" -r 1 -o csv 2>/dev/null | field; }
peer() { "$theirs" -m "$model" -t "$1" -p 0 -n "$gen" -r 1 -o csv 2>/dev/null | field; }
middle() { sort -g | awk '{v[NR] = $1} END {if (NR) printf "%.2f", (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2; else printf "-"}'; }
of() { awk -v l="$1" -v c="$2" '$1 == l && $3 == c {print $4}' "$results"; }
ratio() { # LOOPS COLUMN COLUMN: of each round
    awk -v l="$1" -v a="$2" -v b="$3" '$1 == l && $3 == a {x[$2] = $4} $1 == l && $3 == b {y[$2] = $4}
        END {for (r in x) if (y[r] > 0) print x[r] / y[r]}' "$results"
}
for ((round = 1; round <= rounds; round++)); do
    for count in $counts; do
        busy "$count"
        for threads in 2 1; do
            echo "$count $round ours-$threads $(ours $threads)" >>"$results"
            [ -z "$theirs" ] || echo "$count $round peer-$threads $(peer $threads)" >>"$results"
        done
        [ -z "$other" ] || echo "$count $round other-2 $(ours 2 "$other")" >>"$results"
        end_loops
        echo "contended: round $round of $rounds, $count busy loops:$(awk -v l="$count" -v r="$round" \
            '$1 == l && $2 == r {printf " %s %.1f", $3, $4}' "$results")" >&2
    done
done
echo "| busy loops on $(nproc) cores | ours -t 2 | ours -t 1 | -t 2 / -t 1 | llama.cpp -t 2 | llama.cpp -t 1 | ours / llama.cpp, -t 2 | -t 1 |${other:+ other -t 2 | ours / other |}"
echo "|---|---|---|---|---|---|---|---|${other:+---|---|}"
for count in $counts; do
    echo "| $count | $(of "$count" ours-2 | middle) | $(of "$count" ours-1 | middle) | $(ratio "$count" ours-2 ours-1 | middle) |" \
        "$(of "$count" peer-2 | middle) | $(of "$count" peer-1 | middle) | $(ratio "$count" ours-2 peer-2 | middle) |" \
        "$(ratio "$count" ours-1 peer-1 | middle) |${other:+ $(of "$count" other-2 | middle) | $(ratio "$count" ours-2 other-2 | middle) |}"
done
