"""serve_agents.py URL: what agents, pages and load generators send, as their sources and documents show it: Codex, Claude
Code, Open WebUI, vLLM's bench serve, guidellm, Ollama's clients. The model is a tiny one with random weights: what counts
is that nothing is refused, and that answers have what these clients read. Prints TAP."""
import http.client, json, sys, urllib.parse

at = urllib.parse.urlsplit(sys.argv[1])
number = failed = 0


def ask(path, body=None, method=None, headers={}):
    c = http.client.HTTPConnection(at.hostname, at.port, timeout=60)
    data = None if body is None else json.dumps(body)
    c.request(method or ("GET" if body is None else "POST"), path, data, {"Content-Type": "application/json", **headers} if data else headers)
    r = c.getresponse()
    out = r.status, r.headers, r.read().decode()
    c.close()
    return out


def right(path, body=None, headers={}):
    status, _, text = ask(path, body, headers=headers)
    if status != 200:
        raise AssertionError(f"{path}: {status}: {text[:500]}")
    return json.loads(text)


def events(path, body, headers={}):
    status, head, text = ask(path, body, headers={"Accept": "text/event-stream", **headers})
    if status != 200 or "text/event-stream" not in head["Content-Type"]:
        raise AssertionError(f"{path}: {status}: {text[:500]}")
    frames = [dict(l.split(": ", 1) for l in f.split("\n") if not l.startswith(":")) for f in text.split("\n\n") if f]
    return [json.loads(f["data"]) for f in frames if f.get("data", "[")[0] == "{"], text


def tried(name, function):
    global number, failed
    number += 1
    try:
        result = function()
        ok, shown = result if isinstance(result, tuple) else (result, "")
    except Exception as error:
        ok, shown = False, f"{type(error).__name__}: {error}"
    failed += not ok
    print("ok" if ok else "not ok", number, "-", name)
    if not ok:
        print("#", str(shown)[:2000].replace("\n", "\n# "))


# ---- Codex: codex-rs/codex-api (ResponsesApiRequest), codex-rs/protocol (ResponseItem), core's tools

SHELL = {"type": "function", "name": "shell", "description": "Runs a shell command and returns its output.", "strict": False,
         "parameters": {"type": "object", "properties": {"command": {"type": "array", "items": {"type": "string"}},
                        "workdir": {"type": "string"}, "timeout_ms": {"type": "number"}}, "required": ["command"], "additionalProperties": False}}
CODEX = {
    "model": "tiny", "instructions": "You are a coding agent running in the Codex CLI.",
    "input": [
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "<permissions instructions>"}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "<environment_context>"}, {"type": "input_text", "text": "Hi"}]}],
    "tools": [SHELL, {"type": "local_shell"}, {"type": "web_search", "external_web_access": False}, {"type": "image_generation", "output_format": "png"},
              {"type": "custom", "name": "apply_patch", "description": "Edits files.", "format": {"type": "grammar", "syntax": "lark", "definition": "start: x"}},
              {"type": "namespace", "name": "multi_agent_v1", "description": "", "tools": [SHELL]}, {"type": "tool_search", "execution": "sync"}],
    "tool_choice": "auto", "parallel_tool_calls": False, "reasoning": {"effort": "medium", "summary": "auto"}, "store": False, "stream": True,
    "include": ["reasoning.encrypted_content"], "prompt_cache_key": "0199a213-81a0-7800-8aa0-bbab2a035a53", "text": {"verbosity": "low"},
    "service_tier": "priority", "client_metadata": {"x-codex-installation-id": "1"}, "max_output_tokens": 4, "temperature": 0}
HEADERS = {"session_id": "0199a213-81a0-7800-8aa0-bbab2a035a53", "originator": "codex_cli_rs", "OpenAI-Beta": "responses=experimental",
           "User-Agent": "codex_cli_rs/0.155.1 (Debian 12; x86_64) unknown", "x-codex-turn-metadata": "{}"}


def codex():
    told, text = events("/v1/responses", CODEX, HEADERS)
    kinds = [e["type"] for e in told]
    return (kinds[:3] == ["response.created", "response.in_progress", "response.output_item.added"] and kinds[-1] == "response.incomplete"
            and [e["sequence_number"] for e in told] == list(range(len(told))) and told[-1]["response"]["usage"]["output_tokens"] == 4
            and "[DONE]" not in text and any(e["type"] == "response.output_item.done" and e["item"]["type"] == "message" for e in told)), text


