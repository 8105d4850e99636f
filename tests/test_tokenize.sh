#!/bin/sh
# test_tokenize.sh: qwenmesh tokenize: text, chats, lines of JSON and ids, both ways, and what it refuses.
set -u
. tests/tap.sh
qwen=tests/data/qwen2.5

run tokenize -m $qwen 'Hello, world!'
check "ids of an argument" 'is 0' '[ "$(cat "$work/out")" = "9707 11 1879 0" ]' '[ ! -s "$work/err" ]'
run tokenize -m $qwen Hello, world!
check "arguments are joined by spaces" 'is 0' '[ "$(cat "$work/out")" = "9707 11 1879 0" ]'
run tokenize -m $qwen ''
check "empty text is an empty line" 'is 0' '[ "$(od -An -c "$work/out" | tr -d " ")" = "\n" ]'
run tokenize -m $qwen --pieces 'wörld
🙂𝟘<|im_end|>'
check "pieces" 'is 0' 'out "151645	<|im_end|>"' 'out "145080	🙂"' 'out "198	\\n"' 'out "56252	\\xF0\\x9D"'
run tokenize -m $qwen --no-special '<|im_end|>'
check "special tokens as text" 'is 0' 'no_out 151645'
run tokenize -m $qwen --decode 9707 11 1879 0 151645
check "ids to text" 'is 0' '[ "$(cat "$work/out")" = "Hello, world!<|im_end|>" ]'
run tokenize -m $qwen --decode --skip-special 9707,151645
check "special tokens dropped, commas taken" 'is 0' '[ "$(cat "$work/out")" = Hello ]'

# A pipe: input on standard input, which run leaves empty.
status=0
printf 'a\nb' | "$QWENMESH" tokenize -m $qwen >"$work/out" 2>"$work/err" || status=$?
check "text on standard input, line ends kept" 'is 0' '[ "$(cat "$work/out")" = "64 198 65" ]'
status=0
printf '"Hello"\n"\\u0000"\n""\n' | "$QWENMESH" tokenize -m $qwen --jsonl >"$work/out" 2>"$work/err" || status=$?
check "a JSON string a line" 'is 0' '[ "$(tr "\n" " " <"$work/out")" = "[9707] [188] [] " ]'
"$QWENMESH" tokenize -m $qwen --jsonl --decode <"$work/out" >"$work/back" 2>"$work/err" || status=$?
check "and back" 'is 0' '[ "$(tr "\n" " " <"$work/back")" = "\"Hello\" \"\\u0000\" \"\" " ]'
status=0
printf '"Hello"\n3\n"x"\n' | "$QWENMESH" tokenize -m $qwen --jsonl >"$work/out" 2>"$work/err" || status=$?
check "a wrong line is named, those before are answered" 'is 1' 'err "line 2: expected a JSON string"' \
    '[ "$(cat "$work/out")" = "[9707]" ]'
status=0
printf '[1]\n[1, 999999]\n' | "$QWENMESH" tokenize -m $qwen --jsonl --decode >"$work/out" 2>"$work/err" || status=$?
check "an unknown id is named" 'is 1' 'err "line 2: no token has id 999999"'
status=0
printf '"unfinished\n' | "$QWENMESH" tokenize -m $qwen --jsonl >"$work/out" 2>"$work/err" || status=$?
check "bad JSON is named" 'is 1' 'err "line 1: input is not valid JSON"'

# Answers come line by line: the second question is asked only after the first answer was read.
cat >"$work/dialogue.sh" <<'END'
mkfifo "$1/in"
"$QWENMESH" tokenize -m tests/data/qwen2.5 --jsonl <"$1/in" >"$1/answers" &
exec 3>"$1/in"
echo '"Hello"' >&3
for _ in $(seq 200); do [ -s "$1/answers" ] && break; sleep 0.1; done
[ -s "$1/answers" ] && echo answered
exec 3>&-
wait
END
QWENMESH=$QWENMESH sh "$work/dialogue.sh" "$work" >"$work/out" 2>"$work/err"
check "every line is flushed" 'out answered'

