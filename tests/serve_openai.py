"""serve_openai.py GENERATE EMBED RANK [QWENMESH]: OpenAI's routes asked by the standard library alone; each check prints a
line of TAP. GENERATE serves tests/golden/tiny, EMBED tests/golden/embed, RANK tests/golden/reward, each with tests/data/bytes as
its tokenizer."""
import base64, http.client, json, math, struct, subprocess, sys, threading

GENERATE, EMBED, RANK = (u.removeprefix("http://") for u in sys.argv[1:4])
count = 0


def check(name, condition, shown=None):
    global count
    count += 1
    print(f"{'ok' if condition else 'not ok'} {count} - {name}")
    if not condition:
        print("# " + str(shown)[:2000].replace("\n", " "))


def ask(path, body=None, at=GENERATE, method=None, headers={}):
    c = http.client.HTTPConnection(at, timeout=60)
    data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
    c.request(method or ("POST" if data is not None else "GET"), path, data, {"Content-Type": "application/json", **headers})
    r = c.getresponse()
    text = r.read()
    c.close()
    try:
        return r.status, json.loads(text), r
    except ValueError:
        return r.status, text.decode(), r


def events(path, body):
    """A stream's chunks; its end is checked."""
    status, text, r = ask(path, {**body, "stream": True})
    if status != 200:
        raise SystemExit(f"not ok - stream: {status} {text}")
    frames = text.split("\n\n")
    check("frames of a stream", r.getheader("Content-Type").startswith("text/event-stream") and r.getheader("Cache-Control") == "no-cache"
          and frames[-1] == "" and frames[-2] == "data: [DONE]" and all(f.startswith("data: ") for f in frames[:-1]), text)
    return [json.loads(f[6:]) for f in frames[:-2]]


HI = [{"role": "user", "content": "Hi"}]
CHAT, TEXT = "/v1/chat/completions", "/v1/completions"


def chats():
    s, a, r = ask(CHAT, {"messages": HI, "max_tokens": 6, "temperature": 0, "logprobs": True, "top_logprobs": 2})
    c = a["choices"][0]
    check("a chat", s == 200 and a["object"] == "chat.completion" and a["id"].startswith("chatcmpl-") and c["message"]["role"] == "assistant"
          and c["message"]["refusal"] is None and "tool_calls" not in c["message"] and "error" not in a and r.getheader("x-request-id"), a)
    check("usage", a["usage"]["completion_tokens"] == 6 and a["usage"]["total_tokens"] == 6 + a["usage"]["prompt_tokens"]
          and a["usage"]["prompt_tokens_details"]["cached_tokens"] >= 0 and c["finish_reason"] == "length", a)
    l = c["logprobs"]["content"]
    check("log-probabilities", len(l) == 6 and all(len(t["top_logprobs"]) == 2 and t["logprob"] == t["top_logprobs"][0]["logprob"] for t in l)
          and all(t["logprob"] <= 0 and t["top_logprobs"][0]["logprob"] >= t["top_logprobs"][1]["logprob"] for t in l), l)
    check("bytes of tokens are the text", bytes(b for t in l for b in t["bytes"]).decode("utf-8", "replace") == c["message"]["content"], c)
    chunks = events(CHAT, {"messages": HI, "max_tokens": 6, "temperature": 0, "logprobs": True, "top_logprobs": 2})
    check("a stream says the same", "".join(x["choices"][0]["delta"].get("content") or "" for x in chunks) == c["message"]["content"], chunks)
    check("and its log-probabilities", [t for x in chunks if x["choices"][0]["logprobs"] for t in x["choices"][0]["logprobs"]["content"]] == l, chunks)
    check("first and last chunk", chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""} and chunks[-1]["choices"][0]["delta"] == {}
          and [x["choices"][0]["finish_reason"] for x in chunks] == [None] * (len(chunks) - 1) + ["length"]
          and len({(x["id"], x["created"], x["model"]) for x in chunks}) == 1 and "usage" not in chunks[0], chunks)
    chunks = events(CHAT, {"messages": HI, "max_tokens": 5, "n": 3, "seed": 1, "stream_options": {"include_usage": True}})
    check("first chunks come in order", [x["choices"][0]["index"] for x in chunks[:3]] == [0, 1, 2]
          and all("role" in x["choices"][0]["delta"] for x in chunks[:3]), chunks)
    check("usage is last", chunks[-1]["choices"] == [] and chunks[-1]["usage"]["completion_tokens"] == 15
          and all(x["usage"] is None for x in chunks[:-1]), chunks[-1])
    chunks = events(CHAT, {"messages": HI, "max_tokens": 3, "temperature": 0, "stream_options": {"continuous_usage_stats": True}})
    check("usage in every chunk", [x["usage"]["completion_tokens"] for x in chunks][-1] == 3 and chunks[0]["usage"]["prompt_tokens"] > 0, chunks)


