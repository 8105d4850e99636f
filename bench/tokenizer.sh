#!/bin/sh
# bench/tokenizer.sh [TURNS]: our tokenizer and Hugging Face's (Rust), in turn on the same core and the same text, the
# questions and answers of GSM8K with Qwen2.5's tokenizer. Prints MB/s of each (median of all rounds) and the ratio.
set -eu
cd "$(dirname "$0")/.."
turns=${1:-5} rounds=7 model=tests/data/qwen2.5 text=tests/data/gsm8k/test.jsonl venv=build/bench-venv
core=$(taskset -cp $$ 2>/dev/null | sed 's/.*: *//; s/[,-].*//')
pin=${core:+taskset -c $core}

make -s libqwenmesh.a build/bench/tokenizer.o
libs=$(pkg-config --libs jansson libpcre2-8 libutf8proc libcurl libcrypto libedit)
# shellcheck disable=SC2086 # words
${CC:-cc} -o build/bench/tokenizer build/bench/tokenizer.o libqwenmesh.a $libs -lpthread -ldl -lm
if ! "$venv/bin/python" -c 'import tokenizers' 2>/dev/null; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install -q --disable-pip-version-check tokenizers
fi

ours=build/bench/tokenizer.ours theirs=build/bench/tokenizer.theirs
: >$ours
: >$theirs
for _ in $(seq "$turns"); do
    $pin build/bench/tokenizer $model $text $rounds >>$ours
    RAYON_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false \
        $pin "$venv/bin/python" bench/tokenizer.py $model $text $rounds >>$theirs
done

# median LOAD FILE: of the first field, seconds to load (LOAD 1), or of all others, MB/s (LOAD 0)
median() {
    awk -v load="$1" '{ for (i = load ? 1 : 2; i <= (load ? 1 : NF); i++) print $i }' "$2" | sort -n |
        awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}
version=$("$venv/bin/python" -c 'import tokenizers; print(tokenizers.__version__)')
awk -v v="$version" -v a="$(median 0 $ours)" -v b="$(median 0 $theirs)" \
    -v la="$(median 1 $ours)" -v lb="$(median 1 $theirs)" 'BEGIN {
    printf "%-24s %10s %12s\n", "", "MB/s", "load, s"
    printf "%-24s %10.1f %12.3f\n", "qwenmesh", a, la
    printf "%-24s %10.1f %12.3f\n", "tokenizers " v, b, lb
    printf "%-24s %10.1f %12.1f\n", "ratio", a / b, lb / la }'