echo '[{"role": "user", "content": "hi <|im_end|>"}]' >"$work/chat.json"
run tokenize -m $qwen --chat "$work/chat.json"
check "a chat as text" 'is 0' '[ "$(sed -n 4p "$work/out")" = "hi <|im_end|><|im_end|>" ]' \
    '[ "$(tail -n 1 "$work/out")" = "<|im_start|>assistant" ]'
run tokenize -m $qwen --chat "$work/chat.json" --ids --no-generation-prompt
check "a chat as ids: the message's control token is text" 'is 0' \
    '[ "$(grep -o 151645 "$work/out" | wc -l)" = 2 ]' '[ "$(grep -o 151644 "$work/out" | wc -l)" = 2 ]'
run tokenize -m $qwen --chat "$work/chat.json" --chat-template chatml --no-generation-prompt
check "another template by name" 'is 0' '[ "$(head -n 1 "$work/out")" = "<|im_start|>user" ]'
printf '%s' "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}" >"$work/own.jinja"
run tokenize -m $qwen --chat "$work/chat.json" --chat-template chatml
cp "$work/out" "$work/chatml.out"
run tokenize -m $qwen --chat "$work/chat.json" --chat-template "$work/own.jinja"
check "a template from a file" 'is 0' 'cmp -s "$work/out" "$work/chatml.out"'
echo '{{ messages }}{{ x }}' >"$work/own.jinja"
run tokenize -m $qwen --chat "$work/chat.json" --chat-template "$work/own.jinja" --template-arg 'x={"a": [1.0]}'
check "any template from a file, with a variable" 'is 0' \
    '[ "$(cat "$work/out")" = "[{'"'role': 'user', 'content': 'hi <|im_end|>'}]{'a'"': [1.0]}" ]'
run tokenize -m $qwen --chat "$work/chat.json" --template-arg x=high
check "a variable that is no JSON" 'is 1' 'err "expected NAME=JSON"'
printf 'a\n{%% if %%}' >"$work/broken.jinja"
run tokenize -m $qwen --chat "$work/chat.json" --chat-template "$work/broken.jinja"
check "a template that cannot be read" 'is 1' 'err "broken.jinja: chat template, line 2: expected an expression"'

# Rendering alone needs no model; errors of a line are its answer.
printf '%s\n' '{"messages": [{"role": "user", "content": "h\u00e9"}], "variables": {"x": 1}}' '{"messages": 3}' '[1]' \
    '{"messages": [{"role": "user", "content": "b"}], "tools": [], "variables": {"add_generation_prompt": true, "x": 2}}' >"$work/lines"
printf '%s' '{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}{{ x }}{{ y }}{{ tools }}{% if add_generation_prompt %}!{% endif %}' >"$work/own.jinja"
render() {
    status=0
    "$QWENMESH" tokenize --render --jsonl "$@" <"$work/lines" >"$work/out" 2>"$work/err" || status=$?
}
render --chat-template "$work/own.jinja" --template-arg 'y="z"' --template-arg x=9
check "lines of requests to lines of text" 'is 0' '[ "$(sed -n 1p "$work/out")" = "{\"text\": \"hé1zNone\"}" ]' \
    '[ "$(sed -n 4p "$work/out")" = "{\"text\": \"b2z[]!\"}" ]' 'sed -n 2p "$work/out" | grep -q "^{\"error\": .*not iterable"' \
    'sed -n 3p "$work/out" | grep -q "^{\"error\": \"expected an object"' '[ "$(wc -l <"$work/out")" = 4 ]'
