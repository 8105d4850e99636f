// gauge.js: how much of the context the next request takes, counted by the server before it is sent.
import {app} from "./app.js";
import {askJson} from "./api.js";
import {messagesOf, parametersOf, pathTo} from "./chat.js";
import {byId} from "./dom.js";

let countTimer = 0, controller = null, asked = "";

function showCount(tokens) {
    const gauge = byId("gauge"), full = app.context ? Math.min(1, tokens / app.context) : 0;
    byId("gauge-bar").firstChild.style.setProperty("width", full * 100 + "%");
    gauge.classList.toggle("high", full > 0.8);
    const text = tokens.toLocaleString("en") + (app.context ? " of " + app.context.toLocaleString("en") : "") + " tokens";
    byId("gauge-text").textContent = text;
    gauge.setAttribute("aria-valuemax", String(app.context || tokens || 1));
    gauge.setAttribute("aria-valuenow", String(tokens));
    gauge.setAttribute("aria-valuetext", text);
}

async function count() {
    const typed = byId("box").value;
    const messages = messagesOf(pathTo(app.chat, app.chat.leaf), app.chat.settings.system);
    if (typed.trim() || messages.length === 0) messages.push({role: "user", content: typed});
    let tools;
    try { tools = parametersOf(app.chat.settings).tools; } catch { /* told when it is sent */ }
    const body = {messages, tools, model: app.chat.settings.model};
    const text = JSON.stringify(body);
    if (text === asked) return;
    if (controller) controller.abort();
    controller = new AbortController();
    try {
        const answer = await askJson("/tokenize", body, controller.signal);
        if (answer.max_model_len) app.context = answer.max_model_len;
        asked = text;
        showCount(answer.count !== undefined ? answer.count : answer.tokens.length);
    } catch (error) {
        if (error.name !== "AbortError") byId("gauge-text").textContent = "";
    }
}

// Soon after the last change.
export function gauge() {
    clearTimeout(countTimer);
    countTimer = setTimeout(count, 350);
}
