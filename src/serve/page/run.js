// run.js: answers that are being made, in this chat or in others: one frame draws what came since the last; a busy
// server is asked again when it says; Esc and the stop button end it.
import {actions, app, keep} from "./app.js";
import {ApiError} from "./api.js";
import {goOn, stream} from "./answer.js";

const running = new Map(); // node id -> {controller, chat, node, view, text, thought, frame, wake}

export const runOf = (node) => running.get(node.id);
export const runIn = (chat) => [...running.values()].find((run) => run.chat === chat);

export function stop(chat) {
    const run = runIn(chat);
    if (!run) return false;
    run.controller.abort();
    if (run.wake) run.wake();
    return true;
}

function draw(run) {
    run.frame = 0;
    const {text, thought} = run;
    run.text = run.thought = "";
    if (run.view) run.view.push(text, thought);
}

// Seconds until the server is asked again, told each second; ends early when the answer is stopped.
async function wait(run, seconds, told) {
    for (let left = seconds; left > 0 && !run.controller.signal.aborted; left--) {
        told(left);
        await new Promise((resolve) => {
            const timer = setTimeout(resolve, 1000);
            run.wake = () => { clearTimeout(timer); resolve(); };
        });
    }
    run.wake = null;
    told(0);
    if (run.controller.signal.aborted) throw new DOMException("stopped", "AbortError");
}

async function streamPatiently(run, more) {
    const changed = (text, thought) => {
        run.text += text;
        run.thought += thought;
        if (!run.frame) run.frame = requestAnimationFrame(() => draw(run));
        if (performance.now() - run.saved > 1500) {
            run.saved = performance.now();
            keep(run.chat);
        }
    };
    const had = run.node.content.length;
    for (let tries = 0; ; tries++) {
        try {
            return await stream(run.chat, run.node, run.controller.signal, changed, more);
        } catch (error) {
            const busy = error instanceof ApiError && (error.status === 429 || error.status === 503);
            if (!busy || tries >= 20 || run.node.content.length > had) throw error;
            const why = error.status === 429 ? "The server is busy" : "The server is not ready";
            await wait(run, Math.min(60, error.retry || Math.min(15, 2 << tries)),
                (left) => { if (run.view) run.view.waiting(left ? why + ". Asking again in " + left + " s." : ""); });
        }
    }
}

// Makes the answer `node` of `chat`; onward: it goes on where its limit ended it. Never throws.
export async function run(chat, node, onward) {
    const state = {controller: new AbortController(), chat, node, view: null, text: "", thought: "", frame: 0,
        wake: null, saved: 0};
    const kept = {proof: node.proof, time: node.time, usage: node.usage};
    const more = onward ? goOn(chat, node) : undefined;
    if (onward) {
        if (node.first === undefined) node.first = node.content;
        node.parts = (node.parts || 1) + 1;
    }
    node.error = node.finish = null;
    running.set(node.id, state);
    actions.runBegins(chat, node);
    try {
        await streamPatiently(state, more);
        app.reachable = true;
    } catch (error) {
        if (error.name === "AbortError") node.finish = "stopped";
        else {
            node.error = {message: error.message, status: error.status, code: error.code || null};
            node.finish = node.content ? "lost" : "error";
            actions.requestFailed(error);
        }
    }
    if (onward) node.proof = kept.proof; // of the first part, which alone can be asked for again
    running.delete(node.id);
    cancelAnimationFrame(state.frame);
    draw(state);
    chat.updated = Date.now();
    keep(chat, true);
    if (state.view) state.view.end();
    actions.runEnds(chat, node);
}
