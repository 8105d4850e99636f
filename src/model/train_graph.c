/* train_graph.c: see train_graph.h. */
#include <string.h>
#include "../graph/gradient.h"
#include "../ops/loss.h"
#include "adapters.h"
#include "family.h"
#include "train_graph.h"

const char *const optimizer_names[] = {"adamw", "sgd", "muon", NULL};

/* ---- What is trained --------------------------------------------------------------------------------------------- */

static bool is_trained(const char *name, Weights *adapted) {
    const WeightTensor *w = adapted ? weights_find(adapted, name) : NULL;
    return !adapted || (w && w->added && !w->frozen);
}

/* It is written, but has no gradient. */
static bool is_norm(const Node *n) { return strstr(n->name, ADAPTER_NORM) != NULL; }

static bool decays(const char *name) {
    return !strstr(name, "bias") && !strstr(name, "norm");
}

static int trained_mark(Graph *g, Weights *adapted) {
    int count = 0;
    for (int id = 1; id < g->count; id++) {
        Node *n = &g->nodes[id];
        if (n->kind == NODE_WEIGHT) count += (n->trained = is_trained(n->name, adapted)) && !is_norm(n);
    }
    return count;
}

/* ---- Loss -------------------------------------------------------------------------------------------------------- */

/* Of heads that tell no class: an answer's ends, a number. */
static Tensor other_loss(TrainGraph *t, Tensor logits, bool span) {
    Graph *g = &t->model.graph;
    t->loss = span ? span_loss(g, logits, t->labels) : square_loss(g, logits, t->labels);
    if (graph_node(g, t->loss)) graph_node(g, t->loss)->keep = true;
    g->stage = STAGE_HEAD_GRADIENT;
    return span ? span_loss_grad(g, logits, t->labels) : square_loss_grad(g, logits, t->labels);
}

/* The loss of each logit row; returns the gradient of the logits. */
static Tensor loss_nodes(TrainGraph *t, const ModelConfig *c, Tensor logits) {
    Graph *g = &t->model.graph;
    bool number = c->head == HEAD_SEQUENCE && c->labels == 1;
    g->stage = STAGE_HEAD;
    t->labels = input(g, "labels", "r");
    if (c->labels && graph_node(g, logits)) t->scores = logits, graph_node(g, logits)->keep = true;
    if (c->head == HEAD_QUESTION || number) return other_loss(t, logits, !number);
    Tensor most = row_max(g, logits), sum = exp_sum(g, logits, most), label = label_logit(g, logits, t->labels);
    t->loss = token_loss(g, most, sum, label, row_sum(g, logits));
    if (graph_node(g, t->loss)) graph_node(g, t->loss)->keep = true;
    g->stage = STAGE_HEAD_GRADIENT;
    return token_loss_grad(g, logits, most, sum, t->labels);
}

/* ---- The optimizer ----------------------------------------------------------------------------------------------- */

/* The sum of all uses of a weight. */
static Tensor gradient_sum_of(Graph *g, const Gradient *b, Tensor weight) {
    Tensor sum = NO_TENSOR;
    for (int i = 0; i < b->weight_count; i++) {
        if (b->weights[i].weight.id != weight.id) continue;
        Tensor added = {0}; /* the sum as the op that adds to it has left it */
        for (int id = b->count; id < g->count; id++)
            if (g->nodes[id].op && g->nodes[id].op->accumulates &&
                graph_state(g, (Tensor){id}) == graph_node(g, b->weights[i].sum))
                added = (Tensor){id};
        if (!shape_same(&graph_node(g, added)->shape, &graph_node(g, weight)->shape)) added = head_gain_sum(g, added);
        sum = sum.id ? sum_states(g, sum, added) : added;
    }
    return sum;
}

static Tensor moment(Graph *g, Tensor weight, const char *what, ValueType type) {
    char axes[AXES_TEXT], name[sizeof graph_node(g, weight)->name];
    shape_axes(&graph_node(g, weight)->shape, axes);
    snprintf(name, sizeof name, "%s", graph_node(g, weight)->name);
    return state(g, axes, type, "%s.%s", what, name);
}

/* A matrix between hidden states, as torch.optim.Muon is made for: no table of embeddings, no head. */
static bool is_hidden_matrix(const Node *n) { return n->value == VALUE_MATRIX && strstr(n->name, "layers."); }

