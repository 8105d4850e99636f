#!/bin/sh
# bench/peers.sh [-w FOLDER] [-c CONFIG.json] [-t "bf16 q8_0 q4_0 q4_K_M"] [-k PEERS] [-a ACT] [-p N] [-n N] [-r ROUNDS]
# qwenmesh beside its peers: random weights at a true shape, the same GGUF file for all, a round of each in turn, the best
# of each and their ratio, above 1: qwenmesh is faster; then the median of the rounds' ratios, which is what counts where
# the machine's memory is fast in one minute and slow in the next (many rounds of -p 0). -p 0, -n 0: no such test
# (not with transformers).
# PEERS: llama.cpp, ik_llama.cpp and ik_llama.cpp-rtr, which is the same with -rtr 1, weights repacked at load: its best (built
# from the source packages llama-cpp-python and ik-llama-cpp-python on PyPI), openvino (OpenVINO GenAI from PyPI in
# FOLDER/openvino; it reads q8_0, q4_0, q4_1 and K types of whole groups, no bf16) and transformers (with torch from PyPI in
# FOLDER/venv; bf16 only). One that cannot be had is left out, with the reason.
# ACT: f32, int8 or bf16 activations in ours; default: what llama.cpp does with the type, 8 bits for quantised weights,
# bf16 for bf16. One run at a time: FOLDER.lock is made for the time of the measurement.
set -eu
cd "$(dirname "$0")/.."
work=/tmp/peers config=tests/golden/configs/0.5b.json types="bf16 q8_0 q4_0 q4_K_M" prompt=512 gen=64 rounds=3
peers=llama.cpp act=
while getopts w:c:t:k:a:p:n:r: option; do
    case $option in
    w) work=$OPTARG ;; c) config=$OPTARG ;; t) types=$OPTARG ;; k) peers=$OPTARG ;; a) act=$OPTARG ;;
    p) prompt=$OPTARG ;; n) gen=$OPTARG ;; r) rounds=$OPTARG ;;
    *) sed -n '2,13s/^# //p' "$0" >&2; exit 2 ;;
    esac
done
for peer in $peers; do
    case $peer in
    llama.cpp | ik_llama.cpp | ik_llama.cpp-rtr | openvino | transformers) ;;
    *) echo "peers: expected llama.cpp, ik_llama.cpp, ik_llama.cpp-rtr, openvino or transformers, got '$peer'" >&2; exit 2 ;;
    esac
done
threads=$(nproc) jobs=${JOBS:-$(nproc)}
name=$(basename "$config" .json)
build() { # NAME PACKAGE VERSION FOLDER TARGETS: the package's source of llama.cpp, built in $work/NAME
    [ ! -x "$work/$1/bin/llama-bench" ] || return 0
    echo "peers: building $2 $3 with $jobs jobs (minutes)" >&2
    mkdir -p "$work/src"
    # pip may fail on the package's own description after it has the archive
    pip download -q --no-deps --no-binary :all: -d "$work/src" "$2==$3" >"$work/pip.log" 2>&1 || true
    source=$(echo "$2-$3" | tr - _ | sed 's/_\([0-9.]*\)$/-\1/')
    tar xzf "$work/src/$source.tar.gz" -C "$work/src" || { tail -n 3 "$work/pip.log" >&2; return 1; }
    info=$work/src/$source/vendor/$4/common
    [ ! -f "$info/build-info.cpp.in" ] || [ -d "$info/cmake" ] || { # the package of ik_llama.cpp leaves it out
        mkdir "$info/cmake"
        printf 'set(BUILD_NUMBER 0)\nconfigure_file(common/build-info.cpp.in common/build-info.cpp @ONLY)\n' >"$info/cmake/build-info-gen-cpp.cmake"
    }
    nice -n 10 cmake -S "$work/src/$source/vendor/$4" -B "$work/$1" -DCMAKE_BUILD_TYPE=Release -DGGML_NATIVE=ON \
        -DBUILD_SHARED_LIBS=OFF -DLLAMA_CURL=OFF -DLLAMA_BUILD_TESTS=OFF >"$work/cmake.log" 2>&1
    # shellcheck disable=SC2086 # targets are words
    nice -n 10 cmake --build "$work/$1" -j"$jobs" --target $5 >"$work/build-$1.log" 2>&1
}
venv() { # NAME MODULES PACKAGES: in $work/NAME
    "$work/$1/bin/python" -c "import $2" 2>/dev/null && return 0
    echo "peers: installing $3 into $work/$1" >&2
    # shellcheck disable=SC2086 # packages are words
    { python3 -m venv "$work/$1" && "$work/$1/bin/pip" install -q $3 && "$work/$1/bin/python" -c "import $2"; } >"$work/pip-$1.log" 2>&1
}
# llama-quantize makes everybody's files
build llama llama-cpp-python 0.3.36 llama.cpp "llama-bench llama-quantize" || { echo "peers: no llama.cpp: see $work/*.log" >&2; exit 1; }
had=
for peer in $peers; do
    log=
    case $peer in
    llama.cpp) ;;
    ik_llama.cpp*) build ik ik-llama-cpp-python 0.1.5 ik_llama.cpp llama-bench || log=build-ik.log ;;
    openvino) venv openvino openvino_genai openvino-genai || log=pip-openvino.log ;;
    transformers) venv venv torch,transformers "torch transformers" || log=pip-venv.log ;;
    esac
    if [ -z "$log" ]; then had="$had $peer"; else echo "peers: $peer is left out: $(tail -n 1 "$work/$log" 2>/dev/null)" >&2; fi
