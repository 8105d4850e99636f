/* trainer.c: see trainer.h. A step of the optimizer: passes of so many rows, each forward, then the head for some of its
 * logit rows after the other, then backward; then the norm of all gradients, and the update. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "../base/engine_options.h"
#include "../base/transport.h"
#include "../cpu/cpu_engine.h"
#include "../io/source.h"
#include "../model/adapters.h"
#include "../model/family.h"
#include "../model/train_graph.h"
#include "../ops/loss.h"
#include "task_head.h"
#include "trainer.h"

enum { HEAD_ROWS = 256, MOST_SEGMENTS = 1024 };

struct Trainer {
    ModelConfig config;
    TrainGraph train;
    Partition partition;
    Program program;
    Weights *weights;
    Adapters *adapters;         /* NULL: none */
    const Backend *backend;
    void *state;
    TrainTask task;
    float *head;                /* values of one that the model lacked; or NULL */
    int64_t micro_batch, rows, context, slots;
    int64_t head_rows;          /* logit rows that pass the head at once */
    uint64_t seed;
    int32_t *logit_row, *label; /* [rows] of a pass */
    int64_t *begins, *logit_begins; /* [micro_batch + 1] of its sequences */
    double *loss;               /* of every label of a step */
    size_t loss_capacity;
    float *scores;              /* [logit rows of an evaluation][labels], of a head with labels */
    size_t scores_capacity;
    int64_t score_rows;
    TrainTensor *tensors;
    TrainedWeight *tensor_trained; /* [tensor] in the program; .weight NO_TENSOR: it is not trained */
    int tensor_count;
    QmModelInfo info;
};

/* ---- Opening ----------------------------------------------------------------------------------------------------- */

