/* train_chat.c: see train_chat.h. */
#include <stdlib.h>
#include <string.h>
#include "../io/json.h"
#include "token_spans.h"
#include "train_chat.h"

/* Parts of a rendered conversation, in order and apart. */
typedef struct Marks {
    Span *span;
    size_t count, room;
} Marks;

static bool marks_add(Marks *m, size_t start, size_t end, Err *err) {
    Span *last = m->count ? &m->span[m->count - 1] : NULL;
    if (start >= end) return true;
    if (last && start <= last->end) return last->end = end > last->end ? end : last->end, true;
    if (!mem_grow((void **)&m->span, &m->room, m->count + 1, sizeof *m->span, "a conversation", err)) return false;
    m->span[m->count++] = (Span){start, end};
    return true;
}

/* Whether the template itself wrote these bytes; *i: the open span to look from, as positions grow. */
static bool is_open(const Prompt *p, size_t *i, size_t start, size_t end) {
    while (*i < p->open_count && p->open[*i].end <= start) ++*i;
    return *i < p->open_count && p->open[*i].start <= start && end <= p->open[*i].end;
}

/* ---- Marked by the template: characters to bytes ----------------------------------------------------------------- */

static size_t bytes_at(const Prompt *p, size_t from, size_t chars) {
    const char *text = p->text.data;
    for (size_t i = from; i < p->text.bytes; i++) { /* a character begins where no byte continues one */
        if (((uint8_t)text[i] & 0xC0) == 0x80) continue;
        if (chars-- == 0) return i;
    }
    return p->text.bytes;
}

static bool marks_of_template(const Prompt *p, Marks *m, Err *err) {
    size_t chars = 0, at = 0; /* blocks are in order of their starts; one may stand within another */
    for (size_t i = 0; i < p->generation_count; i++) {
        Span g = p->generation[i];
        at = bytes_at(p, at, g.start - chars);
        chars = g.start;
        if (!marks_add(m, at, bytes_at(p, at, g.end - g.start), err)) return false;
    }
    return true;
}

/* ---- ChatML: between its control tokens -------------------------------------------------------------------------- */

static const char im_start[] = "<|im_start|>", im_end[] = "<|im_end|>", role[] = "assistant";

/* The next `token` that the template wrote from `at` on; NULL: none. */
static const char *next_open(const Prompt *p, size_t *open, size_t at, const char *token) {
    const char *text = p->text.data, *end = text + p->text.bytes;
    for (const char *s = text + at; (s = memmem(s, (size_t)(end - s), token, strlen(token))); s++)
        if (is_open(p, open, (size_t)(s - text), (size_t)(s - text) + strlen(token))) return s;
    return NULL;
}

/* All behind the header of an assistant's turn up to its end and the newline there. False: it is no ChatML. */
static bool marks_of_chatml(const Prompt *p, Marks *m, Err *err) {
    const char *text = p->text.data, *end = text + p->text.bytes;
    size_t open = 0, n = strlen(role);
    bool found = false;
    for (const char *s = text; !err->kind && (s = next_open(p, &open, (size_t)(s - text), im_start)); found = true) {
        s += strlen(im_start);
        if ((size_t)(end - s) <= n || memcmp(s, role, n) != 0 || s[n] != '\n') continue;
        s += n;
        const char *stop = next_open(p, &open, (size_t)(s - text), im_end);
        stop = stop ? stop + strlen(im_end) : end;
        size_t at = (size_t)(stop - text), looked = open;
        if (at < p->text.bytes && *stop == '\n' && is_open(p, &looked, at, at + 1)) at++;
        marks_add(m, (size_t)(s - text), at, err);
        s = stop;
    }
    return found;
}

/* ---- Any other template: what it writes more for every message of the assistant --------------------------------- */

/* request with the first `count` messages only. */
static json_t *first_messages(const json_t *request, size_t count, Err *err) {
    json_t *copy = json_copy((json_t *)(uintptr_t)request), *list = json_array();
    bool ok = copy && list;
    for (size_t i = 0; ok && i < count; i++)
        ok = json_array_append(list, json_array_get(json_object_get(request, "messages"), i)) == 0;
    if (ok && json_object_set(copy, "messages", list) != 0) ok = false;
    json_decref(list);
    if (ok) return copy;
    json_decref(copy);
    err_as(err, QM_MEMORY, "out of memory: a conversation");
    return NULL;
}