def seeds():
    text = lambda **more: ask(CHAT, {"messages": HI, "max_tokens": 12, "temperature": 2, **more})[1]
    a = text()
    check("without a seed every answer differs", len({a["choices"][0]["message"]["content"], *(text()["choices"][0]["message"]["content"] for _ in range(3))}) == 4)
    b = text(seed=a["qwenmesh"]["seed"])
    check("the seed that is told gives it again", a["choices"][0]["message"] == b["choices"][0]["message"] and a["system_fingerprint"] == b["system_fingerprint"], (a, b))
    n = text(n=3, seed=5)
    check("choices of one seed draw apart", len({c["message"]["content"] for c in n["choices"]}) == 3 and text(n=3, seed=5)["choices"] == n["choices"], n)
    p = text(seed=5, qwenmesh={"proof": True})
    check("a proof", len(p["choices"][0].get("qwenmesh", {}).get("proof", "")) == 64
          and p["choices"][0]["qwenmesh"] == text(seed=5, qwenmesh={"proof": True})["choices"][0]["qwenmesh"], p)


def completions():
    s, a, _ = ask(TEXT, {"prompt": "Hello", "max_tokens": 4, "temperature": 0, "logprobs": 2, "echo": True})
    l = a["choices"][0]["logprobs"]
    check("echo", s == 200 and a["object"] == "text_completion" and a["choices"][0]["text"].startswith("Hello"), a)
    check("four lists", len(l["tokens"]) == len(l["token_logprobs"]) == len(l["top_logprobs"]) == len(l["text_offset"]) == a["usage"]["total_tokens"]
          and l["token_logprobs"][0] is None and l["top_logprobs"][0] is None and l["text_offset"][0] == 0, l)
    check("the likeliest is among them", all(t in top and max(top.values()) >= p for t, p, top in list(zip(l["tokens"], l["token_logprobs"], l["top_logprobs"]))[1:]), l)
    whole = a["choices"][0]["text"]
    b = ask(TEXT, {"prompt": whole, "max_tokens": 0, "temperature": 0, "logprobs": 2, "echo": True})[1]
    if ask("/tokenize", {"prompt": whole})[1]["count"] == len(l["tokens"]):
        check("a prompt's log-probabilities are an answer's", b["choices"][0]["logprobs"]["token_logprobs"] == l["token_logprobs"]
              and b["usage"]["completion_tokens"] == 0 and b["choices"][0]["text"] == whole, b)
    ids = ask("/tokenize", {"prompt": "Hello", "add_special_tokens": False})[1]["tokens"]
    for prompt in ("Hello", ids, ["Hello"], [ids]):
        c = ask(TEXT, {"prompt": prompt, "max_tokens": 4, "temperature": 0})[1]
        check(f"prompt as {type(prompt).__name__}", "Hello" + c["choices"][0]["text"] == whole, c)
    m = ask(TEXT, {"prompt": ["a", "b"], "n": 2, "max_tokens": 3, "seed": 2})[1]
    check("prompt by prompt", [c["index"] for c in m["choices"]] == [0, 1, 2, 3] and m["usage"]["prompt_tokens"] == 2, m)
    check("max_tokens is 16", ask(TEXT, {"prompt": "a", "temperature": 0, "ignore_eos": True})[1]["usage"]["completion_tokens"] == 16)
    best = ask(TEXT, {"prompt": "a", "best_of": 4, "n": 2, "max_tokens": 4, "seed": 1, "logprobs": 0})[1]
    mean = lambda c: sum(c["logprobs"]["token_logprobs"]) / len(c["logprobs"]["token_logprobs"])
    check("the best come first", len(best["choices"]) == 2 and mean(best["choices"][0]) >= mean(best["choices"][1]) and best["usage"]["completion_tokens"] == 16, best)
    beams = ask(TEXT, {"prompt": "a", "num_beams": 2, "n": 2, "temperature": 0, "max_tokens": 4})[1]
    check("beams", len(beams.get("choices", [])) == 2 and beams["choices"][0]["text"] != beams["choices"][1]["text"], beams)
    chunks = events(TEXT, {"prompt": "Hello", "max_tokens": 4, "temperature": 0, "echo": True})
    check("a stream of a completion", "".join(x["choices"][0]["text"] for x in chunks) == whole, chunks)
    told = ask(TEXT, {"prompt": "Hello", "max_tokens": 8, "temperature": 0, "return_token_ids": True})[1]["choices"][0]["token_ids"]
    at = next(i for i, x in enumerate(told) if x not in told[:i] and i)
    ended = ask(TEXT, {"prompt": "Hello", "max_tokens": 8, "temperature": 0, "stop_token_ids": [told[at]], "logprobs": 0})[1]
    check("ids that end an answer", ended["choices"][0]["finish_reason"] == "stop" and ended["usage"]["completion_tokens"] == at + 1
          and len(ended["choices"][0]["logprobs"]["tokens"]) == at, (told, ended))
    stop = ask(TEXT, {"prompt": "Hello", "max_tokens": 4, "temperature": 0, "stop": [whole[6:7], "zzzz"]})[1]["choices"][0]
    check("stop strings are not told", stop["text"] == whole[5:6] and stop["finish_reason"] == "stop", (stop, whole))


