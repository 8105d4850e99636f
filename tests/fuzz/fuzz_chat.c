/* fuzz_chat.c: a chat template up to the first NUL byte, then messages. A template that cannot be read is replaced by
 * one of the built-in ones. What renders must be well-formed UTF-8 with its open spans in order. */
#include <stdlib.h>
#include <string.h>
#include "../../src/text/chat.h"
#include "../../src/text/unicode.h"

static void check(bool holds) {
    if (!holds) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    const uint8_t *nul = bytes ? memchr(data, 0, bytes) : NULL;
    size_t first = nul ? (size_t)(nul - data) : 0, rest = nul ? first + 1 : 0;
    Err err = {0};
    ChatTemplate chat = {0};
    Prompt prompt = {0};
    check(chat_take(&chat, (const char *)data, first, false, &err));
    if (!chat.usual || !first) check(chat_choose(&chat, bytes % 2 ? "qwen2.5" : "chatml", &err));
    bool ok = chat_render(&chat, (const char *)data + rest, bytes - rest, true, &prompt, &err);
    check(ok == !err.kind);
    if (ok) check(utf8_valid((const uint8_t *)prompt.text.data, prompt.text.bytes));
    for (size_t i = 0, last = 0; i < prompt.open_count; i++) {
        check(prompt.open[i].start >= last && prompt.open[i].end > prompt.open[i].start &&
              prompt.open[i].end <= prompt.text.bytes);
        last = prompt.open[i].end;
    }
    prompt_free(&prompt);
    chat_free(&chat);
    return 0;
}
