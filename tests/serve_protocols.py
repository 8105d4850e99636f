"""serve_protocols.py URL GENERIC_URL: tools, structured outputs and the protocols of Anthropic, OpenAI's responses and
Ollama, asked of a running server by hand-made requests. The model is a tiny one with random weights: what a grammar binds
is exact, and all else is noise. Prints TAP."""
import base64, http.client, json, re, sys, urllib.parse

number = failed = 0


def check(name, holds, shown=""):
    global number, failed
    number += 1
    failed += not holds
    print(("ok" if holds else "not ok"), number, "-", name)
    if not holds:
        print("#", str(shown)[:2000].replace("\n", "\n# "))


class Server:
    def __init__(self, url):
        self.at = urllib.parse.urlsplit(url)

    def ask(self, path, body=None, method=None, headers={}):
        """status, headers, bytes"""
        c = http.client.HTTPConnection(self.at.hostname, self.at.port, timeout=60)
        method = method or ("GET" if body is None else "POST")
        data = None if body is None else json.dumps(body)
        c.request(method, path, data, {"Content-Type": "application/json", **headers} if data else headers)
        r = c.getresponse()
        out = r.status, r.headers, r.read()
        c.close()
        return out

    def json(self, path, body=None, status=200):
        got, headers, data = self.ask(path, body)
        if got != status:
            raise AssertionError(f"{path}: status {got}: {data[:500]}")
        return json.loads(data)

    def events(self, path, body):
        """[(event, data)] of a stream; data is JSON or its text"""
        got, headers, data = self.ask(path, body)
        if got != 200 or "text/event-stream" not in headers["Content-Type"]:
            raise AssertionError(f"{path}: status {got}: {data[:500]}")
        out = []
        for frame in data.decode("utf-8").split("\n\n"):
            fields = [l.split(": ", 1) for l in frame.split("\n") if l and not l.startswith(":")]
            name = [v for k, v in fields if k == "event"]
            text = "\n".join(v for k, v in fields if k == "data")
            if text:
                out.append((name[0] if name else None, json.loads(text) if text[0] == "{" else text))
        return out

    def lines(self, path, body):
        got, headers, data = self.ask(path, body)
        if got != 200 or "application/x-ndjson" not in headers["Content-Type"]:
            raise AssertionError(f"{path}: status {got}: {data[:500]}")
        return [json.loads(l) for l in data.decode("utf-8").splitlines()]


def tried(name, function):
    try:
        result = function()
        ok, shown = result if isinstance(result, tuple) else (result, "")
        check(name, ok, shown)
    except Exception as error:
        check(name, False, f"{type(error).__name__}: {error}")


here = Server(sys.argv[1])
generic = Server(sys.argv[2])
USER = [{"role": "user", "content": "Which?"}]
SCHEMA = {"type": "object", "properties": {"unit": {"enum": ["C", "F"]}, "days": {"type": "integer", "minimum": 1, "maximum": 9}},
          "required": ["unit", "days"], "additionalProperties": False}


def right(arguments):
    return set(arguments) == {"unit", "days"} and arguments["unit"] in "CF" and 1 <= arguments["days"] <= 9


TOOL = {"type": "function", "function": {"name": "forecast", "description": "the weather", "parameters": SCHEMA}}
OTHER = {"type": "function", "function": {"name": "nothing"}}
CHAT = {"messages": USER, "max_tokens": 200, "temperature": 0}

# ---- Tools of chat completions


def calls_of(answer):
    choice = answer["choices"][0]
    return choice, choice["message"].get("tool_calls")


def named():
    choice, calls = calls_of(here.json("/v1/chat/completions", {**CHAT, "tools": [OTHER, TOOL], "tool_choice":
                             {"type": "function", "function": {"name": "forecast"}}}))
    call = calls[0]
    return (len(calls) == 1 and call["function"]["name"] == "forecast" and right(json.loads(call["function"]["arguments"]))
            and re.fullmatch("call_[A-Za-z0-9]{24}", call["id"]) and call["type"] == "function"
            and choice["finish_reason"] == "stop" and not choice["message"]["content"]), choice


def required(server):
    choice, calls = calls_of(server.json("/v1/chat/completions", {**CHAT, "tools": [TOOL], "tool_choice": "required",
                             "parallel_tool_calls": False}))
    return (len(calls) == 1 and right(json.loads(calls[0]["function"]["arguments"])) and choice["finish_reason"] == "tool_calls"), choice


