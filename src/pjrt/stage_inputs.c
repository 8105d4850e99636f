/* stage_inputs.c: what the host gives for a run of stages: lower_train.h says what programs ask for. Rows of a replica
 * stand where their sequence and their place in it say; the others have no token. */
#include <string.h>
#include "../graph/lower_train.h"
#include "pjrt_state.h"

/* What stands in an argument of numbers for a row without a token, or a label. */
static int32_t nothing(const LowerArgument *a) {
    return !strcmp(a->name, "segment") ? -1 : !strcmp(a->name, "labels") ? -100 : 0;
}

/* Labels, and places, of those rows of a replica that pass the head in this run. */
static void some_rows_value(const Pjrt *p, const LowerArgument *a, int replica, int32_t *out) {
    const StepRows *s = &p->step.given;
    bool labels = !strcmp(a->name, "labels");
    for (int64_t i = 0; i < a->dim[0]; i++) out[i] = nothing(a);
    for (int64_t i = 0, at = 0; i < s->logit_rows; i++)
        if (s->slot[s->logit_row[i]] % p->dp == replica)
            out[at++] = labels ? s->label[i] : (int32_t)stage_place(p, s->logit_row[i]);
}

/* Numbers of the rows of a replica. */
static bool rows_value(const Pjrt *p, const LowerArgument *a, int replica, int32_t *out) {
    const StepRows *s = &p->step.given;
    bool segments = !strcmp(a->name, "segment"), labels = !strcmp(a->name, "labels"), draws = !strcmp(a->name, "draws");
    const int32_t *from = segments || draws ? NULL : step_input(s, a->name);
    int32_t segment = 0;
    if (!segments && !draws && !from) return false;
    for (int64_t i = 0; i < a->dim[0] * (draws ? 2 : 1); i++) out[i] = nothing(a);
    for (int64_t i = 0; i < (labels ? s->logit_rows : s->rows); i++) {
        int64_t row = labels ? s->logit_row[i] : i, at = stage_place(p, row);
        segment = s->index[row] == 0 ? 0 : segment + (s->position[row] == 0);
        if (s->slot[row] % p->dp != replica) continue;
        if (draws) lower_draws(&s->scalars, s->place[row], out + 2 * at);
        else out[at] = segments ? segment : from[i];
    }
    return true;
}

/* Rows of a node that the host computes. */
static void host_value(const Pjrt *p, const LowerArgument *a, int replica, void *out) {
    const StepRows *s = &p->step.given;
    int64_t width = a->dim[1];
    memset(out, 0, (size_t)lower_argument_bytes(a));
    for (int64_t row = 0; row < s->rows; row++) {
        const float *from = p->step.host[a->node] + row * width;
        int64_t to = stage_place(p, row) * width;
        if (s->slot[row] % p->dp != replica) continue;
        for (int64_t i = 0; i < width; i++)
            if (a->type[0] == 'b') ((uint16_t *)out)[to + i] = f32_to_bf16(from[i]);
            else ((float *)out)[to + i] = from[i];
    }
}

bool stage_value(const Pjrt *p, const void *none, const LowerArgument *a, int replica, void *work, Err *err) {
    const StepRows *s = &p->step.given;
    (void)none;
    bool some = p->stages.logit_rows && (!strcmp(a->name, "labels") || !strcmp(a->name, "logit_rows"));
    RowKind kind = s->first == STAGE_HEAD ? LOGIT_ROWS : STEP_ROWS;
    if (!strcmp(a->name, "scalars")) lower_scalars(&s->scalars, s->lanes[kind].held == 0, work);
    else if (some) some_rows_value(p, a, replica, work);
    else if (a->node && p->step.host[a->node]) host_value(p, a, replica, work);
    else if (!rows_value(p, a, replica, work))
        return err_as(err, QM_INTERNAL, "program argument %s: nothing to feed it", a->name);
    return true;
}
