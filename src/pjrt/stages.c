/* stages.c: the PJRT backend of programs that train. A run of stages is a program (stage_programs.c); what stages leave
 * for each other, and states, stay on the devices. A step's sequences stand side by side: see lower_train.h. */
#include <stdlib.h>
#include <string.h>
#include "pjrt.h"
#include "pjrt_state.h"

/* ---- Values ------------------------------------------------------------------------------------------------------ */

/* What no later piece takes is freed: the plugin keeps it until it is used. */
static void values_drop(Pjrt *p, const Lower *l, int place) {
    for (int i = 0; i < l->argument_count; i++) {
        const LowerArgument *a = &l->arguments[i];
        for (int d = 0; d < p->own && a->role == ROLE_VALUE && p->stages.last_use[a->node] <= place; d++) {
            PjrtBuffer **of = &p->stages.value[a->node * p->own + d];
            pjrt_buffer_free(p->client, *of);
            *of = NULL;
        }
    }
}

/* What a piece gave takes the places of what was there. */
static void results_move(Pjrt *p, const Lower *l, PjrtBuffer **results) {
    for (int i = 0; i < l->result_count; i++) {
        const LowerArgument *r = &l->results[i];
        PjrtBuffer **to = r->role == ROLE_STATE ? &p->placed.state[r->state * p->own]
                          : r->role == ROLE_VALUE ? &p->stages.value[r->node * p->own]
                                                  : &p->stages.result[r->node * p->own];
        if (r->role == ROLE_RESULT) p->stages.told[r->node] = r;
        for (int d = 0; d < p->own; d++) {
            pjrt_buffer_free(p->client, to[d]);
            to[d] = results[d * l->result_count + i];
        }
    }
}

/* ---- Runs -------------------------------------------------------------------------------------------------------- */

/* XLA CPU must not be given too many executions at once: pieces.c says why. */
enum { RUNNING = 16 };

static bool piece_wait(Pjrt *p, const Lower *l, PjrtBuffer *const *results, Err *err) {
    if (++p->stages.running < RUNNING || !l->result_count) return true;
    p->stages.running = 0;
    for (int d = 0; d < p->own; d++)
        if (!pjrt_wait(p->client, results[d * l->result_count], err)) return false;
    return true;
}

static bool piece_run(Pjrt *p, StageProgram *of, int at, Err *err) {
    Compiled *c = &of->compiled;
    Piece *piece = &c->piece[at];
    const Lower *l = &piece->lower;
    PjrtBuffer **results = mem_new((size_t)(p->own * l->result_count) + 1, sizeof *results, "results", err);
    bool ok = results && stage_sums_new(p, l, err) && arguments_fill(p, c, at, NULL, err);
    if (ok) {
        bool ran = pjrt_execute(p->client, piece->program, piece->arguments, l->argument_count, results,
                                l->result_count, err);
        ok = ran && piece_wait(p, l, results, err);
        p->step.lost = !ok;
        if (ran) results_move(p, l, results);
        bool again = of->first == STAGE_HEAD && p->stages.logit_rows; /* perhaps, with what it takes */
        if (ran && !again) values_drop(p, l, stage_place_of(of, at));
    }
    free(results);
    return ok;
}

static bool train_run(void *backend, Err *err) {
    Pjrt *p = backend;
    const StepRows *s = &p->step.given;
    if (p->step.lost) return err_as(err, QM_DEVICE, LOST_STATES);
    if (s->rows > p->options.rows || s->logit_rows > p->options.rows)
        return err_as(err, QM_LIMIT, "step of %lld rows: expected at most %lld", (long long)s->rows,
                      (long long)p->options.rows);
    if (s->first == STAGE_FORWARD) {
        stage_values_free(p);
        pjrt_host_run(p);
    }
    StageProgram *of = stage_program(p, s->first, s->last, s->passes > 1, err);
    bool ok = of && stage_compile(p, of, err) && inputs_give(p, &of->compiled, stage_value, NULL, err);
    for (int i = 0; ok && i < of->compiled.pieces; i++) ok = piece_run(p, of, i, err);
    if (of) inputs_free(p, &of->compiled);
    return ok;
}

/* ---- Opening ----------------------------------------------------------------------------------------------------- */

