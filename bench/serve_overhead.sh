#!/bin/bash
# serve_overhead.sh MODEL [SMALL]: what HTTP costs: processor time of `serve` for the same requests as `generate`, whole
# and streamed, beyond that of `generate`, in microseconds a request and a token, and in per cent of a token of MODEL at
# that load. The cost of HTTP does not depend on the model, so it is measured on a small one (tests/golden/tiny with
# tests/data/bytes), under which it is not lost in the noise of the steps. REQUESTS (400), NEW (60), STREAMS (8).
# Processor time as the scheduler counts it; one worker, so that nobody spins.
set -eu
model=${1:?MODEL} small=${2:-}
requests=${REQUESTS:-400} new=${NEW:-60} streams=${STREAMS:-8}
work=$(mktemp -d)
trap 'rm -rf "$work"; [ -z "${server:-}" ] || kill "$server" 2>/dev/null || true' EXIT
if [ -z "$small" ]; then
    small=$work/tiny
    mkdir "$small" && cp tests/golden/tiny/* "$small" && chmod -R u+w "$small" && cp tests/data/bytes/tokenizer*.json "$small"
fi
here=$(dirname "$0")

# lines COUNT: that many requests of `generate`, whose prompts are those of serve_load.py.
lines() {
    python3 - "$1" "$new" "$here" <<'P'
import json, sys
sys.argv, given = [sys.argv[0]], sys.argv[1:]
sys.path.insert(0, given[2])
from serve_load import prompt_of
for i in range(int(given[0])):
    print(json.dumps({"prompt": prompt_of(i, 8, 0), "max_new_tokens": int(given[1]), "do_sample": False, "eos_token_id": None}))
P
}
# generate_seconds MODEL COUNT
generate_seconds() {
    lines "$2" >"$work/in"
    python3 - "$1" "$streams" "$work" <<'P'
import resource, subprocess, sys
model, slots, work = sys.argv[1:]
subprocess.run(["./qwenmesh", "generate", "-m", model, "-t", "1", "--slots", slots, "-c", "512", "--in", work + "/in", "--out", work + "/out"],
               check=True, stderr=subprocess.DEVNULL)
u = resource.getrusage(resource.RUSAGE_CHILDREN)
print(u.ru_utime + u.ru_stime)
P
}
# serve_seconds OPTION...: a thousand tokens of the small model.
load() {
    python3 "$here/serve_load.py" "http://127.0.0.1:$port" any --streams "$streams" --prompt 8 --new "$new" \
        --requests $((requests / streams)) --pid "$server" "$@"
}
field() { python3 -c 'import json, sys; print(json.loads(sys.stdin.read())[sys.argv[1]])' "$1"; }

one=$(generate_seconds "$small" 1) all=$(generate_seconds "$small" $((requests + 1)))
base_one=$(generate_seconds "$model" 1) base_all=$(generate_seconds "$model" 33)
./qwenmesh serve -m "$small" -t 1 -c 512 --port 0 --parallel "$streams" --served-model-name '*' --log-format "${LOG:-text}" 2>"$work/log" >/dev/null &
server=$!
for _ in $(seq 600); do grep -q ' ready: ' "$work/log" && break; sleep 0.1; done
port=$(sed -n 's/.*listening at .*:\([0-9]*\)$/\1/p' "$work/log")
load >/dev/null
for form in stream whole; do
    option=""
    [ $form = stream ] || option=--whole
    load $option >"$work/told"
    python3 - $form "$(field cpu_s_per_1000 <"$work/told")" "$one" "$all" "$requests" "$new" "$base_one" "$base_all" <<'P'
import sys
form, (cpu, one, all_, requests, new, base_one, base_all) = sys.argv[1], map(float, sys.argv[2:])
own = 1e6 * (all_ - one) / (requests * new)
http = 1e3 * cpu - own
base = 1e6 * (base_all - base_one) / (32 * new)
print(f"{form}: {1e3 * cpu:.1f} us a token by serve, {own:.1f} by generate: HTTP {http:.1f} us a token, {http * new:.0f} us a request of "
      f"{new:.0f} tokens: {100 * http / base:.2f} % of {base:.0f} us, a token of the model")
P
done