done
peers=$had
make -s qwenmesh
[ -f "$work/$name-bf16.gguf" ] || python3 bench/random_gguf.py "$config" "$work/$name-bf16.gguf" >&2
for type in $types; do
    [ -f "$work/$name-$type.gguf" ] || "$work/llama/bin/llama-quantize" --allow-requantize "$work/$name-bf16.gguf" \
        "$work/$name-$type.gguf" "$type" "$threads" >"$work/quantize-$type.log" 2>&1
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
keep() { # NAME: result lines "NAME-TEST VALUE" from llama-bench's JSON, which ours is too
    python3 -c 'import json, sys
for r in json.load(sys.stdin):
    print("%s-%s %f" % (sys.argv[1], "pp" if r["n_prompt"] else "tg", r["avg_ts"]))
    if "read_share" in r and not r["n_prompt"]: print("%s-read %f" % (sys.argv[1], 100 * r["read_share"]))' "$1" >>"$results"
}
act_of() { # TYPE
    if [ -n "$act" ]; then echo "$act"; elif [ "$1" = bf16 ]; then echo bf16; else echo int8; fi
}
values() { awk -v w="$1" '$1 == w {print $2}' "$results"; }
best() { values "$1" | sort -gr | head -n 1; }
middle() { sort -g | awk '{v[NR] = $1} END {if (NR) print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2}'; }
ratios() { # OURS PEER: of each round
    awk -v a="$1" -v b="$2" '$1 == a {x[++n] = $2} $1 == b {y[++m] = $2}
        END {for (i = 1; i <= n && i <= m; i++) print x[i] / y[i]}' "$results"
}
line() { # PEER TYPE
    for test in pp tg; do
        n=$prompt read=
        [ $test = pp ] || n=$gen
        [ "$n" -gt 0 ] || continue
        a=$(best "ours-$2-$test") b=$(best "$1-$2-$test") r=$(ratios "ours-$2-$test" "$1-$2-$test" | middle)
        [ $test = pp ] || read="$(values "ours-$2-read" | middle | cut -d. -f1) %"
        [ -n "$a" ] && [ -n "$b" ] || { echo "| $1 | $name $2 | $test$n | failed | | | | |"; continue; }
        awk -v w="$1" -v m="$name $2, act $(act_of "$2")" -v t="$test$n" -v a="$a" -v b="$b" -v r="$r" -v read="$read" \
            'BEGIN {printf "| %s | %s | %s | %.2f | %.2f | %.2f | %.2f | %s |\n", w, m, t, a, b, a / b, r, read}'
    done
}
echo "| peer | model | test | qwenmesh t/s | peer t/s | best / best | median ratio | ours, of read bandwidth (median) |"
echo "|---|---|---|---|---|---|---|---|"
for type in $types; do
    file=$work/$name-$type.gguf round=0
    while [ $round -lt "$rounds" ]; do
        ./qwenmesh bench -m "$file" --act "$(act_of "$type")" -p "$prompt" -n "$gen" -r 1 -o json | keep "ours-$type"
        for peer in $peers; do
            more=
            case $peer in
            llama.cpp) bin=$work/llama ;;
            ik_llama.cpp) bin=$work/ik ;;
            ik_llama.cpp-rtr) bin=$work/ik more="-rtr 1" ;;
            openvino)
                "$work/openvino/bin/python" bench/peer_openvino.py "$file" "openvino-$type" "$threads" "$prompt" "$gen" \
                    >>"$results" 2>"$work/openvino.log" || echo "peers: openvino, $type: $(tail -n 2 "$work/openvino.log" | tr '\n' ' ')" >&2
                continue ;;
            *) continue ;;
            esac
            # shellcheck disable=SC2086 # an option and its value
            "$bin/bin/llama-bench" -m "$file" -p "$prompt" -n "$gen" -t "$threads" -r 1 $more -o json 2>"$work/bench.log" |
                keep "$peer-$type" 2>/dev/null || echo "peers: $peer, $type: $(tail -n 1 "$work/bench.log")" >&2
        done
        round=$((round + 1))
    done
    for peer in $peers; do [ "$peer" = transformers ] || line "$peer" "$type"; done # as they come
done
case " $peers " in
*" transformers "*)
    "$work/venv/bin/python" bench/peer_hf.py "$config" "$prompt" "$gen" "$rounds" >>"$results" && line transformers bf16 ;;
esac