static bool lists_new(Pjrt *p, Err *err) {
    size_t nodes = (size_t)p->program->graph.count;
    PjrtStages *s = &p->stages;
    s->value = mem_new(nodes * (size_t)p->own, sizeof(PjrtBuffer *), "values", err);
    s->result = mem_new(nodes * (size_t)p->own, sizeof(PjrtBuffer *), "values", err);
    s->told = mem_new(nodes, sizeof *s->told, "values", err);
    s->last_use = mem_new(nodes, sizeof *s->last_use, "values", err);
    s->state = mem_new((size_t)lower_states(p->program) + 1, sizeof *s->state, "states", err);
    return s->value && s->result && s->told && s->last_use && s->state;
}

/* XLA compiles every layer anew: see pieces.c. Norms and updates are cut layer by layer, which compiles least; of the other
 * stages one layer to a piece would cost a step over 32 devices an eighth more than four. */
static void pieces_choose(Pjrt *p) {
    const Graph *g = &p->program->graph;
    int layers = 0;
    for (int id = 1; id < g->count; id++) layers += g->nodes[id].cut && g->nodes[id].stage == STAGE_FORWARD;
    bool whole = !layers || strcmp(pjrt_info(p->client)->platform, "cpu");
    p->stages.piece_layers = whole ? 0 : pieces_layers(layers);
}

/* All that a step runs is written now: it says what is kept on the devices. */
static bool programs_write(Pjrt *p, Err *err) {
    static const Stage runs[][2] = {{STAGE_FORWARD, STAGE_FORWARD}, {STAGE_HEAD, STAGE_HEAD_GRADIENT},
                                    {STAGE_GRADIENT, STAGE_GRADIENT}, {STAGE_NORM, STAGE_NORM},
                                    {STAGE_UPDATE, STAGE_UPDATE}};
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++)
        if (!stage_program(p, runs[i][0], runs[i][1], false, err)) return false;
    return true;
}

static bool train_place(Pjrt *p, Weights *weights, Err *err) {
    bool lends = false;
    pieces_choose(p);
    return pjrt_tensors(p, weights, err) && programs_write(p, err) && pjrt_lends(p->client, &lends, err) &&
           pjrt_upload_all(p, lends, err) && stage_states_new(p, err);
}

static void *train_open(const Program *program, Weights *weights, const BackendOptions *options, Err *err) {
    const Mesh *mesh = &program->partition->mesh;
    if (weights_packed(weights)) {
        err_set(err, "a packed file holds panels of the CPU engine: a PJRT backend needs the model it was packed from");
        return NULL;
    }
    Pjrt *p = mem_new(1, sizeof *p, "PJRT backend", err);
    if (!p) return NULL;
    p->program = program;
    p->options = *options;
    p->dp = mesh->dp, p->tp = mesh->tp, p->devices = p->own = mesh->dp * mesh->tp, p->nodes = 1;
    p->slots = options->slots / p->dp;
    p->positions = options->context;
    p->stages.logit_rows = options->logit_rows / p->dp;
    if (p->stages.logit_rows >= p->slots * p->positions) p->stages.logit_rows = 0;
    snprintf(p->type, sizeof p->type, "%s", options->act == ACT_BF16 ? "bf16" : "f32");
    PjrtOptions o = {.plugin = options->plugin, .cache = options->program_cache, .devices = p->own};
    if (lists_new(p, err) && (p->client = pjrt_open(&o, err)) && pjrt_step_new(p, err) && train_place(p, weights, err)) {
        p->info.workers = strcmp(pjrt_info(p->client)->platform, "cpu") ? p->devices : cpu_cores_usable();
        p->info.isa = pjrt_info(p->client)->platform;
        p->info.cache = p->info.act = p->type;
        return p;
    }
    pjrt_close_backend(p);
    return NULL;
}

const Backend backend_pjrt_train = {
    .name = "pjrt",
    .uniform = true,
    .open = train_open,
    .close = pjrt_close_backend,
    .rows = pjrt_rows,
    .run = train_run,
    .read = stage_read,
    .info = pjrt_backend_info,
    .state_read = stage_state_read,
    .state_write = stage_state_write,
};
