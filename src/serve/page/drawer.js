// drawer.js: the settings of the shown chat: system prompt, sampling with the server's defaults, form of the answer,
// tools, key. An empty box means the server's default, which stands in it in grey.
import {actions, app, keep} from "./app.js";
import {byId, el, iconButton} from "./dom.js";
import {apiKey, preference} from "./store.js";

// [name in a request, label, smallest, largest, step, names of it in /props]
const NUMBERS = [
    ["temperature", "Temperature", 0, 2, 0.05, []],
    ["top_p", "Top-p", 0, 1, 0.01, []],
    ["top_k", "Top-k", 0, 1000, 1, []],
    ["min_p", "Min-p", 0, 1, 0.01, []],
    ["repetition_penalty", "Repetition penalty", 0.01, 2, 0.01, ["repeat_penalty"]],
    ["presence_penalty", "Presence penalty", -2, 2, 0.1, []],
    ["frequency_penalty", "Frequency penalty", -2, 2, 0.1, []],
    ["max_tokens", "Longest answer, tokens", 1, 1000000, 1, ["max_completion_tokens", "n_predict", "max_new_tokens"]],
    ["seed", "Seed", 0, 9007199254740991, 1, []],
];

// As an object, or as the line that the server prints: "max_new_tokens 256, greedy, ...".
function parametersOfServer(params) {
    if (typeof params !== "string") return params || {};
    const known = {};
    for (const part of params.split(", ")) {
        const [name, value, ...more] = part.split(" ");
        if (more.length === 0 && Number.isFinite(Number(value))) known[name] = Number(value);
    }
    return {temperature: 1, ...known}; // a chat is sampled unless it asks for temperature 0
}

export function serverDefault(name, others) {
    const settings = (app.props || {}).default_generation_settings || {};
    for (const place of [parametersOfServer(settings.params), settings]) {
        for (const key of [name, ...others]) {
            if (typeof place[key] === "number" && !(place[key] < 0 && /^(seed|n_predict|max)/.test(key))) return place[key];
        }
    }
    return null;
}

function set(name, value) {
    if (value === "" || value === null) delete app.chat.settings[name];
    else app.chat.settings[name] = value;
    keep(app.chat);
    actions.settingsChanged();
}

const field = (label, control, hint) => el("label", {class: "field"}, el("span", null, label), control,
    hint ? el("small", null, hint) : null);

function numberField([name, label, min, max, step, others]) {
    const known = serverDefault(name, others);
    const box = el("input", {type: "number", inputmode: "decimal", min: String(min), max: String(max), step: String(step),
        name, placeholder: name === "seed" ? "drawn anew" : known === null ? "server's" : String(+known.toFixed(4))});
    box.value = app.chat.settings[name] === undefined ? "" : app.chat.settings[name];
    box.addEventListener("change", () => { if (box.checkValidity()) set(name, box.value); else box.reportValidity(); });
    return field(label, box);
}

function area(name, label, rows, hint, json) {
    const box = el("textarea", {rows: String(rows), name, dir: "auto", spellcheck: json ? "false" : null,
        class: json ? "mono" : null});
    const fault = el("small", {class: "fault", role: "status"});
    box.value = app.chat.settings[name] || "";
    const check = () => {
        fault.textContent = "";
        try {
            if (json && box.value.trim()) JSON.parse(box.value);
        } catch (error) {
            fault.textContent = "Not JSON: " + error.message;
        }
    };
    box.addEventListener("input", () => { set(name, box.value.trim() ? box.value : ""); check(); });
    check();
    const made = field(label, box, hint);
    made.append(fault);
    return made;
}

function choice(name, label, options, hint, changed) {
    const box = el("select", {name}, ...options.map(([value, text]) => el("option", {value}, text)));
    box.value = app.chat.settings[name] || options[0][0];
    box.addEventListener("change", () => { set(name, box.value === options[0][0] ? "" : box.value); if (changed) changed(); });
    return field(label, box, hint);
}

