// main.js: starts the page and joins its parts: what happens on a key, a click, a change.
import {actions, app, keep} from "./app.js";
import {fixAsked, sameAgain} from "./answer.js";
import {addNode, newChat, showBranch} from "./chat.js";
import {lost, meetServer} from "./connection.js";
import {announce, byId, icon, openMenu, toast} from "./dom.js";
import {closeDrawer, openDrawer, refreshDrawer} from "./drawer.js";
import {exportChat, exportChats, exportMarkdown, importChats} from "./files.js";
import {gauge} from "./gauge.js";
import {run, runIn, stop} from "./run.js";
import {closeSidebar, showChats, sortedChats, startSidebar} from "./sidebar.js";
import {flush, onOtherTabs, openStore, preference} from "./store.js";
import {grew, showThread, toEnd, viewOf, watchScroll} from "./thread.js";

const box = byId("box");
const narrow = matchMedia("(max-width: 52rem)"), medium = matchMedia("(max-width: 76rem)");

// ---- What is shown ---------------------------------------------------------------------------------------------

function growBox() {
    box.style.setProperty("height", "auto");
    box.style.setProperty("height", Math.min(box.scrollHeight, innerHeight * 0.4) + "px");
}

// The last draft at once, of the chat that it belongs to ("": of a new one): the database may not come to it before the
// page is left.
function keepDraft() {
    preference("draft", box.value ? JSON.stringify([app.chat.leaf ? app.chat.id : "", box.value]) : null);
}

function keptDraft() {
    try {
        const [of, draft] = JSON.parse(preference("draft"));
        return [String(of), String(draft)];
    } catch {
        return ["", ""]; // none
    }
}

function showButtons() {
    const busy = Boolean(runIn(app.chat));
    const focused = [byId("send"), byId("stop")].includes(document.activeElement);
    byId("send").hidden = busy;
    byId("stop").hidden = !busy;
    byId("send").disabled = !box.value.trim();
    byId("log").setAttribute("aria-busy", String(busy));
    if (focused) box.focus();
}

function refresh(stay) {
    showThread(send, stay);
    showChats();
    showButtons();
    gauge();
}

function show(chat) {
    if (chat && chat === app.chat) return closeSidebar();
    if (!chat) {
        chat = newChat();
        try { chat.settings = JSON.parse(preference("settings") || "{}"); } catch { /* none */ }
    }
    app.chat = chat;
    preference("chat", chat.leaf ? chat.id : null);
    box.value = chat.draft || "";
    growBox();
    refresh();
    refreshDrawer();
    closeSidebar();
    box.focus();
}

// Panels that cover the conversation keep the keyboard to themselves.
function layout() {
    const root = document.documentElement.classList;
    const side = narrow.matches && root.contains("side-open"), drawer = medium.matches && root.contains("drawer-open");
    byId("side").inert = (narrow.matches && !side) || drawer;
    byId("main").inert = side || drawer;
    byId("shade").hidden = !side && !drawer;
}

// ---- What is asked ----------------------------------------------------------------------------------------------

// A new answer under chat.leaf; false, with a word, when the settings hold something that is no JSON.
function answer(chat) {
    const node = {role: "assistant"};
    try {
        fixAsked(node, chat.settings);
    } catch (error) {
        toast(error.message, "Settings", () => openDrawer());
        return false;
    }
    run(chat, addNode(chat, node));
    return true;
}

function send(text) {
    const chat = app.chat;
    if (!text.trim() || runIn(chat)) return;
    const leaf = chat.leaf;
    const asked = addNode(chat, {role: "user", content: text.trim()});
    if (!answer(chat)) {
        delete chat.nodes[asked.id];
        chat.leaf = leaf;
        return;
    }
    box.value = chat.draft = "";
    growBox();
    preference("chat", chat.id);
    keepDraft();
    toEnd();
    box.focus();
}

function withParent(chat, parent, then) {
    if (runIn(chat)) return toast("An answer is still being made. Stop it first.");
    const leaf = chat.leaf;
    chat.leaf = parent;
    if (then() === false) chat.leaf = leaf;
}

