#!/bin/sh
# test_requests.sh: one bad token, request or limit never ends the others: logits that are no numbers, a full context,
# lengths below the prompt, unknown members; seeds do not go by the line; what eval takes from generation_config.json.
set -u
. tests/tap.sh
model=$work/model
mkdir "$model"
cp tests/golden/tiny/* "$model" && chmod -R u+w "$model"
cp tests/data/bytes/tokenizer.json "$model"
echo '{"eos_token_id": 511}' >"$model/generation_config.json"
nan=$work/nan inf=$work/inf broken=$work/broken
cp -r "$model" "$nan" && cp -r "$model" "$inf" && cp -r "$model" "$broken"
# The embedding of id 9 is NaN; a column of the head for id 40 is infinite, or NaN.
printf '\377\377\377\177' | dd of="$nan/model-00001-of-00006.safetensors" bs=1 seek=$((336 + 9 * 256)) conv=notrunc 2>/dev/null
printf '\000\000\200\177' | dd of="$inf/model-00006-of-00006.safetensors" bs=1 seek=$((120 + 40 * 256)) conv=notrunc 2>/dev/null
printf '\377\377\377\177' | dd of="$broken/model-00006-of-00006.safetensors" bs=1 seek=$((120 + 40 * 256)) conv=notrunc 2>/dev/null

cat >"$work/req.jsonl" <<'END'
{"ids":[5,6],"max_new_tokens":3}
{"ids":[5,9],"max_new_tokens":3}
{"ids":[5,9],"max_new_tokens":3,"do_sample":true,"logprobs":1}
{"ids":[5,9],"max_new_tokens":3,"num_beams":2,"num_return_sequences":2}
{"ids":[5,9],"max_new_tokens":3,"penalty_alpha":0.5,"top_k":3}
{"ids":[5,9],"max_new_tokens":3,"do_sample":true,"num_return_sequences":2}
{"ids":[5,9],"max_new_tokens":3,"prompt_lookup_num_tokens":2}
{"ids":[6,7],"max_new_tokens":3}
END
run generate -m "$nan" --in "$work/req.jsonl" --out "$work/res" -c 64
check "NaN: six requests fail with what and where, the others are answered, exit status 1" 'is 1' 'err "6 of 8 requests failed"' \
    'err "line 2"' '[ "$(wc -l <"$work/res")" = 8 ]' \
    '[ "$(grep -c "\"finish_reason\":\"invalid_logits\".*\"error\":\"the logits for new token 1, at position 2, are not numbers" "$work/res")" = 6 ]' \
    'sed -n 8p "$work/res" | grep -q "\"finish_reason\":\"length\""'
printf '{"ids":[5,6],"max_new_tokens":3}\n{"ids":[6,7],"max_new_tokens":3}\n' >"$work/good.jsonl"
run generate -m "$model" --in "$work/good.jsonl" --out "$work/good" -c 64
check "NaN: the answers beside them are what they are without" 'is 0' '[ "$(sed -n "1p;8p" "$work/res")" = "$(cat "$work/good")" ]'
run generate -m "$inf" --in "$work/good.jsonl" --out "$work/res" -c 64 --mesh 1x3
check "an infinite logit is seen by greedy choices too" 'is 1' 'err "2 of 2 requests failed"'
run run -m "$inf" -p ab -n 3
check "run: names the step, exit status 1" 'is 1' 'err "the logits for new token" ' 'err "are not numbers"' 'no_err "unknown"'
printf 'ab ab ab ab\n' >"$work/text"
run eval perplexity -m "$inf" -f "$work/text"
check "eval perplexity: an error that names the token" 'is 1' 'err "the logits after token"' 'err "are not numbers"'
printf '{"context":"a","choices":["b","c"],"gold":0}\n' >"$work/choice"
run eval choice -m "$inf" --in "$work/choice"
check "eval choice: likewise" 'is 1' 'err "are not numbers"'
run eval gsm8k -m "$inf" --data tests/data/gsm8k --limit 1 --shots 0 -n 3
check "eval gsm8k: names the question" 'is 1' 'err "question 0: the logits for new token"'
printf 'x\n' >"$work/in"
status=0
"$QWENMESH" chat -m "$inf" --chat-template chatml <"$work/in" >"$work/out" 2>"$work/err" || status=$?
check "chat from a pipe: a turn that fails says why, exit status 1 at the end" 'is 1' 'err "are not numbers"'
run forward -m "$broken" --in tests/golden/tiny/golden.safetensors --out "$work/x.safetensors"
check "forward: names row and position; what was computed is there" 'is 1' \
    'err "the logits of row 0, position 0 are not numbers"' '[ -s "$work/x.safetensors" ]' 'no_out loss'
run forward -m "$model" --in tests/golden/tiny/golden.safetensors --out "$work/x.safetensors"
check "forward: padding is no such row" 'is 0' 'no_err "not numbers"'
for test in "-p 4 -n 0" "-p 0 -n 2"; do
    # shellcheck disable=SC2086 # words
    run bench -m "$broken" $test -r 1
    check "bench $test: says that nothing was computed" 'is 1' 'err "the logits are not numbers"'
done

# ---- Texts with a NUL, numbers beyond 64 bits
for request in '"early_stopping":"never\u0000x","num_beams":2' '"response_format":"text\u0000x"' '"stop":[1e999]' \
    '"grammar":1e999' '"response_format":{"type":"text\u0000x"}'; do
    printf '{"prompt":"a","max_new_tokens":2,%s}\n' "$request" >"$work/one.jsonl"
    run generate -m "$model" --in "$work/one.jsonl" --out "$work/res"
    check "a request with $request: is refused, its line named once" 'is 1' '[ "$(grep -o "one.jsonl" "$work/err" | wc -l)" = 1 ]'
done
for choice in '"b\u0000c"' 1e999 '""'; do
    printf '{"context":"a","choices":["b",%s],"gold":0}\n' "$choice" >"$work/choice"
    run eval choice -m "$model" --in "$work/choice"
    check "eval choice: a choice $choice is refused" 'is 1' 'err "choice line 1: choices[1]: expected a text"'
done
wide='"id":[18446744073709551616,-123456789012345678901234567890,"number 5",1e999]'
printf '{"context":"a","choices":["b","c"],"gold":0,%s}\n' "$wide" >"$work/choice"
run eval choice -m "$model" --in "$work/choice" -o "$work/scored"
check "eval choice: numbers beyond 64 bits come out as they came in" 'is 0' 'no_err memory' 'grep -qF -e "$wide" "$work/scored"'
printf '{"messages":[{"role":"user","content":"x"}],"tools":[{"maximum":18446744073709551616}],"max_new_tokens":2}\n' >"$work/one.jsonl"
run generate -m "$model" --chat-template qwen2.5 --in "$work/one.jsonl" --out "$work/res"
check "tools with a number beyond 64 bits" 'is 0' 'no_err memory'

# ---- Variables of a chat template: of the command, of one request, whose own count; run, generate and eval see the same
printf '%s' '{{ messages[0].content * 1 }}{{ x * "y" }}{{ (documents or [])|length }}' >"$work/x.jinja"
printf '%s\n' '{"messages":[{"role":"user","content":"a"}],"max_new_tokens":1}' '{"prompt":"ayyy0","max_new_tokens":1}' \
    '{"messages":[{"role":"user","content":"a"}],"variables":{"x":5},"documents":[1],"max_new_tokens":1}' \
    '{"prompt":"ayyyyy1","max_new_tokens":1}' >"$work/req.jsonl"
run generate -m "$model" --chat-template "$work/x.jinja" --template-arg x=3 --in "$work/req.jsonl" --out - -c 64
check "variables of a chat template: the command's, and a request's own" 'is 0' '[ "$(wc -l <"$work/out")" = 4 ]' \
    '[ "$(sed -n 1p "$work/out")" = "$(sed -n 2p "$work/out")" ]' '[ "$(sed -n 3p "$work/out")" = "$(sed -n 4p "$work/out")" ]'
run run -m "$model" --chat --chat-template "$work/x.jinja" --template-arg x=3 -p a -n 1 --stats
check "run: a variable of the chat template" 'is 0' 'err "prefill: 5 tokens"'
status=0
printf 'a\n/stats\n' | "$QWENMESH" chat -m "$model" --chat-template "$work/x.jinja" --template-arg x=7 -n 1 >"$work/out" 2>"$work/err" || status=$?
check "chat: a variable of the chat template" 'is 0' 'err "last prompt: 9 tokens"'
run run -m "$model" --chat --chat-template "$work/x.jinja" -p a -n 1
check "run: an error in a template, with its line" 'is 1' 'err "chat template, line 1"'

# ---- Temperatures whose quotients leave f32
printf '{"prompt":"a","max_new_tokens":3}\n' >"$work/one.jsonl"
run generate -m "$model" --in "$work/one.jsonl" --out "$work/res"
printf '{"prompt":"a","max_new_tokens":3,"do_sample":true,"temperature":1e-30}\n' >"$work/one.jsonl"
run generate -m "$model" --in "$work/one.jsonl" --out "$work/cold"
check "the least temperature is as good as greedy" 'is 0' 'cmp "$work/res" "$work/cold"'
printf '{"prompt":"a","max_new_tokens":3,"do_sample":true,"temperature":1e-45}\n' >"$work/one.jsonl"
run generate -m "$model" --in "$work/one.jsonl" --out "$work/res"
check "one below is refused" 'is 1' 'err "temperature: expected 0, which is greedy, or at least 1e-30"'
run eval gsm8k -m "$model" --data tests/data/gsm8k --limit 1 --shots 0 -n 1 --temp 1e-45
check "eval: likewise" 'is 1' 'err "temperature: expected 0"'

# ---- Many requests with one schema: it is kept once, and what reads by it only for those that run
schema='{"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"string","format":"date-time"}},"required":["a","b"]}'
seq 1000 | sed "s/.*/{\"prompt\":\"a\",\"max_new_tokens\":1,\"json_schema\":$schema}/" >"$work/many.jsonl"
case $QWENMESH in
*/asan/*) skip "a thousand requests with one schema take little memory" "the sanitizer needs more than the test leaves" ;;
*)
    status=0
    (ulimit -v 120000 && exec "$QWENMESH" generate -m "$model" --in "$work/many.jsonl" --out "$work/res" -c 64 --slots 1 --threads 1) \
        >"$work/out" 2>"$work/err" || status=$?
    check "a thousand requests with one schema take little memory" 'is 0' '[ "$(wc -l <"$work/res")" = 1000 ]'
    ;;
esac
{
    for type in integer boolean integer null; do
        printf '{"prompt":"a","max_new_tokens":5,"num_beams":2,"json_schema":{"type":"%s"}}\n' $type
        printf '{"prompt":"a","max_new_tokens":5,"response_format":{"type":"json_schema","schema":{"type":"%s"}}}\n' $type
    done
    printf '{"prompt":"a","max_new_tokens":5,"regex":"b+"}\n{"prompt":"a","max_new_tokens":5}\n'
} >"$work/mixed.jsonl"
run generate -m "$model" --in "$work/mixed.jsonl" --out "$work/res"
while read -r line; do
    echo "$line" >"$work/one.jsonl"
    "$QWENMESH" generate -m "$model" --in "$work/one.jsonl" --out -
done <"$work/mixed.jsonl" >"$work/alone" 2>"$work/err"
check "schemas that change from request to request: each has its own" 'is 0' 'cmp "$work/res" "$work/alone"' \
    'sed -n 9p "$work/res" | grep -q "\"text\":\"b"' '! sed -n 10p "$work/res" | grep -q "\"text\":\"b"'

# ---- Full contexts and lengths
run run -m "$model" -p abcd -c 16 -n 100 --ignore-eos
check "run: a full context ends the answer" 'is 0' 'no_err error'
run run -m "$model" -p abcd -c 16 -n 100 --ignore-eos --lookup 3
cp "$work/out" "$work/lookup"
run run -m "$model" -p abcd -c 16 -n 100 --ignore-eos
check "run: the same text with lookup" 'is 0' 'cmp "$work/out" "$work/lookup"'
cat >"$work/req.jsonl" <<'END'
{"prompt":"abcd","max_new_tokens":100}
{"prompt":"abcd","max_new_tokens":100,"do_sample":true,"seed":3}
{"prompt":"abcd","max_new_tokens":100,"num_beams":2}
{"prompt":"abcd","max_new_tokens":100,"prompt_lookup_num_tokens":2}
{"prompt":"abcd","max_new_tokens":100,"penalty_alpha":0.5,"top_k":3}
{"prompt":"abcd","max_length":2}
{"prompt":"abcd","max_length":2,"num_beams":2}
{"prompt":"abcd","max_length":2,"do_sample":true,"num_return_sequences":2}
{"prompt":"abcdabcdabcdabcd","max_new_tokens":4}
END
sed -i 's/}$/,"eos_token_id":null}/' "$work/req.jsonl"
run generate -m "$model" --in "$work/req.jsonl" --out - -c 16
check "generate: length, in every way to search, also where max_length is below the prompt" 'is 0' \
    '[ "$(grep -c "\"finish_reason\":\"length\"" "$work/out")" = 9 ]' '[ "$(grep -c "\"ids\":\[\],\"text\":\"\"" "$work/out")" = 3 ]'

# ---- Small stacks, as threads of other programs have them
cat >"$work/req.jsonl" <<'END'
{"ids":[5,6,7],"max_new_tokens":3,"num_beams":2}
{"ids":[5,6,7],"max_new_tokens":3,"penalty_alpha":0.5,"top_k":3}
{"ids":[5,6,7],"max_new_tokens":3,"do_sample":true,"top_p":0.9,"num_return_sequences":2}
{"ids":[5,6,7,5,6],"max_new_tokens":3,"prompt_lookup_num_tokens":3}
{"ids":[5,6,7],"max_new_tokens":3,"do_sample":true,"top_p":0.9}
END
case $QWENMESH in
*/asan/*) skip "every way to search runs in 256 KiB of stack" "the sanitizer's frames are larger" ;;
*)
    run generate -m "$model" --in "$work/req.jsonl" --out "$work/res" -c 64
    (ulimit -s 256 && exec "$QWENMESH" generate -m "$model" --in "$work/req.jsonl" --out "$work/small" -c 64) || true
    check "every way to search runs in 256 KiB of stack" 'is 0' 'cmp "$work/res" "$work/small"'
    ;;
esac

# ---- Seeds
printf '{"prompt":"abcd","max_new_tokens":8,"do_sample":true%s}\n' '' ',"seed":5' ',"seed":5' '' >"$work/req.jsonl"
run generate -m "$model" --in "$work/req.jsonl" --out - -c 64
check "draws: by the request's seed wherever it stands, apart without one" 'is 0' \
    '[ "$(sed -n 2p "$work/out")" = "$(sed -n 3p "$work/out")" ]' '[ "$(sed -n 1p "$work/out")" != "$(sed -n 4p "$work/out")" ]'

# ---- A file with a bad line is refused as a whole, by the line
for bad in '{"ids":[1],"max_new_token":3}' '{"ids":[1],"top_p":7}' '{"ids":[1],"response_format":"yaml"}' '[1]' '{"ids":[1]' \
    '{"ids":[1],"guidance_scale":2}' '{"ids":[]}' '{"ids":[700]}' '{"max_new_tokens":3}' '{"prompt":"a","tools":[]}' '{"prompt":"a","variables":{}}'; do
    printf '{"ids":[1]}\n\n%s\n' "$bad" >"$work/req.jsonl"
    rm -f "$work/res"
    run generate -m "$model" --in "$work/req.jsonl" --out "$work/res" -c 64
    check "refused before any work: $bad" 'is 1' 'err "req.jsonl line 3"' '[ ! -s "$work/res" ]' \
        '[ "$(grep -o "line 3" "$work/err" | wc -l)" = 1 ]'
done
printf '{"ids":[1],"temperature":50.0,"max_new_tokens":1}\n' >"$work/req.jsonl"
run generate -m "$model" --in "$work/req.jsonl" --out - -c 64
check "a temperature without do_sample is warned of" 'is 0' 'err "\"temperature\" changes nothing"'
for idle in '"early_stopping":"never"' '"early_stopping":true' '"length_penalty":2.0' '"diversity_penalty":0.5'; do
    printf '{"ids":[1],%s,"max_new_tokens":1}\n' "$idle"
done >"$work/req.jsonl"
printf '{"ids":[1],"max_new_tokens":1,%s}\n' '"temperature":0,"top_p":0.5' '"length_penalty":1.0,"early_stopping":false,"diversity_penalty":0' >>"$work/req.jsonl"
run generate -m "$model" --in "$work/req.jsonl" --out - -c 64
check "what only beams use is warned of, and nothing that is off" 'is 0' 'err "\"length_penalty\" changes nothing without \"num_beams\""' \
    '[ "$(grep -c "line [12]: .*\"early_stopping\" changes nothing" "$work/err")" = 2 ]' 'grep -q "line 4: .*diversity_penalty" "$work/err"' \
    '[ "$(grep -c "changes nothing" "$work/err")" = 4 ]'
run run -m "$model" -p "abcdefgh abcdefgh abcdefgh" -c 2 -n 4
check "a prompt longer than the context: what helps" 'is 1' 'err "the context 2: --ctx N"'
echo "version https://git-lfs.github.com/spec/v1" >"$model/chat_template.jinja"
run run -m "$model" --chat -p x -n 1
check "a chat template that was not brought is called so" 'is 1' 'err "chat_template.jinja is a Git LFS pointer"'
mv "$model/chat_template.jinja" "$work/pointer"
for command in "run -p x --grammar" "run -f" "run -p x --json-schema" "eval perplexity -f" "eval compare --act-b bf16 -f" "generate --out - --in" \
    "eval choice --in"; do
    # shellcheck disable=SC2086 # words
    run $command "$work/pointer" -m "$model"
    check "$command: a pointer of Git LFS is called so, once" 'is 1' '[ "$(grep -c "$work/pointer.* is a Git LFS pointer" "$work/err")" = 1 ]' \
        '[ "$(grep -o "pointer" "$work/err" | wc -l)" = 2 ]'
done
run grammar --gbnf "$work/pointer"
check "grammar: likewise" 'is 1' 'err "is a Git LFS pointer"'
for command in "--grammar" "--json-schema"; do
    run run -m "$model" -p x $command "$model"
    check "run $command FOLDER: named once" 'is 1' 'err "got a folder"' '[ "$(grep -o "$model" "$work/err" | wc -l)" = 1 ]'
done
for command in run "run -p -" "chat --chat-template chatml" "generate --in - --out -"; do
    status=0
    # shellcheck disable=SC2086 # words
    "$QWENMESH" $command -m "$model" -n 2 <&- >"$work/out" 2>"$work/err" || status=$?
    check "$command: a closed standard input is called so" 'is 1' 'err "cannot read standard input: it is closed"'
done

# ---- Chat
printf '/set temprature 2\n/set guidance_scale 3\nabcdefgh\nabcdefgh\n/clear\na\n' >"$work/in"
"$QWENMESH" chat -m "$model" --chat-template chatml -c 48 -n 100 <"$work/in" >"$work/out" 2>"$work/err"
status=$?
if grep -q "chat-template" "$work/err"; then
    skip "chat: unknown names of /set; a full context says what helps" "this build chooses no template"
else
    check "chat: unknown names of /set; a full context says what helps" 'is 1' 'err "did you mean \"temperature\""' \
        'err "\"guidance_scale\" is not supported"' 'err "/clear"'
fi

chat() { # LINES: a chat of them from a pipe
    status=0
    printf "$1" | "$QWENMESH" chat -m "$model" --chat-template chatml -n 4 --temp 0 >"$work/out" 2>"$work/err" || status=$?
}
chat '/set num_beams 4\nhi\n'
check "chat: what it does not do is not set, and the talk goes on" 'is 1' 'err "num_beams, num_return_sequences, best_of"' '[ -s "$work/out" ]'
chat '/set max_new_tokens 0\nhi\n'
check "chat: no new tokens" 'is 1' 'err "max_new_tokens is 0"'
for line in /regen /quitx "/clear x" /save; do
    chat "$line\nhi\n"
    check "chat from a pipe: $line could not be done, exit status 1" 'is 1' '[ -s "$work/out" ]'
done
chat 'hi\n/regen\n/stats\n/clear\n/set top_k 3\n/quit\n'
check "chat from a pipe: all could be done" 'is 0'
echo '{"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 0.5, "eos_token_id": 511}' >"$model/generation_config.json"
chat 'hi\n/set top_k 3\n'
check "chat: a search that the model asks for is left out, and that is said" 'is 0' 'err "the search of generation_config.json is left out"'

# ---- What lm-eval leaves to the model
echo '{"eos_token_id": 511, "repetition_penalty": 1.7, "top_k": 3}' >"$model/generation_config.json"
for protocol in lm-eval openai; do
    run eval gsm8k -m "$model" --data tests/data/gsm8k --limit 2 --shots 0 -n 12 --protocol $protocol -o "$work/$protocol.jsonl"
    cp "$work/out" "$work/$protocol.out"
done
check "eval gsm8k: lm-eval keeps the model's repetition_penalty, and says so" 'is 0' \
    'grep -q "^generation: .*repetition_penalty 1.7" "$work/lm-eval.out"' \
    'head -1 "$work/lm-eval.jsonl" | grep -q "\"generation\":\"[^\"]*repetition_penalty 1.7"' \
    'grep -q "^generation: .*repetition_penalty 1," "$work/openai.out"'
run eval gsm8k -m "$model" --data tests/data/gsm8k --limit 2 --shots 0 -n 12 --repeat-penalty 1 -o "$work/off.jsonl"
check "eval gsm8k: --repeat-penalty; the answers differ by it" 'is 0' 'out "repetition_penalty 1,"' \
    '[ "$(grep -o "\"output\":\"[^\"]*\"" "$work/off.jsonl")" != "$(grep -o "\"output\":\"[^\"]*\"" "$work/lm-eval.jsonl")" ]'
finish
