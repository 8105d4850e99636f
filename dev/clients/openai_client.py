"""openai-python against the server: chats, streams (sync and async), tools, structured outputs, embeddings, errors, retries."""
import asyncio, base64, http.server, json, os, struct, threading
from typing import List, Literal, Optional
import openai
from pydantic import BaseModel, Field

URL = os.environ["URL"] + "/v1"
client = openai.OpenAI(base_url=URL, api_key="none", max_retries=0)
HI = [{"role": "user", "content": "Name three colours."}]
done = []


def check(name, condition, shown=""):
    if not condition:
        raise SystemExit(f"{name}: {shown}")
    done.append(name)


def chats():
    a = client.chat.completions.create(model="smol", messages=HI, max_tokens=16, temperature=0, logprobs=True, top_logprobs=3)
    c = a.choices[0]
    check("chat", c.message.role == "assistant" and c.message.content and c.finish_reason == "length", a)
    check("usage", a.usage.total_tokens == a.usage.prompt_tokens + a.usage.completion_tokens and a.usage.completion_tokens == 16, a)
    text = b"".join(bytes(t.bytes) for t in c.logprobs.content).decode()
    check("logprobs", text == c.message.content and all(len(t.top_logprobs) == 3 for t in c.logprobs.content), c.logprobs)
    check("greedy", all(t.logprob == t.top_logprobs[0].logprob for t in c.logprobs.content))
    b = client.chat.completions.create(model="smol", messages=HI, max_completion_tokens=16, temperature=0)
    check("again", b.choices[0].message.content == c.message.content and b.usage.prompt_tokens_details.cached_tokens > 0, b)
    check("fingerprint", a.system_fingerprint and a.system_fingerprint == b.system_fingerprint)
    draws = {client.chat.completions.create(model="smol", messages=HI, max_tokens=16, temperature=1.5).choices[0].message.content
             for _ in range(3)}
    check("without a seed answers differ", len(draws) == 3, draws)
    same = {client.chat.completions.create(model="smol", messages=HI, max_tokens=16, seed=7, temperature=1.5).choices[0].message.content
            for _ in range(2)}
    check("with a seed they do not", len(same) == 1, same)
    n = client.chat.completions.create(model="smol", messages=HI, max_tokens=8, n=3, seed=1, temperature=1.5)
    check("n", [c.index for c in n.choices] == [0, 1, 2] and len({c.message.content for c in n.choices}) == 3, n)
    word = c.message.content[20:26]
    s = client.chat.completions.create(model="smol", messages=HI, max_tokens=16, temperature=0, stop=[word, "zebra"])
    check("stop", s.choices[0].message.content == c.message.content[:c.message.content.index(word)] and s.choices[0].finish_reason == "stop", s)
    p = client.chat.completions.create(model="smol", max_tokens=4, temperature=0, messages=[
        {"role": "developer", "content": "Be brief."}, {"role": "user", "content": [{"type": "text", "text": "Hi "}, {"type": "text", "text": "there"}]}])
    check("parts", p.choices[0].message.content)
    big = client.chat.completions.create(model="smol", messages=HI, max_tokens=32000, temperature=0, stop="\n")
    check("clamped", big.choices[0].message.content)


def streams():
    plain = client.chat.completions.create(model="smol", messages=HI, max_tokens=24, temperature=0)
    text, usage, first, finish, roles = "", None, None, None, []
    for chunk in client.chat.completions.create(model="smol", messages=HI, max_tokens=24, temperature=0, stream=True,
                                                stream_options={"include_usage": True}):
        first = first or chunk
        check("one id", chunk.id == first.id and chunk.created == first.created)
        if chunk.choices:
            d = chunk.choices[0].delta
            text += d.content or ""
            roles += [d.role] if d.role else []
            finish = chunk.choices[0].finish_reason or finish
        usage = chunk.usage or usage
    check("stream is plain", text == plain.choices[0].message.content, text)
    check("stream usage", usage and usage.completion_tokens == plain.usage.completion_tokens and usage.prompt_tokens == plain.usage.prompt_tokens, usage)
    check("stream finish", finish == plain.choices[0].finish_reason and roles == ["assistant"], (finish, roles))
    with client.chat.completions.stream(model="smol", messages=HI, max_tokens=8, n=3, seed=3, temperature=1.5) as s:
        for _ in s:
            pass
        try:
            final = s.get_final_completion()
        except openai.LengthFinishReasonError as e:
            final = e.completion
    n = client.chat.completions.create(model="smol", messages=HI, max_tokens=8, n=3, seed=3, temperature=1.5)
    check("accumulated n", [c.message.content for c in final.choices] == [c.message.content for c in n.choices], final)
    emoji = client.completions.create(model="smol", prompt="😀😃😄😁😆" * 3, max_tokens=24, temperature=0, stream=True)
    check("whole characters", isinstance("".join(c.choices[0].text for c in emoji if c.choices), str))


