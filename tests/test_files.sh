#!/bin/sh
# test_files.sh: files that a command reads and writes: none is destroyed, mixed, half there or taken for another;
# input that cannot be read is an error and not the end.
set -u
. tests/tap.sh
tiny=tests/golden/tiny
q=$(realpath "$QWENMESH")
rows() { wc -l <"$1"; }
left() { find "$work" -name '*.partial' | grep -q .; } # temporaries
tok=$work/tok # the same with a tokenizer
mkdir "$tok"
cp $tiny/* "$tok" && chmod -R u+w "$tok"
cp tests/data/bytes/tokenizer.json "$tok"
is_asan() { case $QWENMESH in */asan/*) true ;; *) false ;; esac; }

# ---- Onto itself, by any spelling
scored='{"run":{"model":"m"}}
{"index":0,"gold":"#### 4","output":"#### 4"}'
printf '%s\n' "$scored" >"$work/r.jsonl"
cp "$work/r.jsonl" "$work/keep"
ln -s r.jsonl "$work/link.jsonl"
ln "$work/r.jsonl" "$work/hard.jsonl"
for out in "$work/r.jsonl" "$work/./r.jsonl" "$work/link.jsonl" "$work/hard.jsonl"; do
    run eval gsm8k --rescore "$work/r.jsonl" -o "$out"
    check "--rescore onto itself as ${out##*/}" 'is 1' 'err "expected another file"' 'cmp "$work/r.jsonl" "$work/keep"'
done
run eval gsm8k --rescore "$work/r.jsonl" -o "$work/new.jsonl" --html "$work/new.jsonl"
check "--html over the results" 'is 1' 'err "expected another file"' '[ "$(rows "$work/new.jsonl")" = 2 ]'
run eval gsm8k --rescore "$work/link.jsonl" -o "$work/new.jsonl"
check "--rescore into another file" 'is 0' 'grep -q "\"correct\": *[{t]" "$work/new.jsonl"'
echo '{"ids":[5,6,7],"max_new_tokens":4}' >"$work/req.jsonl"
cp "$work/req.jsonl" "$work/keep"
ln -s req.jsonl "$work/alias"
run generate -m $tiny --in "$work/req.jsonl" --out "$work/alias"
check "generate onto its requests" 'is 1' 'err "expected another file"' 'cmp "$work/req.jsonl" "$work/keep"'
status=0
"$q" generate -m $tiny --in - --out "$work/req.jsonl" <"$work/req.jsonl" >"$work/out" 2>"$work/err" || status=$?
check "generate onto its standard input" 'is 1' 'err "expected another file"' 'cmp "$work/req.jsonl" "$work/keep"'
run eval choice -m $tiny --in "$work/req.jsonl" -o "$work/./req.jsonl"
check "eval choice onto its questions" 'is 1' 'err "expected another file"' 'cmp "$work/req.jsonl" "$work/keep"'
cp $tiny/golden.safetensors "$work/in.safetensors"
run forward -m $tiny --in "$work/in.safetensors" --out "$work/./in.safetensors"
check "forward onto its input" 'is 1' 'err "expected another file"' 'cmp "$work/in.safetensors" $tiny/golden.safetensors'
cp -r $tiny "$work/model" && chmod -R u+w "$work/model"
for part in model-00002-of-00006.safetensors config.json model.safetensors.index.json; do
    run generate -m "$work/model" --in "$work/req.jsonl" --out "$work/model/$part"
    check "generate over the model's $part" 'is 1' 'err "one that is read"' 'cmp "$work/model/$part" "$tiny/$part"'
done
run plan "$work/model" --svg "$work/model/config.json"
check "plan: a picture over the configuration" 'is 1' 'cmp "$work/model/config.json" $tiny/config.json'

