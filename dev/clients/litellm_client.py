"""litellm against the server: a chat, a stream, tools, embeddings, errors, as an OpenAI-compatible provider."""
import json, os
import litellm

URL = os.environ["URL"] + "/v1"
HI = [{"role": "user", "content": "Say hello."}]
to = dict(model="openai/smol", api_base=URL, api_key="none", num_retries=0)
a = litellm.completion(messages=HI, max_tokens=8, temperature=0, **to)
assert a.choices[0].message.content and a.choices[0].finish_reason in ("stop", "length"), a
text = "".join(c.choices[0].delta.content or "" for c in litellm.completion(messages=HI, max_tokens=8, temperature=0, stream=True, **to))
assert text == a.choices[0].message.content, text
tool = {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {
    "a": {"type": "integer", "minimum": 0, "maximum": 9}, "b": {"type": "integer", "minimum": 0, "maximum": 9}}, "required": ["a", "b"], "additionalProperties": False}}}
t = litellm.completion(messages=HI, tools=[tool], tool_choice="required", temperature=0, max_tokens=60, parallel_tool_calls=False, **to)
call = t.choices[0].message.tool_calls[0]
assert call.function.name == "add" and set(json.loads(call.function.arguments)) == {"a", "b"} and t.choices[0].finish_reason == "tool_calls", t
joined = litellm.stream_chunk_builder(list(litellm.completion(messages=HI, tools=[tool], tool_choice="required", temperature=0, max_tokens=60,
                                                              parallel_tool_calls=False, stream=True, **to)))
assert joined.choices[0].message.tool_calls[0].function.arguments == call.function.arguments, joined
e = litellm.embedding(input=["a", "b"], **to)
assert len(e.data) == 2 and len(e.data[0]["embedding"]) == 576
for kind, request in [(litellm.BadRequestError, dict(messages=HI, top_p=7)), (litellm.ContextWindowExceededError, dict(messages=[{"role": "user", "content": "w " * 9000}]))]:
    try:
        litellm.completion(**request, **to)
        raise SystemExit(f"no {kind}")
    except kind:
        pass
print("litellm: chat, stream, tools, embeddings, errors")
