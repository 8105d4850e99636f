/* engine.c: opens a model on a mesh. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "../cpu/cpu_engine.h"
#include "../cpu/packed_file.h"
#include "../base/engine_options.h"
#include "../base/transport.h"
#include "../base/watch.h"
#include "../model/adapters.h"
#include "../model/family.h"
#include "../ops/norm.h"
#include "../pjrt/pjrt.h"
#include "engine.h"
#include "lead.h"

/* Held while an engine is opened or closed, which changes what a process has only one of: the environment that a plugin
 * reads, the messages between ranks. */
static Turn process = TURN_INITIALIZER;

static Turn *turn_of(const QmEngine *e) { return transport_ranks() > 1 ? &process : (Turn *)&e->turn; }
void engine_enter(const QmEngine *e) { turn_take(turn_of(e)); }
void engine_leave(const QmEngine *e) { turn_end(turn_of(e)); }

enum { DEFAULT_ROWS = 128, DEFAULT_CONTEXT = 4096, MAX_SLOTS = 1024, MAX_CANDIDATES = 4096 };

static bool options_check(const QmEngineOptions *o, const ModelConfig *c, BackendOptions *out, Err *err) {
    int64_t context = o->context;
    if (context == 0) context = c->max_positions < DEFAULT_CONTEXT ? c->max_positions : DEFAULT_CONTEXT;
    int64_t candidates = -1;
    if (o->candidates && !parse_int(o->candidates, 0, MAX_CANDIDATES, &candidates))
        return err_as(err, QM_USAGE, "candidates: expected 0 to %d, got '%.20s'", MAX_CANDIDATES, o->candidates);
    *out = (BackendOptions){.threads = (int)o->threads,
                            .candidates = (int)candidates,
                            .slots = o->slots ? o->slots : 1,
                            .rows = o->rows ? o->rows : DEFAULT_ROWS,
                            .context = context,
                            .isa = o->isa,
                            .pin = o->pin,
                            .phases = o->phases,
                            .weights = o->weights,
                            .plugin = o->plugin,
                            .program_cache = o->program_cache};
    if (context < 1 || context > ((int64_t)1 << 31))
        return err_as(err, QM_USAGE, "context: expected 1 to 2^31 positions, got %lld", (long long)context);
    if (out->slots < 1 || out->slots > MAX_SLOTS)
        return err_as(err, QM_USAGE, "slots: expected 1 to %d, got %lld", MAX_SLOTS, (long long)out->slots);
    if (out->rows < 1 || out->rows > MAX_ROWS)
        return err_as(err, QM_USAGE, "rows: expected 1 to %d, got %lld", MAX_ROWS, (long long)out->rows);
    if (o->threads < 0 || o->threads > INT_MAX)
        return err_as(err, QM_USAGE, "threads: expected 0 or more, got %lld", (long long)o->threads);
    while (o->kv_cache && out->cache < CACHE_COUNT && strcmp(o->kv_cache, cache_names[out->cache])) out->cache++;
    if (out->cache == CACHE_COUNT)
        return err_as(err, QM_USAGE, "cache type: expected f32, bf16 or 8bit, got '%.20s'", o->kv_cache);
    out->act_given = o->act != NULL;
    out->act_auto = o->act && !strcmp(o->act, "auto");
    while (o->act && !out->act_auto && out->act < ACT_COUNT && strcmp(o->act, act_names[out->act])) out->act++;
    if (out->act == ACT_COUNT)
        return err_as(err, QM_USAGE, "activations: expected auto, f32, int8 or bf16, got '%.20s'", o->act);
    if (o->backend && !strcmp(o->backend, "pjrt")) /* which types of weights its devices take, the backend says */
        return out->cache != CACHE_Q8 || err_as(err, QM_USAGE, "cache type: 8bit is for the cpu backend only");
    return weights_option(o->weights, &out->quantise, err);
}