# ---- Results of eval
printf 'a note without an end' >"$work/note"
gsm="eval gsm8k -m $tok --data tests/data/gsm8k --limit 2 --shots 0 -n 3"
run $gsm -o "$work/note" --resume
check "--resume into a file that is something else" 'is 1' 'err "expected the header of a run"' \
    '[ "$(cat "$work/note")" = "a note without an end" ]'
run $gsm -o "$work/one.jsonl"
check "eval gsm8k" 'is 0' '[ "$(rows "$work/one.jsonl")" = 3 ]'
status=0
flock "$work/one.jsonl" "$q" $gsm -o "$work/one.jsonl" --resume >"$work/out" 2>"$work/err" || status=$?
check "two runs into one file of results" 'is 1' 'err "another run writes it"'
head -c 30 "$work/one.jsonl" >"$work/torn.jsonl"
run $gsm -o "$work/torn.jsonl" --resume
check "--resume where not even the header was whole" 'is 0' 'cmp "$work/torn.jsonl" "$work/one.jsonl"'
status=0
"$q" $gsm -o "$work/closed.jsonl" >&- 2>"$work/err" || status=$?
: >"$work/out"
check "a closed standard output is no file of results" 'is 1' 'err "standard output"' \
    'cmp "$work/closed.jsonl" "$work/one.jsonl"'

# ---- Input that cannot be read
for command in "generate -m $tiny --out $work/o --in" "eval choice -m $tok -o $work/o --in" \
    "eval gsm8k -o $work/o --rescore"; do
    run $command "$work"
    check "${command%% -*}: a folder as input" 'is 1' 'err "folder"' '[ ! -e "$work/o" ]'
    run $command /dev/zero
    check "${command%% -*}: a line without an end" 'is 1' 'err "too long"' '[ ! -e "$work/o" ]'
done
status=0
"$q" tokenize -m tests/data/qwen2.5 --jsonl <"$work" >"$work/out" 2>"$work/err" || status=$?
check "tokenize --jsonl: a folder as input" 'is 1' 'err "folder"'
status=0
"$q" tokenize -m tests/data/qwen2.5 <&- >"$work/out" 2>"$work/err" || status=$?
check "tokenize: closed input" 'is 1' 'err "standard input"'
for input in "$work" /dev/zero; do
    status=0
    "$q" chat -m "$tok" --chat-template chatml <"$input" >"$work/out" 2>"$work/err" || status=$?
    check "chat: $([ -d "$input" ] && echo a folder || echo a line without an end) as input" 'is 1' 'err folder || err "too long"'
done
status=0
{ echo '"""'; yes | head -c 70000000; } | "$q" chat -m "$tok" --chat-template chatml >"$work/out" 2>"$work/err" || status=$?
check "chat: a message without an end" 'is 1' 'err "a message is too long"'
status=0
"$q" tokenize -m tests/data/qwen2.5 hi >&- 2>"$work/err" || status=$?
check "tokenize: closed output" 'is 1' 'err "standard output"'

# ---- Whole or not at all
echo old >"$work/o" && chmod 640 "$work/o"
printf '{"ids":[5,6,7],"max_new_tokens":4}\n{"ids":[9999]}\n' >"$work/bad.jsonl"
run generate -m $tiny --in "$work/bad.jsonl" --out "$work/o"
check "generate: a failure leaves what was there" 'is 1' '[ "$(cat "$work/o")" = old ]' '! left'
run generate -m $tiny --in "$work/req.jsonl" --out "$work/o"
check "generate: replaces it whole, with its mode" 'is 0' 'grep -q finish_reason "$work/o"' \
    '[ "$(stat -c %a "$work/o")" = 640 ]' '! left'
