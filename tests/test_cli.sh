#!/bin/sh
# test_cli.sh: the commands of README.md, and bad input at the command line.
set -u
. tests/tap.sh
tiny=tests/golden/tiny

run plan tests/golden/heads28-4 --mesh 8x4
check "plan: 32 devices for 28 heads" 'is 0' 'out "mesh 8x4: 32 devices"' 'out "(2 per layer)"' 'out "4 devices have no heads"'
run plan tests/golden/heads28-4/config.json --mesh 2x4 --svg "$work/plan.svg" --memory 1
check "plan: from config.json alone, with a picture" 'is 0' 'out "fits"' 'grep -q "<svg" "$work/plan.svg"'
run plan $tiny
check "plan: the types of the file's weights, the first and last of every range" 'is 0' 'out "1 device ("' 'out "weights f32 (32 bits)"' \
    'grep -qE "^ +0 +0\.\.1 +0\.\.1 +4 +0\.\.191 +0\.\.511 " "$work/out"' 'out "0 devices have no heads"'
run plan $tiny --weights 4bit --cache-type f32 --ctx 100
check "plan: weights as they would be made; the vocabulary keeps 8 bits" 'is 0' 'out "weights 4bit, 8bit ("' 'out "cache f32, context 100"'
run plan tests/golden/configs/7b.json --mesh 8x4 --weights bf16 --svg "$work/7b.svg"
check "plan: the picture of the README is today's" 'is 0' 'cmp "$work/7b.svg" docs/plan-7b-8x4.svg'
run plan tests/golden/configs/7b.json --mesh 1x8 --ranks 2 --weights 4bit
check "plan: who holds what under mpirun; one block of hidden f32 per all-reduce" 'is 0' \
    'grep -qE "^ +1 +4\.\.7 +2 .* 784\.0$" "$work/out"'
run plan tests/golden/heads28-4 --mesh 0
check "a mesh of 0 is refused" 'is 2' 'err "bad mesh"'
run forward -m $tiny --in $tiny/golden.safetensors --out "$work/a.safetensors" --hidden
check "forward" 'is 0' '[ -s "$work/a.safetensors" ]'
run forward -m $tiny --in $tiny/golden.safetensors --out "$work/b.safetensors" --hidden --mesh 5x3 --rows 3
check "forward: the same file on another mesh" 'is 0' 'cmp "$work/a.safetensors" "$work/b.safetensors"'
run forward -m $tiny --in $tiny/config.json --out "$work/c.safetensors"
check "forward: an input that is no safetensors" 'is 1' 'err "error:"' '[ ! -e "$work/c.safetensors" ]'
lora=tests/golden/train-lora
run forward -m $lora --in $lora/golden.safetensors --out "$work/l.safetensors" --lora $lora/adapter-lora-0 --mesh 2x4
check "forward: with an adapter, the loss that PEFT has" 'is 0' 'out "loss 6.52332"'
for option in "$lora/adapter-lora-10" "style=$lora/adapter-dora-5:0.5"; do
    run bench -m $lora -p 8 -n 4 -r 1 --lora "$option"
    check "bench: with the adapter $option" 'is 0'
