// thread.js: the conversation as it is shown: its messages, where it is scrolled to, and what an empty one says.
import {app} from "./app.js";
import {pathTo, titleOf} from "./chat.js";
import {byId, el} from "./dom.js";
import {MessageView} from "./message.js";
import {runIn} from "./run.js";

let views = [];
let following = true; // the end stays in sight while an answer grows

export function atEnd() {
    const place = byId("scroll");
    return place.scrollHeight - place.scrollTop - place.clientHeight < 60;
}

export function toEnd() {
    following = true;
    const place = byId("scroll");
    place.scrollTop = place.scrollHeight;
    byId("latest").hidden = true;
}

export function grew() {
    if (following) toEnd();
}

export const viewOf = (node) => views.find((view) => view.node === node);

const IDEAS = ["Explain why the sky is blue, in three sentences.", "Write a C function that reverses a string in place.",
    "Name three rivers of Africa as a table with their lengths."];

function welcome(send) {
    const name = app.models.length ? app.models[0].id : "the model";
    return el("div", {class: "welcome"}, el("h2", null, "What would you like to know?"),
        el("p", null, name + " runs on this server alone. Chats stay in this browser."),
        el("div", {class: "ideas"}, ...IDEAS.map((text) => el("button", {type: "button", onclick: () => send(text)}, text))));
}

// The shown chat anew, at its end or where it was.
export function showThread(send, stay) {
    const log = byId("log"), place = byId("scroll"), top = place.scrollTop;
    const path = pathTo(app.chat, app.chat.leaf);
    views = path.map((node) => new MessageView(app.chat, node));
    log.replaceChildren(...(views.length ? views.map((view) => view.root) : [welcome(send)]));
    log.setAttribute("aria-busy", String(Boolean(runIn(app.chat))));
    byId("title").textContent = titleOf(app.chat);
    document.title = (path.length ? titleOf(app.chat) + " - " : "") + "qwenmesh";
    if (stay) place.scrollTop = top;
    else toEnd();
}

export function watchScroll() {
    byId("scroll").addEventListener("scroll", () => {
        following = atEnd();
        byId("latest").hidden = following;
    }, {passive: true});
}
