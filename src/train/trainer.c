/* trainer.c: see trainer.h. A step of the optimizer: passes (passes.h), then the norm of all gradients, and the update. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "../base/engine_options.h"
#include "../base/transport.h"
#include "../cpu/cpu_engine.h"
#include "../cpu/packed_file.h"
#include "../infer/lead.h"
#include "../io/source.h"
#include "../pjrt/pjrt.h"
#include "../model/family.h"
#include "../ops/optimize8.h"
#include "passes.h"
#include "task_head.h"
#include "train_orders.h"

/* ---- Opening ----------------------------------------------------------------------------------------------------- */

/* NULL: there is none of this name. */
static const Backend *backend_named(const char *name) {
    if (!name || !strcmp(name, "cpu")) return &backend_cpu;
    return strcmp(name, "pjrt") ? NULL : &backend_pjrt_train;
}

bool trainer_allows(const TrainerOptions *o, Err *err) {
    const Backend *backend = backend_named(o->engine.backend);
    if (!backend) return err_as(err, QM_USAGE, "backend: expected cpu or pjrt, got '%.20s'", o->engine.backend);
    if (backend->uniform && o->optimizer == OPTIMIZER_MUON)
        return err_as(err, QM_USAGE, "optimizer: muon needs whole matrices, which PJRT devices share: expected adamw or "
                      "sgd there, or --backend cpu");
    if (o->moments_8bit && o->optimizer != OPTIMIZER_ADAMW)
        return err_as(err, QM_USAGE, "moments: only AdamW's are held in 8 bits: expected f32 with --optim %s",
                      optimizer_names[o->optimizer]);
    if (o->moments_8bit && backend->uniform)
        return err_as(err, QM_USAGE, "moments: on PJRT devices they are f32: expected f32 there, or --backend cpu");
    if (backend->uniform && transport_ranks() > 1)
        return err_as(err, QM_USAGE, "train: on PJRT devices it runs in one process, got %d", transport_ranks());
    if (!engine_options_known(&o->engine, backend->uniform ? ON_PJRT : ON_CPU, backend->name, err)) return false;
    if (o->engine.act && strcmp(o->engine.act, "f32") && strcmp(o->engine.act, "bf16"))
        return err_as(err, QM_USAGE, "activations: training computes in f32 or bf16, got '%.20s'", o->engine.act);
    if (o->seq_len < 2 || o->seq_len > MAX_ROWS)
        return err_as(err, QM_USAGE, "sequence length: expected 2 to %d tokens, got %lld", MAX_ROWS,
                      (long long)o->seq_len);
    if (o->micro_batch < 1 || o->micro_batch * o->seq_len > MAX_ROWS)
        return err_as(err, QM_USAGE, "micro-batch: expected 1 to %lld rows of %lld tokens, got %lld",
                      (long long)(MAX_ROWS / o->seq_len), (long long)o->seq_len, (long long)o->micro_batch);
    return true;
}

static bool tensors_list(Trainer *t, Err *err) {
    const Graph *g = &t->train.model.graph;
    size_t n = (size_t)g->count;
    t->tensors = mem_new(n, sizeof *t->tensors, "tensors", err);
    t->tensor_trained = mem_new(n, sizeof *t->tensor_trained, "tensors", err);
    if (!t->tensors || !t->tensor_trained) return false;
    for (int id = 1; id < g->count; id++) {
        const Node *w = &g->nodes[id];
        if (w->kind != NODE_WEIGHT || strstr(w->name, ADAPTER_NORM)) continue; /* that is computed */
        int i = t->tensor_count++;
        t->tensors[i] = (TrainTensor){.name = w->name, .rank = w->shape.rank, .trained = w->trained};
        for (int d = 0; d < 2; d++) t->tensors[i].dim[d] = d < w->shape.rank ? w->shape.dim[d].size : 1;
        for (int k = 0; k < t->train.count; k++) {
            const TrainedWeight *of = &t->train.weights[k];
            if (of->weight.id != id) continue;
            const Tensor from[] = {of->weight, of->gradient, of->first, of->second, of->average, of->squares};
            Tensor to[6];
            for (int j = 0; j < 6; j++) to[j] = program_tensor(&t->program, from[j]);
            t->tensor_trained[i] = (TrainedWeight){to[0], to[1], to[2], to[3], to[4], to[5], of->decays};
            t->tensors[i].decays = of->decays;
        }
    }
    return true;
}

