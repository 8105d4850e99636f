// store.js: chats in this browser's IndexedDB, one record a chat; small preferences in localStorage; the key of the API
// in sessionStorage, which ends with the tab. Where the browser refuses, everything lives as long as the page.

let database = null;
const waiting = new Map(); // chats to be written, by id
const others = "BroadcastChannel" in window ? new BroadcastChannel("qwenmesh") : null;

export function preference(name, value) {
    try {
        if (value === undefined) return localStorage.getItem("qwenmesh." + name);
        if (value === null) localStorage.removeItem("qwenmesh." + name);
        else localStorage.setItem("qwenmesh." + name, value);
    } catch { /* no storage: defaults */ }
    return null;
}

let heldKey = ""; // where sessionStorage is refused
export function apiKey(value) {
    try {
        if (value === undefined) return sessionStorage.getItem("qwenmesh.key") || heldKey;
        if (value) sessionStorage.setItem("qwenmesh.key", value);
        else sessionStorage.removeItem("qwenmesh.key");
    } catch { /* kept below */ }
    heldKey = value === undefined ? heldKey : value;
    return heldKey;
}

function promised(request) {
    return new Promise((resolve, reject) => {
        request.onsuccess = () => resolve(request.result);
        request.onerror = () => reject(request.error);
    });
}

// All chats, or [] and false where nothing can be kept.
export async function openStore() {
    try {
        const request = indexedDB.open("qwenmesh", 1);
        request.onupgradeneeded = () => request.result.createObjectStore("chats", {keyPath: "id"});
        database = await promised(request);
        return [await promised(database.transaction("chats").objectStore("chats").getAll()), true];
    } catch {
        database = null;
        return [[], false];
    }
}

// Written soon, several changes at once; now with `now`, as when the page is left.
let writeTimer = 0;
export function saveChat(chat, now) {
    waiting.set(chat.id, chat);
    clearTimeout(writeTimer);
    if (now) flush();
    else writeTimer = setTimeout(flush, 250);
}

export function flush() {
    if (!database || waiting.size === 0) return;
    const chats = database.transaction("chats", "readwrite").objectStore("chats");
    for (const chat of waiting.values()) chats.put(chat);
    if (others) others.postMessage([...waiting.keys()]);
    waiting.clear();
}

export function removeChat(id) {
    waiting.delete(id);
    if (!database) return;
    database.transaction("chats", "readwrite").objectStore("chats").delete(id);
    if (others) others.postMessage([id]);
}

// Another tab wrote these chats: `changed(id, chat or undefined)` for each.
export function onOtherTabs(changed) {
    if (!others) return;
    others.onmessage = async (event) => {
        if (!database || !Array.isArray(event.data)) return;
        for (const id of event.data) {
            changed(id, await promised(database.transaction("chats").objectStore("chats").get(id)));
        }
    };
}
