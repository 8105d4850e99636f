#!/bin/bash
# test_serve_protocols.sh: tools, structured outputs and the protocols of Anthropic, OpenAI's responses and Ollama over
# HTTP, asked by tests/serve_protocols.py: a tiny model with random weights, whose calls are right because grammars bind
# them. Once with a template that shows tools, once with one that knows none.
set -u
. tests/tap.sh
command -v python3 >/dev/null || { echo "1..0 # SKIP python3 is missing"; exit 0; }
model=$work/tiny
mkdir "$model"
cp tests/golden/tiny/* "$model" && chmod -R u+w "$model"
cp tests/data/bytes/tokenizer.json "$model"
echo '{"eos_token_id": 511}' >"$model/generation_config.json"

# start TEMPLATE FILE: a server on a free port; its address is in $address, its process in $server
start() {
    "$QWENMESH" serve -m "$model" --chat-template "$1" --port 0 --served-model-name tiny -c 4096 2>"$2" &
    server=$!
    address=
    for _ in $(seq 300); do
        address=$(grep -om1 'http://[0-9.:]*' "$2") && break
        kill -0 "$server" 2>/dev/null || break
        sleep 0.1
    done
}
start qwen2.5 "$work/log1"
one=$address first=$server
# ChatML, which knows no tools, and whose answers begin with thinking where that is asked for.
cat >"$work/think.jinja" <<'END'
{%- for m in messages %}{{- '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- if enable_thinking %}{{- '<think>\n' }}{%- endif %}{%- endif %}
END
start "$work/think.jinja" "$work/log2"
trap 'kill "$first" "$server" 2>/dev/null; rm -rf "$work"' EXIT
if [ -z "$one" ] || [ -z "$address" ]; then
    cat "$work/log1" "$work/log2"
    exit 1
fi
python3 tests/serve_protocols.py "$one" "$address"
code=$?
kill -TERM "$first" "$server"
wait "$first" && wait "$server" || { cat "$work/log1" "$work/log2"; exit 1; }
exit $code
