"""schemathesis against the server: requests made from a description of the routes, well formed and not; none may end in a 5xx,
and every answer is JSON or a stream."""
import json, os, subprocess, sys

URL, WORK = os.environ["URL"], os.environ["WORK"]
text, number, flag = {"type": "string"}, {"type": "number"}, {"type": "boolean"}
null = lambda schema: {"anyOf": [schema, {"type": "null"}]}
integer = lambda low, high: {"type": "integer", "minimum": low, "maximum": high}
some = lambda item, most=3: {"type": "array", "items": item, "minItems": 1, "maxItems": most}
thing = lambda required, **properties: {"type": "object", "properties": properties, "required": required}
ids = some(integer(0, 49151), 6)
part = thing(["type", "text"], type={"enum": ["text", "image_url"]}, text=text)
message = thing(["role", "content"], role={"enum": ["system", "developer", "user", "assistant", "tool", "king"]},
                content=null({"anyOf": [text, some(part)]}), name=text, tool_call_id=text)
tool = thing(["type", "function"], type={"const": "function"}, function=thing(["name"], name={"type": "string", "pattern": "^[a-z_]{1,8}$"},
             description=text, parameters={"const": {"type": "object", "properties": {"a": {"type": "integer"}}}}))
common = dict(model={"const": "smol"}, max_tokens=integer(1, 3), temperature=null({"type": "number", "minimum": 0, "maximum": 2}),
              top_p=null({"type": "number", "minimum": 0, "maximum": 1}), n=null(integer(1, 3)), stop=null({"anyOf": [text, some(text, 4)]}),
              seed=null({"type": "integer"}), presence_penalty=null({"type": "number", "minimum": -2, "maximum": 2}),
              frequency_penalty=null({"type": "number", "minimum": -2, "maximum": 2}), stream=null(flag), user=text,
              logit_bias=null({"type": "object", "additionalProperties": {"type": "number", "minimum": -100, "maximum": 100}, "maxProperties": 3}),
              stream_options=null(thing([], include_usage=flag)), top_k=integer(-1, 100), min_p={"type": "number", "minimum": 0, "maximum": 1},
              ignore_eos=flag, qwenmesh=thing([], proof=flag))
routes = {
    "/v1/chat/completions": thing(["messages", "max_tokens"], messages=some(message), logprobs=null(flag), top_logprobs=null(integer(0, 20)),
                                  tools=some(tool, 2), tool_choice={"enum": ["auto", "none", "required"]}, response_format=null(
                                      {"anyOf": [{"const": {"type": "json_object"}}, {"const": {"type": "text"}}, thing(["type"], type=text)]}), **common),
    "/v1/completions": thing(["prompt", "max_tokens"], prompt={"anyOf": [text, some(text), ids, some(ids)]}, echo=null(flag),
                             logprobs=null(integer(0, 5)), best_of=null(integer(1, 3)), suffix=null(text), **common),
    "/v1/embeddings": thing(["input"], input={"anyOf": [text, some(text), ids, some(ids)]}, encoding_format={"enum": ["float", "base64"]},
                            dimensions=integer(1, 600), model={"const": "smol"}),
    "/v1/rerank": thing(["query", "documents"], query=text, documents=some(text), top_n=integer(1, 3)),
    "/tokenize": thing([], prompt=text, content=text, messages=some(message), with_pieces=flag, add_special_tokens=flag),
    "/detokenize": thing(["tokens"], tokens=ids),
    "/apply-template": thing(["messages"], messages=some(message)),
}
answers = {"2XX": {"description": "an answer"}, "4XX": {"description": "an error"}}
document = {"openapi": "3.1.0", "info": {"title": "qwenmesh serve", "version": "1"}, "paths": {
    **{path: {"post": {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}, "responses": answers}}
       for path, schema in routes.items()},
    **{path: {"get": {"responses": answers}} for path in ("/v1/models", "/tokenizer_info", "/health", "/props", "/slots")}}}
with open(WORK + "/openapi.json", "w") as f:
    json.dump(document, f)
examples = os.environ.get("EXAMPLES", "25")
program = os.path.join(os.path.dirname(sys.executable), "schemathesis")
r = subprocess.run([program, "run", WORK + "/openapi.json", "--url", URL, "--phases", "examples,fuzzing", "--max-examples", examples,
                    "--checks", "not_a_server_error", "--mode", "all", "--request-timeout", "120", "--no-color"], capture_output=True, text=True)
if r.returncode:
    raise SystemExit(r.stdout[-6000:] + r.stderr[-2000:])
print("schemathesis: " + " ".join(l.strip() for l in r.stdout.splitlines() if "passed" in l or "generated" in l or "Test cases" in l)[:200])
