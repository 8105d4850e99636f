#!/bin/bash
# test_serve.sh: the server under bad requests, clients that leave, full queues, missing descriptors, signals; keys; the
# listener of every kind. tests/serve_client.py is the client.
set -u
. tests/tap.sh
command -v python3 >/dev/null || { skip "the server" "no python3"; finish; exit 0; }
model=$work/tiny
mkdir "$model" && cp tests/golden/tiny/* "$model" && chmod -R u+w "$model" && cp tests/data/bytes/tokenizer*.json "$model"

# start OPTIONS...: a server, whose $pid, $port and $log are set once it is ready.
start() {
    log=$work/log
    : >"$log"
    "$QWENMESH" serve -m "$model" -t 1 --port 0 "$@" 2>"$log" &
    pid=$!
    until_ready "$log" "$pid"
    port=$(sed -n 's/.*listening at .*:\([0-9]*\)$/\1/p' "$log")
}
# stop: SIGTERM, and its exit status in $status.
stop() {
    kill -TERM "$pid" 2>/dev/null
    status=0
    wait "$pid" || status=$?
}
# client CASES...: a check for each line of the client.
client() {
    : >"$work/out"
    python3 tests/serve_client.py "$port" "$pid" "$@" >"$work/lines" 2>"$work/err"
    ended=$?
    while IFS=$(printf '\t') read -r name found; do
        check "$name: $found" '[ "$found" = ok ]'
    done <"$work/lines"
    check "the client came to its end: $*" '[ "$ended" = 0 ]'
}

start --parallel 2 --queue 4 --max-body 1
check "the server is ready" '[ -n "$port" ]'
client slow_start routes framing bodies streams queue aborts slow_end
check "the log has routes, tokens and times" 'grep -qE "\"POST /v1/completions\" 200 prompt=[0-9]+ cached=[0-9]+ generated=4 .*finish=length" "$log"'
check "... and who left" 'grep -qE "finish=gone gone" "$log"'
check "... and 413 of chunks" 'grep -qE "\"POST /v1/messages\" 413 " "$log"'
# As a word: a request's id may have the letters.
check "... and no prompt" '! grep -qw abc "$log"'
client drain
wait "$pid"
status=$?
check "SIGTERM ends it well" 'is 0' 'grep -q " ended" "$log"'

printf '# keys\nfirst=first-key\r\n\nsecond-key\n' >"$work/keys"
start --parallel 2 --api-key-file "$work/keys" --cors-origins https://chat.example --log-format json --pid-file "$work/pid"
port=$(sed -n 's/.*listening at [^"]*:\([0-9]*\)".*/\1/p' "$log")
check "its number is in the file" '[ "$(cat "$work/pid")" = "$pid" ]'
SERVE_KEY=first-key client keys
stop
check "the log has the key's name, and not the key" 'grep -q "\"key\":\"first\"" "$log"' '! grep -q first-key "$log"'
check "the log is JSON" 'python3 -c "import json, sys; [json.loads(l) for l in open(sys.argv[1])]" "$log"'
check "its number is gone" '[ ! -e "$work/pid" ]'

(ulimit -n 90 && exec "$QWENMESH" serve -m "$model" -t 1 --port 0 2>"$work/log") &
pid=$!
until_ready "$work/log" "$pid"
port=$(sed -n 's/.*listening at .*:\([0-9]*\)$/\1/p' "$work/log")
client crowd
stop
check "it ends well after that" 'is 0'

# Another way to listen.
start --host "$work/s.sock" --timeout 0.001
over_unix() { python3 - "$work/s.sock" <<'PY'
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(b"GET /health HTTP/1.1\r\nHost: anything\r\nConnection: close\r\n\r\n")
print(s.recv(1000).decode().split("\r\n")[0])
PY
}
check "a Unix socket" 'over_unix | grep -q "200 OK"' '[ "$(stat -c %a "$work/s.sock")" = 700 ] || [ "$(stat -c %a "$work/s.sock")" = 600 ]'
late() { python3 - "$work/s.sock" <<'PY'
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
b = b'{"model":"tiny","prompt":[5],"max_tokens":400,"ignore_eos":true}'
s.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: anything\r\nContent-Length: %d\r\n\r\n" % len(b) + b)
print(s.recv(1000).decode().split("\r\n")[0])
PY
}
check "a request that takes too long" 'late | grep -q "504 "'
run serve -m "$model" --host "$work/s.sock"
check "a socket that is taken" 'is 1' 'err "another server listens there"'
stop
check "the socket is gone" 'is 0' '[ ! -e "$work/s.sock" ]'
if command -v openssl >/dev/null; then
    openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout "$work/key.pem" -out "$work/cert.pem" 2>/dev/null
    start --ssl-cert-file "$work/cert.pem" --ssl-key-file "$work/key.pem" --max-body 1
    over_tls() { python3 - "$port" "$work/cert.pem" <<'PY'
import socket, ssl, sys
c = ssl.create_default_context(cafile=sys.argv[2]); c.check_hostname = False
s = c.wrap_socket(socket.create_connection(("127.0.0.1", int(sys.argv[1]))))
b = b'{"model":"tiny","prompt":"a","max_tokens":3,"stream":true}'
s.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(b) + b)
got = b""
while (d := s.recv(65536)):
    got += d