static void info_fill(Trainer *t) {
    const ModelConfig *c = &t->config;
    const BackendInfo *i = t->backend->info(t->state);
    t->info = (QmModelInfo){.layers = c->layers, .hidden = c->hidden, .ffn = c->ffn, .vocab = c->vocab,
                            .heads = c->heads, .kv_heads = c->kv_heads, .head_dim = c->head_dim,
                            .max_positions = c->max_positions, .context = t->context, .slots = t->slots,
                            .rows = t->rows, .weight_bytes = i->weight_bytes,
                            .parameters = graph_parameters(&t->train.model.graph), .cache_bytes = i->cache_bytes,
                            .activation_bytes = i->activation_bytes,
                            .devices = t->partition.mesh.tp * t->partition.mesh.dp, .workers = i->workers,
                            .nodes = i->nodes, .all_reduces = program_collectives(&t->program, "all_reduce")};
    snprintf(t->info.architecture, sizeof t->info.architecture, "%s", c->architecture);
    snprintf(t->info.mesh, sizeof t->info.mesh, "%s", t->partition.mesh.text);
    snprintf(t->info.isa, sizeof t->info.isa, "%s", i->isa);
    snprintf(t->info.backend, sizeof t->info.backend, "%s", t->backend->name);
    snprintf(t->info.head, sizeof t->info.head, "%s", head_table[c->head].name);
    t->info.labels = c->labels;
    t->info.pad_id = c->pad;
}

/* How much a pass has. Static shapes have room for as many sequences on every replica. */
static bool sizes_set(Trainer *t, const TrainerOptions *o, Err *err) {
    int64_t dp = t->partition.mesh.dp, most = MOST_SEGMENTS / dp;
    if (!rank_groups(&t->groups, &t->partition.mesh, transport_rank(), transport_ranks(), err)) return false;
    t->context = o->seq_len;
    t->pass_sequences = t->backend->uniform ? (o->micro_batch + dp - 1) / dp * dp : o->micro_batch * t->groups.spans;
    t->rows = t->pass_sequences * t->context;
    if (t->rows > MAX_ROWS)
        return err_as(err, QM_USAGE, "micro-batch: %lld sequences of %lld tokens, as many on each of %lld replicas, or "
                      "groups of processes: expected at most %d rows", (long long)t->pass_sequences, (long long)t->context,
                      (long long)(t->backend->uniform ? dp : t->groups.spans), MAX_ROWS);
    if (t->rows / 2 < most) most = t->rows / 2;
    t->slots = t->backend->uniform ? t->pass_sequences : (most < 1 ? 1 : most) * dp;
    int64_t most_head = o->head_rows ? o->head_rows : t->backend->uniform ? UNIFORM_HEAD_ROWS : HEAD_ROWS;
    t->head_rows = t->rows / (t->backend->uniform ? dp : t->groups.spans);
    if (o->task != TASK_QA && t->head_rows > most_head) t->head_rows = most_head; /* no answer's row is parted */
    return true;
}

/* Only a base that is not trained can have other weights than its file's. */
static bool weights_allowed(const Trainer *t, const TrainerOptions *o, Err *err) {
    const char *type = o->engine.weights;
    if (!type || !strcmp(type, "file") || (o->adapter && !t->backend->uniform)) return true;
    return err_as(err, QM_USAGE, o->adapter ? "weights: on PJRT devices --act says the type of a base, got '%.20s'"
                                            : "weights: what is trained is in f32: expected an adapter (--lora-r), or "
                                              "file, got '%.20s'", type);
}

