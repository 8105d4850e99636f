#!/bin/bash
# dev/serve_abuse.sh [PROGRAM]: what a server must bear, for minutes, on the tiny golden model: 10,000 aborted requests, 500
# connections, slow heads, bodies and readers (slowhttptest), broken requests (zzuf), SIGTERM under load. PROGRAM may be
# a build with a sanitizer. ABORTS and SECONDS_EACH make it shorter. Needs python3, curl; slowhttptest and zzuf are left
# out by name where they are not installed. Ends with 1 if anything did not hold.
set -u
program=${1:-./qwenmesh}
aborts=${ABORTS:-10000} seconds=${SECONDS_EACH:-30}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
model=$work/tiny failed=0
mkdir "$model" && cp tests/golden/tiny/* "$model" && chmod -R u+w "$model" && cp tests/data/bytes/tokenizer*.json "$model"

# jansson counts references by atomic operations and reads whether there is one at all: no race that matters.
printf 'race:json_decref\nrace:json_incref\n' >"$work/suppressions"
export TSAN_OPTIONS="suppressions=$work/suppressions" ASAN_OPTIONS=quarantine_size_mb=8

start() {
    "$program" serve -m "$model" -t 1 --port 0 --parallel 4 --queue 64 --log-format text "$@" 2>"$work/log" &
    pid=$!
    for _ in $(seq 600); do grep -q ' ready: ' "$work/log" && break; sleep 0.1; done
    port=$(sed -n 's/.*listening at .*:\([0-9]*\)$/\1/p' "$work/log")
    url=http://127.0.0.1:$port
}
descriptors() { find "/proc/$pid/fd" -mindepth 1 | wc -l; }
memory() { awk '/VmRSS/ { print $2 }' "/proc/$pid/status"; }
# hold NAME CONDITION: a line, and the exit status of the whole.
hold() {
    if eval "$2"; then echo "ok: $1"; else echo "FAILED: $1 ($2)"; failed=1; fi
}
answer() { curl -s -m 60 "$url/v1/completions" -d '{"model":"tiny","prompt":"abc","max_tokens":60,"temperature":0,"ignore_eos":true}' | sed 's/.*"text":"\([^"]*\)".*/\1/' | sha256sum; }
settled() {
    for _ in $(seq 300); do
        [ "$(curl -s "$url/slots")" = '[]' ] && [ "$(curl -s "$url/metrics" | awk '/^qwenmesh:connections/ { print $2 }')" = 1 ] && return 0
        sleep 0.1
    done
    return 1
}

start
want=$(answer)
settled
fds=$(descriptors) rss=$(memory)
python3 tests/serve_client.py "$port" "$pid" "aborts:$aborts" | tee "$work/aborts"
hold "$aborts aborted requests: answers beside them, slots, descriptors" '[ "$(grep -c "	ok$" "$work/aborts")" = 4 ]'
hold "memory: $rss KiB before, $(memory) after" '[ "$(memory)" -lt $((rss + 65536)) ]'

python3 tests/serve_client.py "$port" "$pid" "many:500" | tee "$work/many"
hold "500 connections at once" '[ "$(grep -c "	ok$" "$work/many")" = 2 ]'

if command -v slowhttptest >/dev/null; then
    slow() {
        slowhttptest -c 200 -l "$seconds" -p 3 "$@" >"$work/slow" 2>&1
        ! grep -q "service available:.*NO" "$work/slow" && grep -q "service available" "$work/slow"
    }
    hold "slow heads (slowhttptest -H)" 'slow -H -i 2 -r 100 -u "$url/health"'
    hold "slow bodies (slowhttptest -B)" 'slow -B -i 2 -r 100 -s 4096 -t POST -u "$url/v1/completions"'
    hold "slow readers (slowhttptest -X)" 'slow -X -r 100 -w 1 -y 2 -n 1 -z 32 -k 3 -u "$url/metrics"'
else
    echo "skipped: slow clients: no slowhttptest"
fi
if command -v zzuf >/dev/null; then
    body='{"model":"tiny","messages":[{"role":"user","content":"hi"}],"max_tokens":4,"stream":true,"temperature":0.5}'
    printf 'POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s' "${#body}" "$body" >"$work/request"
    for seed in $(seq "${FUZZ:-500}"); do
        zzuf -s "$seed" -r 0.001:0.02 <"$work/request" >"$work/broken"
        timeout 3 bash -c "exec 3<>/dev/tcp/127.0.0.1/$port; cat '$work/broken' >&3; timeout 0.05 cat <&3 >/dev/null" 2>/dev/null
    done
    hold "broken requests (zzuf)" 'kill -0 "$pid"'
else
    echo "skipped: broken requests: no zzuf"
fi
hold "all is free again" 'settled'
hold "descriptors: $fds before, $(descriptors) after" '[ "$(descriptors)" -le $((fds + 1)) ]'
hold "no socket waits to be closed" '[ -z "$(ss -Htan state close-wait "sport = :$port" 2>/dev/null)" ]'
hold "the same answer as before" '[ "$(answer)" = "$want" ]'

# SIGTERM while 16 clients ask: it ends, and well.
for i in $(seq 16); do
    (while curl -s -m 20 "$url/v1/completions" -d "{\"model\":\"tiny\",\"prompt\":\"$i\",\"max_tokens\":300,\"ignore_eos\":true,\"stream\":true}" >/dev/null; do :; done) &
    clients="${clients:-} $!"
done
sleep 2
kill -TERM "$pid"
status=0
wait "$pid" || status=$?
hold "SIGTERM under load: exit status $status" '[ "$status" = 0 ]'
for c in $clients; do kill "$c" 2>/dev/null; done
hold "no sanitizer has spoken" '! grep -qE "ERROR: |WARNING: ThreadSanitizer|runtime error" "$work/log"'
grep -E -A30 "ERROR: |WARNING: ThreadSanitizer|runtime error" "$work/log" | grep -v '"POST ' | head -90
exit $failed
