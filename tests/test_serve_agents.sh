#!/bin/bash
# test_serve_agents.sh: requests as agents, pages and load generators send them, asked by tests/serve_agents.py.
set -u
. tests/tap.sh
command -v python3 >/dev/null || { echo "1..0 # SKIP python3 is missing"; exit 0; }
model=$work/tiny
mkdir "$model"
cp tests/golden/tiny/* "$model" && chmod -R u+w "$model"
cp tests/data/bytes/tokenizer.json "$model"
echo '{"eos_token_id": 511}' >"$model/generation_config.json"
"$QWENMESH" serve -m "$model" --chat-template qwen2.5 --port 0 --served-model-name tiny -c 4096 --embeddings 2>"$work/log" &
server=$!
trap 'kill "$server" 2>/dev/null; rm -rf "$work"' EXIT
until_ready "$work/log" "$server"
address=$(grep -om1 'http://[0-9.:]*' "$work/log") || { cat "$work/log"; exit 1; }
python3 tests/serve_agents.py "$address"
code=$?
kill -TERM "$server"
wait "$server" || { cat "$work/log"; exit 1; }
exit $code
