#!/bin/sh
# bench/peers.sh [-w FOLDER] [-c CONFIG.json] [-t "bf16 q8_0 q4_0 q4_K_M"] [-p N] [-n N] [-r ROUNDS]
# qwenmesh beside llama.cpp: random weights at a true shape, the same GGUF file for both, a round of each in turn, medians
# and their ratio. Builds llama.cpp from the source package llama-cpp-python on PyPI. IK: path of a llama-bench built
# from ik_llama.cpp, to run it too; Hugging Face transformers runs where python3 has torch (bf16 only). One run at a time:
# FOLDER.lock is made for the time of the measurement.
set -eu
work=/tmp/peers config=tests/golden/configs/0.5b.json types="bf16 q8_0 q4_0 q4_K_M" prompt=512 gen=64 rounds=3
while getopts w:c:t:p:n:r: option; do
    case $option in
    w) work=$OPTARG ;; c) config=$OPTARG ;; t) types=$OPTARG ;; p) prompt=$OPTARG ;; n) gen=$OPTARG ;; r) rounds=$OPTARG ;;
    *) sed -n '2,6s/^# //p' "$0" >&2; exit 2 ;;
    esac
done
bin=$work/llama/bin version=0.3.36 threads=$(nproc)
if [ ! -x "$bin/llama-bench" ] || [ ! -x "$bin/llama-quantize" ]; then
    mkdir -p "$work/src"
    pip download -q --no-deps --no-binary :all: -d "$work/src" "llama-cpp-python==$version"
    tar xzf "$work/src/llama_cpp_python-$version.tar.gz" -C "$work/src"
    nice -n 10 cmake -S "$work/src/llama_cpp_python-$version/vendor/llama.cpp" -B "$work/llama" -DCMAKE_BUILD_TYPE=Release \
        -DGGML_NATIVE=ON -DBUILD_SHARED_LIBS=OFF -DLLAMA_CURL=OFF -DLLAMA_BUILD_TESTS=OFF >"$work/cmake.log"
    nice -n 10 cmake --build "$work/llama" -j"$threads" --target llama-bench llama-quantize >"$work/build.log"
fi
make -s qwenmesh
name=$(basename "$config" .json)
[ -f "$work/$name-bf16.gguf" ] || python3 bench/random_gguf.py "$config" "$work/$name-bf16.gguf" >&2
for type in $types; do
    [ -f "$work/$name-$type.gguf" ] || "$bin/llama-quantize" --allow-requantize "$work/$name-bf16.gguf" "$work/$name-$type.gguf" "$type" "$threads" >"$work/quantize-$type.log" 2>&1
done
tries=0
until mkdir "$work.lock" 2>/dev/null; do # another measurement would spoil both
    tries=$((tries + 1))
    [ $tries -lt 360 ] || { echo "peers: $work.lock is held for an hour: remove it if nothing runs" >&2; exit 1; }
    sleep 10
done
results=$(mktemp)
trap 'rm -f "$results"; rmdir "$work.lock"' EXIT
trap 'exit 130' INT TERM
median() { awk -v w="$1" '$1 == w {print $2}' "$results" | sort -g | awk '{x[NR] = $1} END {if (NR) print x[int((NR + 1) / 2)]}'; }
ours() { # FILE TYPE
    ./qwenmesh bench -m "$1" -p "$prompt" -n "$gen" -r 1 -o json | python3 -c 'import json, sys
for r in json.load(sys.stdin): print("ours-%s-%s %f" % (sys.argv[1], "pp" if r["n_prompt"] else "tg", r["avg_ts"]))' "$2" >>"$results"
}
theirs() { # WHO BINARY FILE TYPE
    "$2" -m "$3" -p "$prompt" -n "$gen" -t "$threads" -r 1 -o json 2>/dev/null | python3 -c 'import json, sys
for r in json.load(sys.stdin): print("%s-%s-%s %f" % (sys.argv[1], sys.argv[2], "pp" if r["n_prompt"] else "tg", r["avg_ts"]))' "$1" "$4" >>"$results"
}
line() { # WHO TYPE
    for test in pp tg; do
        a=$(median "ours-$2-$test") b=$(median "$1-$2-$test")
        [ -n "$a" ] && [ -n "$b" ] || { echo "| $1 | $name $2 | $test | failed | | |"; continue; }
        n=$gen
        [ $test = tg ] || n=$prompt
        awk -v w="$1" -v m="$name $2" -v t="$test$n" -v a="$a" -v b="$b" 'BEGIN {printf "| %s | %s | %s | %.2f | %.2f | %.2f |\n", w, m, t, a, b, a / b}'
    done
}
echo "| peer | model | test | qwenmesh t/s | peer t/s | ratio |"
echo "|---|---|---|---|---|---|"
for type in $types; do
    round=0
    while [ $round -lt "$rounds" ]; do
        ours "$work/$name-$type.gguf" "$type"
        theirs llama.cpp "$bin/llama-bench" "$work/$name-$type.gguf" "$type"
        [ -z "${IK:-}" ] || theirs ik_llama.cpp "$IK" "$work/$name-$type.gguf" "$type"
        round=$((round + 1))
    done
    line llama.cpp "$type"
    [ -z "${IK:-}" ] || line ik_llama.cpp "$type"
done
[ -n "${IK:-}" ] || echo "peers: ik_llama.cpp skipped: set IK to a llama-bench built from it" >&2
if python3 -c 'import torch, transformers' 2>/dev/null; then
    python3 bench/peer_hf.py "$config" "$prompt" "$gen" "$rounds" >>"$results" && line transformers bf16
else
    echo "peers: transformers skipped: python3 has no torch and transformers" >&2
fi