/* Tables of embeddings keep f32: their rows are met seldom, each then by a gradient of its own size (ibid., section 2.3;
 * so does Trainer). */
static bool has_moments_8bit(const Graph *g, Tensor weight, const TrainGraphOptions *o) {
    const Node *w = graph_node(g, weight);
    if (!o->moments_8bit || w->value != VALUE_MATRIX || w->shape.dim[0].size * w->shape.dim[1].size < MOMENTS_8BIT) return false;
    for (int id = weight.id + 1; id < g->count; id++)
        for (int i = 0; i < g->nodes[id].inputs; i++)
            if (g->nodes[id].in[i].id == weight.id && g->nodes[id].op && g->nodes[id].op->binds == BINDS_TABLE) return false;
    return true;
}

static void update_nodes(Graph *g, TrainedWeight *w, const TrainGraphOptions *o) {
    bool with_muon = o->optimizer == OPTIMIZER_MUON && is_hidden_matrix(graph_node(g, w->weight));
    bool with_adamw = o->optimizer != OPTIMIZER_SGD && !with_muon;
    bool coded = with_adamw && has_moments_8bit(g, w->weight, o);
    g->stage = STAGE_UPDATE;
    w->first = moment(g, w->weight, "m", coded ? TYPE_FIRST8 : TYPE_F32);
    if (with_adamw) w->second = moment(g, w->weight, "v", coded ? TYPE_SECOND8 : TYPE_F32);
    if (o->average) w->average = moment(g, w->weight, "ema", TYPE_F32);
    if (with_muon) muon(g, w->weight, w->gradient, w->first, w->average, w->decays);
    else if (o->optimizer == OPTIMIZER_SGD) sgd(g, w->weight, w->gradient, w->first, w->average, w->decays);
    else if (coded) adamw8(g, w->weight, w->gradient, w->first, w->second, w->average, w->decays);
    else adamw(g, w->weight, w->gradient, w->first, w->second, w->average, w->decays);
}

static bool weights_nodes(TrainGraph *t, const Gradient *b, const TrainGraphOptions *o, Err *err) {
    Graph *g = &t->model.graph;
    for (int id = 1; id < b->count; id++) {
        if (g->nodes[id].kind != NODE_WEIGHT || !g->nodes[id].trained || is_norm(&g->nodes[id])) continue;
        TrainedWeight *w = &t->weights[t->count];
        *w = (TrainedWeight){.weight = {id}, .decays = decays(g->nodes[id].name)};
        g->stage = STAGE_NORM;
        w->gradient = gradient_sum_of(g, b, w->weight);
        if (!w->gradient.id)
            return err_as(err, QM_INTERNAL, "%s: is trained, but no loss depends on it", g->nodes[id].name);
        w->squares = row_squares(g, w->gradient);
        if (g->err.kind) return err_from(err, &g->err);
        graph_node(g, w->squares)->keep = true;
        if (!graph_state(g, w->gradient)) graph_node(g, w->gradient)->keep = true;
        t->count++;
    }
    for (int i = 0; i < t->count; i++) update_nodes(g, &t->weights[i], o);
    return !g->err.kind || err_from(err, &g->err);
}

bool train_graph(TrainGraph *t, const ModelConfig *config, int64_t rows, int64_t context,
                 const TrainGraphOptions *options, Err *err) {
    *t = (TrainGraph){0};
    if (!model_graph(&t->model, config, rows, context, USE_TRAINING, err)) return false;
    Graph *g = &t->model.graph;
    Gradient b = {0};
    int count = trained_mark(g, options->adapted);
    if (options->embed_parts) embed_parts(g);
    Tensor logits = output_find(&t->model.outputs, "logits");
    bool ok = (logits.id || err_as(err, QM_INPUT, "the model has no head to train: expected one with logits")) &&
              (count || err_as(err, QM_INPUT, "nothing to train: the model has no adapter")) &&
              (t->weights = mem_new((size_t)count, sizeof *t->weights, "trained weights", err));
    Tensor dz = ok ? loss_nodes(t, config, logits) : NO_TENSOR;
    ok = ok && gradient_walk(&b, g, logits, dz, options->recompute, err) && weights_nodes(t, &b, options, err);
    gradient_free(&b);
    if (!ok) train_graph_free(t);
    return ok;
}

void train_graph_free(TrainGraph *t) {
    model_graph_free(&t->model);
    free(t->weights);
    *t = (TrainGraph){0};
}
