#!/bin/sh
# test_pack.sh: `pack`, and every command on a packed file: the answers, counts and bits of the model it came from.
set -u
. tests/tap.sh
tiny=tests/golden/tiny
sha() { sed -n 's/^logits sha256: //p' "$work/err"; }

run pack $tiny -o "$work/tiny.qm"
check "pack says what became of each kind of matrix" 'is 0' 'out "down_proj"' 'out "exact"' 'out "$work/tiny.qm: "'
check "the file is there, readable by all, and nothing else is" '[ "$(ls "$work" | grep -c qm)" = 1 ]' \
    '[ "$(stat -c %a "$work/tiny.qm")" = "$(printf %o $((0666 & ~$(umask))))" ]'
run pack --verify "$work/tiny.qm"
check "its digests are right" 'is 0' 'out "every section has its SHA-256"'
cp "$work/tiny.qm" "$work/damaged.qm"
printf 'x' | dd of="$work/damaged.qm" bs=1 seek=$(($(stat -c %s "$work/tiny.qm") - 9)) conv=notrunc 2>/dev/null
run pack --verify "$work/damaged.qm"
check "a changed byte is found" 'is 1' 'err "is damaged"'
run pack $tiny --weights 8bit -o "$work/8bit.qm"
check "quantising says with what error" 'is 0' 'out "q8g"' 'no_out "exact"'

for weights in file 8bit; do
    for mesh in 1x1 2x4 8x4; do
        file=$work/$weights.qm
        [ $weights = file ] && file=$work/tiny.qm
        run forward -m $tiny --weights $weights --mesh $mesh --in $tiny/golden.safetensors --out "$work/a.safetensors"
        check "forward of the model, $weights, $mesh" 'is 0'
        run forward -m "$file" --mesh $mesh --in $tiny/golden.safetensors --out "$work/b.safetensors"
        check "the packed file has the same bits, $weights, $mesh" 'is 0' 'cmp "$work/a.safetensors" "$work/b.safetensors"'
    done
done
run pack $tiny --weights bf16 -o "$work/bf16.qm"
run forward -m $tiny --weights bf16 --act bf16 --mesh 2x4 --in $tiny/golden.safetensors --out "$work/a.safetensors"
run forward -m "$work/bf16.qm" --act bf16 --in $tiny/golden.safetensors --out "$work/b.safetensors"
check "activations in bf16: the packed file has the same bits" 'is 0' 'cmp "$work/a.safetensors" "$work/b.safetensors"'
run forward -m "$work/bf16.qm" --in $tiny/golden.safetensors --out "$work/c.safetensors"
check "and other ones than with activations in f32" 'is 0' '! cmp -s "$work/b.safetensors" "$work/c.safetensors"'
mv "$work/tiny.qm" "$work/no-name"
run plan "$work/no-name" --mesh 2x4
check "plan takes a packed file, whatever its name" 'is 0' 'out "all_reduce"'
run bench -m "$work/no-name" -p 8 -n 4 -r 1
check "bench takes a packed file" 'is 0' 'out "pp8"'
run export "$work/no-name" --mesh 2x4 -o "$work/programs" --ctx 64 --rows 8
check "export takes a packed file" 'is 0'
run tokenize -m "$work/no-name" hello
check "a model without a tokenizer still has none" 'is 1' 'err "tokenizer.json"'
run forward -m "$work/no-name" --weights 4bit --in $tiny/golden.safetensors --out "$work/c.safetensors"
check "other weights than the file's are refused" 'is 1' 'err "packed as file: --weights 4bit needs the model"'
run forward -m "$work/no-name" --backend pjrt --in $tiny/golden.safetensors --out "$work/c.safetensors"
check "a PJRT device is refused" 'is 1' 'err "needs the model it was packed from"'
head -c 5000 "$work/no-name" >"$work/cut"
run forward -m "$work/cut" --in $tiny/golden.safetensors --out "$work/c.safetensors"
check "a file that is cut short is refused" 'is 1' 'err "cut short or damaged"'

run pack $tiny -o "$work/full.qm"
bytes=$(stat -c %s "$work/full.qm")
rm "$work/full.qm"
status=0
(ulimit -f $((bytes / 1024 - 1)) && exec "$QWENMESH" pack $tiny -o "$work/full.qm") >"$work/out" 2>"$work/err" || status=$?
check "where the file does not fit, nothing is left" 'is 1' 'err "cannot write"' '[ -z "$(ls "$work" | grep full)" ]'
mkdir "$work/sealed"
run pack $tiny -o "$work/sealed"
check "a folder is not written over" 'is 1' 'err "expected a file, got a folder"'
run pack $tiny -o /dev/null
check "a device is not written over" 'is 1' 'err "is no packed file"' '[ -c /dev/null ]'
run pack "$work/no-name" -o "$work/again.qm"
check "a packed file is not packed again" 'is 1' 'err "packed file already"'
run pack $tiny -o "$work/x" --weights 3bit
check "weights that do not exist" 'is 2' 'err "expected file, bf16, 8bit or 4bit"'
run pack $tiny
check "pack needs a name" 'is 2' 'err "expected MODEL and -o FILE"'
run pack $tiny -o "$work/x" --verify
check "pack or verify" 'is 2'

model=${QWENMESH_SMOLLM2:-models/SmolLM2-135M-Instruct.Q4_1.gguf}
if [ -f "$model" ]; then
    say="run --chat --temp 0 -n 8 --stats"
    run pack "$model" -o "$work/smol.qm"
    check "a real GGUF model is packed" 'is 0'
    run $say -m "$model" -p "Why is the sky blue?"
    answer=$(cat "$work/out") bits=$(sha)
    run $say -m "$work/smol.qm" -p "Why is the sky blue?"
    check "the same answer in the same bits: tokenizer, template and ends are in the file" 'is 0' \
        '[ "$answer" = "$(cat "$work/out")" ]' '[ -n "$bits" ] && [ "$bits" = "$(sha)" ]'
    run $say -m "$work/smol.qm" --mesh 8x4 -p "Why is the sky blue?"
    check "on 8x4 too" 'is 0' '[ "$bits" = "$(sha)" ]'
    echo '{"prompt": "The capital of France is", "max_new_tokens": 4}' >"$work/requests"
    run generate -m "$model" --in "$work/requests" --out "$work/a.jsonl"
    check "generate answers from the model" 'is 0'
    run generate -m "$work/smol.qm" --in "$work/requests" --out "$work/b.jsonl"
    check "generate answers the same from the packed file" 'is 0' 'cmp "$work/a.jsonl" "$work/b.jsonl"'
else
    skip "a real model" "no $model"
fi

# A folder with a tokenizer: its files are in the packed file.
mkdir "$work/folder"
cp $tiny/* "$work/folder"
cp tests/data/qwen2.5/tokenizer.json tests/data/qwen2.5/tokenizer_config.json "$work/folder"
run pack "$work/folder" -o "$work/folder.qm"
run tokenize -m "$work/folder" "Hello, wörld"
cp "$work/out" "$work/expected"
run tokenize -m "$work/folder.qm" "Hello, wörld"
check "a folder's tokenizer is in its packed file" 'is 0' 'cmp "$work/out" "$work/expected"'
finish
