/* step.c: the rows of a step. */
#include <stdlib.h>
#include "call.h"

bool step_rows_new(StepRows *s, int64_t rows, Err *err) {
    size_t n = (size_t)rows;
    *s = (StepRows){0};
    s->token = mem_new(n, sizeof *s->token, "step", err);
    s->slot = mem_new(n, sizeof *s->slot, "step", err);
    s->position = mem_new(n, sizeof *s->position, "step", err);
    s->index = mem_new(n, sizeof *s->index, "step", err);
    s->length = mem_new(n, sizeof *s->length, "step", err);
    s->logit_row = mem_new(n, sizeof *s->logit_row, "step", err);
    return s->token && s->slot && s->position && s->index && s->length && s->logit_row;
}

void step_rows_free(StepRows *s) {
    free(s->token), free(s->slot), free(s->position), free(s->index), free(s->length), free(s->logit_row);
    *s = (StepRows){0};
}
