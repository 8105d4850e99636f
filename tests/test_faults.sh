#!/bin/bash
# test_faults.sh: every command with one call failing: memory, files, disk, threads (tests/fake_faults.c). At each
# position a command ends as if nothing had failed, with the same bytes, or with exit code 1 or 2, a message, and no
# output that looks whole: never by a signal, without an end, or with exit code 0 and data missing.
# A sample of FAULT_SAMPLES positions for each command and kind of call; 0: all of them (make check-faults).
set -u
. tests/tap.sh
samples=${FAULT_SAMPLES:-6}
only=${FAULT_ONLY:-}
q=$(realpath "$QWENMESH")
library=$(realpath "${FAULT_LIBRARY:-build/tests/fake_faults.so}" 2>/dev/null)
memory=,malloc,calloc,realloc,
files=,open,fopen,fdopen,tmpfile,read,pread,fread,mmap,dup,fseeko,
disk=,write,pwrite,fwrite,fflush,fclose,fsync,rename,ftruncate,posix_fallocate,mkdir,
threads=,pthread_create,
if [ -n "${QWENMESH_SANITIZED:-}" ] || [[ $q == */asan/* ]] || [ ! -e "$library" ]; then
    skip "one call that fails" "the sanitizer's allocator cannot be replaced, or no $library"
    finish
    exit
fi
model=$work/model
mkdir "$model"
cp tests/golden/tiny/* "$model" && chmod -R u+w "$model"
cp tests/data/bytes/tokenizer.json "$model"
data=$(realpath tests/data)
golden=$(realpath tests/golden)
corpus=$(realpath tests/fuzz/corpus)
here=$(realpath tests)
cd "$work" || exit 1
printf '%s\n' '{"ids":[5,6,7],"max_new_tokens":4,"eos_token_id":null,"logprobs":2}' \
    '{"prompt":"hi","max_new_tokens":3,"do_sample":true,"seed":5,"stop":["q"]}' \
    '{"ids":[5,6,7],"max_new_tokens":3,"num_beams":2,"num_return_sequences":2}' \
    '{"prompt":"a","max_new_tokens":8,"json_schema":{"type":"object","properties":{"n":{"enum":["a","b"]}},"required":["n"]}}' \
    '{"prompt":"a","max_new_tokens":4,"regex":"[ab]+"}' >req.jsonl
printf '{"context":"a b","choices":["c","d e"],"gold":0}\n' >choice.jsonl
printf '"some text"\n"more of it"\n' >texts.jsonl
printf 'Some words to read, and some more.\n' >text
le64() {
    local v=$1 i s=
    for i in 1 2 3 4 5 6 7 8; do s+=$(printf '\\x%02x' $((v & 255))) v=$((v >> 8)); done
    # shellcheck disable=SC2059 # bytes
    printf "$s"
}
# gguf_model KEYS TENSORS: a GGUF file with the keys of both and the tensors of one, which a text keeps aligned.
gguf_model() {
    local pad=$(((32 - ($(stat -c %s "$1") - 1) % 32) % 32))
    head -c 16 "$2"
    le64 $(($(od -An -t u8 -j 16 -N 8 "$1") + $(od -An -t u8 -j 16 -N 8 "$2") + 1))
    tail -c +25 "$1"
    le64 3 && printf 'pad\10\0\0\0' && le64 $pad && printf '%*s' $pad ''
    tail -c +25 "$2"
}
tail -c +3 "$corpus/model/gguf" >tensors.gguf
gguf_model "$corpus/tokenizer/gguf" tensors.gguf >model.gguf
echo '{"prompt":"ab","max_new_tokens":3}' >prompt.jsonl
"$q" pack "$model" -o packed.qm >/dev/null || exit 1

# position N COMMAND...: runs it with call N failing; what it left is in out/, its words in words.
position() {
    local n=$1
    shift
    rm -rf out && mkdir out
    timeout -s KILL 120 env FAULT_AT="$n" FAULT_CALLS="$kind" FAULT_COUNT="$work/count" LD_PRELOAD="$library" \
        "$q" "$@" >out/stdout 2>words </dev/null
    code=$?
    sed -i '/^this run: /d; s/ in [0-9.]* s$//; /^"model[.a-z]*",/s/,[0-9.]*/,/g' out/stdout # times
}

# Why what is there is not as it should be; nothing if it is.
wrong() {
    local whole
    case $code in
    0) diff -rq out expected >/dev/null || echo "exit 0 and other results" ;;
    1 | 2)
        [ -s words ] || echo "exit $code without a word"
        grep -q "error: unknown" words && echo "an error without a reason"
        ls out | grep -q '\.partial$' && echo "a temporary is left"
        for whole in out/*; do # results that are appended to may be there in part
            case $whole in */stdout | *.incomplete | out/results.jsonl | out/programs) continue ;; esac
            diff -rq "$whole" "expected/${whole#out/}" >/dev/null || echo "${whole#out/} is there and is not whole"
        done
        ;;
    *) echo "exit $code" ;;
    esac
}

