#!/bin/bash
# test_serve_openai.sh: OpenAI's routes over HTTP, asked by tests/serve_openai.py on tiny models: chats, completions, streams,
# seeds, log-probabilities, vectors, ranks, errors.
cd "$(dirname "$0")/.." || exit 1
. tests/tap.sh
command -v python3 >/dev/null || { skip "OpenAI's routes" "python3 is not installed"; finish; exit 0; }
touch "$work/out" "$work/err"
servers=
trap 'kill $servers 2>/dev/null; wait; rm -rf "$work"' EXIT

# start NAME FOLDER OPTIONS...: a server; its address in $url.
start() {
    local name=$1 folder=$2
    shift 2
    mkdir "$work/$name"
    cp "$folder"/{config,generation_config,model}* tests/data/bytes/*.json "$work/$name" 2>/dev/null
    "$QWENMESH" serve -m "$work/$name" --port 0 --threads 2 --ctx 128 "$@" 2>"$work/$name.log" &
    servers="$servers $!"
    until_ready "$work/$name.log" $!
    url=$(sed -n 's#.*listening at \(http://[^ ]*\).*#\1#p' "$work/$name.log")
}
mkdir "$work/exchanges"
start tiny tests/golden/tiny --embeddings --parallel 3 --log-requests "$work/exchanges"
generate=$url
start embed tests/golden/embed
embed=$url
start reward tests/golden/reward
reward=$url
check "servers are there" '[ -n "$generate" ]' '[ -n "$embed" ]' '[ -n "$reward" ]'
python3 tests/serve_openai.py "$generate" "$embed" "$reward" "$QWENMESH" "$work/tiny" "$work/embed" >"$work/tap" 2>"$work/err" || status=$?
cat "$work/tap"
number=$((number + $(grep -cE "^(not )?ok" "$work/tap")))
check "all was asked" '[ "$status" = 0 ]' '[ "$(grep -c ^ok "$work/tap")" -gt 65 ]'
check "unknown members are in the log" 'grep -q "nothing reads: frobnicate" "$work/tiny.log"'
check "every answer is saved" '[ "$(ls "$work/exchanges" | wc -l)" -gt 25 ]'
run replay -m "$work/tiny" --mesh 1x2 "$work/exchanges"/*.json
check "and comes again to the bit on another mesh" 'is 0' '[ "$(grep -c "the same:" "$work/out")" = "$(ls "$work/exchanges" | wc -l)" ]'
finish
