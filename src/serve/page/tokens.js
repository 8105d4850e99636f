// tokens.js: an answer as tokens, shaded by probability. One of them is in the order of Tab; arrow keys move between
// them; hovering or moving to one shows what else might have stood there.
import {el} from "./dom.js";

const percent = (logprob) => {
    const p = Math.exp(logprob) * 100;
    return p >= 99.95 ? "100 %" : p >= 10 ? p.toFixed(1) + " %" : p >= 0.01 ? p.toFixed(2) + " %" : "< 0.01 %";
};
const visible = (text) => text.replaceAll("\n", "\u23ce").replaceAll("\t", "\u21e5").replaceAll(" ", "\u2423") || "(empty)";
// Five shades, the likeliest without one: their names are classes.
const shade = (logprob) => { const p = Math.exp(logprob); return p > 0.9 ? 0 : p > 0.6 ? 1 : p > 0.3 ? 2 : p > 0.1 ? 3 : 4; };

// Bytes of a character that is cut by a token's end, as <E2><82>.
function shown(token) {
    if (!token.bytes) return token.text;
    return token.bytes.map((byte) => (byte < 128 ? String.fromCharCode(byte) : "<" + byte.toString(16).toUpperCase() + ">")).join("");
}

function card(token) {
    const rows = token.top.some(([text]) => text === token.text) ? token.top : [[token.text, token.p], ...token.top];
    return [el("p", {class: "token-title"}, el("code", null, visible(shown(token))), " ", el("strong", null, percent(token.p))),
        ...rows.map(([text, p]) => {
            const bar = el("i");
            bar.style.setProperty("width", Math.max(1, Math.exp(p) * 100) + "%");
            return el("div", {class: "token-row" + (text === token.text ? " taken" : "")},
                el("code", null, visible(text)), el("span", {class: "bar"}, bar), el("span", null, percent(p)));
        })];
}

export function tokenView(tokens) {
    const tip = el("div", {class: "token-card", role: "tooltip", hidden: true});
    const list = tokens.map((token, i) => el("span", {class: "token s" + shade(token.p), tabindex: i === 0 ? "0" : "-1",
        "data-i": String(i), role: "img",
        "aria-label": visible(shown(token)) + ", " + percent(token.p) + alternatives(token)},
    shown(token).replaceAll("\n", "\u23ce\n")));
    const text = el("div", {class: "tokens", role: "group", "aria-label": "Tokens of the answer: arrow keys move"}, ...list);
    const view = el("div", {class: "token-view"}, text, tip,
        el("p", {class: "legend"}, "Probability ", ...["over 90 %", "over 60 %", "over 30 %", "over 10 %", "less"].map((name, i) =>
            el("span", {class: "token s" + i}, name))));
    const show = (node) => {
        if (!node || !node.dataset.i) return;
        tip.replaceChildren(...card(tokens[Number(node.dataset.i)]));
        tip.hidden = false;
        const box = node.getBoundingClientRect(), around = view.getBoundingClientRect();
        tip.style.setProperty("left", Math.max(0, Math.min(box.left - around.left, around.width - tip.offsetWidth)) + "px");
        // Below the token, or above it where the conversation ends.
        const edge = view.closest("#scroll").getBoundingClientRect();
        const above = box.bottom + tip.offsetHeight + 10 > edge.bottom && box.top - tip.offsetHeight - 10 > edge.top;
        tip.style.setProperty("top", (above ? box.top - tip.offsetHeight - 6 : box.bottom + 6) - around.top + "px");
    };
    text.addEventListener("pointerover", (event) => show(event.target.closest(".token")));
    text.addEventListener("pointerleave", () => { tip.hidden = true; });
    text.addEventListener("focusin", (event) => show(event.target));
    text.addEventListener("focusout", () => { tip.hidden = true; });
    text.addEventListener("keydown", (event) => {
        const at = list.indexOf(document.activeElement);
        const to = {ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: list.length - 1}[event.key];
        if (at < 0 || to === undefined || !list[to]) return;
        list[at].tabIndex = -1;
        list[to].tabIndex = 0;
        list[to].focus();
        event.preventDefault();
    });
    return view;
}

function alternatives(token) {
    const others = token.top.filter(([text]) => text !== token.text).slice(0, 3);
    return others.length ? "; else " + others.map(([text, p]) => visible(text) + " " + percent(p)).join(", ") : "";
}