def errors():
    for path, body, status, param, code in [
            (CHAT, b"{", 400, None, None), (CHAT, b"[]", 400, None, None), (CHAT, {"messages": []}, 400, "messages", None),
            (CHAT, {"messages": HI, "temperature": 5}, 400, "temperature", None),
            (CHAT, {"messages": HI, "temperature": 5, "stream": True}, 400, "temperature", None),
            (CHAT, {"messages": HI, "n": 10**9}, 400, "n", None),
            (CHAT, {"messages": HI, "model": "gpt-4"}, 404, "model", "model_not_found"),
            (CHAT, {"messages": [{"role": "user", "content": "x" * 5000}]}, 400, "messages", "context_length_exceeded"),
            (CHAT, {"messages": HI, "response_format": {"type": "yaml"}}, 400, "response_format", None),
            (CHAT, {"messages": HI, "logit_bias": {"99999": 1}}, 400, None, None),
            (TEXT, {"prompt": [999999]}, 400, "prompt", None), (TEXT, {"prompt": "x", "suffix": "y"}, 400, "suffix", None),
            (TEXT, {"prompt": "x", "echo": True, "logprobs": 1, "stream": True}, 400, "echo", None),
            ("/v1/embeddings", {"input": "x", "dimensions": 3}, 400, "dimensions", None), ("/v1/embeddings", {"input": []}, 400, "input", None),
            ("/v1/rerank", {"query": "a", "documents": ["b"]}, 400, "model", None), ("/detokenize", {"tokens": ["x"]}, 400, "tokens", None),
            ("/completion", {"prompt": "x"}, 404, None, None), ("/infill", {}, 404, None, None)]:
        s, e, _ = ask(path, body)
        error = e.get("error", {}) if isinstance(e, dict) else {}
        check(f"{status} of {path} {str(body)[:60]}", s == status and {"message", "type", "param", "code"} <= set(error)
              and (param is None or error["param"] == param) and (code is None or error["code"] == code), (s, e))
    check("405", ask(CHAT)[0] == 405)
    check("unknown members do no harm", ask(CHAT, {"messages": HI, "max_tokens": 1, "frobnicate": 1})[0] == 200)


