/* prompt_logprobs.c: see prompt_logprobs.h. */
#include "prompt_logprobs.h"
#include <string.h>
#include "choice.h"

int64_t prompt_logprobs_left(const Request *r) {
    return r->g.config.prompt_logprobs < 0 ? 0 : r->g.prompt - 1 - r->told.count;
}

static int64_t width(const Request *r) { return 1 + r->g.config.prompt_logprobs; }

/* The first token has none: nothing comes before it. */
bool prompt_logprobs_begin(Request *r, Err *err) {
    size_t count;
    if (r->g.config.prompt_logprobs < 0) return true;
    if (!size_mul((size_t)r->g.prompt, (size_t)width(r), &count) ||
        !(r->told.list = mem_new(count, sizeof *r->told.list, "log-probabilities of a prompt", err)))
        return err_as(err, QM_MEMORY, "out of memory: log-probabilities of a prompt");
    for (int64_t i = 0; i < width(r); i++) r->told.list[i] = (QmLogprob){.id = -1};
    return true;
}

bool prompt_logprobs_plan(Request *r, StepPlan *p, PromptRows *rows, Err *err) {
    int64_t vocab = r->search->work.vocab, n = PROMPT_LOGPROBS_ROWS - rows->used, left = prompt_logprobs_left(r);
    if (!rows->logits && !(rows->logits = mem_new((size_t)(PROMPT_LOGPROBS_ROWS * vocab), sizeof *rows->logits,
                                                  "logits of prompts", err)))
        return false;
    if (n > p->rows) n = p->rows > 0 ? p->rows : 1;
    if (n > left) n = left;
    r->told.rows = rows->used < PROMPT_LOGPROBS_ROWS ? n : 0;
    if (!r->told.rows) return true;
    r->told.logits = rows->logits + rows->used * vocab;
    rows->used += n;
    plan_add(p, (QmAppend){.session = r->session[0], .tokens = r->g.ids + r->told.count, .count = n, .logits_from = n,
                           .rope_length = r->g.prompt, .logits = r->told.logits});
    return true;
}

bool prompt_logprobs_advance(Request *r, Err *err) {
    SampleWork *w = &r->search->work;
    for (int64_t i = 0; i < r->told.rows; i++) {
        const float *row = r->told.logits + i * w->vocab;
        int64_t at = ++r->told.count; /* the token that this row foretells */
        if (!logits_sound(row, w->vocab)) {
            r->invalid = true;
            return err_set(err, "the logits for prompt token %lld are not numbers (NaN or infinite): a damaged "
                                "checkpoint, or an overflow", (long long)at + 1);
        }
        logprobs_of(row, log_total(row, w), r->g.ids[at], width(r) - 1, w, r->told.list + at * width(r));
    }
    r->told.rows = 0;
    if (!prompt_logprobs_left(r) && r->g.finish) r->over = true; /* asked for nothing else */
    return true;
}