def streamed():
    body = {**CHAT, "tools": [TOOL], "tool_choice": "required", "parallel_tool_calls": False, "stream": True}
    rows = [d for _, d in here.events("/v1/chat/completions", body)]
    deltas = [t for r in rows[:-1] for c in r["choices"] for t in c["delta"].get("tool_calls", [])]
    whole = calls_of(here.json("/v1/chat/completions", {**body, "stream": False}))[1][0]
    first, later = deltas[0], deltas[1:]
    text = "".join(t["function"]["arguments"] for t in later)
    return (rows[-1] == "[DONE]" and first["index"] == 0 and first["type"] == "function" and first["function"]["name"] == "forecast"
            and first["function"]["arguments"] == "" and all("id" not in t and "name" not in t["function"] for t in later)
            and len(later) > 1 and text == whole["function"]["arguments"]
            and rows[-2]["choices"][0]["finish_reason"] == "tool_calls"), rows


def refused(path, body, status, *words):
    answer = here.json(path, body, status)
    text = json.dumps(answer)
    return all(w in text for w in words), text


tried("a named tool is called once, by its schema; finish stop", named)
tried("required: a call, finish tool_calls", lambda: required(here))
tried("required, in the generic form", lambda: required(generic))
tried("a streamed call: its head once, then its arguments, joined they are the whole's", streamed)
tried("tool_choice without that tool: 400", lambda: refused("/v1/chat/completions", {**CHAT, "tools": [TOOL], "tool_choice":
      {"type": "function", "function": {"name": "absent"}}}, 400, "tool_choice", "absent"))
tried("a tool that is strict and cannot be kept: 400 with keyword and path", lambda: refused("/v1/chat/completions", {**CHAT, "tools": [
      {"type": "function", "function": {"name": "f", "strict": True, "parameters": {"type": "object", "properties":
      {"a": {"type": "array", "uniqueItems": True}}}}}]}, 400, "uniqueItems", "#/properties/a", "tools"))
tried("arguments of an earlier call that are no JSON: 400", lambda: refused("/v1/chat/completions", {**CHAT, "messages": USER + [
      {"role": "assistant", "tool_calls": [{"id": "x", "type": "function", "function": {"name": "f", "arguments": "{"}}]}]}, 400,
      "messages[1]", "arguments"))
tried("calls and results of earlier turns", lambda: here.json("/v1/chat/completions", {**CHAT, "max_tokens": 2, "messages": USER + [
      {"role": "assistant", "content": None, "tool_calls": [{"id": "x", "type": "function", "function": {"name": "forecast", "arguments": "{\"days\": 1}"}}]},
      {"role": "tool", "tool_call_id": "x", "content": "rain"}]})["usage"]["completion_tokens"] == 2)

tried("/props says which form tools have", lambda: (here.json("/props")["tool_form"], generic.json("/props")["tool_form"]) == ("template", "generic"))

# ---- Structured outputs


def structured(extra, fits):
    answer = here.json("/v1/chat/completions", {**CHAT, **extra})
    text = answer["choices"][0]["message"]["content"]
    return fits(text), text


tried("response_format json_schema", lambda: structured({"response_format": {"type": "json_schema", "json_schema":
      {"name": "x", "strict": True, "schema": SCHEMA}}}, lambda t: right(json.loads(t))))
tried("guided_choice", lambda: structured({"guided_choice": ["left", "right"]}, lambda t: t in ("left", "right")))
tried("structured_outputs regex", lambda: structured({"structured_outputs": {"regex": "[a-c]{3}-[0-9]"}},
      lambda t: re.fullmatch("[a-c]{3}-[0-9]", t)))
tried("a GBNF grammar", lambda: structured({"grammar": "root ::= \"yes\" | \"no\""}, lambda t: t in ("yes", "no")))
tried("a schema that cannot be kept: 400 with keyword, path and param", lambda: refused("/v1/chat/completions", {**CHAT, "response_format":
      {"type": "json_schema", "json_schema": {"name": "x", "schema": {"properties": {"a": {"uniqueItems": True}}}}}}, 400,
      "uniqueItems", "#/properties/a", "response_format"))
tried("a stream of a bad schema is a plain 400", lambda: refused("/v1/chat/completions", {**CHAT, "stream": True, "regex": "("}, 400, "regex"))