ln -s o "$work/o-link"
echo old >"$work/o"
run generate -m $tiny --in "$work/req.jsonl" --out "$work/o-link"
check "generate: a link stays one, and its file is written" 'is 0' '[ -L "$work/o-link" ]' 'grep -q finish_reason "$work/o"'
{ (ulimit -f 0 && exec "$q" generate -m $tiny --in "$work/req.jsonl" --out "$work/none"); echo "$?" >"$work/status"; } 2>&1 | cat >"$work/err"
status=$(cat "$work/status")
check "generate: no room" 'is 1' 'err "cannot write"' '[ ! -e "$work/none" ]' '! left'
seq 400 | sed 's/.*/{"ids":[5,6,7],"max_new_tokens":400,"eos_token_id":null}/' >"$work/long.jsonl"
begin() { # a generate of long.jsonl that has begun to write
    "$q" generate -m $tiny --in "$work/long.jsonl" --out "$work/l" --slots 1 >"$work/out" 2>"$work/err" &
    child=$!
    i=0
    while ! left && kill -0 $child 2>/dev/null && [ $i -lt 600 ]; do sleep 0.02 && i=$((i + 1)); done
}
begin
kill -KILL $child
wait $child 2>/dev/null
check "a killed writer leaves a temporary" 'left' '[ ! -e "$work/l" ]'
begin
first=$(find "$work" -name 'l.*.partial')
run generate -m $tiny --in "$work/req.jsonl" --out "$work/l"
check "the next writers remove it, and leave a living one's alone" 'is 0' '[ "$(echo "$first" | wc -l)" -ge 1 ]' \
    '[ "$(find "$work" -name "l.*.partial" | wc -l)" = 1 ]' '[ "$(rows "$work/l")" = 1 ]'
kill -TERM $child
wait $child 2>/dev/null
check "a terminated writer removes its own" '! left' '[ "$(rows "$work/l")" = 1 ]'
for n in 1 2; do "$q" forward -m $tiny --in $tiny/golden.safetensors --out "$work/both" --hidden 2>"$work/err$n" & done
wait
run forward -m $tiny --in $tiny/golden.safetensors --out "$work/one" --hidden
check "two writers of one file: one of the results" 'cmp "$work/both" "$work/one"' '! left'

# ---- Mapped files
if is_asan; then
    skip "mapped files that change" "the sanitizer keeps SIGBUS for itself"
else
    run pack "$tok" -o "$work/p.qm"
    cp "$work/p.qm" "$work/p"
    "$q" generate -m "$work/p.qm" --in "$work/long.jsonl" --out "$work/l" --slots 1 >"$work/out" 2>"$work/err" &
    child=$!
    i=0
    while ! left && [ $i -lt 600 ]; do sleep 0.02 && i=$((i + 1)); done
    truncate -s 8192 "$work/p.qm"
    status=0
    wait $child || status=$?
    check "a packed file cut short while in use" 'is 1' 'err "p.qm"' 'err "cut short"' '! left' \
        '[ "$(rows "$work/l")" = 1 ]'
fi
cp "$work/p" "$work/p.qm" 2>/dev/null || run pack "$tok" -o "$work/p.qm"
"$q" generate -m "$work/p.qm" --in "$work/long.jsonl" --out - --slots 1 >"$work/out" 2>"$work/err" &
child=$!
i=0
while [ ! -s "$work/out" ] && [ $i -lt 600 ]; do sleep 0.02 && i=$((i + 1)); done
touch "$work/p.qm"
kill -INT $child
wait $child
check "interrupted: what was said stands" '[ -s "$work/out" ]'
run pack $tiny -o "$work/killed.qm"
cp "$work/killed.qm" "$work/k"
touch "$work/killed.qm.77777-0123abcd.partial"
run pack $tiny -o "$work/killed.qm"
check "pack removes what a dead run left" 'is 0' '! left' 'cmp "$work/killed.qm" "$work/k"'

# ---- Code
mkdir "$work/plugins"
cp "$q" "$work/plugins/pjrt_c_api_cpu_plugin.so"
status=0
(cd "$work" && env -u QWENMESH_PLUGIN_CPU "$q" env --no-bandwidth) >"$work/out" 2>"$work/err" || status=$?
check "no plugin of the folder one stands in" 'is 0' '! grep -q "\./plugins" "$work/out" "$work/err"'
finish
