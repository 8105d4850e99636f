// sidebar.js: the list of chats: newest first, search in titles and texts, names, deletion that can be taken back.
import {actions, app, keep} from "./app.js";
import {matches, titleOf} from "./chat.js";
import {byId, dateOf, el, icon, openMenu, toast} from "./dom.js";
import {exportChat, exportMarkdown} from "./files.js";
import {stop} from "./run.js";
import {removeChat} from "./store.js";

let words = "";

export function sortedChats() {
    return [...app.chats.values()].filter((chat) => chat.leaf).sort((a, b) => b.updated - a.updated);
}

function rename(chat, row) {
    const box = el("input", {"aria-label": "Title of the chat", maxlength: "120"});
    const back = () => showChats(chat.id);
    box.value = titleOf(chat);
    box.addEventListener("keydown", (event) => {
        if (event.key === "Escape") { box.removeEventListener("blur", done); back(); event.stopPropagation(); }
        if (event.key === "Enter" && !event.isComposing) box.blur();
    });
    const done = () => { chat.title = box.value.trim(); keep(chat); back(); actions.titleChanged(); };
    box.addEventListener("blur", done);
    row.replaceChildren(box);
    box.focus();
    box.select();
}

function remove(chat) {
    const shown = app.chat === chat;
    stop(chat);
    app.deleted.add(chat.id);
    app.chats.delete(chat.id);
    if (shown) actions.show(sortedChats()[0] || null);
    else showChats();
    removeChat(chat.id); // at once: the page may be left before the undo is
    toast("Deleted \u201c" + titleOf(chat) + "\u201d", "Undo", () => {
        app.deleted.delete(chat.id);
        keep(chat, true);
        if (shown) actions.show(chat);
        else showChats(chat.id);
    });
}

function entry(chat) {
    const current = chat === app.chat;
    const more = el("button", {type: "button", class: "icon", "aria-label": "More of \u201c" + titleOf(chat) + "\u201d",
        "aria-haspopup": "menu", "aria-expanded": "false", onclick: () => openMenu(more, [
            ["Rename", () => rename(chat, row)],
            ["Export as JSON", () => exportChat(chat)],
            ["Export as Markdown", () => exportMarkdown(chat)],
            ["Delete", () => remove(chat)],
        ])}, icon("more"));
    const row = el("li", {class: current ? "current" : null},
        el("button", {type: "button", class: "chat", "data-id": chat.id, "aria-current": current ? "true" : null,
            onclick: () => actions.show(chat)}, el("span", {dir: "auto"}, titleOf(chat)), el("small", null, dateOf(chat.updated))), more);
    return row;
}

export function showChats(focus) {
    const list = sortedChats().filter((chat) => matches(chat, words));
    byId("chats").replaceChildren(...(list.length ? list.map(entry) :
        [el("li", {class: "none"}, words ? "No chat has these words." : "Your chats will be listed here.")]));
    if (focus) byId("chats").querySelector('[data-id="' + focus + '"]')?.focus();
}

export function openSidebar() {
    byId("side-open").setAttribute("aria-expanded", "true");
    document.documentElement.classList.add("side-open");
    actions.layout();
    byId("new-chat").focus();
}

export function closeSidebar() {
    if (!document.documentElement.classList.contains("side-open")) return false;
    document.documentElement.classList.remove("side-open");
    byId("side-open").setAttribute("aria-expanded", "false");
    actions.layout();
    byId("side-open").focus();
    return true;
}

export function startSidebar() {
    byId("side-open").addEventListener("click", openSidebar);
    byId("side-close").addEventListener("click", closeSidebar);
    byId("search").addEventListener("input", (event) => { words = event.target.value.trim(); showChats(); });
}