def codex_later():
    items = CODEX["input"] + [
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "**Looking**"}], "content": None, "encrypted_content": "gAAA"},
        {"type": "function_call", "id": "fc_1", "name": "shell", "arguments": '{"command":["ls"]}', "call_id": "call_1"},
        {"type": "function_call_output", "call_id": "call_1", "output": '{"output":"a\\n","metadata":{"exit_code":0}}'},
        {"type": "custom_tool_call", "status": "completed", "call_id": "call_2", "name": "apply_patch", "input": "*** Begin Patch"},
        {"type": "custom_tool_call_output", "call_id": "call_2", "output": [{"type": "input_text", "text": "Success"}]},
        {"type": "local_shell_call", "call_id": "call_3", "status": "completed", "action": {"type": "exec", "command": ["ls"], "timeout_ms": None}},
        {"type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "x"}},
        {"type": "tool_search_call", "call_id": "call_4", "execution": "client", "arguments": {"query": "x"}},
        {"type": "tool_search_output", "call_id": "call_4", "status": "completed", "execution": "client", "tools": []},
        {"type": "ghost_snapshot", "ghost_commit": {"id": "1", "parent": None}},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Done.", "annotations": []}], "phase": "final_answer"},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Thanks"}]}]
    told, text = events("/v1/responses", {**CODEX, "input": items}, HEADERS)
    return told[-1]["response"]["usage"]["output_tokens"] == 4, text


def codex_schema():
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"], "additionalProperties": False}
    told, text = events("/v1/responses", {**CODEX, "tools": [], "max_output_tokens": 60, "text": {"verbosity": "low", "format":
                        {"type": "json_schema", "strict": True, "schema": schema, "name": "codex_output_schema"}}}, HEADERS)
    item = told[-1]["response"]["output"][-1]["content"][0]["text"]
    return type(json.loads(item)["ok"]) is bool, text


tried("Codex: a turn with all its tools", codex)
tried("Codex: a later turn, with every kind of item", codex_later)
tried("Codex: an output schema", codex_schema)
tried("Codex: the list of models", lambda: right("/v1/models?client_version=0.155.1", headers=HEADERS)["models"][0]["slug"] == "tiny")

# ---- Claude Code: docs of its gateways, issues of servers that others asked it with

EPHEMERAL = {"type": "ephemeral", "ttl": "1h"}
READ = {"name": "Read", "description": "Reads a file.", "input_schema": {"$schema": "http://json-schema.org/draft-07/schema#", "type": "object", "properties":
        {"file_path": {"description": "The absolute path", "type": "string"}, "limit": {"type": "integer", "exclusiveMinimum": 0}}, "required": ["file_path"],
        "additionalProperties": False}, "eager_input_streaming": True, "strict": False, "defer_loading": False, "cache_control": EPHEMERAL}
CLAUDE = {
    "model": "tiny", "max_tokens": 4, "temperature": 0, "stream": True,
    "system": [{"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1; cc_entrypoint=cli;"},
               {"type": "text", "text": "You are Claude Code.", "cache_control": {**EPHEMERAL, "scope": "global"}}, {"type": "text", "text": "# Environment"}],
    "messages": [{"role": "user", "content": [{"type": "text", "text": "<system-reminder>"}, {"type": "text", "text": "Hi", "cache_control": EPHEMERAL}]}],
    "tools": [READ, {"type": "web_search_20250305", "name": "web_search", "max_uses": 8}, {"type": "tool_search_tool_regex_20251119", "name": "tool_search"},
              {"type": "custom", "name": "Bash", "input_schema": {"type": "object", "properties": {"command": {"type": "string"}}}, "input_examples": [{"command": "ls"}]}],
    "tool_choice": {"type": "auto"}, "metadata": {"user_id": '{"device_id":"1","session_id":"2"}'}, "thinking": {"type": "adaptive", "display": "summarized"},
    "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}, "output_config": {"effort": "high"}, "betas": ["context-1m-2025-08-07"],
    "diagnostics": {"previous_message_id": None}}
