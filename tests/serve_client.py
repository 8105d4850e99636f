#!/usr/bin/env python3
"""serve_client.py PORT PID CASE[:COUNT]...: attacks on a server of tests/test_serve.sh. A line for each check: its name, a tab,
"ok" or what was found. Standard library only."""
import json, os, socket, sys, threading, time

PORT, PID = int(sys.argv[1]), int(sys.argv[2])
KEY = os.environ.get("SERVE_KEY")


def connect(timeout=20):
    s = socket.create_connection(("127.0.0.1", PORT), timeout=timeout)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def read_all(s):
    """Until the server closes, or is silent for the socket's timeout."""
    got = b""
    try:
        while True:
            b = s.recv(65536)
            if not b:
                return got
            got += b
    except (ConnectionError, socket.timeout) as e:
        return got + (b"[timeout]" if isinstance(e, socket.timeout) else b"")


def raw(data, timeout=20):
    s = connect(timeout)
    try:
        s.sendall(data)
    except ConnectionError:
        pass
    got = read_all(s)
    s.close()
    return got


def head(method, path, extra=b"", host=b"127.0.0.1", close=True):
    key = b"Authorization: Bearer %s\r\n" % KEY.encode() if KEY else b""
    return b"%s %s HTTP/1.1\r\nHost: %s\r\n%s%s%s\r\n" % (method, path, host, key, extra, b"Connection: close\r\n" if close else b"")


def post(path, body, extra=b"", close=True):
    return head(b"POST", path, b"Content-Length: %d\r\n%s" % (len(body), extra), close=close) + body


def status(got):
    return int(got.split(b" ", 2)[1]) if got.startswith(b"HTTP/1.") else 0


def body(got):
    return got.split(b"\r\n\r\n", 1)[1] if b"\r\n\r\n" in got else b""


def say(name, ok, found=None):
    text = "ok" if ok else repr(found)[:300]
    print(f"{name}\t{text}", flush=True)


def expect(name, data, want, also=None, timeout=20):
    got = raw(data, timeout)
    want = want if isinstance(want, tuple) else (want,)
    say(name, status(got) in want and (200 in want or b"200 OK" not in got) and (also is None or also in got), got)
    return got


def ask(new=4, stream=False, prompt="abc", **more):
    return json.dumps({"model": "tiny", "prompt": prompt, "max_tokens": new, "stream": stream, "temperature": 0, "ignore_eos": True, **more}).encode()


def get_json(path):
    return json.loads(body(raw(head(b"GET", path))))


def metric(name):
    text = body(raw(head(b"GET", b"/metrics"))).decode()
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name + "{"))


def descriptors():
    return len(os.listdir(f"/proc/{PID}/fd"))


