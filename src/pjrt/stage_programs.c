/* stage_programs.c: the programs of a model that trains: one for each run of stages that a trainer asks for. */
#include <stdlib.h>
#include <string.h>
#include "pjrt_state.h"

static const char *const stage_names[STAGES] = {"forward", "head", "head's gradient", "gradient", "norm", "update"};

/* ---- Pieces ------------------------------------------------------------------------------------------------------ */

/* How many layers end before a node, one more after the embedding: 0 is what stands before the first layer. */
static int layer_at(const Graph *g, int id) {
    int layer = 0;
    while (g->nodes[id].op && g->nodes[id].op->collective) id = g->nodes[id].in[0].id; /* it completes that */
    for (int i = 1; i < id; i++) {
        const Node *n = &g->nodes[i];
        bool embeds = n->kind == NODE_OP && g->nodes[n->in[0].id].kind == NODE_INPUT && n->inputs > 1 && !layer;
        layer += n->stage == STAGE_FORWARD && (n->cut || embeds);
    }
    return layer;
}

/* The weight that an op of STAGE_NORM or STAGE_UPDATE is about. Sums are called after theirs. */
static int weight_at(const Graph *g, int id) {
    const Node *state = NULL;
    for (; id && !(state = graph_state(g, (Tensor){id})); id = g->nodes[id].in[0].id) {}
    if (!state || state->kind == NODE_WEIGHT) return state ? (int)(state - g->nodes) : 0;
    const char *name = strchr(state->name, '.');
    for (int w = 1; name && w < g->count; w++)
        if (g->nodes[w].kind == NODE_WEIGHT && !strcmp(g->nodes[w].name, name + 1)) return w;
    return 0;
}

/* Which group of layers a node is of, in the order of its stage: 0 and the last are what stands outside of all. marks:
 * ends of layers' gradients before it. */
static int group_at(const Graph *g, int id, int each, int marks) {
    Stage stage = g->nodes[id].stage;
    int layer = stage == STAGE_GRADIENT ? marks : layer_at(g, stage == STAGE_FORWARD ? id : weight_at(g, id));
    return layer ? 1 + (layer - 1) / each : 0;
}

/* Where a run of stages is cut into pieces: piece i is nodes [cut[i], cut[i + 1]). Returns the number; cut has room for
 * as many as there are nodes. */
static int stage_cuts(const Pjrt *p, Stage first, Stage last, int *cut) {
    const Graph *g = &p->program->graph;
    int each = first < STAGE_NORM ? p->stages.piece_layers : p->stages.piece_layers > 0;
    int count = 0, group = -1, marks = 0;
    cut[0] = 1;
    for (int id = 1; id < g->count && each && first == last && first != STAGE_HEAD; id++) {
        const Node *n = &g->nodes[id], *before = n - 1;
        marks += before->cut && (before->stage == STAGE_HEAD_GRADIENT || before->stage == STAGE_GRADIENT);
        if (n->stage != first || !n->op || n->op->on_host) continue;
        int now = group_at(g, id, each, marks);
        if (group >= 0 && now != group) cut[++count] = id;
        group = now;
    }
    cut[++count] = g->count;
    return count;
}

/* ---- Texts ------------------------------------------------------------------------------------------------------- */

/* What the programs keep on the devices: weights by pieces_kept, states here. */
static bool states_known(Pjrt *p, const StageProgram *of, Err *err) {
    for (int i = 0; i < of->compiled.pieces; i++) {
        const Lower *l = &of->compiled.piece[i].lower;
        for (int j = 0; j < l->argument_count + l->result_count; j++) {
            const LowerArgument *a = j < l->argument_count ? &l->arguments[j] : &l->results[j - l->argument_count];
            if (a->role == ROLE_STATE && !p->stages.state[a->state].rank) p->stages.state[a->state] = *a;
            int *use = &p->stages.last_use[a->node], place = stage_place_of(of, i);
            if (a->role == ROLE_VALUE && j < l->argument_count && place > *use) *use = place;
        }
    }
    return pieces_kept(p, &of->compiled, err);
}