bool trainer_allows(const TrainerOptions *o, Err *err) {
    if (transport_ranks() > 1) return err_as(err, QM_USAGE, "train: runs in one process");
    if (o->optimizer == OPTIMIZER_MUON) return err_as(err, QM_USAGE, "optimizer: expected adamw or sgd, got muon");
    if (o->moments_8bit) return err_as(err, QM_USAGE, "moments: expected f32, got 8bit");
    if (o->engine.backend && strcmp(o->engine.backend, "cpu"))
        return err_as(err, QM_USAGE, "backend: training runs on cpu, got '%.20s'", o->engine.backend);
    if (o->engine.act && strcmp(o->engine.act, "f32"))
        return err_as(err, QM_USAGE, "activations: training computes in f32, got '%.20s'", o->engine.act);
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

/* Slots of the widest replica: sequences that one pass may have. */
static int64_t slots_for(const Trainer *t) {
    int64_t each = t->rows / 2 < MOST_SEGMENTS / t->partition.mesh.dp ? t->rows / 2 : MOST_SEGMENTS / t->partition.mesh.dp;
    return (each < 1 ? 1 : each) * t->partition.mesh.dp;
}

static bool trainer_plan(Trainer *t, QmSource *source, const TrainerOptions *o, Err *err) {
    Mesh mesh;
    bool missing;
    TrainGraphOptions graph = {.sgd = o->optimizer == OPTIMIZER_SGD, .average = o->ema,
                               .recompute = o->recompute};
    if (!mesh_parse(&mesh, o->engine.mesh, err) || !config_load(&t->config, source, err) ||
        (o->adapter && (!(t->adapters = adapters_open(o->adapter, err)) ||
                        !adapters_configure(t->adapters, &t->config, err))) ||
        !task_head_configure(&t->config, o->task, o->task == TASK_QA ? 2 : o->labels, &missing, err) ||
        !(t->weights = model_weights(&t->config, source, err)) ||
        (missing && !task_head_begin(&t->config, source, o->seed, t->weights, &t->head, err)))
        return false;
    config_untie(&t->config, t->weights);
    if (t->adapters && !adapters_join(t->adapters, &t->config, t->weights, err)) return false;
    if (t->adapters) graph.adapted = t->weights;
    return train_graph(&t->train, &t->config, t->rows, t->context, &graph, err) &&
           partition_new(&t->partition, &t->config, &mesh, t->backend->uniform, err) &&
           program_new(&t->program, &t->train.model.graph, &t->partition, err);
}

Trainer *trainer_open(QmSource *source, const TrainerOptions *o, Err *err) {
    Trainer *t = trainer_allows(o, err) ? mem_new(1, sizeof *t, "trainer", err) : NULL;
    if (!t) return NULL;
    t->backend = &backend_cpu;
    t->task = o->task;
    t->micro_batch = o->micro_batch;
    t->seed = o->seed;
    t->context = o->seq_len;
    t->rows = o->micro_batch * o->seq_len;
    if (trainer_plan(t, source, o, err)) {
        t->slots = slots_for(t);
        t->head_rows = t->rows < HEAD_ROWS || o->task == TASK_QA ? t->rows : HEAD_ROWS; /* no answer's row is parted */
        BackendOptions b = {.threads = (int)o->engine.threads, .slots = t->slots, .context = t->context,
                            .rows = t->rows, .logit_rows = t->head_rows,
                            .sum_slots = LANE_SLOTS, .cache = CACHE_F32, .act = ACT_F32, .isa = o->engine.isa,
                            .pin = o->engine.pin, .phases = o->engine.phases, .candidates = -1};
        size_t n = (size_t)t->micro_batch + 1;
        t->logit_row = mem_new((size_t)t->rows, sizeof *t->logit_row, "rows", err);
        t->label = mem_new((size_t)t->rows, sizeof *t->label, "rows", err);
        t->begins = mem_new(n, sizeof *t->begins, "rows", err);
        t->logit_begins = mem_new(n, sizeof *t->logit_begins, "rows", err);
        t->state = t->logit_row && t->label && t->begins && t->logit_begins
                       ? t->backend->open(&t->program, t->weights, &b, err) : NULL;
    }
    if (t->state && tensors_list(t, err)) {
        info_fill(t);
        return t;
    }
    trainer_close(t);
    return NULL;
}

void trainer_close(Trainer *t) {
    if (!t) return;
    if (t->state) t->backend->close(t->state);
    program_free(&t->program);
    partition_free(&t->partition);
    train_graph_free(&t->train);
    weights_close(t->weights);
    adapters_free(t->adapters);
    free(t->logit_row), free(t->label), free(t->begins), free(t->logit_begins), free(t->loss);
    free(t->head), free(t->scores);
    free(t->tensors), free(t->tensor_trained);
    free(t);
}

/* ---- A pass ------------------------------------------------------------------------------------------------------ */

/* Rows [from, to) of a step of `count`. */
typedef struct Pass { const TrainRow *rows; int64_t from, to, count; } Pass;

/* The label of a token, where it counts for something: that which its row of logits is told by. */
static bool label_of(const Trainer *t, const TrainSegment *s, int64_t at, int32_t *label) {
    const TrainTarget *target = s->target;
    switch (t->task) {
    case TASK_CLM: return s->labels && at + 1 < s->count && (*label = s->labels[at + 1]) != NO_LABEL;
    case TASK_TOKCLS: return s->labels && (*label = s->labels[at]) != NO_LABEL;
    case TASK_SEQCLS:
        if (t->config.labels == 1) memcpy(label, &target->value, sizeof *label);
        else *label = target->label;
        return at + 1 == s->count;
    case TASK_QA:
        *label = (at == target->start ? SPAN_BEGINS : 0) | (at == target->end ? SPAN_ENDS : 0);
        return true;
    }
    return false;
}

static int64_t tokens_of(const TrainRow *rows, int64_t count) {
    int64_t tokens = 0;
    for (int64_t i = 0; i < count; i++)
        for (int64_t g = 0; g < rows[i].count; g++) tokens += rows[i].segments[g].count;
    return tokens;
}

static int64_t rows_of_head(const Trainer *t, const TrainSegment *s) {
    int64_t rows = 0;
    int32_t label;
    for (int64_t at = 0; at < s->count; at++) rows += label_of(t, s, at, &label);
    return rows;
}

/* How many a loss is the mean over: an answer's sequence counts once. */
static int64_t labels_of(const Trainer *t, const TrainRow *rows, int64_t count) {
    int64_t labels = 0;
    for (int64_t i = 0; i < count; i++)
        for (int64_t g = 0; g < rows[i].count; g++)
            labels += t->task == TASK_QA ? 1 : rows_of_head(t, &rows[i].segments[g]);
    return labels;
}

static bool target_check(const Trainer *t, const TrainSegment *s, Err *err) {
    const TrainTarget *g = s->target;
    if (t->task != TASK_SEQCLS && t->task != TASK_QA) return true;
    if (!g || s->count < 1) return err_as(err, QM_INPUT, "a sequence without a target");
    if (t->task == TASK_QA)
        return (g->context >= 0 && g->context <= g->start && g->start <= g->end && g->end < s->count) ||
               err_as(err, QM_INPUT, "an answer from token %d to %d: expected two in order from %d on, below %lld", g->start,
                      g->end, g->context, (long long)s->count);
    if (t->config.labels == 1)
        return isfinite(g->value) || err_as(err, QM_INPUT, "a target %g: expected a finite number", (double)g->value);
    return (g->label >= 0 && g->label < t->config.labels) ||
           err_as(err, QM_INPUT, "class %d: expected one below %lld", g->label, (long long)t->config.labels);
}

static bool row_check(const Trainer *t, const TrainRow *row, int64_t number, Err *err) {
    int64_t tokens = 0, vocab = t->config.vocab, labels = t->task == TASK_TOKCLS ? t->config.labels : vocab;
    for (int64_t s = 0; s < row->count; s++) {
        const TrainSegment *g = &row->segments[s];
        if (!target_check(t, g, err)) return err_prefix(err, "row %lld", (long long)number), false;
        for (int64_t i = 0; i < g->count; i++) {
            int32_t label = g->labels ? g->labels[i] : NO_LABEL;
            bool right = label == NO_LABEL || (label >= 0 && label < labels);
            if (g->ids[i] < 0 || g->ids[i] >= vocab || !right)
                return err_as(err, QM_INPUT, "row %lld, token %lld: id %d, label %d: expected ids below %lld, labels below "
                              "%lld", (long long)number, (long long)(tokens + i), g->ids[i], label, (long long)vocab,
                              (long long)labels);
        }
        tokens += g->count;
    }
    return tokens <= t->context || err_as(err, QM_LIMIT, "row %lld: %lld tokens do not fit a sequence length of %lld",
                                          (long long)number, (long long)tokens, (long long)t->context);
}

static bool rows_check(const Trainer *t, const TrainRow *rows, int64_t count, Err *err) {
    for (int64_t i = 0; i < count; i++)
        if (!row_check(t, &rows[i], i, err)) return false;
    return true;
}

/* The rows of a pass, and which of them have a label. */
static bool pass_fill(Trainer *t, const Pass *p, int64_t *logits, Err *err) {
    StepRows *s = t->backend->rows(t->state);
    int64_t dp = t->partition.mesh.dp, held = 0, replica = -1;
    s->rows = s->logit_rows = *logits = 0;
    for (int64_t i = p->from; i < p->to; i++) {
        const TrainRow *row = &p->rows[i];
        t->begins[i - p->from] = s->rows;
        t->logit_begins[i - p->from] = *logits;
        for (int64_t g = 0; g < row->count; g++) {
            const TrainSegment *segment = &row->segments[g];
            if (partition_slot(&t->partition, i, p->count, 0) != replica)
                held = 0, replica = partition_slot(&t->partition, i, p->count, 0);
            int64_t slot = partition_slot(&t->partition, i, p->count, held++);
            if (slot >= t->slots)
                return err_as(err, QM_LIMIT, "a pass of more than %lld sequences: lower the micro-batch",
                              (long long)(t->slots / dp));
            for (int64_t at = 0; at < segment->count; at++) {
                int64_t r = s->rows++;
                s->token[r] = segment->ids[at];
                s->slot[r] = (int32_t)slot;
                s->index[r] = at;
                s->position[r] = (int32_t)at;
                s->length[r] = segment->count;
                s->place[r] = i * t->context + (r - t->begins[i - p->from]);
                if (!label_of(t, segment, at, &t->label[*logits])) continue;
                t->logit_row[(*logits)++] = (int32_t)r;
            }
        }
    }
    t->begins[p->to - p->from] = s->rows;
    t->logit_begins[p->to - p->from] = *logits;
    return true;
}

static bool stages_run(Trainer *t, Stage first, Stage last, Err *err) {
    StepRows *s = t->backend->rows(t->state);
    s->first = first;
    s->last = last;
    return t->backend->run(t->state, err);
}

/* What the head gave for `rows` logit rows goes to the end of t->scores. */
static bool scores_keep(Trainer *t, int64_t rows, Err *err) {
    size_t n = (size_t)t->config.labels, all = (size_t)(t->score_rows + rows) * n;
    const float *read = t->backend->read(t->state, program_tensor(&t->program, t->train.scores), err);
    if (!read || !mem_grow((void **)&t->scores, &t->scores_capacity, all + 1, sizeof *t->scores, "scores", err))
        return false;
    memcpy(t->scores + (size_t)t->score_rows * n, read, (size_t)rows * n * sizeof *read);
    t->score_rows += rows;
    return true;
}

/* The head for all labels of the pass, so many at a time; their losses to loss[0 .. logits). kept: sums of logit rows
 * that earlier passes have left. */
static bool head_run(Trainer *t, const Pass *p, int64_t logits, bool gradients, int *kept, double *loss, Err *err) {
    StepRows *s = t->backend->rows(t->state);
    Tensor values = program_tensor(&t->program, t->train.loss);
    LanePlan whole;
    lanes_plan(&whole, p->count, p->from, p->to, t->logit_begins);
    for (int64_t at = 0, end; at == 0 || at < logits; at = end) {
        end = at + t->head_rows < logits ? at + t->head_rows : logits;
        lanes_cut(&whole, at, end, end == logits, *kept, &s->lanes[LOGIT_ROWS]);
        *kept = s->lanes[LOGIT_ROWS].kept;
        s->logit_rows = end - at;
        memcpy(s->logit_row, t->logit_row + at, (size_t)(end - at) * sizeof *s->logit_row);
        memcpy(s->label, t->label + at, (size_t)(end - at) * sizeof *s->label);
        if (!stages_run(t, STAGE_HEAD, gradients ? STAGE_HEAD_GRADIENT : STAGE_HEAD, err)) return false;
        const float *read = t->backend->read(t->state, values, err);
        if (!read) return false;
        for (int64_t i = at; i < end; i++) loss[i] = (double)read[i - at];
        if (!gradients && t->train.scores.id && !scores_keep(t, end - at, err)) return false;
        if (!logits) break;
    }
    s->logit_rows = 0;
    return true;
}

/* All passes over `count` rows; *sum: of the losses of all labels, in the order of lanes. */
static bool passes_run(Trainer *t, const TrainRow *rows, int64_t count, bool gradients, double *sum, Err *err) {
    StepRows *s = t->backend->rows(t->state);
    int64_t all = tokens_of(rows, count), done = 0, logits; /* of which some have labels */
    int kept = 0;
    int64_t *begins = mem_new((size_t)count + 1, sizeof *begins, "losses", err);
    bool ok = begins && mem_grow((void **)&t->loss, &t->loss_capacity, (size_t)all + 1, sizeof *t->loss, "losses", err);
    for (int64_t from = 0, to; ok && from < count; from = to) {
        to = from + t->micro_batch < count ? from + t->micro_batch : count;
        Pass p = {rows, from, to, count};
        ok = pass_fill(t, &p, &logits, err);
        if (!ok) break;
        lanes_plan(&s->lanes[STEP_ROWS], count, from, to, t->begins);
        for (int64_t i = from; i < to; i++) begins[i] = done + t->logit_begins[i - from];
        ok = stages_run(t, STAGE_FORWARD, STAGE_FORWARD, err) &&
             head_run(t, &p, logits, gradients, &kept, t->loss + done, err) &&
             (!gradients || stages_run(t, STAGE_GRADIENT, STAGE_GRADIENT, err));
        done += logits;
    }
    if (ok) begins[count] = done, *sum = lanes_sum(t->loss, count, begins);
    free(begins);
    return ok;
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
                               .average_decay = n->ema_decay, .step = n->step, .seed = t->seed};
    if (!passes_run(t, rows, count, true, &out->loss, err) || !stages_run(t, STAGE_NORM, STAGE_NORM, err) ||
        !gradient_norm(t, &out->grad_norm, err))
        return false;
    out->loss /= (double)out->labels;
    out->skipped = !isfinite(out->loss) || !isfinite(out->grad_norm) ||
                   (n->skip_norm > 0 && out->grad_norm > n->skip_norm) ||
                   (n->skip_loss > 0 && out->loss > n->skip_loss);
    if (out->skipped) return true;
    if (n->max_grad_norm > 0) {
        double clip = n->max_grad_norm / (out->grad_norm + 1e-6);
        s->scalars.clip = clip < 1 ? clip : 1;
    }
    return stages_run(t, STAGE_UPDATE, STAGE_UPDATE, err);
}