static bool render_first(const TrainReader *r, const json_t *request, size_t count, bool generate, Prompt *out,
                         Err *err) {
    json_t *part = first_messages(request, count, err);
    bool ok = part && chat_render_value(&r->tokenizer->chat, part, generate, out, err);
    json_decref(part);
    return ok;
}

/* Whether a control token of the text begins before `at` and ends behind it. *start: where. */
static bool splits_token(const TrainReader *r, const Prompt *p, size_t at, size_t *start) {
    const uint8_t *text = (const uint8_t *)p->text.data;
    size_t from = at > ADDED_MOST_BYTES ? at - ADDED_MOST_BYTES : 0;
    size_t to = p->text.bytes - at > ADDED_MOST_BYTES ? at + ADDED_MOST_BYTES : p->text.bytes;
    AddedMatch m;
    while (from < at && added_set_next(&r->tokenizer->raw, text, to, from, from, to, &m) && m.start < at) {
        if (m.end > at) return *start = m.start, true;
        from = m.end;
    }
    return false;
}

/* Bytes that two texts begin with alike, whole control tokens and characters. */
static size_t common(const TrainReader *r, const Prompt *a, const Prompt *b) {
    size_t n = 0, most = a->text.bytes < b->text.bytes ? a->text.bytes : b->text.bytes, start;
    while (n < most && a->text.data[n] == b->text.data[n]) n++;
    if (n == a->text.bytes || n == b->text.bytes) return n;
    while (n && ((uint8_t)a->text.data[n] & 0xC0) == 0x80) n--;
    while (splits_token(r, a, n, &start) || splits_token(r, b, n, &start)) n = start;
    return n;
}

/* Where the whole, `p`, has the turn of message i: from the end of the generation prompt, as far as the turn keeps to
 * it, to where what follows begins. */
static bool turn_of(const TrainReader *r, const json_t *request, const Prompt *p, size_t i, Span *turn, Err *err) {
    Prompt asked = {0}, before = {0}, after = {0};
    bool last = i + 1 == json_array_size(json_object_get(request, "messages"));
    bool ok = (i == 0 ||
               (render_first(r, request, i, true, &asked, err) && render_first(r, request, i, false, &before, err))) &&
              (last || render_first(r, request, i + 1, false, &after, err));
    turn->start = ok ? common(r, &asked, p) : 0;
    turn->end = last ? p->text.bytes : ok ? common(r, &after, p) : 0;
    if (ok && (turn->start < common(r, &before, &asked) || turn->end < turn->start))
        ok = err_set(err,
                     "messages[%zu]: the chat template writes what came before in another way once more follows, so "
                     "the assistant's turn is not known: expected a template with {%% generation %%}, or mask last",
                     i);
    prompt_free(&asked);
    prompt_free(&before);
    prompt_free(&after);
    return ok;
}

/* Each of the assistant's turns takes up to three renderings of what came before: bytes of all of them together. */
static const size_t most_rendered = (size_t)4 << 30;

static bool marks_of_growth(const TrainReader *r, const json_t *request, const Prompt *p, Marks *m, Err *err) {
    const json_t *messages = json_object_get(request, "messages");
    size_t first = 0, count = json_array_size(messages);
    for (size_t i = 0; r->options->mask == MASK_LAST && i < count; i++)
        if (json_is_word(json_object_get(json_array_get(messages, i), "role"), role)) first = i;
    if ((count - first) > most_rendered / 3 / (p->text.bytes + 1))
        return err_as(
            err, QM_LIMIT,
            "%zu messages of %zu bytes are too many for a chat template that marks no turns: expected one with "
            "{%% generation %%}, or mask last",
            count, p->text.bytes);
    for (size_t i = first; i < count; i++) {
        Span turn;
        if (!json_is_word(json_object_get(json_array_get(messages, i), "role"), role)) continue;
        if (!turn_of(r, request, p, i, &turn, err) || !marks_add(m, turn.start, turn.end, err)) return false;
    }
    return true;
}

/* ---- Which of it has labels -------------------------------------------------------------------------------------- */

static bool space_of_template(const Prompt *p, size_t at) {
    size_t open = 0;
    char c = p->text.data[at];
    return (c == ' ' || (c >= '\t' && c <= '\r')) && is_open(p, &open, at, at + 1);
}

