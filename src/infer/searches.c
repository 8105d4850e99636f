/* searches.c: the table of policies, and what they share. */
#include <stdlib.h>
#include "search.h"

/* The first that applies. */
static const SearchRow *const rows[] = {&beams_row, &samples_row, &contrastive_row, &drafts_row, &token_by_token_row};

const SearchRow *search_of(const GenerationConfig *c, bool draft) {
    int i = 0;
    while (!rows[i]->applies(c, draft)) i++;
    return rows[i];
}

bool search_wanted(const GenerationConfig *c, bool draft) { return search_of(c, draft) != &token_by_token_row; }
int64_t search_slots(const GenerationConfig *c) { return search_of(c, false)->slots(c); }
bool search_hidden(const GenerationConfig *c) { return search_of(c, false)->hidden; }

void sequences_free(Sequences *s) {
    for (int64_t i = 0; i < s->count; i++) generation_free(&s->list[i]);
    free(s->list);
    *s = (Sequences){0};
}

void request_free(Request *r) {
    generation_free(&r->g);
    sequences_free(&r->found);
}

QmAppend *plan_add(StepPlan *p, QmAppend entry) {
    QmAppend *to = &p->entry[p->count++];
    *to = entry;
    p->rows -= entry.count;
    return to;
}

bool request_logits(Request *r, const float *row, Err *err) {
    bool ok = !r->sink.logits || r->sink.logits(r->sink.user, row, r->search->work.vocab, err);
    r->owner_failed = r->owner_failed || !ok;
    return ok;
}

bool request_push(Request *r, int32_t id, Err *err) {
    const char *text;
    size_t bytes;
    if (r->g.count == r->g.prompt) r->first = clock_seconds();
    if (!generation_push(&r->g, id, &text, &bytes, err)) return false;
    bool ok = !r->sink.token || r->sink.token(r->sink.user, r, id < 0 ? -1 : id, text, bytes, err);
    r->owner_failed = !ok;
    r->over = r->g.finish != NULL;
    return ok;
}