def settled(seconds=10):
    """Whether no generation is left, and no connection but the one that asks."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not get_json(b"/slots") and metric("qwenmesh:connections") <= 1:
            return True
        time.sleep(0.05)
    return False


def routes():
    expect("GET /health", head(b"GET", b"/health"), 200, b'{"status":"ok"}')
    got = expect("HEAD /health has no body", head(b"HEAD", b"/health"), 200)
    say("HEAD's answer ends after its head", body(got) == b"", got)
    expect("OPTIONS tells the methods", head(b"OPTIONS", b"/health"), 204, b"Allow: GET, HEAD, OPTIONS")
    expect("a method that is none of the route's", head(b"DELETE", b"/health"), 405, b"Allow: GET, HEAD")
    expect("no such route", head(b"GET", b"/nowhere"), 404, b"not_found_error")
    expect("an icon that is not there", head(b"GET", b"/favicon.ico"), 204)
    expect("/props", head(b"GET", b"/props"), 200, b'"total_slots":2')
    expect("/metrics", head(b"GET", b"/metrics"), 200, b"vllm:num_requests_running{model_name=")
    expect("a request's id comes back", head(b"GET", b"/health", b"x-request-id: mine-1\r\n"), 200, b"x-request-id: mine-1\r\n")
    expect("... if it is harmless", head(b"GET", b"/health", b"x-request-id: <b>\r\n"), 200, b"x-request-id: req-")
    got = expect("a completion", post(b"/v1/completions", ask()), 200, b'"completion_tokens":4')


def framing():
    h = b"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    two = h + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    expect("two kinds of length", two, 400)
    expect("two lengths", h + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", 400)
    expect("another coding", h + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400)
    expect("a coding twice", h + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400)
    for n in (b"-2", b"0x10", b"99999999999999999999999", b"1 2", b"+5", b"5, 5"):
        expect(f"Content-Length: {n.decode()}", h + b"Content-Length: " + n + b"\r\n\r\nhello", (400, 413))
    for n in (b"-2", b"ffffffffffffffffff", b"zz"):
        got = raw(h + b"Transfer-Encoding: chunked\r\n\r\n" + n + b"\r\nhello\r\n0\r\n\r\n", 5)
        say(f"a chunk of {n.decode()} bytes", status(got) in (0, 400, 413) and b"[timeout]" not in got, got)
    expect("no Host", b"GET /health HTTP/1.1\r\n\r\n", 400)
    expect("two Hosts", head(b"GET", b"/health", b"Host: localhost\r\n"), 400)
    expect("a foreign Host", head(b"GET", b"/health", host=b"evil.example"), 403)
    expect("localhost with a port", head(b"GET", b"/health", host=b"localhost:%d" % PORT), 200)
    expect("IPv6's loopback", head(b"GET", b"/health", host=b"[::1]:80"), 200)
    expect("a foreign Origin", head(b"GET", b"/health", b"Origin: https://evil.example\r\n"), 403)
    expect("no Origin", head(b"GET", b"/health", b"Origin: null\r\n"), 403)
    expect("its own Origin", head(b"GET", b"/health", b"Origin: http://127.0.0.1\r\n"), 200)
    expect("a foreign page's form", head(b"POST", b"/v1/completions", b"Origin: http://evil.example\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n") + b"{}", 403)
    for path in (b"/health%00", b"/health%0a", b"/health%", b"/health%4", b"/%zz", b"health", b"http://127.0.0.1/health"):
        expect(f"path {path.decode()}", head(b"GET", path), 400)
    expect("an escape that is a letter", head(b"GET", b"/h%65alth"), 200)
    expect("a long path", head(b"GET", b"/" + b"a" * 100000), (414, 431))
    expect("a large head", head(b"GET", b"/health", b"X: " + b"a" * 100000 + b"\r\n"), 431)
    expect("a path that leaves no room", head(b"GET", b"/" + b"a" * 65250), (404, 414, 431))
    expect("a head that leaves no room", head(b"GET", b"/health", b"X: " + b"a" * 65250 + b"\r\n"), 431)
    expect("a query of many arguments", head(b"GET", b"/health?" + b"a&" * 1200), 414)
    expect("many headers", head(b"GET", b"/health", b"X: y\r\n" * 20000), 431)
    expect("no HTTP", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", (0, 400))
    got = raw(b"GET /health HTTP/1.0\r\n\r\n")
    say("HTTP/1.0", status(got) == 200, got)
    s = connect()
    s.sendall(head(b"GET", b"/health", close=False) * 3 + head(b"GET", b"/health"))
    got = read_all(s)
    say("four in a row over one connection", got.count(b'{"status":"ok"}') == 4, got)
    s = connect()
    s.sendall(head(b"POST", b"/v1/completions", b"Content-Length: %d\r\nExpect: 100-continue\r\n" % len(ask())))
    first = s.recv(100)
    s.sendall(ask())
    say("Expect: 100-continue", first.startswith(b"HTTP/1.1 100") and b"200 OK" in read_all(s), first)
    a = ask()
    parts = b"".join(b"%x\r\n%s\r\n" % (len(a[i : i + 7]), a[i : i + 7]) for i in range(0, len(a), 7)) + b"0\r\n\r\n"
    expect("a body in chunks", head(b"POST", b"/v1/completions", b"Transfer-Encoding: chunked\r\n") + parts, 200)


def bodies():
    p = b"/v1/completions"
    expect("no JSON", post(p, b"hello"), 400, b"invalid_request_error")
    expect("no object", post(p, b"[1,2]"), 400, b"invalid_request_error")
    expect("nothing", post(p, b""), 400)
    expect("a name twice", post(p, b'{"prompt":"a","prompt":"b"}'), 400)
    expect("60,000 deep", post(p, b'{"a":' + b"[" * 60000 + b"]" * 60000 + b"}"), 400, b"nested")
    expect("a million values", post(p, b'{"a":[' + b"0," * 524288 + b"0]}"), (400, 413), None)
    expect("broken UTF-8", post(p, b'{"prompt":"\xff\xfe"}'), 400)
    expect("a lone surrogate", post(p, b'{"prompt":"\\ud800"}'), 400)
    expect("a body that is too large", head(b"POST", p, b"Content-Length: 99999999\r\n"), 413, b"request_too_large")
    expect("... which comes all the same", head(b"POST", p, b"Content-Length: 5000000\r\n") + b" " * 5000000, 413, b"request_too_large")
    chunks = head(b"POST", p, b"Transfer-Encoding: chunked\r\n") + (b"10000\r\n" + b" " * 65536 + b"\r\n") * 40
    expect("chunks without end", chunks, 413, b"request_too_large")
    expect("too many chunks", chunks + b"0\r\n\r\n", 413, b"request_too_large")
    expect("too many chunks, of Anthropic's", chunks.replace(p, b"/v1/messages", 1) + b"0\r\n\r\n", 413, b'"type":"error"')
    expect("a form", post(p, b"{}", b"Content-Type: multipart/form-data; boundary=x\r\n"), 415)
    expect("a compressed body", post(p, b"{}", b"Content-Encoding: gzip\r\n"), 415)
    expect("a GET with a body", head(b"GET", b"/health", b"Content-Length: 5\r\n") + b"hello", 413)
    expect("huge n", post(p, ask(n=1000000)), 400)
    expect("a prompt without room", post(p, ask(prompt=[5] * 600)), 400, b"context_length_exceeded")
    expect("a large body that is whole", post(p, ask(prompt="abc", user="u" * 200000)), 200)


def streams():
    got = raw(post(b"/v1/completions", ask(20, True)))
    whole = body(raw(post(b"/v1/completions", ask(20))))
    text = "".join(json.loads(line[6:])["choices"][0]["text"] for line in body(got).decode().splitlines()
                   if line.startswith("data: {") and json.loads(line[6:])["choices"])
    say("a stream has its type", b"Content-Type: text/event-stream" in got and b"Cache-Control: no-cache" in got, got)
    say("a stream ends", got.rstrip().endswith(b"0") and b"data: [DONE]" in got, got)
    say("a stream has the text of one answer", text == json.loads(whole)["choices"][0]["text"], (text, whole))


def aborts(count=240):
    """Clients that leave at every moment; others' answers stay what they are."""
    plain = body(raw(post(b"/v1/completions", ask(40))))
    want = json.loads(plain)["choices"][0]["text"]
    settled()
    before, wrong = descriptors(), []
    data = post(b"/v1/completions", ask(400, True))

    def leave(i):
        s = connect()
        cut = len(data) - 1 - i % 50 if i % 4 == 0 else len(data)
        s.sendall(data[:cut])
        if i % 4 == 1:
            time.sleep(0.002 * (i % 7))
        if i % 4 == 2:
            try:
                s.recv(1 + i % 300)
            except OSError:
                pass
        if i % 4 == 3:
            s.shutdown(socket.SHUT_WR)  # half closed counts as gone
            read_all(s)
        s.close()

    over = []

    def others():
        while not over:
            got = raw(post(b"/v1/completions", ask(40)), 60)
            if status(got) == 200 and json.loads(body(got))["choices"][0]["text"] != want:
                wrong.append(got)

    other = threading.Thread(target=others)
    other.start()
    for start in range(0, count, 8):
        group = [threading.Thread(target=leave, args=(i,)) for i in range(start, min(start + 8, count))]
        for t in group:
            t.start()
        for t in group:
            t.join()
    over.append(True)
    other.join()
    say("answers beside clients that leave are the same", not wrong, wrong)
    say("all slots are free again", settled(20), get_json(b"/slots"))
    say("no descriptor is left", descriptors() <= before + 1, (before, descriptors()))
    say("the server still answers", json.loads(body(raw(post(b"/v1/completions", ask(40)))))["choices"][0]["text"] == want)


