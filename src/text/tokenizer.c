/* tokenizer.c: text to ids and back. Encoding: repair UTF-8; cut at added tokens; normalise; cut into words; merge. */
#include <stdlib.h>
#include <string.h>
#include "../io/json.h"
#include "tokenizer.h"
#include "unicode.h"

enum { SPARE_BYTES = 8 << 20 }; /* working space that grew past this is not kept */

/* ---- Building ------------------------------------------------------------------------------------------------ */

QmTokenizer *tokenizer_new(Err *err) {
    QmTokenizer *t = mem_new(1, sizeof *t, "tokenizer", err);
    if (!t) return NULL;
    vocab_start(&t->vocab);
    t->bos = t->eos = t->end = -1;
    t->spare = mem_new(1, sizeof *t->spare, "tokenizer", err);
    if (t->spare) return t;
    qm_tokenizer_close(t);
    return NULL;
}

bool tokenizer_add(QmTokenizer *t, const Added *token, bool special, bool normalized, Err *err) {
    return vocab_add_token(&t->vocab, token->id, (const uint8_t *)token->text, token->bytes, special, err) &&
           tokenizer_place(t, token, normalized, err);
}

bool tokenizer_place(QmTokenizer *t, const Added *token, bool normalized, Err *err) {
    if (!normalized) return added_set_add(&t->raw, token, err);
    Added copy = *token;
    Text text = {0};
    bool ok = !t->nfc || nfc_add((const uint8_t *)token->text, token->bytes, &text, err);
    if (ok && t->nfc) {
        copy.text = text.data;
        copy.bytes = text.bytes;
    }
    ok = ok && added_set_add(&t->normal, &copy, err);
    text_free(&text);
    return ok;
}

bool tokenizer_finish(QmTokenizer *t, Err *err) {
    return vocab_finish(&t->vocab, err) && added_set_finish(&t->raw, err) && added_set_finish(&t->normal, err);
}

void qm_tokenizer_close(QmTokenizer *t) {
    if (!t) return;
    if (t->spare) bpe_free(atomic_load(&t->spare->bpe)), token_order_free(atomic_load(&t->spare->order));
    free(t->spare);
    vocab_free(&t->vocab);
    added_set_free(&t->raw);
    added_set_free(&t->normal);
    splitter_free(&t->splitter);
    chat_free(&t->chat);
    free(t);
}

/* ---- Looking up ---------------------------------------------------------------------------------------------- */

int32_t qm_tokenizer_vocab(const QmTokenizer *t) { return t->vocab.count; }

int32_t qm_tokenizer_eos(const QmTokenizer *t) { return t->eos; }
int32_t qm_tokenizer_end(const QmTokenizer *t) { return t->end; }

bool qm_tokenizer_set_chat(QmTokenizer *t, const char *name, QmErr *err) {
    t->spare->turn_end = 0;
    return chat_choose(&t->chat, name, err);
}

bool qm_tokenizer_set_chat_argument(QmTokenizer *t, const char *assignment, QmErr *err) {
    t->spare->turn_end = 0;
    return chat_argument(&t->chat, assignment, err);
}

int32_t tokenizer_id(const QmTokenizer *t, const char *text, size_t bytes) {
    const Added *added = added_set_find(&t->raw, text, bytes);
    if (!added) added = added_set_find(&t->normal, text, bytes);
    if (added) return added->id;
    int32_t id = vocab_find(&t->vocab, (const uint8_t *)text, bytes, PIECE_WORD);
    return id >= 0 ? id : vocab_find(&t->vocab, (const uint8_t *)text, bytes, PIECE_RAW);
}

int32_t qm_tokenizer_id(const QmTokenizer *t, const char *token) { return tokenizer_id(t, token, strlen(token)); }

const char *qm_tokenizer_piece(const QmTokenizer *t, int32_t id, size_t *bytes, bool *special) {
    if (id < 0 || id >= t->vocab.count || t->vocab.piece[id].kind == PIECE_NONE) return NULL;
    if (bytes) *bytes = t->vocab.piece[id].bytes;
    if (special) *special = t->vocab.piece[id].special;
    return (const char *)vocab_bytes(&t->vocab, id);
}

/* ---- Encoding ------------------------------------------------------------------------------------------------ */

typedef struct Encoding {
    const QmTokenizer *tokenizer;
    Bpe *bpe;
    Text normal;     /* the piece at hand in form C */
    double deadline; /* of splitting */
    Ids *out;
} Encoding;

