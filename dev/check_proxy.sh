#!/bin/sh
# dev/check_proxy.sh: docs/deploy/nginx.conf as it is, under a real nginx on loopback, before two real servers: streams
# arrive token by token; conversations stay with their server; what one server cannot take the other does; a client that
# leaves ends its generation; a server is drained under load. Wants nginx and curl.
set -eu
cd "$(dirname "$0")/.."
skip() { echo "check-proxy: skipped: $1"; exit 0; }
nginx=$(command -v nginx || echo /usr/sbin/nginx)
[ -x "$nginx" ] || skip "no nginx: apt-get install --no-install-recommends nginx-light"
command -v curl >/dev/null || skip "no curl"
command -v python3 >/dev/null || skip "no python3, to read JSON"
program=${QWENMESH:-./qwenmesh}
model=${MODEL:-models/SmolLM2-135M-Instruct.Q4_1.gguf}
[ -e "$model" ] || dev/model.sh
work=$(mktemp -d)
first='' second='' proxy=''
end() { for pid in $proxy $first $second; do kill "$pid" 2>/dev/null || true; done; wait; rm -rf "$work"; }
trap end EXIT
failed=0
check() { # NAME CONDITION...
    name=$1; shift
    for condition in "$@"; do
        eval "$condition" || { echo "not ok - $name"; echo "# does not hold: $condition"; failed=1; return 0; }
    done
    echo "ok - $name"
}
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
port=$(free_port) a=$(free_port) b=$(free_port)
sed "s/127.0.0.1:8080/127.0.0.1:$port/; s/127.0.0.1:8081/127.0.0.1:$a/; s/127.0.0.1:8082/127.0.0.1:$b/" docs/deploy/nginx.conf >"$work/site.conf"
cat >"$work/nginx.conf" <<CONF
pid $work/nginx.pid;
error_log $work/error.log;
worker_processes 1;
events { worker_connections 256; }
http {
    access_log off;
    client_body_temp_path $work/body; proxy_temp_path $work/proxy; fastcgi_temp_path $work/f; uwsgi_temp_path $work/u; scgi_temp_path $work/s;
    include $work/site.conf;
}
CONF
serve() { # PORT LOG
    exec "$program" serve -m "$model" --port "$1" --parallel 2 --queue 1 -c 1024 --log-format text --drain 20 >"$2" 2>&1
}
serve "$a" "$work/a.log" & first=$!
serve "$b" "$work/b.log" & second=$!
"$nginx" -e "$work/error.log" -c "$work/nginx.conf" -g 'daemon off;' & proxy=$!
url=http://127.0.0.1:$port
ready() { i=0; until curl -sf "http://127.0.0.1:$1/health" >/dev/null; do i=$((i + 1)); [ $i -lt 600 ] || { cat "$work"/*.log; exit 1; }; sleep 0.1; done; }
ready "$a"; ready "$b"; ready "$port"

ask() (begin "$@") # JSON members, curl's arguments
begin() { # the same in the place of this process: to be run with &
    members=$1; shift
    exec curl -sN -m 120 -H 'Content-Type: application/json' "$@" "$url/v1/chat/completions" \
        -d "{\"messages\":[{\"role\":\"user\",\"content\":\"Tell a story about a fox.\"}],$members}"
}
running() { curl -s "http://127.0.0.1:$1/metrics" | sed -n 's/^vllm:num_requests_running{.*} //p'; }
count() { curl -s "http://127.0.0.1:$1/metrics" | sed -n 's/^vllm:generation_tokens_total{.*} //p' | cut -d. -f1; }

ask '"max_tokens":60,"stream":true,"seed":1' | while IFS= read -r line; do case $line in data:*) date +%s%N ;; esac; done >"$work/times"
check "a stream arrives token by token" '[ "$(wc -l <"$work/times")" -ge 20 ]' \
    '[ $(( $(tail -n 1 "$work/times") - $(head -n 1 "$work/times") )) -gt 100000000 ]' \
    '[ "$(cut -c 1-11 "$work/times" | sort -u | wc -l)" -ge 3 ]'

code=$(curl -s -o "$work/page" -w '%{http_code}' -H "Origin: $url" "$url/")
check "the page comes through, and its origin is this server's" '[ "$code" = 200 ]' 'grep -q "<title>qwenmesh" "$work/page"' \
    '[ "$(ask "\"max_tokens\":1" -H "Origin: $url" -o /dev/null -w "%{http_code}")" = 200 ]'
check "metrics and slots stay inside" '[ "$(curl -s -o /dev/null -w "%{http_code}" "$url/metrics")" = 403 ]' \
    '[ "$(curl -s -o /dev/null -w "%{http_code}" "$url/slots")" = 403 ]'

before_a=$(count "$a") before_b=$(count "$b")
for _ in 1 2 3; do ask '"max_tokens":4' -H 'X-Session-ID: chat-1' -o /dev/null; done
one_a=$(($(count "$a") - before_a)) one_b=$(($(count "$b") - before_b))
check "a conversation stays with its server" '[ $one_a = 0 ] || [ $one_b = 0 ]' '[ $((one_a + one_b)) -gt 0 ]'
for i in 2 3 4 5 6 7 8 9 10 11; do ask '"max_tokens":4' -H "X-Session-ID: chat-$i" -o /dev/null; done
check "conversations are dealt to both" '[ $(($(count "$a") - before_a)) -gt 0 ]' '[ $(($(count "$b") - before_b)) -gt 0 ]'

# Four that run long, two slots each: least_conn fills both.
pids=
for i in 1 2 3 4; do begin '"max_tokens":600,"min_tokens":600,"ignore_eos":true,"stream":true' -o "$work/long$i" & pids="$pids $!"; sleep 0.3; done
sleep 0.5
check "requests go where least is under way" '[ "$(running "$a")" = 2 ]' '[ "$(running "$b")" = 2 ]'
# Six are taken (2 running, 1 waiting each); more get the last server's 429.
begin '"max_tokens":2' -o /dev/null & p5=$!; sleep 0.2
begin '"max_tokens":2' -o /dev/null & p6=$!; sleep 0.4
code=$(ask '"max_tokens":2' -o "$work/full" -w '%{http_code}')
check "when both queues are full the client is told 429" '[ "$code" = 429 ]' 'grep -q queue_full "$work/full"'
# shellcheck disable=SC2086 # a list of words
kill $pids
sleep 1.5
check "clients that leave end their generations" '[ "$(running "$a")" -le 1 ]' '[ "$(running "$b")" -le 1 ]'
wait $p5 $p6 || true

begin '"max_tokens":150,"min_tokens":150,"ignore_eos":true,"stream":true' -H 'X-Session-ID: chat-1' -o "$work/last" & last=$!
sleep 0.7
if [ $one_a -gt 0 ]; then kill -TERM "$first"; gone=$first; else kill -TERM "$second"; gone=$second; fi
code=$(ask '"max_tokens":2' -H 'X-Session-ID: chat-1' -o /dev/null -w '%{http_code}')
check "while one server drains the other takes its conversations" '[ "$code" = 200 ]'
wait $last || true
check "and what was under way is ended" 'grep -q "data: \[DONE\]" "$work/last"'
wait "$gone" || true
codes=$(for i in 1 2 3 4 5; do ask '"max_tokens":2' -o /dev/null -w '%{http_code} '; done)
check "a server that is gone is not missed" '[ "$codes" = "200 200 200 200 200 " ]'
exit $failed