def queue():
    """Two slots and a queue of four: of twelve at once at least six are refused."""
    got = []

    def one():
        got.append(raw(post(b"/v1/completions", ask(450, prompt=[5])), 60))

    all = [threading.Thread(target=one) for _ in range(12)]
    for t in all:
        t.start()
    for t in all:
        t.join()
    full = [g for g in got if status(g) == 429]
    say("a queue that is full refuses", 1 <= len(full) <= 10 and len(full) + sum(status(g) == 200 for g in got) == 12, [status(g) for g in got])
    say("... and says when to come again", all and full and b"\r\nRetry-After: " in full[0] and b"queue_full" in full[0], full[:1])


def keys():
    def with_headers(extra):
        return b"GET /props HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n" + extra + b"\r\n"

    k = KEY.encode()
    expect("no key", with_headers(b""), 401, b"WWW-Authenticate: Bearer")
    expect("a wrong key", with_headers(b"Authorization: Bearer wrong\r\n"), 401, b"invalid_api_key")
    expect("the key", with_headers(b"Authorization: Bearer " + k + b"\r\n"), 200)
    expect("the scheme in small letters", with_headers(b"authorization: bearer " + k + b"\r\n"), 200)
    expect("x-api-key", with_headers(b"x-api-key: " + k + b"\r\n"), 200)
    expect("a wrong x-api-key", with_headers(b"x-api-key: wrong\r\n"), 401)
    expect("a right and a wrong one", with_headers(b"Authorization: Bearer " + k + b"\r\nx-api-key: wrong\r\n"), 401)
    expect("a wrong and a right one", with_headers(b"Authorization: Bearer wrong\r\nx-api-key: " + k + b"\r\n"), 401)
    expect("two headers", with_headers(b"Authorization: Bearer " + k + b"\r\nAuthorization: Bearer wrong\r\n"), 401)
    expect("another scheme", with_headers(b"Authorization: Basic " + k + b"\r\n"), 401)
    expect("no key, no route", b"GET /nowhere HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n", 401)
    expect("/health needs none", b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n", 200)
    expect("the key of another name", with_headers(b"Authorization: Bearer second-key\r\n"), 200)
    expect("a page that may ask", with_headers(b"Origin: https://chat.example\r\nx-api-key: " + k + b"\r\n"), 200, b"Access-Control-Allow-Origin: https://chat.example\r\n")
    pre = b"OPTIONS /props HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nOrigin: https://chat.example\r\nAccess-Control-Request-Method: GET\r\n\r\n"
    expect("a browser's question before", pre, 204, b"Access-Control-Allow-Headers: ")
    expect("... of another page", pre.replace(b"chat.example", b"evil.example"), 403)


def crowd():
    """More connections than descriptors."""
    held = []
    for _ in range(150):
        try:
            held.append(socket.create_connection(("127.0.0.1", PORT), timeout=2))
        except OSError:
            break
    time.sleep(0.3)
    for s in held:
        s.close()
    end = time.monotonic() + 20
    got = b""
    while time.monotonic() < end and status(got) != 200:
        try:
            got = raw(head(b"GET", b"/health"), 3)
        except OSError:
            time.sleep(0.1)
    say("descriptors that are spent come back", status(got) == 200, got)


def many(count=500):
    """Connections that say nothing, beside requests that are answered."""
    held = [connect() for _ in range(count)]
    got = [raw(post(b"/v1/completions", ask(8)), 60) for _ in range(5)]
    say(f"answers beside {count} connections", all(status(g) == 200 for g in got), got)
    for s in held:
        s.close()
    say("and they are gone afterwards", settled(20))


def slow_start():
    """A client that sends a header line now and then; watched beside the other cases."""
    s, began = connect(30), time.monotonic()

    def drip():
        s.sendall(b"GET /health HTTP/1.1\r\n")
        s.settimeout(0.5)
        while time.monotonic() < began + 20:
            try:
                s.sendall(b"X: y\r\n")
                if s.recv(100) == b"":
                    break
            except socket.timeout:
                continue
            except OSError:
                break
        slow.append(time.monotonic() - began)

    slow.append(threading.Thread(target=drip, daemon=True))
    slow[0].start()


slow = []


def slow_end():
    slow[0].join()
    say("a head of a line now and then ends by its deadline", 9 < slow[1] < 16, slow[1])


def drain():
    """Started by the script, which sends SIGTERM: a stream that runs is ended whole, and nobody else gets in."""
    s = connect(30)
    s.sendall(post(b"/v1/completions", ask(450, True, prompt=[5])))
    first = s.recv(400)
    os.kill(PID, 15)
    refused = False
    until = time.monotonic() + 5  # the signal reaches a busy machine's server when it is its turn
    while not refused and time.monotonic() < until:
        try:
            t = connect(2)
            t.sendall(head(b"GET", b"/health"))
            refused = status(read_all(t)) in (0, 503)
        except OSError:
            refused = True
    rest = read_all(s)
    say("a stream goes on to its end while the server drains", (first + rest).count(b"[DONE]") == 1, rest[-200:])
    say("nobody else gets in", refused)


for case in sys.argv[3:]:
    name, _, count = case.partition(":")
    globals()[name](*([int(count)] if count else []))
