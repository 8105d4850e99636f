// app.js: what all parts of the page share: the chats, the one that is shown, what the server told of itself, and the
// actions that lower parts ask higher ones for (main.js fills them in).
import {saveChat} from "./store.js";

export const app = {
    chats: new Map(), // id -> chat
    chat: null,       // the one that is shown
    deleted: new Set(), // ids of chats whose deletion may still be taken back
    props: null,      // GET /props, null until it answered
    template: "",     // of chats, as GET /tokenizer_info has it
    models: [],       // GET /v1/models
    context: 0,       // tokens that a conversation may have, 0: not known
    reachable: true,
};

export const actions = {};

export function keep(chat, now) {
    if (app.deleted.has(chat.id)) return; // its answer was just ending
    app.chats.set(chat.id, chat);
    saveChat(chat, now);
}