done
run bench -m $lora -p 8 -n 4 -r 1 --lora $lora/adapter-lora-10:0.5 --lora other=$lora/adapter-rslora-0
check "bench: two adapters" 'is 0'
run bench -m $lora --lora $lora/adapter-lora-10:much
check "a strength that is no number" 'is 2' 'err "expected [NAME=]DIR[:SCALE] with a number as scale"'
run bench -m $lora --lora $lora
check "a folder that is no adapter" 'is 1' 'err "is no adapter: it has no adapter_config.json"'
run bench -m $tiny --lora $lora/adapter-lora-10
check "an adapter of another model" 'is 1' 'err "wrong shape: base_model.model.model.layers.0"'
run eval compare --help
check "eval compare: an adapter beside one of two models" 'is 0' 'out "--lora-b [NAME=]DIR[:SCALE]"'
# Like run, with standard input from $work/texts.
run_on_texts() {
    status=0
    "$QWENMESH" "$@" >"$work/out" 2>"$work/err" <"$work/texts" || status=$?
}
# A number beyond 64 bits in a schema or a tool is read, and stands as it was spelled.
printf '{"type":"object","properties":{"n":{"type":"integer","maximum":18446744073709551615}},"required":["n"]}' >"$work/s.json"
printf '%s\n' '"{\"n\":18446744073709551615}"' '"{\"n\":18446744073709551616}"' '"{\"n\":1"' >"$work/texts"
run_on_texts grammar --json-schema "$work/s.json" --jsonl
check "grammar: a schema's texts, one a line" 'is 0' 'out "{\"result\": \"accepted\", \"at\": 26}"' \
    'out "{\"result\": \"refused\", \"at\": 24}"' 'out "{\"result\": \"incomplete\", \"at\": 6}"'
printf 'id-' >"$work/texts"
run_on_texts grammar --regex 'id-[0-9]+?'
check "grammar: a lazy quantifier is not optional" 'is 0' 'out "incomplete"'
printf 'root ::= "a" "b"' >"$work/g.gbnf"
printf 'ac' >"$work/texts"
run_on_texts grammar --gbnf "$work/g.gbnf"
check "grammar: where a text is refused" 'is 0' 'out "refused at 1"'
printf '{"properties":{"t":{"uniqueItems":true}}}' >"$work/s.json"
run_on_texts grammar --json-schema "$work/s.json"
check "grammar: a schema that cannot be kept, by keyword and place" 'is 1' "err \"'uniqueItems' at '#/properties/t'\""
run_on_texts grammar --json-schema "$work/s.json" --regex a
check "grammar: one notation at a time" 'is 2' 'err "expected one of"'

printf '{"ids":[5,6,7],"max_new_tokens":4,"eos_token_id":null}\n{"ids":[8,9],"max_new_tokens":3}\n' >"$work/req.jsonl"
run generate -m $tiny --in "$work/req.jsonl" --out "$work/res.jsonl" --mesh 2x4
check "generate: results in request order" 'is 0' '[ "$(wc -l <"$work/res.jsonl")" = 2 ]' 'grep -q "\"finish_reason\":" "$work/res.jsonl"'
cp "$work/res.jsonl" "$work/one.jsonl"
run generate -m $tiny --in "$work/req.jsonl" --out "$work/res.jsonl" --slots 1 --threads 1
check "generate: the same with one slot" 'is 0' 'cmp "$work/one.jsonl" "$work/res.jsonl"'
awk 'BEGIN { for (r = 0; r < 12; r++) { printf "{\"ids\":[7"; for (i = 0; i < 40; i++) printf ",%d", i * 11 % 500; printf ",%d],\"max_new_tokens\":%d,\"eos_token_id\":null}\n", r, 3 + r } }' >"$work/req.jsonl"
run generate -m $tiny --in "$work/req.jsonl" --out "$work/shared.jsonl" --mesh 2x4 --slots 5
run generate -m $tiny --in "$work/req.jsonl" --out "$work/alone.jsonl" --slots 1
check "generate: prompts that begin alike, fed once, give what each gives alone" 'is 0' '[ "$(wc -l <"$work/alone.jsonl")" = 12 ]' \
    'cmp "$work/shared.jsonl" "$work/alone.jsonl"'
printf '{"ids":[5,6,7],"max_new_tokens":5,"num_beams":3,"num_return_sequences":2}\n{"ids":[5,6,7],"max_new_tokens":4,"logprobs":2}\n' >"$work/req.jsonl"
run generate -m $tiny --in "$work/req.jsonl" --out "$work/res.jsonl" --slots 1
check "generate: beams take the slots they need; log-probabilities are told" 'is 0' \
    'head -n 1 "$work/res.jsonl" | grep -qE "^.\"sequences\":\[.*\"score\":.*\"score\":"' \
    '[ "$(tail -n 1 "$work/res.jsonl" | grep -o "\"top\":\[{" | wc -l)" = 4 ]'