# whole NAME COMMAND...: runs it with nothing failing, which other runs are held against; `total`: the calls it made.
whole() {
    local name=$1
    shift
    position 0 "$@"
    if [ $code != 0 ]; then
        echo "not ok $((++number)) - $name: runs: $(head -n 1 words)"
        return 1
    fi
    rm -rf expected && cp -r out expected
    total=$(cat count)
}

# positions NAME FIRST STEP COMMAND...: lets every STEP-th call from FIRST on fail; `bad`: how many runs then end not as
# they should.
positions() {
    local name=$1 first=$2 step=$3 n why
    shift 3
    bad=0
    for ((n = first; n <= total; n += step)); do
        position $n "$@"
        why=$(wrong)
        [ -z "$why" ] && continue
        bad=$((bad + 1))
        [ $bad -le 20 ] && echo "# $name, $n of $total: ${why//$'\n'/; }: $(head -n 1 words)"
    done
    [ $bad = 0 ]
}

# sweep NAME COMMAND...
sweep() {
    local name=$1 calls bad total step=1 is
    shift
    [ -n "$only" ] && [[ $name != $only ]] && return
    for calls in memory files disk threads; do
        kind=${!calls}
        whole "$name" "$@" || continue
        step=1 is=
        [ "$samples" != 0 ] && step=$((total / samples + 1))
        positions "$name, $calls" $((1 + step / 2)) $step "$@" || is="not "
        echo "${is}ok $((++number)) - $name: one of its $total calls about $calls fails (every $step.)"
    done
}

# last_calls NAME COUNT COMMAND...: memory ends in each of the last calls for it.
last_calls() {
    local name=$1 last=$2 bad total is=
    shift 2
    [ -n "$only" ] && [[ $name != $only ]] && return
    kind=$memory
    whole "$name" "$@" || return
    positions "$name" $((total - last + 1)) 1 "$@" || is="not "
    echo "${is}ok $((++number)) - $name: one of its last $last calls about memory fails"
}

sweep run run -m "$model" -p "hi there" -n 3 --temp 0 --threads 2
last_calls run-schema 40 run -m "$model" -p "hi" -n 6 --temp 0 --threads 1 \
    --json-schema '{"type":"object","properties":{"n":{"enum":["a","b"]}},"required":["n"]}'
sweep run-packed run -m packed.qm -p "hi" -n 2 --temp 0 --regex "[ab]+" --threads 2
sweep generate generate -m "$model" --in req.jsonl --out out/res.jsonl --slots 2 --threads 2
sweep forward forward -m "$model" --in "$golden/tiny/golden.safetensors" --out out/x.safetensors --hidden --threads 2
sweep tokenize tokenize -m "$data/qwen2.5" "Hello, world"
sweep decode tokenize -m "$model" --decode "72 105"
sweep plan plan "$model" --mesh 2x2 --ranks 2 --svg out/plan.svg --program
sweep pack pack "$model" -o out/p.qm --weights 8bit --threads 2
sweep merge merge "$model" -o out/m --save-dtype bf16 --max-shard-size 100KB
sweep merge-gguf merge "$model" -o out/m.gguf --save-dtype q8_0
sweep merge-from-gguf merge model.gguf -o out/m
sweep verify pack --verify packed.qm --threads 2
sweep gsm8k eval gsm8k -m "$model" --data "$data/gsm8k" --limit 2 --shots 0 -n 2 --slots 2 --threads 1 \
    -o out/results.jsonl --html out/page.html
sweep choice eval choice -m "$model" --in choice.jsonl -o out/scored.jsonl --threads 1
sweep perplexity eval perplexity -m "$model" -f text --threads 1
sweep compare eval compare -m "$model" -f text --act-b int8 --threads 1
sweep gguf generate -m model.gguf --in prompt.jsonl --out out/res.jsonl --threads 2
sweep pack-gguf pack model.gguf -o out/p.qm --threads 1
sweep bench bench -m model.gguf -p 4 -n 2 -r 1 -o csv --threads 2
sweep export export "$model" --mesh 2x2 -o out/programs
if [ -n "$only" ] && [[ serve != $only ]]; then :
elif command -v python3 >/dev/null; then
    python3 "$here/serve_faults.py" "$q" "$model" "$library" $((samples * 2)) "$work" $number >served
    cat served
    number=$((number + $(grep -cE '^(not )?ok ' served)))
else
    skip "serve" "no python3"
fi
finish