# ---- Anthropic

MESSAGES = {"model": "tiny", "messages": USER, "max_tokens": 200, "temperature": 0}
ANTHROPIC_TOOL = {"name": "forecast", "description": "the weather", "input_schema": SCHEMA}


def message():
    m = here.json("/v1/messages?beta=true", {**MESSAGES, "max_tokens": 5, "system": [{"type": "text", "text": "Be brief."}]})
    return (m["type"] == "message" and m["role"] == "assistant" and m["id"].startswith("msg_") and m["content"][0]["type"] == "text"
            and m["stop_reason"] == "max_tokens" and m["stop_sequence"] is None and m["usage"]["output_tokens"] == 5
            and m["usage"]["input_tokens"] + m["usage"]["cache_read_input_tokens"] > 5), m


def tool_use():
    m = here.json("/v1/messages", {**MESSAGES, "tools": [ANTHROPIC_TOOL], "tool_choice": {"type": "tool", "name": "forecast"}})
    block = m["content"][0]
    return (len(m["content"]) == 1 and block["type"] == "tool_use" and block["id"].startswith("toolu_") and right(block["input"])
            and m["stop_reason"] == "tool_use"), m


def message_stream():
    events = here.events("/v1/messages", {**MESSAGES, "max_tokens": 8, "stream": True})
    kinds = [e for e, _ in events if e != "ping"]
    text = "".join(d["delta"]["text"] for e, d in events if e == "content_block_delta")
    whole = here.json("/v1/messages", {**MESSAGES, "max_tokens": 8})
    return (all(e == d["type"] for e, d in events) and kinds[:2] == ["message_start", "content_block_start"]
            and kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"] and text == whole["content"][0]["text"]
            and events[-2][1]["delta"]["stop_reason"] == "max_tokens" and events[-2][1]["usage"]["output_tokens"] == 8), events


def tool_stream():
    events = here.events("/v1/messages", {**MESSAGES, "stream": True, "tools": [ANTHROPIC_TOOL], "tool_choice":
                         {"type": "any", "disable_parallel_tool_use": True}})
    start = [d for e, d in events if e == "content_block_start"]
    text = "".join(d["delta"]["partial_json"] for e, d in events if e == "content_block_delta")
    return (len(start) == 1 and start[0]["content_block"]["name"] == "forecast" and start[0]["content_block"]["input"] == {}
            and right(json.loads(text)) and events[-2][1]["delta"]["stop_reason"] == "tool_use"), events


def stop_sequence():
    m = here.json("/v1/messages", {**MESSAGES, "max_tokens": 30})
    text = m["content"][0]["text"]
    stop = text[5:7]
    m = here.json("/v1/messages", {**MESSAGES, "max_tokens": 30, "stop_sequences": ["never said", stop]})
    return (m["stop_reason"] == "stop_sequence" and m["stop_sequence"] == stop and m["content"][0]["text"] == text[:text.index(stop)]), (text, m)


def count_tokens():
    ask = {"model": "tiny", "messages": USER}
    plain = here.json("/v1/messages/count_tokens", ask)["input_tokens"]
    more = here.json("/v1/messages/count_tokens", {**ask, "system": "Be brief.", "tools": [ANTHROPIC_TOOL]})["input_tokens"]
    m = here.json("/v1/messages", {**ask, "system": "Be brief.", "tools": [ANTHROPIC_TOOL], "max_tokens": 1})
    return more > plain + 50 and more == m["usage"]["input_tokens"] + m["usage"]["cache_read_input_tokens"], (plain, more, m)


tried("Anthropic: a message", message)
tried("Anthropic: tool_use with its input", tool_use)
tried("Anthropic: events of a text in order, each with its name", message_stream)
tried("Anthropic: a streamed tool_use", tool_stream)
tried("Anthropic: which stop sequence it was", stop_sequence)
tried("Anthropic: count_tokens has system and tools, and is what a message counts", count_tokens)
tried("Anthropic: errors in its own form", lambda: refused("/v1/messages", {"messages": USER}, 400, '"type": "error"',
      "invalid_request_error", "max_tokens"))
tried("Anthropic: a model that is not there: 404 in its form", lambda: refused("/v1/messages", {**MESSAGES, "model": "absent"}, 404,
      '"type": "error"', "not_found_error"))

# ---- Responses

