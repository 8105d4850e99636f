/* chat_prompt.c: what a request says to the model: messages rendered by the template, texts and ids of completions. */
#include <stdlib.h>
#include <string.h>
#include "../text/tokenizer.h"
#include "chat_run.h"
#include "tool_prompt.h"

/* The text of a content: a string, or parts one after another. */
static void content_text(const json_t *content, Text *out) {
    size_t i;
    const json_t *part;
    if (json_is_string(content)) text_add(out, json_string_value(content), json_string_length(content));
    json_array_foreach(content, i, part) {
        const json_t *text = json_object_get(part, "text");
        text_add(out, json_string_value(text), json_string_length(text));
    }
}

/* The last message's content goes behind the beginning of an answer: its text never becomes a control token. */
static int64_t add_final(const QmTokenizer *t, const ChatRequest *r, int32_t **ids, int64_t count, char **text,
                         Err *err) {
    Text content = {0};
    int32_t *more = NULL;
    content_text(json_object_get(json_array_get(r->messages, json_array_size(r->messages) - 1), "content"), &content);
    const char *begin = content.data ? content.data : "";
    int64_t n =
        text_ok(&content, "a message", err) ? qm_tokenizer_encode(t, begin, content.bytes, false, &more, err) : -1;
    int32_t *both = n >= 0 ? realloc(*ids, (size_t)(count + n + 1) * sizeof *both) : NULL;
    if (both) {
        if (n) memcpy(both + count, more, (size_t)n * sizeof *more);
        *ids = both;
    } else if (n >= 0) request_memory(err);
    if (both && text) {
        Text whole = {0};
        text_add(&whole, *text, strlen(*text));
        text_add(&whole, begin, content.bytes);
        free(*text);
        *text = whole.data;
        if (!text_ok(&whole, "a prompt", err)) both = NULL;
    }
    free(more);
    text_free(&content);
    return both ? count + n : -1;
}

int64_t chat_prompt_ids(const Server *s, ChatRequest *r, int32_t **ids, char **text, Err *err) {
    const QmTokenizer *t = s->model.tokenizer;
    *ids = NULL;
    if (text) *text = NULL;
    if (!t) return err_set(err, "messages: the model has no tokenizer"), -1;
    json_t *root = tool_prompt(t, r, err), *messages = json_object_get(root, "messages"), *but = NULL;
    bool ok = root != NULL;
    if (ok && r->continue_final) { /* the answer goes on with the last message */
        but = json_copy(messages);
        ok = (but && json_array_remove(but, json_array_size(but) - 1) == 0 &&
              json_object_set(root, "messages", but) == 0) ||
             request_memory(err);
    }
    int64_t n = ok ? tokenizer_chat(t, root, r->continue_final || r->add_generation_prompt, ids, text, err) : -1;
    json_decref(but);
    json_decref(root);
    if (n >= 0 && r->continue_final) n = add_final(t, r, ids, n, text, err);
    if (n >= 0) return n;
    free(*ids);
    *ids = NULL;
    if (text) free(*text), *text = NULL;
    return -1;
}

static int64_t list_ids(const Server *s, const json_t *list, int32_t **ids, Err *err) {
    size_t i, count = json_array_size(list);
    const json_t *id;
    int64_t vocab = qm_engine_info(s->model.engine)->vocab;
    if (!(*ids = mem_new(count ? count : 1, sizeof **ids, "ids", err))) return -1;
    json_array_foreach(list, i, id) {
        if (json_integer_value(id) >= vocab) {
            err_set(err, "id %lld is outside the vocabulary of %lld", (long long)json_integer_value(id),
                    (long long)vocab);
            free(*ids);
            *ids = NULL;
            return -1;
        }
        (*ids)[i] = (int32_t)json_integer_value(id);
    }
    return (int64_t)count;
}

int64_t prompt_text_ids(const Server *s, const PromptText *p, int32_t **ids, Err *err) {
    *ids = NULL;
    if (p->ids) return list_ids(s, p->ids, ids, err);
    if (!s->model.tokenizer) return err_set(err, "the model has no tokenizer: expected ids"), -1;
    return qm_tokenizer_encode(s->model.tokenizer, p->text, p->bytes, true, ids, err);
}