print(s.version(), got.decode())
s = c.wrap_socket(socket.create_connection(("127.0.0.1", int(sys.argv[1]))))
s.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
s.sendall((b"10000\r\n" + b" " * 65536 + b"\r\n") * 40 + b"0\r\n\r\n")
print("large:", s.recv(65536).decode())
PY
    }
    check "too many chunks under TLS" 'over_tls | grep -q "large: HTTP/1.1 413"'
    check "TLS" 'over_tls | grep -q "\[DONE\]"' 'grep -q "https://" "$log"'
    stop
    run serve -m "$model" --port 0 --ssl-cert-file "$work/cert.pem" --ssl-key-file "$work/cert.pem"
    check "a key that is none" 'is 1' 'err "cannot start the HTTP server"'
else
    skip "TLS" "no openssl"
fi
# Over two processes: rank 0 serves, and drains.
. tests/mpi.sh
library=$(dirname "$QWENMESH")/qwenmesh-mpi.so
if command -v mpirun >/dev/null && mpirun --version 2>/dev/null | grep -q "Open MPI" && [ -e "$library" ]; then
    program=$QWENMESH
    printf '#!/bin/sh\nexec mpirun %s --oversubscribe -n 2 "%s" "$@"\n' "$root" "$program" >"$work/spread"
    chmod +x "$work/spread"
    QWENMESH=$work/spread
    start --mesh 2 --pid-file "$work/rank0"
    rank0=$(cat "$work/rank0")
    python3 tests/serve_client.py "$port" "$rank0" drain >"$work/lines" 2>"$work/err"
    status=0
    wait "$pid" || status=$?
    check "two processes serve, and drain: $(tr "\n\t" "; " <"$work/lines")" 'is 0' '[ "$(grep -c "	ok$" "$work/lines")" = 2 ]' 'grep -q " ended" "$log"'
    QWENMESH=$program
else
    skip "two processes" "no Open MPI, or no $library"
fi
# A socket that was opened by whoever starts it.
# given PROGRAM ADDRESS|PATH COUNT: what systemd does, then serve.
cat >"$work/given.py" <<'PY'
import os, socket, sys
path = "/" in sys.argv[2]
s = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
s.bind(sys.argv[2] if path else (sys.argv[2], 0))
if sys.argv[4] == "listens":
    s.listen(64)
if s.fileno() != 3:
    os.dup2(s.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=sys.argv[3], LISTEN_FDNAMES="qwenmesh.socket")
os.execv(sys.argv[1], [sys.argv[1], "serve"] + sys.argv[5:])
PY
given() {
    log=$work/log
    : >"$log"
    python3 "$work/given.py" "$(realpath "$QWENMESH")" "$1" "$2" "$3" -m "$model" -t 1 --port 1 --parallel 2 2>"$log" &
    pid=$!
    until_ready "$log" "$pid"
    port=$(sed -n 's/.*listening at .*:\([0-9]*\)$/\1/p' "$log")
}
given 127.0.0.1 1 listens
client routes
stop
check "a socket that was given: it ends well" 'is 0'
given "$work/given.sock" 1 listens
cp "$log" "$work/err"
check "a Unix socket that was given" 'err "listening at unix:$work/given.sock"'
stop
check "... stays, for it is not the server's" 'is 0' '[ -S "$work/given.sock" ]'
given 0.0.0.0 1 listens
stop
cp "$log" "$work/err"
check "a socket that is open to others wants a key" 'is 2' 'err "--no-api-key"'
given 127.0.0.1 2 listens
stop
cp "$log" "$work/err"
check "two sockets" 'is 2' 'err "expected one socket to listen on, got 2"'
given 127.0.0.1 1 silent
stop
cp "$log" "$work/err"
check "a socket that does not listen" 'is 2' 'err "expected a stream socket that listens"'
LISTEN_PID=1 LISTEN_FDS=1 run serve -m "$work/nothing" --port 0
check "another process's sockets are none of ours" 'is 1' 'no_err "LISTEN_FDS"'
run serve -m "$model" --ssl-cert-file x
check "a certificate without a key" 'is 2' 'err "--ssl-key-file"'
run serve -m "$model" --host 0.0.0.0 --port 0
check "no key, and open to others" 'is 2' 'err "--no-api-key"'
run serve -m "$model" --port 0 --api-key 'a b'
check "a key that no header can carry" 'is 1' 'err "visible ASCII"'
run serve -m "$work/nothing" --port 0
check "no model" 'is 1'
run serve
check "no model is named" 'is 2' 'err "-m DIR"'
run serve --help
check "its help fits 80 columns" 'is 0' '[ "$(awk "length > 80" "$work/out" | wc -l)" = 0 ]'
finish