static bool encode_word(void *context, const uint8_t *word, size_t bytes, Err *err) {
    Encoding *e = context;
    return bpe_word(e->bpe, &e->tokenizer->vocab, word, bytes, e->out, err);
}

/* Text between added tokens. `open`: added tokens that are matched after normalisation are recognised. */
static bool encode_piece(Encoding *e, const uint8_t *text, size_t bytes, bool open, Err *err) {
    const QmTokenizer *t = e->tokenizer;
    if (t->nfc && nfc_needed(text, bytes)) {
        e->normal.bytes = 0;
        if (!nfc_add(text, bytes, &e->normal, err)) return false;
        text = (const uint8_t *)e->normal.data;
        bytes = e->normal.bytes;
    }
    size_t done = 0;
    AddedMatch m;
    while (open && added_set_next(&t->normal, text, bytes, done, done, bytes, &m)) {
        if (!splitter_run(&t->splitter, text + done, m.start - done, e->deadline, encode_word, e, err) ||
            !ids_add(e->out, m.id, err))
            return false;
        done = m.end;
    }
    return splitter_run(&t->splitter, text + done, bytes - done, e->deadline, encode_word, e, err);
}

static bool encode_spans(Encoding *e, const uint8_t *text, size_t bytes, const Span *open, size_t open_count,
                         Err *err) {
    size_t done = 0;
    AddedMatch m;
    for (size_t i = 0; i < open_count; i++) {
        for (size_t from; from = done > open[i].start ? done : open[i].start,
             from < open[i].end && added_set_next(&e->tokenizer->raw, text, bytes, done, from, open[i].end, &m);) {
            if (!encode_piece(e, text + done, m.start - done, done >= open[i].start, err) ||
                !ids_add(e->out, m.id, err))
                return false;
            done = m.end;
        }
    }
    bool all_open = open_count > 0 && done >= open[open_count - 1].start && open[open_count - 1].end == bytes;
    return encode_piece(e, text + done, bytes - done, all_open, err);
}

bool tokenizer_encode(const QmTokenizer *t, const uint8_t *text, size_t bytes, const Span *open, size_t open_count,
                      Ids *out, Err *err) {
    Encoding e = {
        .tokenizer = t, .bpe = atomic_exchange(&t->spare->bpe, NULL), .deadline = split_deadline(bytes), .out = out};
    if (!e.bpe) e.bpe = bpe_new(err);
    bool ok = e.bpe && encode_spans(&e, text, bytes, open, open_count, err);
    text_free(&e.normal);
    if (e.bpe && bpe_bytes(e.bpe) <= SPARE_BYTES) e.bpe = atomic_exchange(&t->spare->bpe, e.bpe);
    bpe_free(e.bpe);
    return ok;
}

int64_t qm_tokenizer_encode(const QmTokenizer *t, const char *text, size_t bytes, bool parse_special, int32_t **ids,
                            QmErr *err) {
    Ids out = {0};
    Text repaired = {0};
    bool ok = ids_reserve(&out, 1, err) && (!t->add_bos || ids_add(&out, t->bos, err)); /* *ids is never NULL */
    if (ok && !utf8_valid((const uint8_t *)text, bytes)) {
        utf8_repair((const uint8_t *)text, bytes, &repaired);
        ok = text_ok(&repaired, "text", err);
        text = repaired.data;
        bytes = repaired.bytes;
    }
    Span all = {0, bytes};
    ok = ok && tokenizer_encode(t, (const uint8_t *)text, bytes, &all, parse_special, &out, err);
    text_free(&repaired);
    if (!ok) free(out.data);
    *ids = ok ? out.data : NULL;
    return ok ? (int64_t)out.count : -1;
}

int64_t qm_tokenizer_chat(const QmTokenizer *t, const char *messages_json, size_t bytes, bool add_generation_prompt,
                          int32_t **ids, char **text, QmErr *err) {
    json_t *root = json_text(messages_json, bytes, "messages", err);
    *ids = NULL;
    if (text) *text = NULL;
    int64_t count = root ? tokenizer_chat(t, root, add_generation_prompt, ids, text, err) : -1;
    json_decref(root);
    return count;
}