/* What the configuration says. */
static void info_config(QmModelInfo *m, const ModelConfig *c) {
    *m = (QmModelInfo){.layers = c->layers, .hidden = c->hidden, .ffn = c->ffn, .vocab = c->vocab, .heads = c->heads,
                       .kv_heads = c->kv_heads, .head_dim = c->head_dim, .max_positions = c->max_positions,
                       .labels = c->labels, .pad_id = c->pad};
    snprintf(m->architecture, sizeof m->architecture, "%s", c->architecture);
    snprintf(m->head, sizeof m->head, "%s", head_table[c->head].name);
    snprintf(m->problem_type, sizeof m->problem_type, "%s", c->problem);
}

bool qm_source_info(QmSource *source, QmModelInfo *info, QmErr *err) {
    ModelConfig *config = mem_new(1, sizeof *config, "config", err);
    bool ok = config && config_load(config, source, err);
    if (ok) info_config(info, config);
    free(config);
    return ok;
}

static void info_fill(QmEngine *e, const BackendOptions *b) {
    const BackendInfo *i = e->backend->info(e->state);
    QmModelInfo *m = &e->info;
    info_config(m, &e->config);
    m->context = b->context, m->slots = b->slots, m->rows = b->rows;
    m->weight_bytes = i->weight_bytes;
    m->parameters = graph_parameters(&e->model.graph);
    m->cache_bytes = i->cache_bytes, m->activation_bytes = i->activation_bytes, m->decode_bytes = i->decode_bytes;
    m->devices = e->partition.mesh.tp * e->partition.mesh.dp;
    m->workers = i->workers, m->nodes = i->nodes;
    m->all_reduces = program_collectives(&e->program, "all_reduce");
    m->reduce_argmaxes = program_collectives(&e->program, "reduce_argmax");
    snprintf(m->mesh, sizeof m->mesh, "%s", e->partition.mesh.text);
    snprintf(m->isa, sizeof m->isa, "%s", i->isa);
    snprintf(m->packed_parts, sizeof m->packed_parts, "%s", i->packed_parts);
    const WeightTensor *w = weights_find(e->weights, family_of(&e->config)->typical);
    snprintf(m->weight_type, sizeof m->weight_type, "%s", w ? dtype_row(w->dtype)->name : "?");
    snprintf(m->act, sizeof m->act, "%s", i->act);
    snprintf(m->act_why, sizeof m->act_why, "%s", i->act_why);
    snprintf(m->backend, sizeof m->backend, "%s", e->backend->name);
    m->weight_error = i->weight_error;
    if (w && w->panels) snprintf(m->weight_type, sizeof m->weight_type, "%s", w->panel_type);
    if (b->quantise) snprintf(m->weight_type, sizeof m->weight_type, "%s", b->weights);
    snprintf(m->kv_cache, sizeof m->kv_cache, "%s", i->cache);
}

static const Backend *backend_named(const char *name) {
    static const Backend *const backends[] = {&backend_cpu, &backend_pjrt};
    if (!name) return backends[0];
    for (int i = 0; i < 2; i++)
        if (!strcmp(backends[i]->name, name)) return backends[i];
    return NULL;
}

/* Generated weights for every weight of the model. */
static Weights *random_weights(const Graph *g, const char *type, Err *err) {
    DType dtype = DTYPE_F32;
    while (dtype < DTYPE_COUNT && strcasecmp(dtype_row(dtype)->name, type)) dtype++;
    if (dtype == DTYPE_COUNT) {
        err_as(err, QM_USAGE, "generated weights: expected f32, bf16, f16, q8_0, q4_0, ..., got '%.20s'", type);
        return NULL;
    }
    WeightTensor *list = mem_new((size_t)g->count, sizeof *list, "generated weights", err);
    int64_t count = 0;
    for (int i = 1; list && i < g->count; i++) {
        const Node *n = &g->nodes[i];
        if (n->kind != NODE_WEIGHT) continue;
        list[count] = (WeightTensor){.name = n->name, .rank = n->shape.rank, .gain = norm_has_gain(g, i)};
        for (int d = 0; d < n->shape.rank; d++) list[count].dim[d] = n->shape.dim[d].size;
        count++;
    }
    Weights *w = list ? weights_random(list, count, dtype, err) : NULL;
    free(list);
    return w;
}