printf '{"ids":[5,6,7,5,6,7,5,6],"max_new_tokens":30,"do_sample":%s,"eos_token_id":null}\n' false true >"$work/req.jsonl"
run generate -m $tiny --in "$work/req.jsonl" --out "$work/alone.jsonl"
run generate -m $tiny --in "$work/req.jsonl" --out "$work/lookup.jsonl" --lookup 5 --mesh 2x4
run generate -m $tiny --in "$work/req.jsonl" --out "$work/draft.jsonl" --draft-model tests/golden/sliding
check "generate: lookup and a draft model change nothing" 'is 0' 'cmp "$work/alone.jsonl" "$work/lookup.jsonl"' \
    'cmp "$work/alone.jsonl" "$work/draft.jsonl"'
run generate -m $tiny --in "$work/req.jsonl" --out "$work/draft.jsonl" --draft-model tests/golden/heads28-4
check "generate: a draft model of another vocabulary" 'is 1' 'err "expected a vocabulary of 512"'
cp -r $tiny "$work/tiny" && chmod -R u+w "$work/tiny"
echo '{"stop_strings":["x"]}' >"$work/tiny/generation_config.json"
run generate -m "$work/tiny" --in "$work/req.jsonl" --out "$work/res.jsonl" -v
check "stop strings of generation_config.json" 'is 0' "err \"stop 'x'\"" '[ "$(wc -l <"$work/res.jsonl")" = 2 ]'
echo '{"stop_strings":[""]}' >"$work/tiny/generation_config.json"
run generate -m "$work/tiny" --in "$work/req.jsonl" --out "$work/res.jsonl"
check "an empty stop string is refused" 'is 1' 'err "stop string"' 'err "generation_config.json"'
echo '{"ids":[5,99999]}' >"$work/req.jsonl"
run generate -m $tiny --in "$work/req.jsonl" --out "$work/bad.jsonl"
check "generate: an id outside the vocabulary" 'is 1' 'err "line 1"' '[ ! -e "$work/bad.jsonl" ]'
echo '{"ids":' >"$work/req.jsonl"
run generate -m $tiny --in "$work/req.jsonl" --out "$work/bad.jsonl"
check "generate: broken JSON names the line" 'is 1' 'err "line 1"'
for command in "run -p hi" "forward --in a --out b" "generate --in a --out b" chat bench; do
    # shellcheck disable=SC2086 # words
    run $command -m $tiny stray
    check "$command: a stray argument is named" 'is 2' 'err "unexpected argument '"'stray'"'"'
