"""responses_client.py: the responses of the package openai against the server at $URL: text, streams, tools, schemas."""
import json, os
import openai
from pydantic import BaseModel, Field
from typing import Literal

client = openai.OpenAI(base_url=os.environ["URL"] + "/v1", api_key="none", max_retries=0)
model = client.models.list().data[0].id
ask = dict(model=model, input="Name a colour.", max_output_tokens=20, temperature=0)
tool = {"type": "function", "name": "forecast", "strict": True, "parameters": {"type": "object", "properties": {
    "unit": {"enum": ["C", "F"], "type": "string"}, "days": {"type": "integer", "minimum": 1, "maximum": 9}}, "required": ["unit", "days"],
    "additionalProperties": False}}

r = client.responses.create(instructions="Be brief.", **ask)
assert r.output_text and r.usage.output_tokens > 0 and r.status in ("completed", "incomplete"), r
with client.responses.stream(instructions="Be brief.", **ask) as stream:
    text = "".join(e.delta for e in stream if e.type == "response.output_text.delta")
    whole = stream.get_final_response() if r.status == "completed" else None
assert text == r.output_text, (text, r)

t = client.responses.create(**{**ask, "max_output_tokens": 200}, tools=[tool, {"type": "web_search"}], tool_choice="required",
                            parallel_tool_calls=False)
call = t.output[0]
got = json.loads(call.arguments)
assert call.type == "function_call" and call.name == "forecast" and got["unit"] in ("C", "F") and 1 <= got["days"] <= 9, t
after = client.responses.create(**{**ask, "input": [{"role": "user", "content": "Weather?"}, *[o.model_dump() for o in t.output],
    {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}]}, tools=[tool], tool_choice="none")
assert after.output_text, after
events = [e.type for e in client.responses.create(**{**ask, "max_output_tokens": 200}, tools=[tool], tool_choice="required", stream=True)]
assert events[0] == "response.created" and "response.function_call_arguments.delta" in events and events[-1] in ("response.completed", "response.incomplete"), events

class Weather(BaseModel):
    unit: Literal["C", "F"]
    days: int = Field(ge=1, le=9)

p = client.responses.parse(**{**ask, "max_output_tokens": 200}, text_format=Weather)
assert 1 <= p.output_parsed.days <= 9, p
try:
    client.responses.create(**ask, previous_response_id="resp_1")
    raise SystemExit("previous_response_id was taken")
except openai.BadRequestError as error:
    assert error.param == "previous_response_id", error.body
print("openai", openai.__version__, "responses ok")
