#!/bin/bash
# serve_peers.sh MODEL.gguf [LLAMA_SERVER]: the same load on `qwenmesh serve` and on llama.cpp's server, in turns, so that
# both see the same machine: 1, 4, 8, 16, 32 streams, with and without a beginning of 600 words that all prompts share.
# JSON lines on standard output, at the end a table with what is asked of the pair (serve_table.py). STREAMS, THREADS (2),
# ROUNDS (3), PREFIXES (0,600) and LIMIT (300 s a load) change that; STREAMS="1 4 16 32" ROUNDS=1 takes 8 minutes on two quiet cores.
# llama-server gets -np S -c S x 2048, else its defaults. Status 1: an answer of qwenmesh's was another at another load.
set -euo pipefail
model=${1:?MODEL.gguf} peer=${2:-}
threads=${THREADS:-2}
here=$(dirname "$0")
port=$((20000 + $$ % 10000))
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# load NAME STREAMS COMMAND...: starts a server, waits until it is healthy, loads it, ends it.
load() {
    name=$1 streams=$2
    shift 2
    "$@" >/dev/null 2>&1 &
    server=$!
    for _ in $(seq 600); do
        curl -sf "http://127.0.0.1:$port/health" >/dev/null && break
        kill -0 $server 2>/dev/null || { echo "serve_peers: $name ended at once" >&2; exit 1; }
        sleep 0.2
    done
    timeout "${LIMIT:-300}" python3 "$here/serve_load.py" "http://127.0.0.1:$port" any --name "$name" --streams "$streams" --prefix "${PREFIXES:-0,600}" \
        --pid $server --answers "$work/$name.json" | tee -a "$work/lines" ||
        echo "serve_peers: $name at $streams streams: not done in ${LIMIT:-300} s" >&2
    kill $server && wait $server || true
    port=$((port + 1))
}

for _ in $(seq "${ROUNDS:-3}"); do
    for s in ${STREAMS:-1 4 8 16 32}; do
        load qwenmesh "$s" ./qwenmesh serve -m "$model" -t "$threads" --port $port --parallel "$s" -c 2048 --served-model-name '*'
        [ -z "$peer" ] || load llama-server "$s" "$peer" -m "$model" -t "$threads" --port $port -np "$s" -c $((s * 2048))
    done
done
python3 "$here/serve_table.py" <"$work/lines"