function formFields() {
    const place = el("div");
    const show = () => place.replaceChildren(...{
        schema: () => [area("schema", "JSON schema", 6,
            "The answer keeps to it, or the server says which keyword it cannot keep.", true)],
        grammar: () => [area("grammar", "Grammar (GBNF)", 6)],
        regex: () => [area("regex", "Regular expression", 2)],
    }[app.chat.settings.form]?.() || []);
    show();
    return [choice("form", "Form of the answer", [["", "Free text"], ["object", "Any JSON object"], ["schema", "JSON by a schema"],
        ["grammar", "Text by a grammar"], ["regex", "Text by a regular expression"]], null, show), place];
}

function keyField() {
    const box = el("input", {type: "password", id: "key", autocomplete: "off", placeholder: "none"});
    box.value = apiKey();
    box.addEventListener("change", () => { apiKey(box.value.trim()); actions.keyChanged(); });
    // A form of its own, as browsers want it of passwords; it is never sent.
    return el("form", {onsubmit: (event) => { event.preventDefault(); box.blur(); }},
        field("API key", box, "Kept in this tab until it is closed; sent to this server alone."));
}

const group = (title, ...children) => el("section", null, el("h3", null, title), ...children);

function build() {
    const thinks = /enable_thinking/.test(app.template);
    const reset = el("button", {type: "button", class: "quiet", onclick: () => {
        app.chat.settings = {};
        keep(app.chat);
        actions.settingsChanged();
        build();
    }}, "Back to the server's defaults");
    const remember = el("button", {type: "button", class: "quiet", onclick: (event) => {
        preference("settings", JSON.stringify({...app.chat.settings, seed: undefined}));
        event.currentTarget.textContent = "New chats begin like this";
    }}, "Use for new chats");
    byId("drawer").replaceChildren(
        el("div", {class: "drawer-head"}, el("h2", null, "Settings of this chat"),
            iconButton("close", "Close the settings", closeDrawer)),
        el("div", {class: "drawer-body"},
            app.models.length > 1 ? group("Model", choice("model", "Model", [["", app.models[0].id],
                ...app.models.slice(1).map((model) => [model.id, model.id])])) : null,
            group("Instructions", area("system", "System prompt", 4)),
            group("Sampling", el("div", {class: "grid"}, ...NUMBERS.map(numberField)),
                area("stop", "Stop at, one text a line", 2, "\\n stands for a line end.")),
            group("Answer", ...formFields(),
                thinks ? choice("thinking", "Thinking", [["", "As the template has it"], ["on", "On"], ["off", "Off"]]) : null,
                choice("logprobs", "Token probabilities", [["", "Off"], ["on", "On, with five alternatives"]]),
                choice("proof", "Proof of answers", [["", "On: SHA-256 of the logits"], ["off", "Off"]],
                    "With it, \u201csame answer again\u201d compares logits, too.")),
            group("Tools", area("tools", "Functions, as a JSON list", 3, "You give their results by hand.", true)),
            group("Server", keyField()),
            el("div", {class: "row"}, reset, remember)));
}

export function openDrawer(focus) {
    build();
    byId("drawer").hidden = false;
    document.documentElement.classList.add("drawer-open");
    byId("drawer-open").setAttribute("aria-expanded", "true");
    actions.layout();
    const first = focus ? byId(focus) : byId("drawer").querySelector("textarea, input, select");
    first.focus();
    first.scrollIntoView({block: "nearest"});
}

export function closeDrawer() {
    if (byId("drawer").hidden) return false;
    const inside = byId("drawer").contains(document.activeElement);
    byId("drawer").hidden = true;
    document.documentElement.classList.remove("drawer-open");
    byId("drawer-open").setAttribute("aria-expanded", "false");
    actions.layout();
    if (inside) byId("drawer-open").focus();
    return true;
}

// The shown chat is another one, or the server told its defaults.
export function refreshDrawer() {
    if (!byId("drawer").hidden && !byId("drawer").contains(document.activeElement)) build();
}