done
serve="--serve --prompt 100 --new 96 --decode-rates 1:117,4:374,8:511,16:523 --prefill-rate 668"
run plan $tiny $serve --rate 2
check "plan --serve: slots and machines of a load" 'is 0' 'out "machines: 1; slots of each: 7 of"' 'out "busy: 69 %"' 'out "M/M/c"'
run plan $tiny $serve --rate 20
check "plan --serve: ten times the load" 'is 0' 'out "machines: 9; slots"'
# One slot, prompts of no time: M/M/1 with rho = 0.5 x 1 s; 50 of 100 wait, W rho / (1 - rho) = 1 s on average.
run plan $tiny --serve --rate 0.5 --prompt 1 --new 10 --decode-rates 1:10 --prefill-rate 1e9 -c 64 --wait 100
check "plan --serve: one slot is M/M/1" 'is 0' 'out "slots of each: 1 of 64"' 'out "busy: 50 %"' 'out "50.0 % of the requests wait, 1.00 s"'
run plan $tiny $serve --memory 0.0001
check "plan --serve: no room for a slot" 'is 1' 'err "a slot of 4096 positions needs"'
run plan $tiny --serve --decode-rates 8:3,4:2
check "plan --serve: rates that are none" 'is 2' 'err "1:48,8:250"'
run plan $tiny --serve --rate 3 --ctx 300
check "plan --serve: a context too short for the load" 'is 2' 'err "at least prompt and answer, 768 positions"'
run plan $tiny stray
check "plan: a stray argument is named" 'is 2' 'err "unexpected argument '"'stray'"'"'
run generate -m $tiny --in "$work/none" --out -
check "generate: why the requests cannot be read" 'is 1' 'err "No such file or directory"'
run bench -m $tiny --mesh 1x1,2x4 -p 8 -n 2 -r 2
tr -s ' ' <"$work/out" >"$work/tight" && mv "$work/tight" "$work/out"
check "bench: two tests on each of two meshes" 'is 0' '[ "$(grep -c "| pp8 |" "$work/out")" = 2 ]' '[ "$(grep -c "| tg2 |" "$work/out")" = 2 ]' \
    'grep -qE "tg2 .* [0-9.]+ \([0-9]+ %\) \| [0-9.]+ \([0-9]+ %\) \|" "$work/out"'
run bench -m $tiny -p 0 -n 0
check "bench: nothing to measure" 'is 2' 'err "nothing to measure"'
for command in $(sed -n 's/^| `qwenmesh \([a-z]*\).*/\1/p' README.md); do
    run "$command" --help
    check "README's command $command is there" 'is 0' 'out "Usage: qwenmesh $command"'
done
run rnu
check "an unknown command: short, with what was meant" 'is 2' 'err "unknown command '"'rnu'"': did you mean run?"' '[ "$(wc -l <"$work/err")" = 2 ]'
run eval gsm9k
check "an unknown task" 'is 2' 'err "did you mean gsm8k?"'
run run -m $tiny --tempp 1
check "an unknown option: what was meant" 'is 2' 'err "qwenmesh run: error: unknown option --tempp: did you mean --temp?"'
run run -m $tiny --top_k 1
check "an underscore for a dash" 'is 2' 'err "did you mean --top-k?"'
run run -m $tiny -p hi -ngl 99
check "spellings of llama.cpp: one dash" 'is 2' 'err "unknown option -ngl: all layers are on the devices of --mesh"'
run run -m $tiny -p hi --ctx-size=99
check "spellings of llama.cpp: two dashes" 'is 2' 'err "unknown option --ctx-size: here it is --ctx"'
run run -m $tiny -p -ngl -n 1
check "a prompt that looks like one" 'no_err "unknown option"'
run run -m $tiny -p hi --ctx 1e3
check "a bad number: the range in digits" 'is 2' 'err "--ctx: expected a whole number from 0 to 2147483648, got '"'1e3'"'"'
run run -m $tiny --chat=yes
check "a flag takes no value" 'is 2' 'err "option --chat takes no value"'
for command in run chat generate forward plan bench "eval gsm8k" "eval perplexity" "eval compare" "eval choice" tokenize pack merge export compile env pull; do
    # shellcheck disable=SC2086 # words
    run $command --help
    check "$command --help: 80 columns" 'is 0' '[ "$(wc -L <"$work/out")" -le 80 ]'
