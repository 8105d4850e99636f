"""ollama_client.py: the package ollama against the server at $URL: chats, lines, tools, formats, the model."""
import json, os
import ollama

client = ollama.Client(host=os.environ["URL"])
model = client.list().models[0].model
options = {"temperature": 0, "num_predict": 20}
messages = [{"role": "user", "content": "Name a colour."}]

whole = client.chat(model=model, messages=messages, options=options)
text = "".join(part.message.content for part in client.chat(model=model, messages=messages, options=options, stream=True))
assert text == whole.message.content and whole.done and whole.eval_count > 0 and whole.total_duration > 0, (text, whole)

g = client.generate(model=model, prompt="Name a colour.", options=options)
assert g.response and g.done, g
parts = list(client.generate(model=model, prompt="Name a colour.", options=options, stream=True))
assert "".join(p.response for p in parts) == g.response and parts[-1].done_reason in ("stop", "length"), parts

schema = {"type": "object", "properties": {"unit": {"enum": ["C", "F"]}, "days": {"type": "integer", "minimum": 1, "maximum": 9}},
          "required": ["unit", "days"]}
f = json.loads(client.chat(model=model, messages=messages, format=schema, options={**options, "num_predict": 200}).message.content)
assert f["unit"] in ("C", "F") and 1 <= f["days"] <= 9, f

def forecast(unit: str, days: int) -> str:
    """the weather

    Args:
      unit: C or F
      days: how many
    """
    return "rain"

t = client.chat(model=model, messages=messages, tools=[forecast], options=options)
assert t.message.role == "assistant", t
again = client.chat(model=model, options=options, tools=[forecast], messages=messages + [
    {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "forecast", "arguments": {"unit": "C", "days": 1}}}]},
    {"role": "tool", "tool_name": "forecast", "content": "rain"}])
assert again.done, again

shown = client.show(model)
assert "completion" in shown.capabilities and shown.modelinfo["general.parameter_count"] > 0, shown
assert client.ps().models[0].model == model
e = client.embed(model=model, input=["a", "b"])
assert len(e.embeddings) == 2 and len(e.embeddings[0]) == len(e.embeddings[1]) > 0, e
try:
    client.chat(model="absent", messages=messages)
    raise SystemExit("an absent model answered")
except ollama.ResponseError as error:
    assert error.status_code == 404, error
print("ollama ok")