Object.assign(actions, {
    grew, show, layout, openDrawer,
    runBegins(chat) {
        keep(chat);
        if (chat === app.chat) refresh();
        announce("Answering");
    },
    runEnds(chat, node) {
        if (chat === app.chat) { showButtons(); showChats(); gauge(); grew(); }
        const end = {stopped: "Stopped", lost: "The connection was lost", error: "No answer"}[node.finish] || "Answer finished";
        announce(end + (node.usage ? ", " + node.usage.completion + " tokens" : ""));
    },
    requestFailed(error) {
        if (error.status === 0) lost();
    },
    regenerate: (node) => withParent(app.chat, node.parent, () => answer(app.chat)),
    retry(node) {
        const chat = app.chat;
        withParent(chat, node.parent, () => {
            if (!answer(chat)) return false;
            if (!node.content) delete chat.nodes[node.id]; // an empty failure is no branch
            refresh();
            return true;
        });
    },
    editMessage(node, text) {
        const chat = app.chat;
        withParent(chat, node.parent, () => {
            const edited = addNode(chat, {role: "user", content: text.trim()});
            if (answer(chat)) return true;
            delete chat.nodes[edited.id];
            return false;
        });
        box.focus();
    },
    goOn(node) {
        if (!runIn(app.chat)) run(app.chat, node, true);
    },
    giveResult(node, call, text) {
        const chat = app.chat;
        withParent(chat, chat.leaf, () => {
            addNode(chat, {role: "tool", call: call.id, content: text});
            const given = new Set(Object.values(chat.nodes).filter((other) => other.role === "tool").map((other) => other.call));
            if (node.calls.every((other) => given.has(other.id))) return answer(chat);
            keep(chat);
            refresh();
            return true;
        });
    },
    branch(node, label) {
        const chat = app.chat;
        if (runIn(chat)) return;
        showBranch(chat, node);
        keep(chat);
        refresh(true);
        const view = viewOf(node);
        (view.root.querySelector('[aria-label="' + label + '"]:not(:disabled)') || view.root).focus();
        view.root.scrollIntoView({block: "nearest"});
    },
    async same(view) {
        const node = view.node, chat = view.chat;
        const tell = (same) => {
            node.same = same;
            const now = viewOf(node);
            if (now) now.end();
            grew();
        };
        tell({running: true});
        try {
            tell(await sameAgain(chat, node));
        } catch (error) {
            tell({failed: error.message});
        }
        keep(chat);
    },
    settingsChanged: gauge,
    titleChanged() { byId("title").textContent = app.chat.title || byId("title").textContent; refresh(true); },
    keyChanged: meetServer,
    serverKnown() {
        byId("model").textContent = app.models.length ? app.chat.settings.model || app.models[0].id : "";
        refreshDrawer();
        if (!app.chat.leaf) showThread(send);
        gauge();
    },
});

// ---- Keys, clicks -------------------------------------------------------------------------------------------------

const THEMES = ["system", "light", "dark"];
function showTheme(theme) {
    if (theme === "system") document.documentElement.removeAttribute("data-theme");
    else document.documentElement.setAttribute("data-theme", theme);
    byId("theme").textContent = {system: "Theme: system", light: "Theme: light", dark: "Theme: dark"}[theme];
}

