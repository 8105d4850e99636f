#!/bin/sh
# test_merge.sh: `merge`: a model as a folder or a GGUF file: the same logits, and what other programs make of it, where
# they are installed.
set -u
. tests/tap.sh
tiny=tests/golden/tiny
logits() { # MODEL FILE
    from=$1 to=$2
    shift 2
    run forward -m "$from" --in $tiny/golden.safetensors --out "$to" "$@"
}
peer() { # NAME ARGUMENTS...: one check by another program, skipped where it is not installed
    title=$1
    shift
    python3 tests/merge_check.py "$@" >"$work/out" 2>"$work/err"
    status=$?
    if [ $status = 77 ]; then skip "$title" "$(cat "$work/out")"; else check "$title" 'is 0'; fi
}

logits $tiny "$work/a.safetensors"
check "logits of the model" 'is 0'
run merge $tiny -o "$work/m" --max-shard-size 100KB
check "a folder of shards" 'is 0' 'out "of type f32"' '[ -f "$work/m/model.safetensors.index.json" ]' \
    '[ "$(ls "$work/m" | grep -c "^model-.*safetensors$")" -gt 5 ]'
logits "$work/m" "$work/b.safetensors"
check "its logits have the same bits" 'is 0' 'cmp "$work/a.safetensors" "$work/b.safetensors"'
run merge -m "$work/m" -o "$work/m.gguf"
check "a GGUF file of the folder" 'is 0' 'out "$work/m.gguf: "'
logits "$work/m.gguf" "$work/b.safetensors"
check "the same bits" 'is 0' 'cmp "$work/a.safetensors" "$work/b.safetensors"'
run merge "$work/m.gguf" -o "$work/n"
logits "$work/n" "$work/b.safetensors"
check "a folder of the GGUF file: the same bits" 'is 0' 'cmp "$work/a.safetensors" "$work/b.safetensors"'
for type in bf16 f16; do
    run merge $tiny -o "$work/$type" --save-dtype $type
    run merge "$work/$type" -o "$work/$type.gguf"
    check "a GGUF file of it keeps the type" 'is 0' 'out "of type $type"'
    logits "$work/$type" "$work/c.safetensors"
    check "a folder in $type: other logits" 'is 0' '! cmp -s "$work/a.safetensors" "$work/c.safetensors"'
    logits "$work/$type.gguf" "$work/b.safetensors"
    check "a GGUF file in $type: those of the folder" 'is 0' 'cmp "$work/c.safetensors" "$work/b.safetensors"'
done
for type in q8_0 q4_0; do
    run merge tests/golden/yarn -o "$work/$type.gguf" --save-dtype $type
    check "$type is written" 'is 0' 'out "of type $type"'
    run run -m "$work/$type.gguf" -p x -n 1
    check "a file without a tokenizer says so" 'is 1'
done

run pack $tiny -o "$work/p.qm"
run merge "$work/p.qm" -o "$work/p"
logits "$work/p" "$work/b.safetensors"
check "of a packed file: the same bits" 'is 0' 'cmp "$work/a.safetensors" "$work/b.safetensors"'