static bool trainer_plan(Trainer *t, QmSource *source, const TrainerOptions *o, Err *err) {
    Mesh mesh;
    bool missing;
    TrainGraphOptions graph = {.optimizer = o->optimizer, .moments_8bit = o->moments_8bit, .average = o->ema,
                               .recompute = o->recompute, .embed_parts = t->backend->uniform};
    if (!weights_allowed(t, o, err) || !mesh_parse(&mesh, o->engine.mesh, err) ||
        !config_load(&t->config, source, err) ||
        (o->adapter && (!(t->adapters = adapters_open(o->adapter, err)) ||
                        !adapters_configure(t->adapters, &t->config, err))) ||
        !task_head_configure(&t->config, o->task, o->task == TASK_QA ? 2 : o->labels, &missing, err) ||
        !(t->weights = model_weights(&t->config, source, err)) ||
        (missing && !task_head_begin(&t->config, source, o->seed, t->weights, &t->head, err)))
        return false;
    config_untie(&t->config, t->weights);
    if (t->adapters && !adapters_join(t->adapters, &t->config, t->weights, err)) return false;
    if (t->adapters) graph.adapted = t->weights;
    return partition_new(&t->partition, &t->config, &mesh, t->backend->uniform, err) && sizes_set(t, o, err) &&
           train_graph(&t->train, &t->config, t->rows, t->context, &graph, err) &&
           program_new(&t->program, &t->train.model.graph, &t->partition, err);
}

/* Lists for the rows and sequences of a pass. */
static bool lists_new(Trainer *t, Err *err) {
    size_t rows = (size_t)t->rows, sequences = (size_t)t->pass_sequences;
    t->logit_row = mem_new(rows, sizeof *t->logit_row, "rows", err);
    t->label = mem_new(rows, sizeof *t->label, "rows", err);
    t->sequence = mem_new(sequences, sizeof *t->sequence, "rows", err);
    t->begins = mem_new(sequences + 1, sizeof *t->begins, "rows", err);
    t->logit_begins = mem_new(sequences + 1, sizeof *t->logit_begins, "rows", err);
    return t->logit_row && t->label && t->sequence && t->begins && t->logit_begins;
}

static void trainer_free(Trainer *t) {
    if (!t) return;
    if (t->state) t->backend->close(t->state);
    program_free(&t->program);
    partition_free(&t->partition);
    train_graph_free(&t->train);
    weights_close(t->weights);
    adapters_free(t->adapters);
    free(t->logit_row), free(t->label), free(t->sequence), free(t->begins), free(t->logit_begins), free(t->loss);
    free(t->head), free(t->scores);
    free(t->tensors), free(t->tensor_trained);
    free(t);
}

/* Everything for a step. */
static bool trainer_start(Trainer *t, const TrainerOptions *o, Err *err) {
    int64_t sides = t->backend->uniform ? t->partition.mesh.dp : t->groups.spans;
    bool bf16 = o->engine.act && !strcmp(o->engine.act, act_names[ACT_BF16]);
    BackendOptions b = {.threads = (int)o->engine.threads, .slots = t->slots, .context = t->context,
                        .rows = t->rows, .logit_rows = t->head_rows * sides,
                        .sum_slots = LANE_SLOTS, .cache = CACHE_F32, .act = bf16 ? ACT_BF16 : ACT_F32,
                        .act_given = o->engine.act != NULL, .isa = o->engine.isa,
                        .pin = o->engine.pin, .phases = o->engine.phases, .candidates = -1,
                        .plugin = o->engine.plugin, .program_cache = o->engine.program_cache};
    if (!lists_new(t, err) || !weights_option(o->engine.weights, &b.quantise, err)) return false;
    t->state = t->backend->open(&t->program, t->weights, &b, err);
    if (!t->state || !tensors_list(t, err)) return false;
    info_fill(t);
    return true;
}

/* Over several processes all have to have planned the same of the same model, and opened it. */
static bool trainer_agree(const Trainer *t, bool planned, Err *err) {
    const LeadModel m = {&t->config, &t->program.graph, t->weights, t->partition.mesh.text, t->context, t->slots, t->rows};
    return transport_ranks() > 1 ? lead_agree_on(&m, planned, err) : planned;
}

