// message.js: one message of the conversation on the page: its text as it comes, thoughts folded, tool calls, measures,
// and what can be done with it.
import {actions, app} from "./app.js";
import {rateOf} from "./answer.js";
import {siblings} from "./chat.js";
import {copyText, dateOf, el, icon, iconButton} from "./dom.js";
import {Markdown} from "./markdown.js";
import {runOf} from "./run.js";
import {tokenView} from "./tokens.js";

const ENDS = {
    stop: "", length: "stopped at the length limit", tool_calls: "calls a tool", stopped: "stopped by you",
    lost: "connection lost", content_filter: "filtered", error: "",
};
const number = (n, digits = 0) => n.toLocaleString("en", {maximumFractionDigits: digits, minimumFractionDigits: digits});

export class MessageView {
    constructor(chat, node) {
        this.chat = chat;
        this.node = node;
        const who = {user: "You", assistant: "Answer", tool: "Result of a tool"}[node.role] || node.role;
        this.text = el("div", {class: "text", dir: "auto"});
        this.notes = el("div", {class: "notes"});
        this.foot = el("div", {class: "foot"});
        this.root = el("article", {class: "message " + node.role, "data-id": node.id, tabindex: "-1"},
            el("h2", {class: node.role === "tool" ? "who" : "hidden"}, who), this.text, this.notes, this.foot);
        if (node.role === "assistant") this.begin();
        else this.text.append(el("div", {class: "plain"}, node.content));
        const run = runOf(node);
        if (run) {
            run.view = this;
            run.text = run.thought = "";
            this.root.classList.add("running");
        } else this.end();
    }

    // What is there of an answer so far.
    begin() {
        const node = this.node;
        this.thought = null;
        if (node.reasoning) this.think(node.reasoning);
        this.markdown = new Markdown(this.text);
        this.markdown.push(node.content);
    }

    think(text) {
        if (!this.thought) {
            this.thought = document.createTextNode("");
            this.fold = el("details", {class: "thought"}, el("summary", null, "Thoughts"),
                el("div", {class: "plain", dir: "auto"}, this.thought));
            this.text.before(this.fold);
        }
        this.thought.appendData(text);
    }

    push(text, thought) {
        if (thought) this.think(thought);
        if (text) this.markdown.push(text);
        if (this.node.calls) this.showCalls();
        actions.grew();
    }

    waiting(text) {
        this.notes.replaceChildren(...(text ? [el("p", {class: "busy", role: "status"}, text)] : []));
    }

    end() {
        const node = this.node;
        this.root.classList.remove("running");
        this.notes.replaceChildren();
        if (node.role === "assistant") {
            this.markdown.end();
            this.showCalls();
            if (node.error) this.showError(node.error);
            if (node.same) this.notes.append(sameNote(node.same));
        }
        this.foot.replaceChildren(...this.actions(), ...(node.role === "assistant" ? [this.measures()] : []));
    }

    showError(error) {
        const key = error.status === 401 || error.status === 403;
        this.notes.append(el("div", {class: "error", role: "alert"}, el("p", null, error.message),
            key ? el("button", {type: "button", onclick: () => actions.openDrawer("key")}, "Enter the API key") : null,
            el("button", {type: "button", onclick: () => actions.retry(this.node)}, "Try again")));
    }

    showCalls() {
        const calls = (this.node.calls || []).filter((call) => call);
        if (this.calls) this.calls.remove();
        if (calls.length === 0) return;
        this.calls = el("div", {class: "calls"}, ...calls.map((call) => this.call(call)));
        this.text.after(this.calls);
    }

    call(call) {
        let shown = call.arguments;
        try { shown = JSON.stringify(JSON.parse(call.arguments), null, 2); } catch { /* as it came */ }
        const answered = Object.values(this.chat.nodes).some((node) => node.role === "tool" && node.call === call.id);
        const box = el("textarea", {rows: "2", placeholder: "What the tool returns", "aria-label": "Result of " + call.name});
        return el("div", {class: "call"}, el("p", null, "Calls ", el("code", null, call.name)),
            el("pre", {tabindex: "0", "aria-label": "Arguments"}, shown),
            runOf(this.node) || answered ? null : el("form", {onsubmit: (event) => {
                event.preventDefault();
                actions.giveResult(this.node, call, box.value);
            }}, box, el("button", {type: "submit"}, "Send the result")));
    }