ASK = {"model": "tiny", "input": "Which?", "temperature": 0, "max_output_tokens": 200}
FLAT = {"type": "function", "name": "forecast", "parameters": SCHEMA, "strict": True}


def response():
    r = here.json("/v1/responses", {**ASK, "max_output_tokens": 6, "instructions": "Be brief.", "store": True})
    item = r["output"][0]
    return (r["object"] == "response" and r["id"].startswith("resp_") and r["status"] == "incomplete"
            and r["incomplete_details"] == {"reason": "max_output_tokens"} and item["type"] == "message"
            and item["content"][0]["type"] == "output_text" and r["usage"]["output_tokens"] == 6
            and r["usage"]["total_tokens"] == r["usage"]["input_tokens"] + 6 and r["instructions"] == "Be brief."
            and r["store"] is False and r["error"] is None), r


def function_call():
    body = {**ASK, "tools": [FLAT, {"type": "web_search"}], "tool_choice": "required", "parallel_tool_calls": False}
    r = here.json("/v1/responses", body)
    call = r["output"][0]
    again = here.json("/v1/responses", {**body, "tool_choice": "none", "max_output_tokens": 2, "input": [
        {"role": "user", "content": [{"type": "input_text", "text": "Which?"}]}, call,
        {"type": "function_call_output", "call_id": call["call_id"], "output": "rain"}]})
    return (r["status"] == "completed" and len(r["output"]) == 1 and call["type"] == "function_call" and call["name"] == "forecast"
            and right(json.loads(call["arguments"])) and call["call_id"].startswith("call_") and call["id"].startswith("fc_")
            and again["usage"]["output_tokens"] == 2), r


def response_stream():
    events = here.events("/v1/responses", {**ASK, "max_output_tokens": 6, "stream": True})
    kinds = [e for e, _ in events if e != "response.output_text.delta"]
    text = "".join(d["delta"] for e, d in events if e == "response.output_text.delta")
    last = events[-1][1]["response"]
    return (kinds == ["response.created", "response.in_progress", "response.output_item.added", "response.content_part.added",
                      "response.output_text.done", "response.content_part.done", "response.output_item.done", "response.incomplete"]
            and [d["sequence_number"] for _, d in events] == list(range(len(events))) and all(e == d["type"] for e, d in events)
            and last["output"][0]["content"][0]["text"] == text
            and text == here.json("/v1/responses", {**ASK, "max_output_tokens": 6})["output"][0]["content"][0]["text"]), events


def response_calls():
    events = here.events("/v1/responses", {**ASK, "stream": True, "tools": [FLAT], "tool_choice": "required", "parallel_tool_calls": False})
    added = [d for e, d in events if e == "response.output_item.added"]
    text = "".join(d["delta"] for e, d in events if e == "response.function_call_arguments.delta")
    done = [d for e, d in events if e == "response.function_call_arguments.done"][0]
    item = events[-1][1]["response"]["output"][0]
    return (events[-1][0] == "response.completed" and added[0]["item"]["name"] == "forecast" and added[0]["item"]["arguments"] == ""
            and done["arguments"] == text == item["arguments"] and right(json.loads(text)) and done["item_id"] == item["id"]), events


tried("Responses: text", response)
tried("Responses: a function call, and its output in the next input; tools of other types are left out", function_call)
tried("Responses: events of a text in order", response_stream)
tried("Responses: events of a function call", response_calls)
tried("Responses: text.format json_schema", lambda: right(json.loads(here.json("/v1/responses", {**ASK, "text": {"format":
      {"type": "json_schema", "name": "x", "schema": SCHEMA, "strict": True}}})["output"][0]["content"][0]["text"])))
tried("Responses: previous_response_id: 400", lambda: refused("/v1/responses", {**ASK, "previous_response_id": "resp_1"}, 400,
      "previous_response_id", "not stored"))
tried("Responses: a probe with empty input", lambda: here.json("/v1/responses", {**ASK, "input": [], "instructions": "I",
      "max_output_tokens": 1})["usage"]["output_tokens"] == 1)

# ---- Ollama

OLLAMA = {"model": "tiny:latest", "messages": USER, "options": {"temperature": 0, "num_predict": 6}}


