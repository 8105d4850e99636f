/* search.c: what policies share: the entries of a step, and the sink of a request. */
#include <stdlib.h>
#include "search.h"

void sequences_free(Sequences *s) {
    for (int64_t i = 0; i < s->count; i++) generation_free(&s->list[i]);
    free(s->list);
    *s = (Sequences){0};
}

void request_free(Request *r) {
    generation_free(&r->g);
    sequences_free(&r->found);
    free(r->told.list);
    r->told = (PromptTold){0};
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
