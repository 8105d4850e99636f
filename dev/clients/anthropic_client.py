"""anthropic_client.py: the package anthropic against the server at $URL: text, streams, tools, counting, errors."""
import os
import anthropic

client = anthropic.Anthropic(base_url=os.environ["URL"], api_key="none", max_retries=0)
MODEL = "smol"
tool = {"name": "forecast", "description": "the weather of a city", "input_schema": {"type": "object", "properties": {
    "unit": {"enum": ["C", "F"]}, "days": {"type": "integer", "minimum": 1, "maximum": 9}}, "required": ["unit", "days"]}}
ask = dict(model=MODEL, max_tokens=40, messages=[{"role": "user", "content": "Name a colour."}], extra_body={"temperature": 0})

m = client.messages.create(system="Be brief.", **ask)
assert m.type == "message" and m.content[0].type == "text" and m.usage.output_tokens > 0, m

with client.messages.stream(system="Be brief.", **ask) as stream:
    text = "".join(stream.text_stream)
    whole = stream.get_final_message()
assert text == whole.content[0].text == m.content[0].text, (text, m)
assert whole.stop_reason == m.stop_reason and whole.usage.output_tokens == m.usage.output_tokens, (whole, m)

t = client.messages.create(**{**ask, "max_tokens": 200}, tools=[tool], tool_choice={"type": "tool", "name": "forecast"})
use = t.content[0]
assert t.stop_reason == "tool_use" and use.type == "tool_use" and use.input["unit"] in ("C", "F") and 1 <= use.input["days"] <= 9, t

with client.messages.stream(**{**ask, "max_tokens": 200}, tools=[tool], tool_choice={"type": "any"}) as stream:
    kinds = [e.type for e in stream]
    s = stream.get_final_message()
assert "input_json" in kinds and s.stop_reason in ("tool_use", "max_tokens"), (kinds, s)
assert s.content[0].type == "tool_use" and s.content[0].name == "forecast", s

after = client.messages.create(**{**ask, "messages": ask["messages"] + [{"role": "assistant", "content": t.content}, {"role": "user", "content": [
    {"type": "tool_result", "tool_use_id": use.id, "content": "rain"}]}]}, tools=[tool])
assert after.content, after

n = client.messages.count_tokens(model=MODEL, messages=ask["messages"], tools=[tool], system="Be brief.")
assert n.input_tokens > 50, n
b = client.beta.messages.create(**ask, betas=["interleaved-thinking-2025-05-14"])
assert b.content[0].type == "text", b

try:
    client.messages.create(**{**ask, "messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "http://x/"}}]}]})
    raise SystemExit("an image was taken")
except anthropic.BadRequestError as error:
    assert error.body["error"]["type"] == "invalid_request_error" and "image" in error.body["error"]["message"], error.body
print("anthropic", anthropic.__version__, "ok")