def tokens():
    t = ask("/tokenize", {"content": "Hé", "with_pieces": True})[1]
    check("pieces", t["count"] == len(t["tokens"]) and all({"id", "piece"} == set(x) for x in t["tokens"]), t)
    check("there and back", ask("/detokenize", {"tokens": [x["id"] for x in t["tokens"]]})[1] == {"prompt": "Hé", "content": "Hé"})
    p = ask("/apply-template", {"messages": HI})[1]["prompt"]
    check("a template", "Hi" in p and p.rstrip().endswith("assistant"), p)
    check("messages as ids", ask("/tokenize", {"messages": HI})[1]["count"] == ask("/tokenize", {"prompt": p})[1]["count"])
    info = ask("/tokenizer_info")[1]
    check("tokenizer_info", {"eos_token", "bos_token", "pad_token"} <= set(info) and "message" in info["chat_template"], info)
    m = ask("/v1/models")[1]
    check("models", m["object"] == "list" and m["data"][0]["id"] == "tiny" and m["data"][0]["max_model_len"] > 0 and ask("/v1/models/tiny")[1]["id"] == "tiny"
          and ask("/v1/models/x")[0] == 404, m)


def vectors(at, path, size):
    s, a, _ = ask("/v1/embeddings", {"input": ["ab", "cd", "a longer text"]}, at)
    b = ask("/v1/embeddings", {"input": ["ab", "cd", "a longer text"], "encoding_format": "base64"}, at)[1]
    numbers = [d["embedding"] for d in a["data"]]
    check("vectors", s == 200 and len(numbers) == 3 and all(len(v) == size and abs(math.hypot(*v) - 1) < 1e-5 for v in numbers), a)
    check("base64 is the same", [list(struct.unpack(f"<{size}f", base64.b64decode(d["embedding"]))) for d in b["data"]] == numbers)
    out = subprocess.run([sys.argv[4], "embed", "-m", path, "--jsonl", "-t", "1"], input='"ab"\n"cd"\n"a longer text"\n', capture_output=True, text=True)
    check("as embed makes them", [json.loads(l)["embedding"] for l in out.stdout.splitlines()] == numbers or
          all(struct.pack("f", x) == struct.pack("f", y) for l, v in zip(out.stdout.splitlines(), numbers) for x, y in zip(json.loads(l)["embedding"], v)), out)
    check("mean is not last", ask("/v1/embeddings", {"input": "abc", "pooling": "mean"}, at)[1]["data"][0]["embedding"] !=
          ask("/v1/embeddings", {"input": "abc"}, at)[1]["data"][0]["embedding"])


def beside():
    """Vectors while text is generated: neither changes."""
    alone = ask(TEXT, {"prompt": "Hello", "max_tokens": 60, "temperature": 0, "ignore_eos": True})[1]["choices"]
    vector = ask("/v1/embeddings", {"input": "beside " * 8})[1].get("data")
    told = []
    threads = [threading.Thread(target=lambda: told.append(ask(TEXT, {"prompt": "Hello", "max_tokens": 60, "temperature": 0, "ignore_eos": True})[1]["choices"])) for _ in range(3)]
    threads += [threading.Thread(target=lambda: told.append(ask("/v1/embeddings", {"input": "beside " * 8})[1]["data"])) for _ in range(3)]
    for t in threads: t.start()
    for t in threads: t.join()
    check("vectors beside text", sorted(map(str, told)) == sorted(map(str, [alone] * 3 + [vector] * 3)), told)


def ranks():
    documents = ["abc", "hello", "zz", "0123"]
    s, a, _ = ask("/v1/rerank", {"query": "ab", "documents": documents}, RANK)
    scores = [r["relevance_score"] for r in a["results"]]
    check("ranked", s == 200 and scores == sorted(scores, reverse=True) and sorted(r["index"] for r in a["results"]) == [0, 1, 2, 3]
          and all(r["document"]["text"] == documents[r["index"]] and 0 < r["relevance_score"] < 1 for r in a["results"]), a)
    b = ask("/v1/score", {"text_1": "ab", "text_2": documents}, RANK)[1]
    check("scores", {d["index"]: d["score"] for d in b["data"]} == {r["index"]: r["relevance_score"] for r in a["results"]}, b)
    check("the best two", [r["index"] for r in ask("/v1/rerank", {"query": "ab", "documents": documents, "top_n": 2, "return_documents": False}, RANK)[1]["results"]]
          == [r["index"] for r in a["results"]][:2])
    check("no text from it", ask(CHAT, {"messages": HI}, RANK)[0] == 400)


chats()
seeds()
completions()
errors()
tokens()
vectors(GENERATE, sys.argv[5], 64)
vectors(EMBED, sys.argv[6], 48)
beside()
ranks()
