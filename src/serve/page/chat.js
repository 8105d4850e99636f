// chat.js: a chat is a tree of messages. Nothing that was said is changed: an edit or another answer is a sibling, and
// chat.leaf names the branch that is shown. Also: what of it goes into a request.

export function newId() {
    return "m" + Array.from(crypto.getRandomValues(new Uint8Array(9)), (b) => b.toString(16).padStart(2, "0")).join("");
}

export function newChat() {
    const now = Date.now();
    return {id: newId(), title: "", created: now, updated: now, draft: "", settings: {}, nodes: {}, leaf: null};
}

export function addNode(chat, fields) {
    const node = {id: newId(), parent: chat.leaf, created: Date.now(), content: "", ...fields};
    chat.nodes[node.id] = node;
    chat.leaf = node.id;
    if (node.parent && chat.nodes[node.parent]) chat.nodes[node.parent].last = node.id;
    chat.updated = Date.now();
    return node;
}

// From the first message to `leaf`.
export function pathTo(chat, leaf) {
    const path = [];
    for (let id = leaf; id && chat.nodes[id] && path.length < 10000; id = chat.nodes[id].parent) path.push(chat.nodes[id]);
    return path.reverse();
}

export function siblings(chat, node) {
    return Object.values(chat.nodes).filter((other) => other.parent === node.parent);
}

// Shows the branch that goes through `node`, down to where it was left.
export function showBranch(chat, node) {
    if (node.parent && chat.nodes[node.parent]) chat.nodes[node.parent].last = node.id;
    const seen = new Set();
    while (!seen.has(node.id)) {
        seen.add(node.id);
        const children = Object.values(chat.nodes).filter((other) => other.parent === node.id);
        if (children.length === 0) break;
        node = children.find((child) => child.id === node.last) || children[children.length - 1];
    }
    chat.leaf = node.id;
}

export function titleOf(chat) {
    if (chat.title) return chat.title;
    const first = Object.values(chat.nodes).find((node) => node.role === "user");
    const line = first ? first.content.trim().split("\n", 1)[0] : "";
    return line.length > 100 ? line.slice(0, 97).trimEnd() + "..." : line || "New chat";
}

export function matches(chat, words) {
    if (!words) return true;
    const wanted = words.toLowerCase();
    return titleOf(chat).toLowerCase().includes(wanted) ||
        Object.values(chat.nodes).some((node) => node.content.toLowerCase().includes(wanted));
}

// The conversation before `node`, or all of a branch, in OpenAI's form. Thoughts are not sent back.
export function messagesOf(path, system) {
    const messages = system ? [{role: "system", content: system}] : [];
    for (const node of path) {
        if (node.role === "tool") messages.push({role: "tool", tool_call_id: node.call, content: node.content});
        else if (node.calls && node.calls.length) {
            messages.push({role: "assistant", content: node.content || null, tool_calls: node.calls.map((call) => (
                {id: call.id, type: "function", function: {name: call.name, arguments: call.arguments}}))});
        } else messages.push({role: node.role, content: node.content});
    }
    return messages;
}

// The members of a request that the settings of a chat stand for; an empty setting is left to the server. Throws a
// SyntaxError that says which box holds no JSON.
export function parametersOf(settings) {
    const body = {};
    for (const name of ["temperature", "top_p", "top_k", "min_p", "repetition_penalty", "presence_penalty",
        "frequency_penalty", "max_tokens", "seed"]) {
        if (settings[name] !== undefined && settings[name] !== "") body[name] = Number(settings[name]);
    }
    if (settings.model) body.model = settings.model;
    if (settings.stop) body.stop = settings.stop.split("\n").filter((line) => line).map((line) =>
        line.replaceAll("\\n", "\n").replaceAll("\\t", "\t"));
    if (settings.thinking === "on" || settings.thinking === "off") {
        body.chat_template_kwargs = {enable_thinking: settings.thinking === "on"};
    }
    if (settings.logprobs === "on") Object.assign(body, {logprobs: true, top_logprobs: 5});
    if (settings.proof !== "off") body.qwenmesh = {proof: true};
    if (settings.form === "object") body.response_format = {type: "json_object"};
    if (settings.form === "schema" && settings.schema) {
        body.response_format = {type: "json_schema",
            json_schema: {name: "answer", strict: true, schema: parsed(settings.schema, "The JSON schema")}};
    }
    if (settings.form === "grammar" && settings.grammar) body.grammar = settings.grammar;
    if (settings.form === "regex" && settings.regex) body.guided_regex = settings.regex;
    if (settings.tools) body.tools = parsed(settings.tools, "The list of tools");
    return body;
}

export function parsed(text, what) {
    try {
        return JSON.parse(text);
    } catch (error) {
        throw new SyntaxError(what + " in the settings is not JSON: " + error.message);
    }
}
