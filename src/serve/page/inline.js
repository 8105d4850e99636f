// inline.js: one line or paragraph of Markdown as nodes: code, emphasis, links, addresses. The text of a model only ever
// becomes text nodes; a link is made only of http, https and mailto; a picture is a link, as loading it would tell
// somebody. Scans for a closing mark are remembered when they fail, so that no text costs more than a few passes.
import {el} from "./dom.js";

const DEEPEST = 8, LONGEST = 20000;

// The address as it may stand in href, or null.
export function safeAddress(text) {
    if (!/^(https?:\/\/|mailto:)[^\s<>"\\]+$/i.test(text)) return null;
    try {
        const url = new URL(text);
        return ["http:", "https:", "mailto:"].includes(url.protocol) ? url.href : null;
    } catch {
        return null;
    }
}

function link(address, ...label) {
    return el("a", {href: address, rel: "noopener noreferrer nofollow", target: "_blank"}, ...label);
}

// The place of `mark` at or after `from`, or -1; a mark that is not there is not looked for again in this text.
function closing(text, mark, from, missing) {
    if (missing.has(mark) && from >= missing.get(mark)) return -1;
    const at = text.indexOf(mark, from);
    if (at < 0) missing.set(mark, from);
    return at;
}

// [label](address), with brackets in the label and parentheses in the address: {label, address, end} or null.
function readLink(text, start, missing) {
    if (closing(text, "](", start, missing) < 0) return null;
    let depth = 0, at = start;
    const far = Math.min(text.length, start + 1000);
    for (; at < far; at++) {
        if (text[at] === "\\") at++;
        else if (text[at] === "[") depth++;
        else if (text[at] === "]" && --depth === 0) break;
    }
    if (text[at] !== "]" || text[at + 1] !== "(") return null;
    const label = text.slice(start + 1, at);
    const from = at + 2;
    depth = 1;
    for (at = from; at < far && depth > 0; at++) {
        if (text[at] === "(") depth++;
        else if (text[at] === ")") depth--;
    }
    if (depth > 0) return null;
    const address = text.slice(from, at - 1).trim().replace(/\s+"[^"]*"$/, "").replace(/^<(.*)>$/, "$1");
    return {label, address, end: at};
}

const MARKS = [["***", "strong"], ["**", "strong"], ["__", "strong"], ["~~", "s"], ["*", "em"], ["_", "em"]];

// The length of what stands at text[at], turned into a node of `out`; 0 if it is nothing but text.
function special(text, at, out, depth, missing) {
    const letter = text[at];
    if (letter === "\\" && /[!-/:-@[-`{-~]/.test(text[at + 1] || "")) return out.push(text[at + 1]), 2;
    if (letter === "`") {
        const ticks = /^`+/.exec(text.slice(at, at + 32))[0];
        const end = closing(text, ticks, at + ticks.length, missing);
        if (end < 0) return 0;
        let code = text.slice(at + ticks.length, end);
        if (code.startsWith(" ") && code.endsWith(" ") && code.trim()) code = code.slice(1, -1);
        out.push(el("code", null, code));
        return end + ticks.length - at;
    }
    if (letter === "[" || (letter === "!" && text[at + 1] === "[")) {
        const found = readLink(text, letter === "!" ? at + 1 : at, missing);
        const address = found && safeAddress(found.address);
        if (!address) return 0;
        const label = letter === "!" ? ["Picture: " + (found.label || address)] : inline(found.label, depth + 1);
        out.push(link(address, ...label));
        return found.end - at;
    }
    if (letter === "<" || letter === "h") {
        const match = /^<?(https?:\/\/[^\s<>"`]+)>?/.exec(text.slice(at, at + 2000));
        if (!match || (letter === "h" && /\w/.test(text[at - 1] || ""))) return 0;
        const plain = letter === "<" ? match[1] : match[1].replace(/[.,;:!?'"*_)\]]+$/, "");
        const address = safeAddress(plain);
        if (!address) return 0;
        out.push(link(address, plain));
        return letter === "<" ? match[0].length : plain.length;
    }
    for (const [mark, tag] of MARKS) {
        if (!text.startsWith(mark, at)) continue;
        if (/\s/.test(text[at + mark.length] || " ") || (mark[0] === "_" && /\w/.test(text[at - 1] || ""))) return 0;
        const end = closing(text, mark, at + mark.length + 1, missing);
        if (end < 0 || /\s/.test(text[end - 1]) || (mark[0] === "_" && /\w/.test(text[end + mark.length] || ""))) continue;
        const inner = inline(text.slice(at + mark.length, end), depth + 1);
        out.push(mark === "***" ? el("strong", null, el("em", null, ...inner)) : el(tag, null, ...inner));
        return end + mark.length - at;
    }
    return 0;
}

// Nodes and strings for append().
export function inline(text, depth = 0) {
    if (depth > DEEPEST || text.length > LONGEST) return [text];
    const out = [], missing = new Map();
    let plain = 0, at = 0;
    while (at < text.length) {
        if (text[at] === "\n") {
            const hard = text.startsWith("  ", at - 2) || text[at - 1] === "\\";
            if (hard) {
                out.push(text.slice(plain, at).replace(/\\$/, ""), el("br"));
                plain = at + 1;
            }
            at++;
            continue;
        }
        const size = out.length;
        const length = "\\`[!<h*_~".includes(text[at]) ? special(text, at, out, depth, missing) : 0;
        if (length > 0) {
            const made = out.splice(size);
            out.push(text.slice(plain, at), ...made);
            plain = at += length;
        } else at++;
    }
    out.push(text.slice(plain));
    return out.filter((part) => part !== "");
}
