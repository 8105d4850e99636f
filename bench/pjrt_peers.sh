#!/bin/sh
# bench/pjrt_peers.sh [-w FOLDER] [-c CONFIG.json] [-d "1 2 8 32"] [-p N] [-n N] [-r ROUNDS]
# qwenmesh on XLA's CPU plugin beside JAX: made-up f32 weights at a true shape on as many virtual devices, a round of each in
# turn, the best of each and their ratio (above 1: qwenmesh is faster; other load on the machine only slows both down).
# start: seconds from the process's start to the first token of a prompt of one, "first" with an empty cache of programs,
# "second" with a full one, both beside JAX's own start.
# Python is needed for JAX only: it goes into FOLDER/venv.
set -eu
cd "$(dirname "$0")/.."
work=/tmp/pjrt-peers config=tests/golden/configs/0.5b.json devices="1 2 8 32" prompt=512 gen=16 rounds=3
while getopts w:c:d:p:n:r: option; do
    case $option in
    w) work=$OPTARG ;; c) config=$OPTARG ;; d) devices=$OPTARG ;; p) prompt=$OPTARG ;; n) gen=$OPTARG ;; r) rounds=$OPTARG ;;
    *) sed -n '2,7s/^# //p' "$0" >&2; exit 2 ;;
    esac
done
mkdir -p "$work"
[ -x "$work/venv/bin/python" ] || { python3 -m venv "$work/venv" && "$work/venv/bin/pip" install -q jax==0.10.2; }
results=$(mktemp) cache=$(mktemp -d)
trap 'rm -rf "$results" "$cache"' EXIT
trap 'exit 130' INT TERM
ours() { # DEVICES PREFIX TESTS...
    n=$1 prefix=$2
    shift 2
    ./qwenmesh bench --random "$config" --random-type f32 --backend pjrt --plugin cpu --mesh "1x$n" -c 1024 --rows "$prompt" \
        --program-cache "$cache" "$@" -r 1 -o json 2>"$work/err" | awk -v n="$n" -v prefix="$prefix" '
        { gsub(/[",:]/, " ") }
        $1 == "n_prompt" { test = $2 > 0 ? "pp" : "tg" }
        $1 == "avg_ts" && prefix == "" { print n "-ours-" test, $2 }
        $1 == "first_token_s" { start = $2 }
        END { print n "-ours-start" prefix, start }' >>"$results"
}
jax() { # DEVICES
    "$work/venv/bin/python" bench/peer_jax.py "$config" "$1" "$prompt" "$gen" "$(date +%s.%N)" 2>"$work/err" |
        sed "s/^/$1-/" >>"$results"
}
best() { awk -v w="$1" '$1 == w {print $2}' "$results" | sort -g "$2" | head -n 1; }
line() { # DEVICES TEST OURS THEIRS UNIT
    order=-r
    [ "$5" != s ] || order=-g
    a=$(best "$1-ours-$3" $order) b=$(best "$1-jax-$4" $order)
    [ -n "$a" ] && [ -n "$b" ] || { echo "| $1 | $2 | failed: $(tail -1 "$work/err") | | |"; return; }
    awk -v d="$1" -v t="$2" -v a="$a" -v b="$b" -v u="$5" 'BEGIN {
        printf "| %d | %s | %.2f %s | %.2f %s | %.2f |\n", d, t, a, u, b, u, u == "s" ? b / a : a / b }'
}
echo "| devices | test | qwenmesh | JAX | ratio |"
echo "|---|---|---|---|---|"
for n in $devices; do
    round=0
    while [ $round -lt "$rounds" ]; do
        rm -f "$cache"/*
        ours "$n" 1 -p 0 -n 1
        ours "$n" "" -p "$prompt" -n "$gen"
        ours "$n" 2 -p 0 -n 1
        jax "$n"
        round=$((round + 1))
    done
    line "$n" "tg$gen" tg tg t/s
    line "$n" "pp$prompt" pp pp t/s
    line "$n" "start, first" start1 start s
    line "$n" "start, second" start2 start s
done
