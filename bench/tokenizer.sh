#!/bin/sh
# bench/tokenizer.sh [TURNS]: our tokenizer and Hugging Face's (Rust), in turn on the same core and the same text, the
# questions and answers of GSM8K with Qwen2.5's tokenizer. Prints MB/s of each and the ratio: first, the pass of a new
# process over text it has not seen, which is the figure to quote; then all passes, where words are remembered.
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

# median FROM TO FILE: of fields FROM to TO (0: the last) of all lines. Field 1 is seconds to load, 2 the first pass.
median() {
    awk -v from="$1" -v to="$2" '{ for (i = from; i <= (to ? to : NF); i++) print $i }' "$3" | sort -n |
        awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}
version=$("$venv/bin/python" -c 'import tokenizers; print(tokenizers.__version__)')
row() { printf '%-24s %16s %16s %10s\n' "$@"; }
row '' 'first pass, MB/s' 'all passes, MB/s' 'load, s'
row qwenmesh "$(median 2 2 $ours)" "$(median 2 0 $ours)" "$(median 1 1 $ours)"
row "tokenizers $version" "$(median 2 2 $theirs)" "$(median 2 0 $theirs)" "$(median 1 1 $theirs)"
awk -v a="$(median 2 2 $ours)" -v b="$(median 2 2 $theirs)" -v c="$(median 2 0 $ours)" -v d="$(median 2 0 $theirs)" \
    -v e="$(median 1 1 $ours)" -v f="$(median 1 1 $theirs)" \
    'BEGIN { printf "%-24s %16.1f %16.1f %10.1f\n", "ratio", a / b, c / d, f / e }'
