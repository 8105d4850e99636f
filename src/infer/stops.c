/* stops.c: lists of stop strings, and the search for them in what new tokens say. */
#include "stops.h"
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct Stops {
    atomic_int users;
    int count;
    struct { size_t bytes; char text[MAX_STOP_BYTES]; } stop[];
};

int stops_count(const Stops *stops) { return stops ? stops->count : 0; }

const char *stops_text(const Stops *stops, int i, size_t *bytes) {
    *bytes = stops->stop[i].bytes;
    return stops->stop[i].text;
}

Stops *stops_add(const Stops *base, const char *text, size_t bytes, Err *err) {
    int n = stops_count(base);
    if (bytes < 1 || bytes >= MAX_STOP_BYTES)
        return err_set(err, "stop string: expected 1 to %d bytes, got %zu", MAX_STOP_BYTES - 1, bytes), NULL;
    if (n == MAX_STOPS) return err_as(err, QM_LIMIT, "stop strings: expected at most %d", MAX_STOPS), NULL;
    Stops *s = mem_new(1, sizeof *s + (size_t)(n + 1) * sizeof *s->stop, "stop strings", err);
    if (!s) return NULL;
    atomic_init(&s->users, 1);
    if (n) memcpy(s->stop, base->stop, (size_t)n * sizeof *s->stop);
    memcpy(s->stop[n].text, text, bytes);
    s->stop[n].bytes = bytes;
    s->count = n + 1;
    return s;
}

Stops *stops_share(Stops *stops) {
    if (stops) atomic_fetch_add(&stops->users, 1);
    return stops;
}

void stops_release(Stops *stops) {
    if (stops && atomic_fetch_sub(&stops->users, 1) == 1) free(stops);
}

/* ---- The end of a text ------------------------------------------------------------------------------------------- */

/* How many of the bytes from `at` on are shown. */
static int64_t shown_from(const StopTail *t, size_t at) {
    int64_t n = 0;
    for (; at < t->text.bytes; at++) n += t->shown.data[at];
    return n;
}

/* Where the earliest stop string begins that ends after byte `from`; the text's end when there is none. */
static size_t find(const StopTail *t, const Stops *stops, size_t from) {
    size_t first = t->text.bytes;
    for (int i = 0; i < stops->count; i++) {
        const char *s = stops->stop[i].text;
        size_t n = stops->stop[i].bytes, back = from > n ? from - n + 1 : 0;
        const char *at = t->text.bytes >= n ? memmem(t->text.data + back, t->text.bytes - back, s, n) : NULL;
        if (at && (size_t)(at - t->text.data) < first) first = (size_t)(at - t->text.data);
    }
    return first;
}

/* Where the longest end that begins a stop string begins. */
static size_t beginning(const StopTail *t, const Stops *stops) {
    size_t most = 0, all = t->text.bytes;
    for (int i = 0; i < stops->count; i++)
        for (size_t k = stops->stop[i].bytes - 1; k > most; k--)
            if (k <= all && !memcmp(t->text.data + all - k, stops->stop[i].text, k)) most = k;
    return all - most;
}

static void forget(Text *text, size_t keep) {
    memmove(text->data, text->data + text->bytes - keep, keep + 1); /* the NUL too */
    text->bytes = keep;
}

bool stop_tail_push(StopTail *t, const Stops *stops, int32_t id, StopFound *found, Err *err) {
    bool special = false;
    size_t bytes;
    *found = (StopFound){-1, 0};
    if (t->text.bytes > 8 * MAX_STOP_BYTES) forget(&t->text, MAX_STOP_BYTES), forget(&t->shown, MAX_STOP_BYTES);
    size_t before = t->text.bytes;
    qm_tokenizer_piece(t->stream.tokenizer, id, &bytes, &special);
    if (!text_stream_push(&t->stream, id, &t->text, err)) return false;
    for (size_t i = before; i < t->text.bytes; i++) text_add(&t->shown, special ? "\0" : "\1", 1);
    if (!text_ok(&t->shown, "the text's end", err)) return false;
    if (t->text.bytes == 0) return true;
    size_t at = find(t, stops, before);
    if (at < t->text.bytes) found->cut = shown_from(t, at);
    else found->held = shown_from(t, beginning(t, stops));
    return true;
}

bool stop_tail_copy(StopTail *to, const StopTail *from, Err *err) {
    size_t keep = from->text.bytes < MAX_STOP_BYTES ? from->text.bytes : MAX_STOP_BYTES, at = from->text.bytes - keep;
    to->stream = from->stream;
    to->text = to->shown = (Text){0};
    if (keep) text_add(&to->text, from->text.data + at, keep), text_add(&to->shown, from->shown.data + at, keep);
    return text_ok(&to->text, "the text's end", err) && text_ok(&to->shown, "the text's end", err);
}

void stop_tail_free(StopTail *t) {
    text_free(&t->text);
    text_free(&t->shown);
}
