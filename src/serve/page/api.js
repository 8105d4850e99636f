// api.js: the server's routes: requests with the key, errors in OpenAI's form, streams of events.
import {apiKey} from "./store.js";

// status 0: the server cannot be reached. retry: seconds after which it wants to be asked again, or null.
export class ApiError extends Error {
    constructor(status, message, code, retry) {
        super(message);
        this.status = status;
        this.code = code;
        this.retry = retry;
    }
}

async function errorOf(response) {
    const retry = response.headers.get("Retry-After");
    let message = "The server answered " + response.status + ".", code = null;
    try {
        const error = (await response.json()).error;
        message = typeof error === "string" ? error : error.message || message;
        code = error.code || null;
    } catch { /* no JSON: the status says enough */ }
    return new ApiError(response.status, message, code, retry && /^\d+$/.test(retry) ? Number(retry) : null);
}

// The response, once its head is here and its status is good; else an ApiError. An abort stays an AbortError. session: a
// name of the conversation, by which a proxy may find the server that has its beginning.
export async function request(path, body, signal, session) {
    const headers = session ? {"X-Session-ID": session} : {};
    if (body !== undefined) headers["Content-Type"] = "application/json";
    if (apiKey()) headers.Authorization = "Bearer " + apiKey();
    let response;
    try {
        response = await fetch(path, {method: body === undefined ? "GET" : "POST", headers, signal, cache: "no-store",
            body: body === undefined ? undefined : JSON.stringify(body)});
    } catch (error) {
        if (error.name === "AbortError") throw error;
        throw new ApiError(0, "The server cannot be reached.", null, null);
    }
    if (!response.ok) throw await errorOf(response);
    return response;
}

export async function askJson(path, body, signal, session) {
    return (await request(path, body, signal, session)).json();
}

// The JSON of each `data:` event until [DONE]; comments are skipped. A stream that breaks off is an ApiError of status 0.
export async function* events(response) {
    const reader = response.body.getReader();
    const decoder = new TextDecoder();
    let rest = "";
    for (;;) {
        let piece;
        try {
            piece = await reader.read();
        } catch (error) {
            if (error.name === "AbortError") throw error;
            throw new ApiError(0, "The connection was lost in the middle of the answer.", null, null);
        }
        const lines = (rest + decoder.decode(piece.value || new Uint8Array(), {stream: !piece.done})).split(/\r?\n/);
        rest = lines.pop();
        for (const line of lines) {
            if (!line.startsWith("data:")) continue;
            const data = line.slice(5).trim();
            if (data === "[DONE]") return;
            const event = JSON.parse(data);
            if (event.error) {
                throw new ApiError(500, event.error.message || "The server gave up the answer.", event.error.code, null);
            }
            yield event;
        }
        if (piece.done) throw new ApiError(0, "The connection ended in the middle of the answer.", null, null);
    }
}
