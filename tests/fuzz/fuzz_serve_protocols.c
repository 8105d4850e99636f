/* fuzz_serve_protocols.c: a body, as Anthropic's, as OpenAI's responses' and as Ollama's: it becomes a request whose
 * messages a template could take, or an error that names a member. */
#include <stdlib.h>
#include <string.h>
#include "../../src/serve/protocol_request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static bool messages_read(ChatRequest *r, const json_t *body, Err *err) {
    return messages_request_read(r, body, false, err);
}

static void one(bool (*read)(ChatRequest *, const json_t *, Err *), const json_t *body) {
    ChatRequest r;
    Err err = {0};
    size_t i;
    const json_t *m;
    bool ok = read(&r, body, &err);
    if (ok == (err.kind != QM_OK)) abort();
    if (!ok && err.kind == QM_INPUT && !r.wrong[0]) abort();
    json_array_foreach(r.messages, i, m)
        if (!json_is_text(json_object_get(m, "role")) || !json_is_text(json_object_get(m, "content"))) abort();
    chat_request_free(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    Err err = {0};
    json_t *body = json_text((const char *)data, bytes, "body", &err);
    if (json_is_object(body)) {
        one(messages_read, body);
        one(responses_request_read, body);
        one(ollama_chat_read, body);
        one(ollama_generate_read, body);
    }
    json_decref(body);
    return 0;
}