static bool head_choose(ModelConfig *c, const char *head, Err *err) {
    if (!head || head_named(head) == c->head) return true;
    if (head_named(head) != HEAD_ABSENT)
        return err_as(err, QM_USAGE, "head: expected none or the model's own, %s, got '%.20s'",
                      head_table[c->head].name, head);
    c->head = HEAD_ABSENT;
    c->labels = 0;
    return true;
}

static bool adapters_take(QmEngine *e, const QmEngineOptions *o, Err *err) {
    if (o->lora && o->adapters)
        return err_as(err, QM_USAGE, "adapters: expected those that are added up, or those that requests choose, not both");
    if (!o->lora && !o->adapters) return true;
    e->adapters = o->lora ? adapters_open(o->lora, err) : adapters_open_chosen(o->adapters, err);
    return e->adapters && adapters_configure(e->adapters, &e->config, err);
}

/* All but the backend, which with several ranks is opened once every rank has come as far. */
static bool engine_plan(QmEngine *e, Source *source, const QmEngineOptions *o, BackendOptions *b, QmErr *err) {
    Mesh mesh;
    return mesh_parse(&mesh, o->mesh, err) && config_load(&e->config, source, err) &&
           adapters_take(e, o, err) &&
           head_choose(&e->config, o->head, err) &&
           options_check(o, &e->config, b, err) &&
           (o->random ||
            ((e->weights = model_weights(&e->config, source, err)) && (config_untie(&e->config, e->weights), true))) &&
           (!e->adapters || o->random || adapters_join(e->adapters, &e->config, e->weights, err)) &&
           model_graph(&e->model, &e->config, b->rows, b->context, o->hidden, err) &&
           (!o->random || (e->weights = random_weights(&e->model.graph, o->random, err))) &&
           partition_new(&e->partition, &e->config, &mesh, e->backend->uniform, err) &&
           program_new(&e->program, &e->model.graph, &e->partition, err);
}

/* The outputs that a step asks for again and again. */
static bool outputs_find(QmEngine *e, Err *err) {
    const ModelOutputs *all = &e->model.outputs;
    char name[32];
    e->logits = output_find(all, "logits");
    e->best = output_find(all, "best");
    if (!(e->hidden = mem_new((size_t)e->config.layers + 1, sizeof *e->hidden, "outputs", err))) return false;
    for (int64_t i = 0; i <= e->config.layers; i++) {
        snprintf(name, sizeof name, "hidden.%d", (int)i);
        e->hidden[i] = output_find(all, name);
        e->hidden_count += e->hidden[i].id != 0;
    }
    return true;
}

int64_t engine_columns(const QmEngine *e, Tensor output) {
    const Node *n = graph_node(&e->model.graph, output);
    return !n ? 0 : n->value == VALUE_PAIR ? 2 : n->shape.dim[n->shape.rank - 1].size;
}

int64_t qm_engine_output(const QmEngine *e, const char *name) {
    return engine_columns(e, output_find(&e->model.outputs, name));
}

static bool engine_start(QmEngine *e, const BackendOptions *b, QmErr *err) {
    e->state = e->backend->open(&e->program, e->weights, b, err);
    e->slot = e->state ? mem_new((size_t)b->slots, sizeof *e->slot, "slots", err) : NULL;
    e->row_entry = e->slot ? mem_new((size_t)b->rows, sizeof *e->row_entry, "rows", err) : NULL;
    e->row_token = e->row_entry ? mem_new((size_t)b->rows, sizeof *e->row_token, "rows", err) : NULL;
    e->row_settled = e->row_token ? mem_new((size_t)b->rows, sizeof *e->row_settled, "rows", err) : NULL;
    if (!e->row_settled || !outputs_find(e, err)) return false;
    info_fill(e, b);
    return true;
}