function startControls() {
    const icons = {"side-open": "menu", "side-close": "close", "drawer-open": "sliders", "chat-menu": "share",
        send: "send", stop: "stop", latest: "down"};
    for (const [id, name] of Object.entries(icons)) byId(id).append(icon(name));
    byId("composer").addEventListener("submit", (event) => { event.preventDefault(); send(box.value); });
    byId("stop").addEventListener("click", () => stop(app.chat));
    byId("latest").addEventListener("click", () => { toEnd(); box.focus(); });
    byId("new-chat").addEventListener("click", () => show(null));
    byId("shade").addEventListener("click", () => closeSidebar() || closeDrawer());
    byId("drawer-open").addEventListener("click", () => closeDrawer() || openDrawer());
    byId("chat-menu").addEventListener("click", (event) => openMenu(event.currentTarget, [
        ["Export as JSON", () => exportChat(app.chat)], ["Export as Markdown", () => exportMarkdown(app.chat)]]));
    byId("export-all").addEventListener("click", () => exportChats(sortedChats(), "qwenmesh-chats"));
    byId("import").addEventListener("click", () => byId("import-file").click());
    byId("import-file").addEventListener("change", importFile);
    byId("theme").addEventListener("click", () => {
        const next = THEMES[(THEMES.indexOf(preference("theme") || "system") + 1) % THEMES.length];
        preference("theme", next);
        showTheme(next);
    });
    box.addEventListener("input", () => {
        growBox();
        byId("send").disabled = !box.value.trim();
        app.chat.draft = box.value;
        keepDraft();
        if (app.chat.leaf) keep(app.chat);
        gauge();
    });
    box.addEventListener("keydown", onBoxKey);
    document.addEventListener("keydown", onKey);
}

function onBoxKey(event) {
    // While an input method composes, Enter is its own.
    if (event.isComposing || event.keyCode === 229) return;
    if (event.key === "Enter" && !event.shiftKey) {
        event.preventDefault();
        send(box.value);
    } else if (event.key === "ArrowUp" && !box.value) {
        const edits = document.querySelectorAll('.message.user [aria-label="Edit and send again"]');
        if (edits.length) { event.preventDefault(); edits[edits.length - 1].click(); }
    }
}

function onKey(event) {
    if (event.isComposing || event.defaultPrevented) return;
    if (event.key === "Escape") {
        if (closeSidebar() || closeDrawer() || stop(app.chat)) event.preventDefault();
    } else if ((event.ctrlKey || event.metaKey) && event.shiftKey && event.key.toLowerCase() === "o") {
        event.preventDefault();
        show(null);
    }
}

async function importFile(event) {
    const file = event.target.files[0];
    if (!file) return;
    try {
        if (file.size > 256 * 1024 * 1024) throw new Error("This file is larger than 256 MiB.");
        const chats = importChats(await file.text());
        show(chats[0]);
        toast(chats.length === 1 ? "One chat was imported." : chats.length + " chats were imported.");
    } catch (error) {
        toast(error.message);
    }
    event.target.value = "";
}

// ---- Start ----------------------------------------------------------------------------------------------------------

// An answer that a reload cut short may be continued.
function mend(chat) {
    for (const node of Object.values(chat.nodes)) {
        if (node.role === "assistant" && !node.finish) node.finish = node.content ? "lost" : "error";
        if (node.finish === "error" && !node.error) {
            node.error = {message: "The page was closed before the answer began.", status: 0};
        }
        if (node.same && node.same.running) delete node.same;
    }
}

async function start() {
    showTheme(preference("theme") || "system");
    const [chats, kept] = await openStore();
    for (const chat of chats) { mend(chat); app.chats.set(chat.id, chat); }
    startControls();
    startSidebar();
    watchScroll();
    const [of, draft] = keptDraft();
    const shown = app.chats.get(preference("chat"));
    if (shown && of === shown.id) shown.draft = draft;
    show(shown || null);
    if (!shown && !of && draft) { box.value = app.chat.draft = draft; growBox(); showButtons(); }
    narrow.addEventListener("change", layout);
    medium.addEventListener("change", layout);
    layout();
    if (!kept) toast("This browser keeps nothing for this page: chats end with it. Export what you need.");
    onOtherTabs((id, chat) => {
        if (runIn(app.chat) && app.chat.id === id) return;
        if (chat) app.chats.set(id, chat);
        else app.chats.delete(id);
        if (app.chat.id === id) { if (chat) { app.chat = chat; refresh(true); } else show(null); } else showChats();
    });
    addEventListener("pagehide", flush);
    await meetServer();
}

start();