bool trainer_evaluate(Trainer *t, const TrainRow *rows, int64_t count, double *loss, int64_t *labels, Err *err) {
    StepRows *s = t->backend->rows(t->state);
    *loss = 0;
    t->score_rows = 0;
    if (!rows_check(t, rows, count, err)) return false;
    *labels = labels_of(t, rows, count);
    s->scalars = (StepScalars){.loss_weight = 1, .clip = 1};
    return count < 1 || passes_run(t, rows, count, false, loss, err);
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

/* Row-major numbers to or from where a part lies. */
static bool part_copy(Trainer *t, int i, TensorPart part, float *out, const float *in, Err *err) {
    const TrainTensor *of = &t->tensors[i];
    Tensor at = part_of(t, i, part);
    int64_t floats, columns = of->dim[1];
    float *data = at.id ? t->backend->state(t->state, at, &floats) : NULL;
    if (!data && at.id && out) { /* a value that the last step left */
        const float *value = t->backend->read(t->state, at, err);
        if (value) memcpy(out, value, (size_t)of->dim[0] * sizeof *out);
        return value != NULL;
    }
    if (!data) return err_as(err, QM_INTERNAL, "%s: has no such part", of->name);
    for (int64_t row = 0; row < of->dim[0]; row++)
        for (int64_t c = 0; c < columns; c++) {
            int64_t place = of->rank == 1 ? row : (row / PANEL * columns + c) * PANEL + row % PANEL;
            if (out) out[row * columns + c] = data[place];
            else data[place] = in[row * columns + c];
        }
    return true;
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
    if (part == PART_VALUE && !t->tensors[i].trained) return frozen_read(t, i, out, err);
    return part_copy(t, i, part, out, NULL, err);
}

bool trainer_write(Trainer *t, int i, TensorPart part, const float *in, Err *err) {
    return part_copy(t, i, part, NULL, in, err);
}
