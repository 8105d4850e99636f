#!/usr/bin/env python3
"""serve_faults.py QWENMESH MODEL LIBRARY SAMPLES FOLDER: a server in which one allocation of a request fails, at SAMPLES
positions of every kind of request (0: all of them). It goes on; the request is answered as if nothing had failed, with
500 or 503, by an event of an error, or not at all where HTTP itself had no memory: never with 200 and a part missing.
Prints TAP, from the number that follows FOLDER. Standard library only."""
import http.client, json, mmap, os, re, socket, struct, subprocess, sys, time

program, model, library, samples, folder = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5]
number = int(sys.argv[6])
armed = os.path.join(folder, "armed")
with open(armed, "wb") as f:
    f.write(bytes(8))
with open(armed, "r+b") as f:
    counter = mmap.mmap(f.fileno(), 8)
log = open(os.path.join(folder, "serve.log"), "w+")
env = dict(os.environ, LD_PRELOAD=library, FAULT_CALLS=",malloc,calloc,realloc,", FAULT_ARMED=armed)
server = subprocess.Popen([program, "serve", "-m", model, "-t", "1", "--port", "0", "--parallel", "2", "-c", "4096", "--embeddings",
                           "--chat-template", "qwen2.5"],
                          stderr=log, env=env)


def arm(position):
    counter[:8] = struct.pack("<q", position)


def said():
    with open(log.name) as f:
        return f.read()


for _ in range(300):
    if " ready: " in said() or server.poll() is not None:
        break
    time.sleep(0.05)
port = int(re.search(r"listening at .*:(\d+)", said()).group(1))


def ask(request):
    """(status, type, body, whether it came to its end); status 0: the connection was closed without an answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as s:
        s.sendall(request)
        answer = http.client.HTTPResponse(s)
        try:
            answer.begin()
        except (http.client.HTTPException, ConnectionError):
            return 0, "", b"", False
        try:
            return answer.status, answer.headers["Content-Type"], answer.read(), True
        except http.client.IncompleteRead as cut:
            return answer.status, answer.headers["Content-Type"], cut.partial, False
        except ConnectionError:
            return answer.status, answer.headers["Content-Type"], b"", False


def post(path, body):
    data = json.dumps(body).encode()
    return b"POST %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (path.encode(), len(data), data)


def plain(got):
    """An answer without what differs from one to the next: ids, times, what a slot had."""
    text = re.sub(rb"(chatcmpl-|cmpl-|msg_|resp_|req-|call_|toolu_|rs_)[A-Za-z0-9]{24}", b"", got[2])
    text = re.sub(rb'"(created|created_at|seed|completed_at|\w*_duration|\w*cached?_\w*tokens|input_tokens)":("[^"]*"|\d+)', b"", text)
    return got[0], got[1], text


def difference(got, want):
    a, b = plain(got)[2], plain(want)[2]
    at = next((i for i in range(min(len(a), len(b))) if a[i] != b[i]), min(len(a), len(b)))
    return got[0], a[max(0, at - 200) : at + 200], b[max(0, at - 200) : at + 200]


SAY = [{"role": "user", "content": "hi"}]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {"a": {"enum": ["x", "y"]}}, "required": ["a"]}}}
FEW = {"max_tokens": 3, "temperature": 0}
REQUESTS = {
    "a chat": post("/v1/chat/completions", {"messages": SAY, "logprobs": True, "top_logprobs": 2, "stop": ["zz"], **FEW}),
    "a stream": post("/v1/chat/completions", {"messages": SAY, "stream": True, "stream_options": {"include_usage": True}, **FEW}),
    "tools": post("/v1/chat/completions", {"messages": SAY, "tools": [TOOL], "tool_choice": "required", **FEW, "max_tokens": 40}),
    "a completion": post("/v1/completions", {"prompt": ["ab", "cd"], "echo": True, "logprobs": 2, "n": 2, "best_of": 2, **FEW}),
    "messages": post("/v1/messages", {"system": [{"type": "text", "text": "s"}], "messages": SAY, "stream": True, **FEW}),
    "responses": post("/v1/responses", {"input": "hi", "max_output_tokens": 3, "temperature": 0, "stream": True}),
    "Ollama's chat": post("/api/chat", {"messages": SAY, "options": {"num_predict": 3, "temperature": 0}}),
    "vectors": post("/v1/embeddings", {"input": ["ab", "cd"]}),
    "a list": b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
}
for _ in range(200): # until the model's files have been read, whose fingerprint answers tell
    if b'"system_fingerprint":"' in ask(REQUESTS["a chat"])[2]:
        break
    time.sleep(0.05)
for name, request in REQUESTS.items():
    ask(request)
    many = 1 << 40
    arm(many)
    want = ask(request)
    total = many - struct.unpack("<q", counter[:8])[0]
    arm(0)
    wrong = [] if want[0] == 200 and want[3] and total > 10 else [("without a fault", total, want)]
    step = 1 if samples == 0 else max(1, total // samples)
    told = 0
    for position in range(1 + total % step, total + 1, step):
        arm(position)
        got = ask(request)
        arm(0)
        if server.poll() is not None:
            wrong.append((position, "the server ended", server.returncode))
            break
        told += got[0] in (500, 503)
        if got[0] == 200 and got[3] and plain(got) != plain(want) and not re.search(rb'"error":[{"]', got[2]):
            wrong.append((position, "200, and not the answer", difference(got, want)))
    if server.poll() is None and plain(ask(request)) != plain(want):
        wrong.append(("afterwards", difference(ask(request), want)))
    if not told:
        wrong.append("no fault was told")
    number += 1
    print("not ok" if wrong else "ok", number, "- serve, an allocation that fails:", name, f"({total} of them)")
    for w in wrong[:5]:
        print("#", str(w)[:1000])
    if server.poll() is not None:
        sys.exit(1)
server.terminate()
number += 1
print("ok" if server.wait(40) == 0 else "not ok", number, "- and it ends well after that")
