// connection.js: what the server is and whether it is there: its defaults at the start, a notice while it cannot be
// reached, and asking again until it is.
import {actions, app} from "./app.js";
import {askJson, request} from "./api.js";
import {announce, byId, el} from "./dom.js";

let retryTimer = 0, tries = 0;

function notice(...children) {
    byId("notice").hidden = children.length === 0;
    byId("notice").replaceChildren(...children);
}

// What the server tells of itself. A route that it does not have leaves its part unknown.
export async function meetServer() {
    try {
        app.models = (await askJson("/v1/models")).data || [];
        app.context = (app.models[0] || {}).max_model_len || app.context;
    } catch (error) {
        if (error.status === 401) return askForKey();
        if (error.status === 0) return lost();
    }
    try { app.props = await askJson("/props"); } catch { app.props = null; }
    try { app.template = (await askJson("/tokenizer_info")).chat_template || ""; } catch { app.template = ""; }
    if (app.props && !app.context) app.context = (app.props.default_generation_settings || {}).n_ctx || 0;
    notice();
    actions.serverKnown();
}

function askForKey() {
    notice(el("span", null, "This server wants an API key."),
        el("button", {type: "button", onclick: () => actions.openDrawer("key")}, "Enter it"));
    actions.serverKnown();
}

// The server is gone: asked every few seconds, without end, while the page is seen.
export function lost() {
    if (retryTimer) return;
    app.reachable = false;
    tries = 0;
    notice(el("span", null, "The server cannot be reached. Your text is kept; trying again."));
    retryTimer = setTimeout(retry, 1000);
}

async function retry() {
    retryTimer = 0;
    try {
        if (!document.hidden) {
            await request("/health");
            app.reachable = true;
            announce("The server is there again");
            return meetServer();
        }
    } catch { /* still gone, or not ready */ }
    retryTimer = setTimeout(retry, Math.min(10000, 1000 * ++tries));
}