BETA = {"anthropic-version": "2023-06-01", "anthropic-beta": "claude-code-20250219,interleaved-thinking-2025-05-14,fine-grained-tool-streaming-2025-05-14",
        "x-api-key": "none", "x-app": "cli", "X-Stainless-Lang": "js", "anthropic-dangerous-direct-browser-access": "true", "User-Agent": "claude-cli/2.1.0 (external, cli)"}
MESSAGES = "/v1/messages?beta=true"


def claude():
    told, text = events(MESSAGES, CLAUDE, BETA)
    kinds = [e["type"] for e in told]
    return (kinds[0] == "message_start" and "content_block_start" in kinds and kinds[-2:] == ["message_delta", "message_stop"]
            and told[-2]["delta"]["stop_reason"] == "max_tokens" and told[-2]["usage"]["output_tokens"] == 4
            and told[0]["message"]["usage"]["input_tokens"] + told[0]["message"]["usage"]["cache_read_input_tokens"] >= 0), text


def claude_later():
    messages = CLAUDE["messages"] + [
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "Let me look.", "signature": ""}, {"type": "redacted_thinking", "data": "x"},
                                          {"type": "text", "text": "Looking."}, {"type": "tool_use", "id": "toolu_1", "name": "Read", "input": {"file_path": "/a"}, "caller": {"type": "direct"}},
                                          {"type": "tool_use", "id": "toolu_2", "name": "Bash", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "1\tx", "cache_control": EPHEMERAL},
                                     {"type": "tool_result", "tool_use_id": "toolu_2", "is_error": True, "content": [{"type": "text", "text": "no"}]},
                                     {"type": "text", "text": "<system-reminder>"}]},
        {"role": "system", "content": "A tool was added."},
        {"role": "user", "content": "Go on"}]
    told, text = events(MESSAGES, {**CLAUDE, "messages": messages, "thinking": {"type": "enabled", "budget_tokens": 31999}}, BETA)
    count = right("/v1/messages/count_tokens?beta=true", {"model": "tiny", "messages": messages, "system": CLAUDE["system"], "tools": CLAUDE["tools"]}, BETA)
    return told[-2]["usage"]["output_tokens"] == 4 and count["input_tokens"] > 100, (text, count)


def claude_probe():
    r = right(MESSAGES, {"model": "tiny", "max_tokens": 1, "messages": [{"role": "user", "content": "quota"}], "metadata": {"user_id": "x"}}, BETA)
    return r["type"] == "message" and r["usage"]["output_tokens"] == 1 and r["stop_reason"] == "max_tokens", r


def claude_title():
    schema = {"type": "object", "properties": {"isNewTopic": {"type": "boolean"}, "title": {"enum": ["a", "b"]}}, "required": ["isNewTopic", "title"], "additionalProperties": False}
    r = right(MESSAGES, {**CLAUDE, "stream": False, "tools": [], "tool_choice": None, "thinking": {"type": "disabled"}, "max_tokens": 200,
                         "output_config": {"format": {"type": "json_schema", "schema": schema}}}, BETA)
    return json.loads(r["content"][0]["text"])["title"] in "ab", r


def claude_models():
    r = right("/v1/models?limit=1000", headers=BETA)
    return r["data"][0]["type"] == "model" and r["data"][0]["display_name"] == "tiny" and r["has_more"] is False and r["first_id"] == "tiny", r


tried("Claude Code: a turn", claude)
tried("Claude Code: a later turn, and its tokens", claude_later)
tried("Claude Code: a probe of one token", claude_probe)
tried("Claude Code: a title by a schema", claude_title)
tried("Claude Code: models, as Anthropic lists them", claude_models)
tried("Claude Code: HEAD /", lambda: ask("/", method="HEAD")[0] == 200)

# ---- Open WebUI, vLLM's bench serve, guidellm


def web_ui():
    told, text = events("/v1/chat/completions", {"stream": True, "model": "tiny", "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
                        "stream_options": {"include_usage": True}, "max_tokens": 3, "temperature": 0, "user": {"name": "x", "id": "1"}})
    return told[-1]["choices"] == [] and told[-1]["usage"]["completion_tokens"] == 3, text


