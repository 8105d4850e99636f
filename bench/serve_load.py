#!/usr/bin/env python3
"""serve_load.py URL MODEL [options]: a closed loop of streamed completions on a server of OpenAI's interface: each of S
streams asks, reads its answer to the end, and asks again. A JSON line for each setting: tokens per second of all streams
together, times to the first token and between two tokens in milliseconds (median and 99th percentile), processor seconds
of --pid for a thousand tokens, and the SHA-256 of all answers in order. Prompt i is the same at every number of streams:
--answers FILE keeps what was said, and "changed" counts the answers that differ from what the file has. Standard library
only."""
import argparse, asyncio, hashlib, json, os, random, time, urllib.parse

WORDS = "river stone paper window engine garden letter mountain silver market winter bridge table farmer ocean candle".split()


def prompt_of(number, words, prefix):
    draw = random.Random(number)
    shared = random.Random("prefix")
    before = " ".join(shared.choice(WORDS) for _ in range(prefix))
    return (before + "\n" if before else "") + " ".join(draw.choice(WORDS) for _ in range(words))


class Answer:
    def __init__(self):
        self.times, self.text, self.tokens, self.error = [], "", 0, None


async def ask(at, body, key):
    a = Answer()
    data = json.dumps(body).encode()
    reader, writer = await asyncio.open_connection(at.hostname, at.port, limit=1 << 22)
    try:
        a.sent = time.perf_counter()
        bearer = f"Authorization: Bearer {key}\r\n" if key else ""
        writer.write(f"POST /v1/completions HTTP/1.1\r\nHost: {at.netloc}\r\n{bearer}Content-Type: application/json\r\n"
                     f"Connection: close\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data)
        head = await reader.readuntil(b"\r\n\r\n")
        status = int(head.split()[1])
        if not body["stream"]:
            whole = json.loads(await reader.read())
            a.times.append(time.perf_counter())
            a.text, a.tokens = whole["choices"][0]["text"], whole["usage"]["completion_tokens"]
        async for line in reader:
            if not line.startswith(b"data: {"):
                continue
            event = json.loads(line[6:])
            if event.get("usage"):
                a.tokens = event["usage"]["completion_tokens"]
            for choice in event.get("choices") or []:
                if choice.get("text"):
                    a.text += choice["text"]
                    a.times.append(time.perf_counter())
        a.error = None if status == 200 and a.tokens else f"status {status}"
    finally:
        writer.close()
    return a


def processor_seconds(pid):
    try:
        return sum(int(open(f"/proc/{pid}/task/{t}/schedstat").read().split()[0]) for t in os.listdir(f"/proc/{pid}/task")) / 1e9
    except OSError:
        return 0.0


def part(values, share):
    values = sorted(values)
    return round(1000 * values[min(len(values) - 1, int(share * len(values)))], 2) if values else None


def changed(path, prefix, answers):
    """How many differ from those of FILE, which then has these, too."""
    if not path:
        return None
    try:
        known = json.load(open(path))
    except FileNotFoundError:
        known = {}
    differ = 0
    for number, a in answers.items():
        differ += known.setdefault(f"{prefix} {number}", a.text) != a.text
    json.dump(known, open(path, "w"))
    return differ


async def run(o, at, streams, prefix):
    answers = {}

    async def stream(s):
        for i in range(o.requests):
            number = s * o.requests + i
            body = {"model": o.model, "prompt": prompt_of(number, o.prompt, prefix), "max_tokens": o.new, "temperature": 0,
                    "stream": not o.whole, "ignore_eos": True}
            if not o.whole:
                body["stream_options"] = {"include_usage": True}
            answers[number] = await ask(at, body, o.key)

    used, began = processor_seconds(o.pid), time.perf_counter()
    await asyncio.gather(*(stream(s) for s in range(streams)))
    took, used = time.perf_counter() - began, processor_seconds(o.pid) - used
    tokens = sum(a.tokens for a in answers.values())
    first = [a.times[0] - a.sent for a in answers.values() if a.times]
    gaps = [b - c for a in answers.values() for b, c in zip(a.times[1:], a.times)]
    texts = hashlib.sha256(json.dumps([answers[n].text for n in sorted(answers)]).encode()).hexdigest()
    print(json.dumps({"server": o.name, "streams": streams, "prefix": prefix, "errors": sum(bool(a.error) for a in answers.values()),
                      "tokens_s": round(tokens / took, 1), "ttft_p50": part(first, 0.5), "ttft_p99": part(first, 0.99),
                      "gap_p50": part(gaps, 0.5), "gap_p99": part(gaps, 0.99),
                      "cpu_s_per_1000": round(1000 * used / tokens, 5) if tokens else None, "texts": texts,
                      "changed": changed(o.answers, prefix, answers)}), flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("url")
    p.add_argument("model")
    p.add_argument("--name", default="qwenmesh")
    p.add_argument("--streams", default="1,4,8")
    p.add_argument("--prefix", default="0", help="words that all prompts begin with; several settings")
    p.add_argument("--prompt", type=int, default=100, help="words of a prompt of its own")
    p.add_argument("--new", type=int, default=96)
    p.add_argument("--requests", type=int, default=2)
    p.add_argument("--pid", type=int, default=0)
    p.add_argument("--key", default="")
    p.add_argument("--answers", metavar="FILE", help="answers of other loads to compare with")
    p.add_argument("--whole", action="store_true", help="answers are not streamed; times to the first token are those of the whole")
    o = p.parse_args()
    at = urllib.parse.urlparse(o.url)
    for prefix in map(int, o.prefix.split(",")):
        for streams in map(int, o.streams.split(",")):
            asyncio.run(run(o, at, streams, prefix))


if __name__ == "__main__":
    main()