for pair in file: bf16:bf16 8bit:q8_0 4bit:q4_0; do
    type=${pair#*:}
    run merge tests/golden/yarn -o "$work/a.gguf" ${type:+--save-dtype $type}
    run pack tests/golden/yarn -o "$work/b.gguf" --weights ${pair%:*}
    check "pack to a GGUF file, ${pair%:*}: that of merge" 'is 0' 'cmp "$work/a.gguf" "$work/b.gguf"'
done
run pack $tiny -o "$work/x.gguf" --weights 3bit
check "pack to a GGUF file of another type" 'is 2' 'err "expected file, bf16, 8bit or 4bit"' '[ ! -e "$work/x.gguf" ]'

# ---- Adapters ------------------------------------------------------------------------------------------------------
near() { # FILE FILE: the greatest difference of two files of logits is small beside the greatest number
    python3 - "$1" "$2" <<'END'
import array, sys
def numbers(path):
    data = open(path, "rb").read()
    return array.array("f", data[8 + int.from_bytes(data[:8], "little"):])
a, b = numbers(sys.argv[1]), numbers(sys.argv[2])
most, off = max(map(abs, a)), max(abs(x - y) for x, y in zip(a, b))
print(f"# greatest {most:g}, difference {off:g}")
sys.exit(len(a) != len(b) or not 0 < off < 1e-5 * most)
END
}
lora=tests/golden/train-lora
for kind in lora-10 dora-5; do
    run forward -m $lora --lora $lora/adapter-$kind --in $lora/golden.safetensors --out "$work/with.safetensors"
    check "forward beside an adapter, $kind" 'is 0'
    run merge $lora --lora $lora/adapter-$kind -o "$work/$kind"
    run forward -m "$work/$kind" --in $lora/golden.safetensors --out "$work/merged.safetensors"
    check "the merged model: its logits, in another order of sums, $kind" 'is 0' 'near "$work/with.safetensors" "$work/merged.safetensors"'
    run merge $lora --lora $lora/adapter-$kind -o "$work/$kind.gguf"
    run forward -m "$work/$kind.gguf" --in $lora/golden.safetensors --out "$work/b.safetensors"
    check "merged into a GGUF file: the bits of the folder, $kind" 'is 0' 'cmp "$work/merged.safetensors" "$work/b.safetensors"'
done

# ---- Wrong arguments -----------------------------------------------------------------------------------------------
run merge $tiny
check "no output" 'is 2' 'err "expected MODEL and -o DIR or -o FILE.gguf"'
run merge $tiny -o "$work/x" --save-dtype q8_0
check "q8_0 in a folder" 'is 2' 'err "q8_0 and q4_0: -o FILE.gguf"' '[ ! -e "$work/x" ]'
run merge $tiny -o "$work/x.gguf" --save-dtype q5_0
check "a type that is not written" 'is 2' 'err "expected f32, bf16, f16, q8_0 or q4_0, got"' '[ ! -e "$work/x.gguf" ]'
run merge $tiny -o "$work/x" --max-shard-size 5TB
check "a size in other units" 'is 2' 'err "got '"'5TB'"'"' '[ ! -e "$work/x" ]'
run merge $tiny -o "$work/x.gguf" --max-shard-size 5GB
check "shards of a GGUF file" 'is 2'
run merge "$work/m" -o "$work/m"
check "onto itself" 'is 2' 'err "expected another folder"'
run merge "$work/m.gguf" -o "$work/m.gguf"
check "a GGUF file onto itself" 'is 1' 'err "than one that is read"'
run merge tests/golden/seqcls -o "$work/x.gguf"
check "a head that GGUF has not" 'is 1' 'err "the head '"'sequence'"'"' '[ ! -e "$work/x.gguf" ]'
lora=tests/golden/train-lora
run merge $lora --lora $lora/none -o "$work/x"
check "an adapter that is not there" 'is 1' 'err "none"' '[ ! -e "$work/x" ]'
run merge $tiny --lora $lora/adapter-lora-10 -o "$work/x"
check "an adapter of another model" 'is 1' '[ ! -e "$work/x" ]'
check "nothing was left over" '[ "$(ls -a "$work" | grep -c partial)" = 0 ]'

# ---- Other programs ------------------------------------------------------------------------------------------------
peer "transformers loads the folder" load "$work/m"
peer "transformers loads the folder of the GGUF file" load "$work/n"
smollm2=${QWENMESH_SMOLLM2:-models/SmolLM2-135M-Instruct.Q4_1.gguf}
if [ -f "$smollm2" ]; then
    run merge "$smollm2" -o "$work/s" --save-dtype f16
    check "the real model as a folder" 'is 0'
    peer "transformers gives the ids of its texts" files "$work/s" tests/golden/tokenizer/smollm2.jsonl
    run merge "$work/s" -o "$work/s.gguf"
    echo '{"ids":[504,3575,282,4649,314],"max_new_tokens":24}' >"$work/in"
    run generate -m "$work/s.gguf" --in "$work/in" --out "$work/got" --temp 0 --act f32 --ignore-eos
    check "the real model as a GGUF file" 'is 0'
    sed 's/{/{"prompt":[504,3575,282,4649,314],/' "$work/got" >"$work/want"
    peer "llama.cpp gives the ids of ours" llama "$work/s.gguf" "$work/want"
    "$QWENMESH" merge "$smollm2" -o "$work/stopped" --save-dtype f32 >"$work/out" 2>"$work/err" &
    pid=$!
    until ls -d "$work"/stopped.*.partial >/dev/null 2>&1 || ! kill -0 $pid 2>/dev/null; do sleep 0.01; done
    kill -INT $pid
    wait $pid
    status=$?
    check "an interrupt leaves nothing" 'is 130' 'err interrupted' '[ -z "$(ls -d "$work"/stopped* 2>/dev/null)" ]'
else
    skip "the real model" "no file $smollm2"
fi
finish