def vllm_bench():
    told, text = events("/v1/completions", {"model": "tiny", "prompt": [5, 6, 7, 8], "temperature": 0.0, "repetition_penalty": 1.0, "max_tokens": 5, "logprobs": None,
                        "stream": True, "stream_options": {"include_usage": True}, "ignore_eos": True, "min_tokens": 5}, {"x-request-id": "bench-0", "Authorization": "Bearer None"})
    return told[-1]["usage"]["completion_tokens"] == 5 and told[-1]["usage"]["prompt_tokens"] == 4 and "[DONE]" in text, text


def guidellm():
    body = {"model": "tiny", "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}], "max_tokens": 4, "max_completion_tokens": 4, "stop": None,
            "ignore_eos": True, "stream": True, "stream_options": {"include_usage": True, "continuous_usage_stats": True}}
    told, text = events("/v1/chat/completions", body)
    metrics = ask("/metrics")[2]
    return (ask("/health")[0] == 200 and told[-1]["usage"]["completion_tokens"] == 4 and all("usage" in t for t in told)
            and "vllm:generation_tokens_total" in metrics and "vllm:time_to_first_token_seconds_bucket" in metrics), text


tried("Open WebUI: a stream with usage", web_ui)
tried("vLLM's bench serve: ids, as many tokens as asked", vllm_bench)
tried("guidellm: usage in every chunk, health, metrics", guidellm)

# ---- Padding against sizes that tell of words


def padding():
    body = {"model": "tiny", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 12, "seed": 3, "stream": True}
    on, _ = events("/v1/chat/completions", {**body, "stream_options": {"include_obfuscation": True}})
    off, _ = events("/v1/chat/completions", {**body, "stream_options": {"include_obfuscation": False}})
    plain, _ = events("/v1/chat/completions", body)
    items, _ = events("/v1/responses", {"model": "tiny", "input": "Hi", "max_output_tokens": 4, "stream": True, "stream_options": {"include_obfuscation": True}})

    def sizes(told):
        return {len(json.dumps(t, ensure_ascii=False, separators=(",", ":")).encode()) for t in told if t["choices"] and t["choices"][0]["delta"].get("content")}

    return (len(sizes(on)) == 1 and len(sizes(off)) > 1 and all("obfuscation" in t for t in on) and not any("obfuscation" in t for t in off + plain)
            and [t["choices"] for t in on] == [t["choices"] for t in off] and len({t["obfuscation"][:20] for t in on}) == len(on)
            and all("obfuscation" in e for e in items if e["type"] == "response.output_text.delta")), (sizes(on), sizes(off), on)


tried("chunks are equally long where that is asked for, and have no padding else", padding)

# ---- Ollama's clients


def older_vectors():
    one = right("/api/embeddings", {"model": "tiny", "prompt": "ab", "options": {"num_ctx": 512}, "keep_alive": "5m"})
    new = right("/api/embed", {"model": "tiny", "input": ["ab"], "truncate": True})
    cut = right("/api/embed", {"model": "tiny", "input": "ab " * 4000})
    refused = ask("/api/embed", {"model": "tiny", "input": "ab " * 4000, "truncate": False})
    list_of = ask("/api/embeddings", {"model": "tiny", "prompt": ["a", "b"]})
    return (one == {"embedding": new["embeddings"][0]} and len(cut["embeddings"]) == 1 and refused[0] == 400 and "context" in refused[2]
            and list_of[0] == 400), (one, refused, list_of)


def shown():
    show, ps = right("/api/show", {"model": "tiny", "verbose": True}), right("/api/ps")["models"][0]
    options = right("/api/chat", {"model": "tiny", "messages": [{"role": "user", "content": "Hi"}], "stream": False, "keep_alive": -1,
                                  "options": {"num_ctx": 4096, "num_predict": 2, "num_gpu": 0, "repeat_last_n": 64, "mirostat": 0}})
    return (all(k in show for k in ("license", "modelfile", "template", "parameters", "details", "model_info", "capabilities", "modified_at"))
            and "embedding" in show["capabilities"] and ps["expires_at"] and ps["size_vram"] == 0 and ps["context_length"] > 0 and options["eval_count"] == 2), (show, ps, options)


tried("Ollama: vectors in the older form, texts that are cut off", older_vectors)
tried("Ollama: what show and ps tell; options are taken", shown)
print(f"1..{number}")
sys.exit(failed > 0)