static void choose(const Prompt *p, TrainMask mask, Marks *m) {
    size_t kept = 0;
    if (mask == MASK_LAST && m->count) m->span[0] = m->span[m->count - 1], m->count = 1;
    for (size_t i = 0; mask == MASK_REPLY && i < m->count; i++) {
        Span s = m->span[i];
        while (s.start < s.end && space_of_template(p, s.start)) s.start++;
        while (s.start < s.end && space_of_template(p, s.end - 1)) s.end--;
        if (s.start < s.end) m->span[kept++] = s;
    }
    if (mask == MASK_REPLY) m->count = kept;
}

static bool encode_prompt(const TrainReader *r, Prompt *p, Ids *out, Err *err) {
    Span all = {0, p->text.bytes};
    bool whole = r->options->control_tokens;
    return tokenizer_encode(r->tokenizer, (const uint8_t *)p->text.data, p->text.bytes, whole ? &all : p->open,
                            whole ? all.end > 0 : p->open_count, out, err);
}

static bool label_marks(const TrainReader *r, const Prompt *p, const Marks *m, Sample *s, Err *err) {
    size_t n = s->ids.count, labels = 0;
    if (!ids_reserve(&s->labels, n + 1, err)) return false;
    s->labels.count = n;
    if (!token_spans(r->tokenizer, p->text.data, p->text.bytes, m->span, m->count, s->ids.data, n, s->labels.data, err))
        return false;
    for (size_t i = 0; i < n; i++) {
        bool is = s->labels.data[i] >= 0;
        s->labels.data[i] = is ? s->ids.data[i] : NO_LABEL;
        labels += is && i > 0;
    }
    return labels > 0 || err_set(err,
                                 "no token of the conversation has a label: expected a message of the assistant, "
                                 "whose role is 'assistant'%s",
                                 p->generation_count ? ", marked by the chat template" : "");
}

bool chat_sample(const TrainReader *r, const json_t *request, Sample *s, Err *err) {
    Prompt p = {0};
    Marks m = {0};
    if (!r->tokenizer)
        return err_set(err, "a conversation needs a tokenizer, which this model lacks: expected \"ids\"");
    bool ok = chat_render_value(&r->tokenizer->chat, request, false, &p, err);
    if (ok && p.generation_count) ok = marks_of_template(&p, &m, err);
    else if (ok && !marks_of_chatml(&p, &m, err)) ok = !err->kind && marks_of_growth(r, request, &p, &m, err);
    ok = ok && !err->kind;
    if (ok) choose(&p, r->options->mask, &m);
    ok = ok && encode_prompt(r, &p, &s->ids, err) && label_marks(r, &p, &m, s, err);
    prompt_free(&p);
    free(m.span);
    return ok;
}

/* ---- A prompt of messages, and messages that complete it --------------------------------------------------------- */

bool chat_completion(const TrainReader *r, const json_t *request, const json_t *completion, Sample *s, Err *err) {
    Prompt first = {0}, whole = {0};
    Ids ids = {0};
    size_t n = json_array_size(json_object_get(request, "messages"));
    if (!r->tokenizer)
        return err_set(err, "a conversation needs a tokenizer, which this model lacks: expected \"ids\"");
    json_t *all = first_messages(request, n, err);
    bool ok = all != NULL;
    if (ok && json_array_extend(json_object_get(all, "messages"), (json_t *)(uintptr_t)completion) != 0)
        ok = err_as(err, QM_MEMORY, "out of memory: a conversation");
    ok = ok && chat_render_value(&r->tokenizer->chat, request, true, &first, err) &&
         chat_render_value(&r->tokenizer->chat, all, false, &whole, err) && encode_prompt(r, &first, &ids, err) &&
         encode_prompt(r, &whole, &s->ids, err) && ids_reserve(&s->labels, s->ids.count + 1, err);
    if (ok) {
        s->labels.count = s->ids.count;
        for (size_t i = 0; i < s->ids.count; i++) s->labels.data[i] = i < ids.count ? NO_LABEL : s->ids.data[i];
        s->torn = ids.count > s->ids.count || memcmp(ids.data, s->ids.data, ids.count * sizeof *ids.data) != 0;
        if (ids.count >= s->ids.count)
            ok = err_set(err, "completion: no token of it is left behind those of the prompt");
    }
    prompt_free(&first);
    prompt_free(&whole);
    free(ids.data);
    json_decref(all);
    return ok;
}