async def asynchronous():
    a = openai.AsyncOpenAI(base_url=URL, api_key="none", max_retries=0)
    async def one(i):
        text = ""
        async for chunk in await a.chat.completions.create(model="smol", messages=HI, max_tokens=12, temperature=0, stream=True):
            text += chunk.choices[0].delta.content or ""
        return text
    texts = await asyncio.gather(*[one(i) for i in range(6)])
    check("async streams agree", len(set(texts)) == 1 and texts[0], texts)
    await a.close()


WEATHER = {"type": "function", "function": {"name": "get_weather", "description": "Weather of a city", "parameters": {
    "type": "object", "properties": {"city": {"type": "string", "maxLength": 20}, "unit": {"type": "string", "enum": ["C", "F"]}},
    "required": ["city", "unit"], "additionalProperties": False}}}


def tools():
    ask = [{"role": "user", "content": "What is the weather in Paris?"}]
    for choice, finish in [("required", "tool_calls"), ({"type": "function", "function": {"name": "get_weather"}}, "stop")]:
        a = client.chat.completions.create(model="smol", messages=ask, tools=[WEATHER], tool_choice=choice, temperature=0, max_tokens=80,
                                           parallel_tool_calls=False)
        c = a.choices[0]
        arguments = json.loads(c.message.tool_calls[0].function.arguments)
        check("tool", c.message.tool_calls[0].function.name == "get_weather" and set(arguments) == {"city", "unit"}
              and arguments["unit"] in "CF" and c.finish_reason == finish and c.message.content is None, a)
        with client.chat.completions.stream(model="smol", messages=ask, tools=[WEATHER], tool_choice=choice, temperature=0, max_tokens=80,
                                            parallel_tool_calls=False) as s:
            for _ in s:
                pass
            f = s.get_final_completion().choices[0]
        check("streamed tool", f.message.tool_calls[0].function.arguments == c.message.tool_calls[0].function.arguments
              and f.message.tool_calls[0].function.name == "get_weather" and f.finish_reason == finish, f)
    history = ask + [a.choices[0].message.model_dump(exclude_none=True), {"role": "tool", "tool_call_id": c.message.tool_calls[0].id, "content": "20 C, sunny"}]
    b = client.chat.completions.create(model="smol", messages=history, tools=[WEATHER], temperature=0, max_tokens=24)
    check("after a tool", b.choices[0].message.content or b.choices[0].message.tool_calls, b)
    none = client.chat.completions.create(model="smol", messages=ask, tools=[WEATHER], tool_choice="none", temperature=0, max_tokens=8)
    check("no tool", none.choices[0].message.content and not none.choices[0].message.tool_calls)


class Colour(BaseModel):
    name: str = Field(max_length=12)
    red: int = Field(ge=0, le=255)
    kind: Literal["warm", "cold"]
    note: Optional[str] = Field(default=None, max_length=10)


class Colours(BaseModel):
    colours: List[Colour] = Field(min_length=1, max_length=2)


def structured():
    a = client.chat.completions.parse(model="smol", messages=HI, response_format=Colours, temperature=0, max_tokens=300)
    check("parsed", isinstance(a.choices[0].message.parsed, Colours), a)
    j = client.chat.completions.create(model="smol", messages=HI, response_format={"type": "json_object"}, temperature=0, max_tokens=120)
    check("object", j.choices[0].finish_reason == "length" or isinstance(json.loads(j.choices[0].message.content), dict), j)
    try:
        client.chat.completions.parse(model="smol", messages=HI, response_format=Colours, temperature=0, max_tokens=3)
        check("cut", False, "no LengthFinishReasonError")
    except openai.LengthFinishReasonError:
        check("cut", True)
    c = client.chat.completions.create(model="smol", messages=HI, temperature=0, max_tokens=20, extra_body={"guided_choice": ["red", "green"]})
    check("choice", c.choices[0].message.content in ("red", "green"), c)