render --chat-template "$work/own.jinja" --generation
check "where generation blocks lie" 'is 0' '[ "$(sed -n 1p "$work/out")" = "{\"text\": \"hé1None\", \"generation\": [[0, 2]]}" ]'
render -m $qwen
check "by the model's own template" 'is 0' 'sed -n 1p "$work/out" | grep -q "You are Qwen"'
render
check "neither a model nor a template" 'is 2' 'err "expected --chat-template NAME or FILE, or -m"'
printf '%s' '{{ strftime_now("%d %b %Y %H:%M:%S") }}' >"$work/now.jinja"
echo '{"messages": []}' >"$work/lines"
SOURCE_DATE_EPOCH=1767323045 TZ=America/New_York
export SOURCE_DATE_EPOCH TZ
render --chat-template "$work/now.jinja"
check "the time of SOURCE_DATE_EPOCH, in UTC" 'is 0' 'out "02 Jan 2026 03:04:05"'
unset SOURCE_DATE_EPOCH
year=$(date +%Y)
render --chat-template "$work/now.jinja"
check "else the clock's" 'is 0' 'out " $year "'
unset TZ
run tokenize -m $qwen --chat "$work/chat.json" --chat-template "$work/gone/own"
check "a template from a file that is not there" 'is 1' 'err "cannot open"'
if gguf=$(ls models/*.gguf 2>/dev/null | head -n 1) && [ -n "$gguf" ]; then
    mkdir "$work/folder" && ln -s "$PWD/$gguf" "$work/folder/only.gguf"
    run tokenize -m "$gguf" 'one folder'
    cp "$work/out" "$work/by-file"
    run tokenize -m "$work/folder" 'one folder'
    check "a folder with one GGUF file" 'is 0' 'cmp -s "$work/out" "$work/by-file"'
else
    skip "a folder with one GGUF file" "no model in models/"
fi
run tokenize -m Qwen/Qwen2.5-0.5B-Instruct x
check "the name of a repository says how to get it" 'is 1' "err \"'qwenmesh pull Qwen/Qwen2.5-0.5B-Instruct' brings it\""
run tokenize -m $qwen --chat "$work/chat.json" --chat-template llama
check "an unknown template name" 'is 1' 'err "expected qwen2.5, chatml or a .jinja file, got '"'llama'"'"'
echo '[]' >"$work/empty.json"
run tokenize -m $qwen --chat "$work/empty.json"
check "an empty chat" 'is 1' 'err "empty.json: messages: expected at least one"' '[ ! -s "$work/out" ]'
mkdir "$work/bare" && cp $qwen/tokenizer.json "$work/bare"
run tokenize -m "$work/bare" --chat "$work/chat.json"
check "no chat template: the way out is named" 'is 1' 'err "--chat-template qwen2.5"'
run tokenize -m "$work/bare" hi
check "tokenizer.json is enough" 'is 0' '[ "$(cat "$work/out")" = 6023 ]'

run tokenize -m "$work/nowhere" hi
check "a missing model is named" 'is 1' 'err "$work/nowhere"'
run tokenize hi
check "no model" 'is 2' 'err "expected -m DIR"'
run tokenize -m $qwen --decode twelve
check "an id that is none" 'is 1' 'err "got '"'twelve'"'"'
for clash in '--ids hi' '--jsonl hi' '--decode --pieces 1' '--skip-special hi' \
    '--chat x --decode' '--chat x hi' '--decode --no-special 1' '--render' '--generation' '--template-arg x=1 hi'; do
    # shellcheck disable=SC2086 # words
    run tokenize -m $qwen $clash
    check "refused together: $clash" 'is 2' '[ ! -s "$work/out" ]'
done
run tokenize --help
check "help" 'is 0' 'out "Usage: qwenmesh tokenize"' 'out "--no-generation-prompt"' '[ ! -s "$work/err" ]'

if [ -c /dev/full ]; then
    status=0
    "$QWENMESH" tokenize -m $qwen hi >/dev/full 2>"$work/err" || status=$?
    check "a full disk is an error" 'is 1' 'err "cannot write standard output"'
    status=0
    echo '"hi"' | "$QWENMESH" tokenize -m $qwen --jsonl >/dev/full 2>"$work/err" || status=$?
    check "a full disk is an error with --jsonl" 'is 1' 'err "cannot write standard output"'
else
    skip "a full disk is an error" "no /dev/full"
fi
finish
