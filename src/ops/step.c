/* step.c: the rows of a step, and room for the ops that work on them. */
#include <stdlib.h>
#include <string.h>
#include "call.h"

bool step_rows_new(StepRows *s, int64_t rows, Err *err) {
    size_t n = (size_t)rows;
    *s = (StepRows){0};
    s->token = mem_new(n, sizeof *s->token, "step", err);
    s->slot = mem_new(n, sizeof *s->slot, "step", err);
    s->adapter = mem_new(n, sizeof *s->adapter, "step", err);
    s->position = mem_new(n, sizeof *s->position, "step", err);
    s->index = mem_new(n, sizeof *s->index, "step", err);
    s->length = mem_new(n, sizeof *s->length, "step", err);
    s->logit_row = mem_new(n, sizeof *s->logit_row, "step", err);
    s->label = mem_new(n, sizeof *s->label, "step", err);
    s->place = mem_new(n, sizeof *s->place, "step", err);
    return s->token && s->slot && s->adapter && s->position && s->index && s->length && s->logit_row && s->label &&
           s->place;
}

void step_rows_free(StepRows *s) {
    free(s->token), free(s->slot), free(s->position), free(s->index), free(s->length), free(s->logit_row);
    free(s->label), free(s->place), free(s->adapter);
    *s = (StepRows){0};
}

const int32_t *step_input(const StepRows *s, const char *name) {
    const struct { const char *name; const int32_t *numbers; } inputs[] = {
        {"tokens", s->token}, {"positions", s->position}, {"adapters", s->adapter}, {"logit_rows", s->logit_row},
        {"labels", s->label}};
    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++)
        if (!strcmp(inputs[i].name, name)) return inputs[i].numbers;
    return NULL;
}

int64_t program_scratch(const Program *p, const Blocking *blocking, int64_t rows) {
    int64_t most = 0;
    for (int id = 1; id < p->graph.count; id++) {
        const Node *n = &p->graph.nodes[id];
        int64_t floats = n->kind == NODE_OP && n->op->scratch ? n->op->scratch(p, n, blocking, rows) : 0;
        if (floats > most) most = floats;
    }
    return most + 64;
}