int64_t tokenizer_chat(const QmTokenizer *t, const json_t *messages, bool add_generation_prompt, int32_t **ids,
                       char **text, Err *err) {
    Prompt prompt = {0};
    Ids out = {0};
    bool ok =
        ids_reserve(&out, 1, err) && chat_render_value(&t->chat, messages, add_generation_prompt, &prompt, err);
    for (const char *need = t->chat.needs; ok && need && *need;) {
        size_t n = strcspn(need, " ");
        if (!added_set_find(&t->raw, need, n))
            ok = err_set(err, "the chat template needs the token %.*s, which this tokenizer lacks", (int)n, need);
        need += n + (need[n] == ' ');
    }
    ok = ok && tokenizer_prompt(t, &prompt, &out, err);
    if (ok && text) {
        *text = prompt.text.data;
        prompt.text = (Text){0};
    } else if (text) *text = NULL;
    prompt_free(&prompt);
    if (!ok) free(out.data);
    *ids = ok ? out.data : NULL;
    return ok ? (int64_t)out.count : -1;
}

bool tokenizer_prompt(const QmTokenizer *t, const Prompt *prompt, Ids *out, Err *err) {
    return tokenizer_encode(t, (const uint8_t *)prompt->text.data, prompt->text.bytes, prompt->open, prompt->open_count,
                            out, err);
}

/* The first special token behind an answer: a chat is rendered and looked at. */
static int32_t find_turn_end(const QmTokenizer *t) {
    static const char answer[] = "An answer without an end.", user[] = "A question.";
    Err err = {0};
    Prompt prompt = {0};
    Ids ids = {0};
    int32_t found = -1;
    json_t *messages =
        json_pack("[{s:s,s:s},{s:s,s:s}]", "role", "user", "content", user, "role", "assistant", "content", answer);
    bool ok = messages && (t->chat.usual || t->chat.with_tools) &&
              chat_render_value(&t->chat, messages, false, &prompt, &err);
    const char *at = ok ? memmem(prompt.text.data, prompt.text.bytes, answer, strlen(answer)) : NULL;
    size_t from = at ? (size_t)(at - prompt.text.data) + strlen(answer) : 0;
    Span *open = prompt.open;
    for (size_t i = 0; at && i < prompt.open_count; i++) { /* what lies behind the answer, counted from there */
        if (prompt.open[i].end <= from) continue;
        size_t start = prompt.open[i].start > from ? prompt.open[i].start - from : 0;
        *open++ = (Span){start, prompt.open[i].end - from};
    }
    if (at && tokenizer_encode(t, (const uint8_t *)prompt.text.data + from, prompt.text.bytes - from, prompt.open,
                               (size_t)(open - prompt.open), &ids, &err))
        for (size_t i = 0; found < 0 && i < ids.count; i++)
            if (t->vocab.piece[ids.data[i]].added && t->vocab.piece[ids.data[i]].special) found = ids.data[i];
    json_decref(messages);
    prompt_free(&prompt);
    free(ids.data);
    return found;
}

int32_t qm_tokenizer_turn_end(const QmTokenizer *t) {
    int32_t known = t->spare->turn_end;
    if (known == 0) t->spare->turn_end = known = 2 + find_turn_end(t);
    return known - 2;
}

/* ---- Decoding ------------------------------------------------------------------------------------------------ */

char *qm_tokenizer_decode(const QmTokenizer *t, const int32_t *ids, int64_t count, bool skip_special, size_t *bytes,
                          QmErr *err) {
    Text raw = {0}, out = {0};
    text_add(&raw, "", 0);
    text_add(&out, "", 0);
    for (int64_t i = 0; i < count; i++) {
        size_t n;
        bool special;
        const char *piece = qm_tokenizer_piece(t, ids[i], &n, &special);
        if (!piece) {
            err_set(err, "no token has id %d: expected 0 to %d", (int)ids[i], (int)t->vocab.count - 1);
            text_free(&raw);
            text_free(&out);
            return NULL;
        }
        if (!special || !skip_special) text_add(&raw, piece, n);
    }
    bool valid = raw.data && utf8_valid((const uint8_t *)raw.data, raw.bytes);
    if (!valid) utf8_repair((const uint8_t *)raw.data, raw.bytes, &out);
    Text *result = valid ? &raw : &out, *other = valid ? &out : &raw;
    bool ok = text_ok(&raw, "decoded text", err) && text_ok(&out, "decoded text", err);
    text_free(other);
    if (!ok) text_free(result);
    else if (bytes) *bytes = result->bytes;
    return result->data;
}
