/* fuzz_serve_tool_stream.c: a byte of modes, then an answer's text: its events must be the same in one piece and byte
 * by byte, and nothing of a text without tags is lost. */
#include <stdlib.h>
#include <string.h>
#include "../../src/serve/tool_stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

typedef struct Told {
    Text text;
    ToolEventKind last;
    int begun, ended;
} Told;

static bool told(void *owner, const ToolEvent *e) {
    Told *t = owner;
    char kind = (char)('0' + e->kind);
    if (e->kind != t->last || e->kind == TOOL_BEGIN) text_add(&t->text, &kind, 1);
    text_add(&t->text, e->text, e->bytes);
    t->last = e->kind;
    t->begun += e->kind == TOOL_BEGIN;
    t->ended += e->kind == TOOL_END;
    if (e->call != (t->begun ? t->begun - 1 : 0) || t->ended > t->begun) abort();
    return true;
}

static Told events(uint8_t modes, const char *text, size_t bytes, size_t piece) {
    Told t = {.last = TOOL_END};
    ToolStream s;
    tool_stream_start(&s, modes & 1, modes & 2, modes & 4, told, &t);
    for (size_t i = 0; i < bytes; i += piece)
        if (!tool_stream_push(&s, text + i, bytes - i < piece ? bytes - i : piece)) abort();
    if (!tool_stream_end(&s) || s.calls != t.begun || s.held.capacity > 4 * MAX_CALL_HEAD) abort();
    tool_stream_free(&s);
    return t;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    if (bytes < 2) return 0;
    const char *text = (const char *)data + 2;
    size_t n = bytes - 2, piece = 1 + data[1] % 32;
    Told whole = events(data[0], text, n, n ? n : 1), bytewise = events(data[0], text, n, 1),
         pieces = events(data[0], text, n, piece);
    if (whole.text.bytes != bytewise.text.bytes || whole.text.bytes != pieces.text.bytes) abort();
    if (whole.text.bytes && (memcmp(whole.text.data, bytewise.text.data, whole.text.bytes) ||
                             memcmp(whole.text.data, pieces.text.data, whole.text.bytes)))
        abort();
    text_free(&whole.text), text_free(&bytewise.text), text_free(&pieces.text);
    return 0;
}
