// files.js: chats as files: JSON with everything (a list of chats, as the page keeps them), read back with care for what
// it holds; the shown branch as Markdown.
import {app, keep} from "./app.js";
import {newId, pathTo, showBranch, titleOf} from "./chat.js";
import {download} from "./dom.js";

const FORMAT = "qwenmesh-chats";

const fileName = (title) => title.replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "").slice(0, 50) || "chat";

export function exportChats(chats, name) {
    const plain = chats.map((chat) => ({...chat, draft: undefined}));
    download(name + ".json", "application/json", JSON.stringify({format: FORMAT, version: 1,
        exported: new Date().toISOString(), chats: plain}, null, 1));
}

export const exportChat = (chat) => exportChats([chat], fileName(titleOf(chat)));

// The longest run of backticks in a text, and one more, fences it.
function fenced(text, language) {
    const fence = "`".repeat(Math.max(3, ...[...text.matchAll(/`+/g)].map((run) => run[0].length + 1)));
    return fence + language + "\n" + text + "\n" + fence + "\n";
}

export function markdownOf(chat) {
    const lines = ["# " + titleOf(chat) + "\n"];
    if (chat.settings.system) lines.push("## System\n", chat.settings.system + "\n");
    for (const node of pathTo(chat, chat.leaf)) {
        lines.push("## " + {user: "You", tool: "Result of a tool"}[node.role] + "\n");
        if (node.role === "assistant") {
            const asked = Object.entries(node.asked || {}).filter(([, value]) => typeof value === "number")
                .map(([name, value]) => name + " " + value);
            lines[lines.length - 1] = "## Answer\n";
            const facts = [node.model, new Date(node.created).toISOString(), ...asked,
                node.proof ? "logits sha256 " + node.proof : ""];
            lines.push("*" + facts.filter((fact) => fact).join(", ") + "*\n");
        }
        if (node.content) lines.push(node.content + "\n");
        for (const call of node.calls || []) lines.push(fenced(call.name + "(" + call.arguments + ")", ""));
    }
    return lines.join("\n");
}

export const exportMarkdown = (chat) => download(fileName(titleOf(chat)) + ".md", "text/markdown", markdownOf(chat));

const isText = (value) => typeof value === "string";
const plainObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);

function cleanTokens(list) {
    if (!Array.isArray(list)) return undefined;
    return list.filter((t) => plainObject(t) && isText(t.text) && Number.isFinite(t.p)).map((t) => ({text: t.text, p: t.p,
        bytes: Array.isArray(t.bytes) ? t.bytes.filter((b) => Number.isInteger(b) && b >= 0 && b < 256) : undefined,
        top: (Array.isArray(t.top) ? t.top : [])
            .filter((o) => Array.isArray(o) && isText(o[0]) && Number.isFinite(o[1])).slice(0, 20)}));
}

const numbers = (object, names) => plainObject(object) && names.every((name) => Number.isFinite(object[name])) ?
    Object.fromEntries(names.map((name) => [name, object[name]])) : undefined;

// A message as it may be shown, whatever the file holds, or null.
function cleanNode(raw, ids) {
    if (!plainObject(raw) || !isText(raw.content) || !["user", "assistant", "tool"].includes(raw.role)) return null;
    const node = {id: ids.get(raw.id), parent: ids.get(raw.parent) || null, last: ids.get(raw.last), role: raw.role,
        content: raw.content, created: Number.isFinite(raw.created) ? raw.created : Date.now()};
    for (const name of ["reasoning", "finish", "model", "fingerprint", "proof", "system", "call", "first"]) {
        if (isText(raw[name])) node[name] = raw[name];
    }
    if (Number.isSafeInteger(raw.seed)) node.seed = raw.seed;
    if (Number.isSafeInteger(raw.parts)) node.parts = raw.parts;
    if (plainObject(raw.asked)) node.asked = raw.asked;
    node.usage = numbers(raw.usage, ["prompt", "completion", "cached"]);
    node.time = numbers(raw.time, ["first", "rate", "span"]);
    node.tokens = cleanTokens(raw.tokens);
    if (Array.isArray(raw.calls)) {
        node.calls = raw.calls.filter((call) => plainObject(call) && isText(call.name) && isText(call.arguments))
            .map((call) => ({id: String(call.id), name: call.name, arguments: call.arguments}));
    }
    return node;
}

function cleanChat(raw) {
    if (!plainObject(raw) || !plainObject(raw.nodes)) return null;
    // New names: what is imported stands beside what is there. A parent that is no message begins the chat.
    const ids = new Map(Object.keys(raw.nodes).map((id) => [id, newId()]));
    const chat = {id: newId(), title: isText(raw.title) ? raw.title.slice(0, 120) : "", draft: "", nodes: {}, leaf: null,
        created: Number.isFinite(raw.created) ? raw.created : Date.now(),
        updated: Number.isFinite(raw.updated) ? raw.updated : Date.now(), settings: {}};
    for (const [name, value] of Object.entries(plainObject(raw.settings) ? raw.settings : {})) {
        if (isText(value) || Number.isFinite(value)) chat.settings[name] = value;
    }
    for (const [id, rawNode] of Object.entries(raw.nodes)) {
        const node = cleanNode({...rawNode, id}, ids);
        if (node) chat.nodes[node.id] = node;
    }
    for (const node of Object.values(chat.nodes)) if (node.parent && !chat.nodes[node.parent]) node.parent = null;
    const roots = Object.values(chat.nodes).filter((node) => !node.parent);
    const leaf = chat.nodes[ids.get(raw.leaf)];
    if (leaf) chat.leaf = leaf.id;
    else if (roots.length) showBranch(chat, roots[roots.length - 1]);
    return chat.leaf ? chat : null;
}

// How many chats of a file's text were taken; throws an Error that says why none.
export function importChats(text) {
    let file;
    try { file = JSON.parse(text); } catch (error) { throw new Error("This file is not JSON: " + error.message); }
    if (!plainObject(file) || file.format !== FORMAT || !Array.isArray(file.chats)) {
        throw new Error("This file holds no chats: \u201cformat\u201d is not \u201c" + FORMAT + "\u201d.");
    }
    const chats = file.chats.map(cleanChat).filter((chat) => chat);
    if (chats.length === 0) throw new Error("This file holds no chat with a message.");
    for (const chat of chats) keep(chat, true);
    return chats;
}