def ollama_chat():
    lines = here.lines("/api/chat", OLLAMA)
    whole = here.json("/api/chat", {**OLLAMA, "stream": False})
    last = lines[-1]
    return ("".join(l["message"]["content"] for l in lines) == whole["message"]["content"] and not any(l["done"] for l in lines[:-1])
            and last["done"] and last["done_reason"] == "length" and last["eval_count"] == 6 and last["prompt_eval_count"] > 5
            and last["total_duration"] >= last["eval_duration"] > 0 and whole["done"] and whole["eval_count"] == 6
            and re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", last["created_at"])), lines


def ollama_generate():
    lines = here.lines("/api/generate", {"model": "tiny", "prompt": "Hi", "options": OLLAMA["options"]})
    raw = here.json("/api/generate", {"model": "tiny", "prompt": "Hi", "raw": True, "stream": False, "options": OLLAMA["options"]})
    return lines[-1]["done"] and lines[-1]["prompt_eval_count"] > raw["prompt_eval_count"] and raw["eval_count"] == 6, (lines, raw)


def ollama_format():
    whole = here.json("/api/chat", {**OLLAMA, "format": SCHEMA, "stream": False, "options": {"temperature": 0, "num_predict": 200}})
    return right(json.loads(whole["message"]["content"])) and whole["done_reason"] == "stop", whole


def ollama_model():
    tags = here.json("/api/tags")["models"]
    show = here.json("/api/show", {"model": tags[0]["name"]})
    return (tags[0]["name"] == "tiny:latest" and tags[0]["size"] > 0 and len(tags[0]["digest"]) == 64 and "completion" in show["capabilities"]
            and "tools" in show["capabilities"] and show["model_info"]["general.parameter_count"] > 0
            and re.match(r"\d+\.\d+\.\d+", here.json("/api/version")["version"])), (tags, show)


tried("Ollama: a chat in lines, and whole", ollama_chat)
tried("Ollama: generate, and raw", ollama_generate)
tried("Ollama: a schema as format", ollama_format)
tried("Ollama: nothing to answer is a load", lambda: here.json("/api/generate", {"model": "tiny", "keep_alive": 0})["done_reason"] == "unload")
tried("Ollama: tags, show, version", ollama_model)
tried("Ollama: an error is one text", lambda: refused("/api/chat", {**OLLAMA, "format": "xml"}, 400, '{"error": "format: expected'))

# ---- Thinking, which the second server's template begins; the model never ends it


def thoughts():
    few, on = {"temperature": 0}, {"chat_template_kwargs": {"enable_thinking": True}}
    chat = generic.json("/v1/chat/completions", {**few, **on, "messages": USER, "max_tokens": 9})["choices"][0]
    thought = chat["message"]["reasoning_content"]
    rows = [d for _, d in generic.events("/v1/chat/completions", {**few, **on, "messages": USER, "max_tokens": 9, "stream": True})]
    deltas = [c["delta"] for r in rows[:-1] for c in r["choices"]]
    m = generic.json("/v1/messages", {**MESSAGES, "max_tokens": 9, "thinking": {"type": "enabled", "budget_tokens": 1024}})
    plain = generic.json("/v1/messages", {**MESSAGES, "max_tokens": 9})
    events = generic.events("/v1/messages", {**MESSAGES, "max_tokens": 9, "thinking": {"type": "adaptive"}, "stream": True})
    r = generic.json("/v1/responses", {**ASK, **on, "max_output_tokens": 9})
    o = generic.json("/api/chat", {**OLLAMA, "think": True, "stream": False, "options": {"temperature": 0, "num_predict": 9}})
    return (thought and not chat["message"]["content"] and chat["finish_reason"] == "length"
            and "".join(d.get("reasoning_content", "") for d in deltas) == thought and not "".join(d.get("content") or "" for d in deltas)
            and m["content"] == [{"type": "thinking", "thinking": thought, "signature": ""}] and plain["content"][0]["type"] == "text"
            and "".join(d["delta"]["thinking"] for e, d in events if e == "content_block_delta") == thought
            and r["output"][0]["type"] == "reasoning" and r["output"][0]["content"][0]["text"] == thought
            and 0 < r["usage"]["output_tokens_details"]["reasoning_tokens"] <= 9
            and o["message"]["thinking"] == thought and o["message"]["content"] == ""), (chat, deltas, m, plain, events, r, o)


tried("thinking is told apart in every protocol, and off in Anthropic's unless asked for", thoughts)

print(f"1..{number}")
sys.exit(failed > 0)
