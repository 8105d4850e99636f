/* template.c: chat templates as the header offers them, without a tokenizer's ids. */
#include <stdlib.h>
#include "../io/json.h"
#include "tokenizer.h"

QmTemplate *qm_template_open(const char *name, QmErr *err) {
    ChatTemplate *chat = mem_new(1, sizeof *chat, "a chat template", err);
    if (chat && chat_choose(chat, name, err)) return chat;
    qm_template_close(chat);
    return NULL;
}

void qm_template_close(QmTemplate *chat) {
    if (chat) chat_free(chat);
    free(chat);
}

const QmTemplate *qm_tokenizer_template(const QmTokenizer *t) { return &t->chat; }
bool qm_template_argument(QmTemplate *chat, const char *assignment, QmErr *err) {
    return chat_argument(chat, assignment, err);
}

char *qm_template_render(const QmTemplate *chat, const char *json, size_t json_bytes, size_t *bytes, QmSpan **spans,
                         size_t *span_count, QmErr *err) {
    Prompt prompt = {0};
    json_t *root = json_text(json, json_bytes, "messages", err);
    bool ok = root && (json_is_object(root) || err_set(err, "expected an object with \"messages\"")) &&
              chat_render_bare(chat, root, &prompt, err);
    text_add(&prompt.text, "", 0); /* a NUL, where the text is empty */
    ok = ok && text_ok(&prompt.text, "rendered text", err);
    char *text = ok ? prompt.text.data : NULL;
    if (ok) *bytes = prompt.text.bytes, prompt.text = (Text){0};
    if (ok && spans) *spans = prompt.generation, *span_count = prompt.generation_count, prompt.generation = NULL;
    prompt_free(&prompt);
    json_decref(root);
    return text;
}