done
run --help
check "--help: 80 columns" 'is 0' '[ "$(wc -L <"$work/out")" -le 80 ]'
run run --help
check "run --help: its own options first" '[ "$(grep -n -- "--prompt" "$work/out" | cut -d: -f1)" -lt "$(grep -n -- "--mesh" "$work/out" | cut -d: -f1)" ]'
none=$work/none/file
echo '{"ids":[1]}' >"$work/in"
run generate -m /nonexistent --in "$work/in" --out "$none"
check "generate: an output that cannot be, before the model is opened" 'is 1' 'err "cannot write $none: No such file"'
run generate -m /nonexistent --in "$none" --out -
check "generate: requests that are not there, before the model is opened" 'is 1' 'err "cannot open $none"'
run forward -m /nonexistent --in "$work/in" --out "$work"
check "forward: an output that is a folder" 'is 1' 'err "expected a file, got a folder"'
run eval perplexity -m /nonexistent -f "$none"
check "eval perplexity: a text that is not there" 'is 1' 'err "cannot open $none"'
run eval gsm8k -m /nonexistent -o "$none"
check "eval gsm8k: an output that cannot be" 'is 1' 'err "cannot write $none"'
run plan $tiny --svg "$none"
check "plan: a picture that cannot be" 'is 1' 'err "cannot write $none"' '[ ! -s "$work/out" ]'
run env --no-bandwidth --system-desc n15O
check "env: names of chips as compile takes them" 'is 1' 'err "n15O"'
run run -m $tiny/model-00001-of-00006.safetensors -p hi
check "a file of weights alone: what is wanted instead" 'is 1' 'err "expected the folder that has its config.json"'
run run -m $tiny/config.json -p hi
check "a config.json alone, likewise" 'is 1' 'err "config.json holds no weights: expected its folder"'
run run -m "$(printf 'p%.0s' $(seq 5000))" -p hi
check "a name too long for a message: what is wrong with it stands there" 'is 1' 'err " ... "' 'err ": File name too long"'
run bench -m $tiny -b 1025
check "bench: a number out of range" 'is 2' 'err "from 1 to 1024"'
run bench -m $tiny -p 8 -n 1 -r 1 --ctx 7
check "bench: a context too small for the tests" 'is 2' 'err "--ctx 7: the tests need a context of 8"'
run bench -m $tiny -p 8 -n 1 -r 1 --ctx 8
check "bench: one that is enough" 'is 0'
run run -m $tiny -p hi --candidates 5
check "an option of the other backend is named" 'is 2' 'err "candidates: the cpu backend has no such option"'
status=0
{ "$QWENMESH" plan $tiny --program; echo $? >"$work/status"; } 2>"$work/err" | head -n 0
check "a reader that left: silence" '[ ! -s "$work/err" ]'
run run -p hi
check "no model" 'is 2' 'err "no model"'
run run -m Qwen/Qwen2.5-0.5B-Instruct -p hi
check "a name of the hub" 'is 1' 'err "qwenmesh pull Qwen/Qwen2.5-0.5B-Instruct"'
run tokenize -m Qwen/Qwen2.5-0.5B-Instruct hi
check "a name of the hub, in another command" 'is 1' 'err "qwenmesh pull Qwen/"'
run run -m models/none.gguf -p hi
check "a file that is not there is no name of the hub" 'is 1' 'no_err pull' 'err "No such file"'
run run -m $tiny -p ""
check "run: an empty prompt, noticed before the model is opened" 'is 2' 'err "the prompt is empty"'
run run -m $tiny
check "run: empty standard input" 'is 2' 'err "the prompt is empty"'
run run -m $tiny -f "$work/none"
check "run: a prompt file that is not there" 'is 1' 'err "cannot open $work/none: No such file"'
run run -m $tiny -f "$work"
check "run: a folder is no prompt" 'is 1' 'err "Is a directory"'
run run -m $tiny -p hi -f "$work/none"
check "run: one prompt" 'is 2' 'err "-p or -f, not both"'
run run -m $tiny -p hi --json-schema '{"type":'
check "run: a bad inline schema is named once" 'is 1' 'err "error: --json-schema is not valid JSON"'
run run -m /nonexistent -p hi
check "a missing model" 'is 1' 'err "/nonexistent"'
run tokenize -m tests/data/qwen2.5 "Hello, world!"
check "tokenize" 'is 0' 'out "9707 11 1879 0"'
model=${QWENMESH_SMOLLM2:-models/SmolLM2-135M-Instruct.Q4_1.gguf}
if [ -f "$model" ]; then
    run run -m "$model" --mesh 2x4 --temp 0 -n 8 --chat -p "What is the capital of France?" --stats --act f32
    check "run: a real answer" 'is 0' 'out "Paris"' 'err "logits sha256: "'
    printf '{"ids":[504,3575,282,4649,314],"max_new_tokens":12,"do_sample":false}\n' >"$work/req.jsonl"
    run generate -m "$model" --in "$work/req.jsonl" --out - --stop answer --act f32
    check "generate: stops before a stop string, which begins inside the text" 'is 0' 'out "\"text\":\" Paris.\\n\\nThe \""' 'out "\"finish_reason\":\"stop\""'
    printf '{"messages":[{"role":"user","content":"What is the capital of France?"}],"max_new_tokens":12,"do_sample":false%s}\n' "" \
        ',"eos_token_id":null' >"$work/req.jsonl"
    run generate -m "$model" --in "$work/req.jsonl" --out - --act f32
    check "generate: the end-of-sequence id ends an answer and is its last; null goes on" 'is 0' \
        'head -n 1 "$work/out" | grep -q ",2\],\"text\":\"The capital of France is Paris.\",\"finish_reason\":\"stop\""' \
        'tail -n 1 "$work/out" | grep -q "\"finish_reason\":\"length\""'
    run run -m "$model" --temp 0 -n 24 -p "one two three one two three one two" --stats
    cp "$work/out" "$work/plain" && sed -n 's/^logits sha256: //p' "$work/err" >"$work/sum"
    run run -m "$model" --temp 0 -n 24 -p "one two three one two three one two" --stats --lookup 6 --mesh 2x4
    check "run: with lookup the same text and the same bits" 'is 0' 'cmp "$work/out" "$work/plain"' 'err "$(cat "$work/sum")"' 'err "drafts: "'
    echo '{"type":"object","properties":{"city":{"type":"string","maxLength":20},"n":{"type":"integer"}},"required":["city","n"]}' >"$work/schema"
    run run -m "$model" --temp 0 --chat -p "A city and a number as JSON." --json-schema "$work/schema"
    check "run: JSON of a schema" 'is 0' 'tr -d "\n" <"$work/out" | grep -qE "^[{] *\"city\": ?\"[^\"]{0,20}\", *\"n\": ?-?[0-9]+ *[}]$"'
    run run -m "$model" --temp 0 -p "2 + 2 =" -n 4
    cp "$work/out" "$work/answer"
    printf '2 + 2 =\n' >"$work/prompt"
    run run -m "$model" --temp 0 -f "$work/prompt" -n 4
    check "run: a prompt from a file, without its last line end" 'is 0' 'cmp "$work/out" "$work/answer"'
    status=0
    "$QWENMESH" run -m "$model" --temp 0 -n 4 <"$work/prompt" >"$work/out" 2>"$work/err" || status=$?
    check "run: from standard input" 'is 0' 'cmp "$work/out" "$work/answer"'
    status=0
    "$QWENMESH" run -m "$model" --temp 0 -n 4 -p - <"$work/prompt" >"$work/out" 2>"$work/err" || status=$?
    check "run: from standard input by name" 'is 0' 'cmp "$work/out" "$work/answer"'
    printf '{"messages":[{"role":"system","content":"Talk like a pirate."},{"role":"user","content":"Hi"}],"max_new_tokens":12,"do_sample":false}\n' >"$work/in"
    run generate -m "$model" -i "$work/in" -o - && sed 's/.*"text":"\([^"]*\)".*/\1/' "$work/out" >"$work/answer"
    run run -m "$model" --temp 0 -n 12 --system "Talk like a pirate." -p Hi
    check "run: a system message" 'is 0' 'cmp "$work/out" "$work/answer"'
    run run -m "$model" --temp 0 -p "A number:" --json-schema '{"enum":[7]}'
    check "run: a schema as it is" 'is 0' '[ "$(cat "$work/out")" = 7 ]'
    run run -m "$model" --temp 0 -p "Well," --grammar 'root ::= "yes" | "no"'
    check "run: a grammar as it is" 'is 0' 'grep -qxE "yes|no" "$work/out"'
    run run -m "$model" --temp 0 --chat -p "What is the capital of France?" --regex "(London|Rome|Paris)[.!]"
    check "run: an answer that matches" 'is 0' 'grep -qxE "(London|Rome|Paris)[.!]" "$work/out"'
    echo '{"messages":[{"role":"user","content":"What is the capital of France?"}]}' >"$work/in"
    run generate -m "$model" --temp 0 -i "$work/in" -o - --regex "(London|Rome|Paris)[.!]"
    check "generate: a greedy answer that matches" 'is 0' 'grep -qE "\"text\":\"(London|Rome|Paris)[.!]\"" "$work/out"'
    echo '{"prompt":"The capital of France","max_new_tokens":3,"forced_eos_token_id":2}' >"$work/in"
    run generate -m "$model" --temp 0 -i "$work/in" -o -
    check "generate: logits are first needed by the last token" 'is 0' 'grep -qE "[0-9],2\],\"text\"" "$work/out"'
    run run -m "$model" -p hi --regex "(a"
    check "run: a bad regular expression" 'is 1' 'err "--regex: "' 'err "byte 2"'
    talk() { # LINE...: what is said; the answers are in $work/out
        printf '%s\n' "$@" >"$work/said"
        status=0
        "$QWENMESH" chat -m "$model" -n 24 --temp 0 <"$work/said" >"$work/out" 2>"$work/err" || status=$?
    }
    answers_equal() { [ "$(head -n 1 "$work/out")" = "$(tail -n 1 "$work/out")" ]; }
    talk "Hi" "/clear" "Hi"
    check "chat: the same answer after /clear" 'is 0' '[ "$(grep -c . "$work/out")" = 2 ]' answers_equal
    talk "Hi" "/set temperature 0" "/nonsense" "Hi"
    check "chat: without /clear what was said counts" 'is 1' '! answers_equal' 'err "greedy"' 'err "no command /nonsense"'
    : >"$work/out" # or the wait below would see what the last command left
    "$QWENMESH" run -m "$model" -p "Once upon a time" -n 1000 --ignore-eos >"$work/out" 2>"$work/err" &
    child=$!
    i=0
    while [ ! -s "$work/out" ] && [ $i -lt 600 ]; do sleep 0.05; i=$((i + 1)); done
    kill -INT $child
    status=0
    wait $child || status=$?
    check "run: Ctrl-C ends it, and what was said stands" 'is 130' '[ -s "$work/out" ]' 'no_err error' \
        '[ "$(wc -c <"$work/out")" -lt 2000 ]' # of some 4,300
    if [ -c /dev/full ]; then
        status=0
        "$QWENMESH" run -m "$model" -p hi -n 2 >/dev/full 2>"$work/err" || status=$?
        : >"$work/out"
        check "run: a full disk" 'is 1' 'err "No space left on device"'
    else
        skip "run: a full disk" "no /dev/full"
    fi
    case $QWENMESH in
    */asan/*) skip "out of memory" "the sanitizer needs more than the test leaves" ;;
    *)
        status=0
        (ulimit -v 300000 && exec "$QWENMESH" run -m "$model" -p hi) >"$work/out" 2>"$work/err" || status=$?
        check "out of memory" 'is 1' 'err "out of memory: "' 'err "MiB"'
        ;;
    esac
    run run -m "$model" -p "hi there, you two" -n 4 --ctx 1
    check "a prompt longer than the context" 'is 1' 'err "context"'
else
    skip "the real model: run, chat, stop strings, Ctrl-C, full disk, memory, context" "no $model"
fi
finish