Trainer *trainer_open_as(QmSource *source, const TrainerOptions *o, Err *err) {
    Trainer *t = mem_new(1, sizeof *t, "trainer", err);
    if (!t) return NULL;
    t->backend = backend_named(o->engine.backend);
    t->task = o->task;
    t->seed = o->seed;
    t->stop = o->stop;
    bool planned = source && trainer_allows(o, err) && trainer_plan(t, source, o, err);
    if (!source) err_as(err, QM_INPUT, "cannot open %s", o->engine.model);
    if (trainer_agree(t, planned, err)) {
        bool started = trainer_start(t, o, err);
        if (transport_ranks() > 1 ? transport_agree(started, "opening the model", err) : started) return t;
    }
    trainer_free(t);
    return NULL;
}

Trainer *trainer_open(QmSource *source, const TrainerOptions *o, Err *err) {
    if (!trainer_allows(o, err) || !train_lead_open(source_path(source), o, err)) return NULL;
    Trainer *t = trainer_open_as(source, o, err);
    if (!t) train_lead(TRAIN_CLOSE, 0, 0);
    return t;
}

void trainer_close(Trainer *t) {
    if (t) train_lead(TRAIN_CLOSE, 0, 0);
    trainer_free(t);
}

/* ---- Steps ------------------------------------------------------------------------------------------------------- */

/* The norm of all gradients: rows of each, then tensors, in order. */
static bool gradient_norm(Trainer *t, double *norm, Err *err) {
    double sum = 0;
    for (int i = 0; i < t->tensor_count; i++) {
        if (!t->tensors[i].trained) continue;
        const float *squares = t->backend->read(t->state, t->tensor_trained[i].squares, err);
        if (!squares) return false;
        double tensor = 0;
        for (int64_t o = 0; o < t->tensors[i].dim[0]; o++) tensor += (double)squares[o];
        sum += tensor;
    }
    *norm = sqrt(sum);
    return true;
}

/* What is decided of a step once its loss and norm are known. */
typedef struct Decision { double clip; int64_t skipped; } Decision;

static bool decide(Trainer *t, const StepNumbers *n, StepResult *out, Err *err) {
    StepRows *s = t->backend->rows(t->state);
    Decision d = {.clip = 1};
    if (!gradient_norm(t, &out->grad_norm, err)) return false;
    out->loss /= (double)out->labels;
    d.skipped = !isfinite(out->loss) || !isfinite(out->grad_norm) || (n->skip_norm > 0 && out->grad_norm > n->skip_norm) ||
                (n->skip_loss > 0 && out->loss > n->skip_loss);
    if (n->max_grad_norm > 0 && n->max_grad_norm < out->grad_norm + 1e-6)
        d.clip = n->max_grad_norm / (out->grad_norm + 1e-6);
    train_decided(&d, sizeof d);
    out->skipped = d.skipped != 0;
    s->scalars.clip = d.clip;
    return true;
}

bool trainer_step(Trainer *t, const TrainRow *rows, int64_t count, const StepNumbers *n, StepResult *out, Err *err) {
    StepRows *s = t->backend->rows(t->state);
    *out = (StepResult){0};
    t->score_rows = 0;
    if (!rows_check(t, rows, count, err)) return false;
    out->tokens = tokens_of(rows, count);
    out->labels = labels_of(t, rows, count);
    if (count < 1 || !out->labels)
        return err_as(err, QM_INPUT, "a step of %lld rows has no label to learn from", (long long)count);
    s->scalars = (StepScalars){.loss_weight = 1 / (double)out->labels, .label_smoothing = n->label_smoothing,
                               .z_loss = n->z_loss, .clip = 1, .learning_rate = n->learning_rate, .beta1 = n->beta1,
                               .beta2 = n->beta2, .epsilon = n->epsilon, .weight_decay = n->weight_decay,
                               .average_decay = n->ema_decay, .muon_rate = n->muon_rate,
                               .muon_momentum = n->muon_momentum, .muon_as_adamw = n->muon_as_adamw,
                               .step = n->step, .seed = t->seed};
    if (!train_lead_rows(TRAIN_STEP, rows, count, n, err)) return false;
    return train_together(passes_run(t, rows, count, true, &out->loss, err) &&
                              stages_run(t, STAGE_NORM, STAGE_NORM, err) && decide(t, n, out, err) &&
                              (out->skipped || stages_run(t, STAGE_UPDATE, STAGE_UPDATE, err)),
                          err);
}