def completions():
    a = client.completions.create(model="smol", prompt=["A B C D", "1 2 3 4"], max_tokens=4, n=2, temperature=0, logprobs=2, echo=True)
    check("batch", [c.index for c in a.choices] == [0, 1, 2, 3] and a.choices[0].text.startswith("A B C D"), a)
    for c in a.choices:
        l = c.logprobs
        check("legacy", len(l.tokens) == len(l.token_logprobs) == len(l.top_logprobs) == len(l.text_offset) and l.token_logprobs[0] is None
              and "".join(l.tokens) == c.text, l)
        check("offsets", all(c.text[o:].startswith(t) for t, o in zip(l.tokens, l.text_offset)), l)
    b = client.completions.create(model="smol", prompt="x", max_tokens=0, echo=True)
    check("echo alone", b.choices[0].text == "x" and b.usage.completion_tokens == 0, b)
    best = client.completions.create(model="smol", prompt="Once", max_tokens=6, best_of=4, n=2, seed=1)
    check("best_of", len(best.choices) == 2 and best.usage.completion_tokens >= 4 * 1, best)
    streamed = "".join(c.choices[0].text for c in client.completions.create(model="smol", prompt="A B C D", max_tokens=4, temperature=0, stream=True))
    check("completion stream", "A B C D" + streamed == a.choices[0].text, streamed)


def embeddings():
    default = client.embeddings.create(model="smol", input=["a cat", "a dog", "integral calculus"])
    floats = client.embeddings.create(model="smol", input=["a cat", "a dog", "integral calculus"], encoding_format="float")
    check("base64 is float", [d.embedding for d in default.data] == [[struct.unpack("f", struct.pack("f", x))[0] for x in d.embedding] for d in floats.data])
    alone = client.embeddings.create(model="smol", input="a dog")
    check("alone is batch", alone.data[0].embedding == default.data[1].embedding and alone.usage.prompt_tokens > 0)
    check("length one", abs(sum(x * x for x in alone.data[0].embedding) - 1) < 1e-5)
    ids = client.embeddings.create(model="smol", input=[[1, 2, 3], [4]])
    check("ids", len(ids.data) == 2 and ids.usage.prompt_tokens == 4, ids.usage)


def errors():
    def fails(kind, param=None, code=None, **request):
        try:
            client.chat.completions.create(**{"model": "smol", "messages": HI, **request})
        except kind as e:
            check("error", (param is None or e.param == param) and (code is None or e.code == code), e)
            return
        check("error", False, request)
    fails(openai.NotFoundError, code="model_not_found", model="gpt-4")
    fails(openai.BadRequestError, param="temperature", temperature=3)
    fails(openai.BadRequestError, param="temperature", temperature=3, stream=True)
    fails(openai.BadRequestError, param="messages[0].content[0]", messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://x"}}]}])
    fails(openai.BadRequestError, code="context_length_exceeded", messages=[{"role": "user", "content": "word " * 9000}])
    fails(openai.BadRequestError, param="logprobs", logprobs=True, top_logprobs=20, n=60)
    fails(openai.BadRequestError, response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "string", "contentEncoding": 5, "not": {}}}})
    check("models", [m.id for m in client.models.list()] == ["smol"] and client.models.retrieve("smol").id == "smol")


def retries():
    """A client of openai's repeats 429 after Retry-After: the first answer of this proxy is one, in the server's form."""
    seen = []
    class Proxy(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            seen.append(body)
            if len(seen) == 1:
                text = b'{"error":{"message":"busy","type":"rate_limit_error","param":null,"code":"queue_full"}}'
                self.send_response(429)
                self.send_header("Retry-After", "0.1")
            else:
                import urllib.request
                text = urllib.request.urlopen(urllib.request.Request(URL + "/chat/completions", body, {"Content-Type": "application/json"})).read()
                self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)
        def log_message(self, *a):
            pass
    proxy = http.server.HTTPServer(("127.0.0.1", 0), Proxy)
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    c = openai.OpenAI(base_url=f"http://127.0.0.1:{proxy.server_port}", api_key="none")
    check("retry", c.chat.completions.create(model="smol", messages=HI, max_tokens=2).choices and len(seen) == 2, len(seen))
    proxy.shutdown()
    # The server's own 429: a stream of many choices fills its queue, until it is closed.
    busy = client.completions.create(model="smol", prompt="x", n=60, max_tokens=500, stream=True)
    try:
        client.completions.create(model="smol", prompt="x", n=60, max_tokens=64)
        check("full", False)
    except openai.RateLimitError as e:
        check("full", e.response.headers["retry-after"] and e.code == "queue_full", e)
    busy.close()
    patient = client.with_options(max_retries=9)
    check("patient", patient.completions.create(model="smol", prompt="x", n=60, max_tokens=1).choices)


for part in (chats, streams, lambda: asyncio.run(asynchronous()), tools, structured, completions, embeddings, errors, retries):
    part()
print(f"openai {openai.__version__}: {len(done)} checks")