static bool pieces_write(Pjrt *p, StageProgram *of, const int *cut, int pieces, Err *err) {
    int64_t some = p->stages.logit_rows, rows = some ? some : p->slots * p->options.context;
    LowerOptions o = {.type = p->type, .cache_slots = p->slots, .positions = p->positions, .trains = true,
                      .sums_go_on = of->sums_go_on, .stage_first = of->first, .stage_last = of->last,
                      .bucket = {.slots = p->slots, .rows = p->options.context, .logit_rows = rows, .all_logits = !some}};
    of->text = pieces_new(&of->compiled, pieces, err);
    for (int i = 0, at = 0; of->text && i < pieces; i++) {
        Lower *l = &of->compiled.piece[at].lower;
        o.first = cut[i], o.last = cut[i + 1];
        if (!lower_program(l, p->program, &o, &of->text[at], err)) return false;
        if (l->result_count) at++;
        else lower_free(l), text_free(&of->text[at]), of->text[at] = (Text){0}, of->compiled.pieces--; /* nobody asks */
    }
    return of->text && states_known(p, of, err);
}

static bool stage_write(Pjrt *p, StageProgram *of, Err *err) {
    int *cut = mem_new((size_t)p->program->graph.count + 1, sizeof *cut, "program", err);
    bool ok = cut && pieces_write(p, of, cut, stage_cuts(p, of->first, of->last, cut), err);
    free(cut);
    return ok;
}

StageProgram *stage_program(Pjrt *p, Stage first, Stage last, bool sums_go_on, Err *err) {
    PjrtStages *s = &p->stages;
    sums_go_on |= first == STAGE_HEAD && s->logit_rows;
    sums_go_on = sums_go_on && first < STAGE_NORM && last > STAGE_HEAD; /* else there are none */
    for (int i = 0; i < s->count; i++)
        if (s->list[i].first == first && s->list[i].last == last && s->list[i].sums_go_on == sums_go_on)
            return &s->list[i];
    if (s->count == MOST_STAGE_PROGRAMS) {
        err_as(err, QM_INTERNAL, "expected at most %d kinds of runs of stages", MOST_STAGE_PROGRAMS);
        return NULL;
    }
    StageProgram *of = &s->list[s->count];
    *of = (StageProgram){.first = first, .last = last, .sums_go_on = sums_go_on};
    if (stage_write(p, of, err)) return s->count++, of;
    texts_free(of->text, of->compiled.pieces);
    compiled_free(&of->compiled);
    return NULL;
}

bool stage_compile(Pjrt *p, StageProgram *of, Err *err) {
    char name[96];
    if (of->compiled.ready) return true;
    snprintf(name, sizeof name, "%s%s%s%s", stage_names[of->first], of->last > of->first ? " to " : "",
             of->last > of->first ? stage_names[of->last] : "", of->sums_go_on ? " of several passes" : "");
    Text *text = of->text;
    of->text = NULL;
    return pieces_compile(p, &of->compiled, name, text, err);
}

static void buffers_free(Pjrt *p, PjrtBuffer **list) {
    for (int i = 0; list && i < p->program->graph.count * p->own; i++) {
        pjrt_buffer_free(p->client, list[i]);
        list[i] = NULL;
    }
}

void stage_values_free(Pjrt *p) {
    buffers_free(p, p->stages.value);
    buffers_free(p, p->stages.result);
}

void stages_free(Pjrt *p) {
    PjrtStages *s = &p->stages;
    stage_values_free(p);
    for (int i = 0; i < s->count; i++) {
        texts_free(s->list[i].text, s->list[i].compiled.pieces);
        inputs_free(p, &s->list[i].compiled);
        compiled_free(&s->list[i].compiled);
    }
    free(s->value), free(s->result), free(s->told), free(s->last_use), free(s->state);
}