bool trainer_evaluate(Trainer *t, const TrainRow *rows, int64_t count, double *loss, int64_t *labels, Err *err) {
    StepRows *s = t->backend->rows(t->state);
    *loss = 0;
    t->score_rows = 0;
    if (!rows_check(t, rows, count, err)) return false;
    *labels = labels_of(t, rows, count);
    s->scalars = (StepScalars){.loss_weight = 1, .clip = 1};
    if (count < 1) return true;
    return train_lead_rows(TRAIN_EVALUATE, rows, count, NULL, err) &&
           train_together(passes_run(t, rows, count, false, loss, err), err);
}

TaskScores trainer_scores(const Trainer *t) { return (TaskScores){t->scores, t->score_rows, t->config.labels}; }

/* ---- Tensors ----------------------------------------------------------------------------------------------------- */

int trainer_tensors(const Trainer *t) { return t->tensor_count; }
const TrainTensor *trainer_tensor(const Trainer *t, int i) { return &t->tensors[i]; }
const Adapters *trainer_adapters(const Trainer *t) { return t->adapters; }
const QmModelInfo *trainer_info(const Trainer *t) { return &t->info; }

static Tensor part_of(const Trainer *t, int i, TensorPart part) {
    const TrainedWeight *w = &t->tensor_trained[i];
    const Tensor parts[TENSOR_PARTS] = {w->weight, w->gradient, w->first, w->second, w->average};
    return parts[part];
}

bool trainer_has(const Trainer *t, int i, TensorPart part) { return part_of(t, i, part).id != 0; }

bool trainer_coded(const Trainer *t, int i, TensorPart part) {
    const Node *n = graph_state(&t->program.graph, part_of(t, i, part));
    return n && node_is_coded(n);
}

int64_t trainer_block_end(const Trainer *t, int i, int64_t column) {
    const Graph *g = &t->program.graph;
    return code_block_end(g, &graph_node(g, t->tensor_trained[i].weight)->shape.dim[1], column);
}

/* A gain that heads share has its gradient as a value, which the last step left. */
static bool value_read(Trainer *t, int i, Tensor value, float *out, Err *err) {
    const float *from = t->backend->read(t->state, value, err);
    if (from && out) memcpy(out, from, (size_t)t->tensors[i].dim[0] * sizeof *out);
    return from != NULL;
}

/* A weight that is not trained, in its own type. */
static bool frozen_read(Trainer *t, int i, float *out, Err *err) {
    const TrainTensor *of = &t->tensors[i];
    const WeightTensor *w = weights_find(t->weights, of->name);
    if (!w || (!w->data && w->panels)) return err_as(err, QM_INPUT, "%s: its values are not in the file", of->name);
    for (int64_t row = 0; row < of->dim[0]; row++)
        dtype_row(w->dtype)->read(weights_row(w, row), 0, of->dim[1], out + row * of->dim[1]);
    return true;
}

bool trainer_read(Trainer *t, int i, TensorPart part, float *out, Err *err) {
    Tensor at = part_of(t, i, part);
    if (part == PART_VALUE && !t->tensors[i].trained) return frozen_read(t, i, out, err);
    if (!at.id) return err_as(err, QM_INTERNAL, "%s: has no such part", t->tensors[i].name);
    train_lead(TRAIN_READ, i, part);
    return graph_state(&t->program.graph, at) ? t->backend->state_read(t->state, at, out, err)
                                              : value_read(t, i, at, out, err);
}

bool trainer_write(Trainer *t, int i, TensorPart part, const float *in, Err *err) {
    Tensor at = part_of(t, i, part);
    if (!at.id || !graph_state(&t->program.graph, at))
        return err_as(err, QM_INTERNAL, "%s: has no such part", t->tensors[i].name);
    train_lead(TRAIN_WRITE, i, part);
    return t->backend->state_write(t->state, at, in, err);
}
