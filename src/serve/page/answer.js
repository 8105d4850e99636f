// answer.js: one answer of the model: the request, the stream, its measures; an answer that goes on after its limit; and
// the same answer once more, compared with what was kept of it.
import {ApiError, askJson, events, request} from "./api.js";
import {messagesOf, parametersOf, pathTo} from "./chat.js";

// What is asked for `node`. Its parameters were fixed when it was made, so that it can be asked for again.
export function bodyOf(chat, node, more) {
    const body = {...node.asked, messages: messagesOf(pathTo(chat, node.parent), node.system), ...more};
    if (!body.model) delete body.model;
    return body;
}

// Fixes what an answer is asked with. Without a seed in the settings one is drawn here: it is shown, and gives the same
// answer again; the server's own may have more digits than a number of JavaScript holds.
export function fixAsked(node, settings) {
    const asked = parametersOf(settings);
    if (asked.seed === undefined) asked.seed = crypto.getRandomValues(new Uint32Array(1))[0];
    node.asked = asked;
    node.system = settings.system || "";
    node.seed = asked.seed;
}

// One part of the members `logprobs.content` of a chunk, as it is kept: text, log-probability, alternatives.
const keptToken = (entry) => ({
    text: entry.token, bytes: entry.token.includes("\uFFFD") ? entry.bytes : undefined, p: entry.logprob,
    top: (entry.top_logprobs || []).map((other) => [other.token, other.logprob]),
});

function addCalls(node, deltas) {
    node.calls = node.calls || [];
    for (const delta of deltas) {
        const at = delta.index || 0;
        if (at > 1000) continue;
        const call = node.calls[at] = node.calls[at] || {id: "", name: "", arguments: ""};
        if (delta.id) call.id = delta.id;
        if (delta.function && delta.function.name) call.name += delta.function.name;
        if (delta.function && delta.function.arguments) call.arguments += delta.function.arguments;
    }
}

// What a chunk tells besides its text.
function addFacts(node, event) {
    if (event.model) node.model = event.model;
    if (event.system_fingerprint) node.fingerprint = event.system_fingerprint;
    if (event.usage) {
        node.usage = {prompt: event.usage.prompt_tokens, completion: event.usage.completion_tokens,
            cached: (event.usage.prompt_tokens_details || {}).cached_tokens || 0};
    }
    if (event.qwenmesh && Number.isSafeInteger(event.qwenmesh.seed)) node.seed = event.qwenmesh.seed;
    // The SHA-256 of the logits of all its tokens, beside the last of them.
    const own = ((event.choices || [])[0] || {}).qwenmesh;
    if (own && typeof own.proof === "string") node.proof = own.proof;
}

// Streams into `node`, and calls changed(text, thought) with what came. Ends as the stream does; throws ApiError, or
// AbortError when it was stopped. `more`: members that make it go on, see goOn.
export async function stream(chat, node, signal, changed, more) {
    const asked = performance.now();
    let first = 0, last = 0, chunks = 0;
    const response = await request("/v1/chat/completions",
        bodyOf(chat, node, {...more, stream: true, stream_options: {include_usage: true}}), signal, chat.id);
    for await (const event of events(response)) {
        addFacts(node, event);
        const choice = (event.choices || [])[0];
        if (!choice) continue;
        const delta = choice.delta || {};
        const text = delta.content || "", thought = delta.reasoning_content || delta.reasoning || "";
        if (delta.tool_calls) addCalls(node, delta.tool_calls);
        if (choice.logprobs && choice.logprobs.content && choice.logprobs.content.length) {
            node.tokens = (node.tokens || []).concat(choice.logprobs.content.map(keptToken));
        }
        if (choice.finish_reason) node.finish = choice.finish_reason;
        if (text || thought || delta.tool_calls) {
            last = performance.now();
            first = first || last;
            chunks++;
            node.content += text;
            if (thought) node.reasoning = (node.reasoning || "") + thought;
            changed(text, thought);
        }
        node.time = {first: first - asked, rate: chunks > 1 ? chunks - 1 : 0, span: last - first};
    }
    if (!node.finish) throw new ApiError(0, "The answer ended without a reason.", null, null);
}

// Tokens a second after the first one. Tokens are the server's count when it told one, else chunks.
export function rateOf(node) {
    const time = node.time;
    if (!time || time.span <= 0 || time.rate <= 0) return 0;
    const tokens = node.usage && !node.parts ? node.usage.completion - 1 : time.rate;
    return tokens > 0 ? tokens * 1000 / time.span : 0;
}

// Members of a request that continues the text of `node` where its limit ended it.
export function goOn(chat, node) {
    const messages = messagesOf(pathTo(chat, node.parent), node.system);
    messages.push({role: "assistant", content: node.content});
    return {messages, add_generation_prompt: false, continue_final_message: true};
}

const callsText = (calls) => JSON.stringify((calls || []).map((call) => [call.name, call.arguments]));

// Asks for the answer again with the same seed and compares: {equal, text, proof (true, false or null: not known),
// tokens, hash, at: the first character that differs}.
export async function sameAgain(chat, node, signal) {
    const result = await askJson("/v1/chat/completions", bodyOf(chat, node,
        {seed: node.seed, stream: false, qwenmesh: {...(node.asked.qwenmesh || {}), proof: true}}), signal, chat.id);
    const message = result.choices[0].message;
    const again = {usage: null};
    addFacts(again, result);
    const content = message.content || "", thought = message.reasoning_content || message.reasoning || "";
    const calls = callsText((message.tool_calls || []).map((call) => call.function));
    const part = node.first !== undefined; // it was continued: what came before that is compared
    const cut = !part && !["stop", "length", "tool_calls"].includes(node.finish); // stopped: its beginning is compared
    const had = part ? node.first : node.content;
    const text = cut ? content.startsWith(had) && thought.startsWith(node.reasoning || "") : content === had &&
        thought === (node.reasoning || "") && calls === callsText(node.calls);
    let at = 0;
    while (at < had.length && had[at] === content[at]) at++;
    const proof = cut || !node.proof || !again.proof ? null : again.proof === node.proof;
    return {equal: text && proof !== false, text, proof, cut, part, hash: again.proof || null, kept: node.proof || null,
        at, tokens: again.usage ? again.usage.completion : 0};
}