/* The files: those that are open, or those at options->model. */
static Source *source_of(QmSource *source, const QmEngineOptions *o, QmErr *err) {
    if (source) return source_keep(source);
    if (o->model) return source_open(o->model, err);
    err_as(err, QM_USAGE, "no model given: expected a Hugging Face folder, a .gguf file or a packed file");
    return NULL;
}

static bool path_keep(QmEngine *e, const Source *source, Err *err) {
    return (e->path = strdup(source_path(source))) || err_as(err, QM_MEMORY, "out of memory: the path of a model");
}

QmEngine *engine_open_as(QmSource *given, const QmEngineOptions *o, int spread_number, QmErr *err) {
    QmEngine *e = mem_new(1, sizeof *e, "engine", err);
    BackendOptions b = {0};
    if (!e) return NULL;
    e->turn = (Turn)TURN_INITIALIZER;
    e->spread_number = spread_number;
    if (o->watch) e->own_watch = *o->watch, e->watch = &e->own_watch;
    e->backend = backend_named(o->backend);
    if (!e->backend) err_as(err, QM_USAGE, "backend: expected cpu or pjrt, got '%.20s'", o->backend);
    else if (engine_options_known(o, e->backend == &backend_cpu ? ON_CPU : ON_PJRT, e->backend->name, err)) {
        QmEngineOptions told = *o;
        if (given) told.model = source_path(given);
        lead_open(e, &told);
        Source *source = source_of(given, o, err);
        snprintf(e->weights_told, sizeof e->weights_told, "weights %.30s random %.30s", o->weights ? o->weights : "file",
                 o->random ? o->random : "no");
        e->random = o->random != NULL;
        bool planned = source && path_keep(e, source, err) && engine_plan(e, source, o, &b, err);
        source_close(source);
        if (lead_agree(e, &b, planned, err) && lead_opened(e, engine_start(e, &b, err), err)) return e;
    }
    qm_engine_close(e);
    return NULL;
}

QmEngine *qm_engine_open(const QmEngineOptions *given, QmErr *err) { return qm_engine_open_from(NULL, given, err); }

QmEngine *qm_engine_open_from(QmSource *source, const QmEngineOptions *given, QmErr *err) {
    QmEngineOptions o;
    if (!engine_options_take(&o, given, err)) return NULL;
    turn_take(&process);
    const QmWatch *before = watch_use(o.watch);
    QmEngine *e = engine_open_as(source, &o, 0, err);
    watch_use(before);
    turn_end(&process);
    return e;
}

void qm_engine_close(QmEngine *e) {
    if (!e) return;
    turn_take(&process);
    const QmWatch *before = watch_use(e->watch);
    lead_close(e);
    if (e->state) e->backend->close(e->state);
    watch_use(before);
    program_free(&e->program);
    partition_free(&e->partition);
    model_graph_free(&e->model);
    weights_close(e->weights);
    adapters_free(e->adapters);
    free(e->slot);
    free(e->row_entry);
    free(e->row_token);
    free(e->row_settled);
    free(e->hidden);
    free(e->path);
    turn_destroy(&e->turn);
    free(e);
    turn_end(&process);
}

const QmModelInfo *qm_engine_info(const QmEngine *e) { return &e->info; }

const char *qm_engine_adapter(const QmEngine *e, int i) {
    return i >= 0 && i < adapters_chosen(e->adapters) ? e->adapters->name[i] : NULL;
}

int qm_engine_compilations(const QmEngine *e) {
    engine_enter(e);
    int count = e->backend->info(e->state)->programs_compiled;
    engine_leave(e);
    return count;
}

int qm_engine_phases(QmEngine *e, QmPhase *out, int most) {
    engine_enter(e);
    int count = e->backend->phases ? e->backend->phases(e->state, out, most) : 0;
    engine_leave(e);
    return count;
}

void qm_interrupt(QmEngine *e) { atomic_fetch_add(&e->interrupts, 1); }
