/* token_by_token.c: the policy of a request without a search: one sequence, each token chosen from the logits after the
 * one before. */
#include <stdlib.h>
#include "search.h"

static bool applies(const GenerationConfig *c, bool draft) { return (void)c, (void)draft, true; }
static int64_t slots(const GenerationConfig *c) { return (void)c, 1; }

static bool plan(Request *r, StepPlan *p, Err *err) {
    NextToken *next = r->state;
    const Generation *g = &r->g;
    int64_t from = qm_session_length(r->session[0]);
    QmAppend a = {
        .session = r->session[0], .tokens = g->ids + from, .count = g->count - from, .rope_length = g->prompt};
    next->generation = &r->g;
    next->work = &r->search->work;
    if (r->sink.logits && !next->logits &&
        !(next->logits = mem_new((size_t)next->work->vocab, sizeof *next->logits, "logits", err)))
        return false;
    if (!next_token_ask(next, &a, err)) return false;
    if (r->sink.logits) a.logits = next->logits, a.enough = NULL;
    plan_add(p, a);
    return true;
}

static bool advance(Request *r, Err *err) {
    NextToken *next = r->state;
    int32_t id;
    return (!r->sink.logits || request_logits(r, next->logits, err)) && next_token_take(next, r->sequence, &id, err) &&
           request_push(r, id, err);
}

static void state_free(Request *r) { free(((NextToken *)r->state)->logits); }

const SearchRow token_by_token_row = {.name = "token by token", .applies = applies, .slots = slots,
                                      .bytes = sizeof(NextToken), .plan = plan, .advance = advance, .free = state_free};