    actions() {
        const node = this.node, answer = node.role === "assistant";
        const copy = iconButton("copy", "Copy", () => copyText(node.content, copy));
        const list = [copy];
        if (node.role === "user") list.push(iconButton("edit", "Edit and send again", () => this.edit()));
        if (answer) {
            list.push(iconButton("again", "Another answer", () => actions.regenerate(node)));
            if (node.tokens) {
                list.push(iconButton("chart", "Token probabilities", (event) => this.toggleTokens(event.currentTarget),
                    {"aria-pressed": "false"}));
            }
        }
        const box = el("div", {class: "actions"}, ...list);
        if (answer && node.asked && (node.content || node.calls)) {
            box.append(el("button", {type: "button", class: "quiet again", onclick: () => actions.same(this),
                title: "Asks again with the same seed, and compares text and logits"}, icon("equal"), "Same answer again"));
        }
        const all = siblings(this.chat, node);
        if (all.length > 1) box.append(this.branches(all));
        const onward = answer && node.content && ["length", "stopped", "lost"].includes(node.finish);
        if (onward) {
            box.append(el("button", {type: "button", class: "pill", onclick: () => actions.goOn(node)}, "Continue"));
        }
        return [box];
    }

    branches(all) {
        const at = all.indexOf(this.node);
        const step = (by, name, label) => iconButton(name, label, () => actions.branch(all[at + by], label),
            {disabled: !all[at + by]});
        return el("span", {class: "branches", role: "group", "aria-label": "Branches"}, step(-1, "left", "Previous branch"),
            el("span", null, el("span", {class: "hidden"}, "Branch "), at + 1 + " / " + all.length), step(1, "right", "Next branch"));
    }

    measures() {
        const node = this.node, time = node.time, usage = node.usage, rate = rateOf(node);
        const part = (text, title) => el("li", title ? {title} : null, text);
        return el("ul", {class: "measures", "aria-label": "Measures of the answer"},
            ENDS[node.finish] ? part(ENDS[node.finish]) : null,
            usage ? part(number(usage.completion) + " tokens") : null,
            rate ? part(number(rate, 1) + " tokens/s", "After the first token, as this browser saw them") : null,
            time && time.first > 0 ? part("first after " + number(time.first / 1000, 2) + " s", "From sending to the first token") : null,
            usage ? part("prompt " + number(usage.prompt) + (usage.cached ? " (" + number(usage.cached) + " cached)" : "")) : null,
            node.seed !== undefined ? part("seed " + node.seed) : null,
            part(dateOf(node.created), new Date(node.created).toLocaleString()));
    }

    toggleTokens(button) {
        const open = button.getAttribute("aria-pressed") !== "true";
        button.setAttribute("aria-pressed", String(open));
        if (this.tokens) this.tokens.remove();
        this.tokens = open ? tokenView(this.node.tokens) : null;
        this.text.hidden = open;
        if (open) this.text.after(this.tokens);
    }

    edit() {
        const node = this.node;
        const box = el("textarea", {"aria-label": "Your message", dir: "auto"});
        box.value = node.content;
        const grow = () => {
            box.style.setProperty("height", "auto");
            box.style.setProperty("height", box.scrollHeight + 2 + "px");
        };
        const close = () => {
            form.remove();
            this.text.hidden = this.foot.hidden = false;
            this.root.classList.remove("editing");
        };
        const form = el("form", {class: "edit", onsubmit: (event) => {
            event.preventDefault();
            if (box.value.trim()) actions.editMessage(node, box.value);
        }}, box, el("div", {class: "row"}, el("button", {type: "button", onclick: () => { close(); this.root.focus(); }}, "Cancel"),
            el("button", {type: "submit", class: "primary"}, "Send")));
        box.addEventListener("input", grow);
        box.addEventListener("keydown", (event) => {
            if (event.key === "Escape") { close(); this.root.focus(); event.stopPropagation(); }
            if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); form.requestSubmit(); }
        });
        this.text.hidden = this.foot.hidden = true;
        this.root.classList.add("editing");
        this.text.after(form);
        grow();
        box.focus();
    }
}

// What "same answer again" found, in words.
export function sameNote(same) {
    if (same.running) return el("p", {class: "same", role: "status"}, "Asking for the same answer again...");
    if (same.failed) return el("p", {class: "same bad", role: "status"}, "It could not be asked for again: " + same.failed);
    const what = same.part ? "its first part" : same.cut ? "as far as it went" : same.tokens + " tokens";
    const words = !same.text ? "A different text: it parts at character " + (same.at + 1) + "." :
        same.proof === false ? "The same text, but other logits." :
            same.proof ? "The same answer again: " + what + ", text and logits equal to the last bit." :
                "The same text again (" + what + "). " + (same.cut || same.part ? "Logits cannot be compared then." :
                    "No proof of its logits was kept to compare.");
    return el("p", {class: "same " + (same.equal ? "good" : "bad"), role: "status"}, icon(same.equal ? "check" : "close"),
        el("span", null, words, " ", same.proof !== null && same.hash ?
            el("code", {title: same.hash}, "sha256 " + same.hash.slice(0, 16)) : null));
}
