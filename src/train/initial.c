/* initial.c: see initial.h. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "../ops/norm.h"
#include "initial.h"
#include "plain_math.h"
#include "train_order.h"

double initial_normal(uint64_t seed, uint64_t tensor, uint64_t place) { /* Box and Muller 1958 */
    double u = ((double)(train_draw(seed, DRAW_INITIAL, tensor, 2 * place) >> 11) + 1) * 0x1p-53;
    double turn = (double)(train_draw(seed, DRAW_INITIAL, tensor, 2 * place + 1) >> 11) * 0x1p-52; /* 0 to 2 */
    return sqrt(-2 * plain_log(u)) * plain_sin_pi(turn <= 1 ? 0.5 - turn : turn - 1.5);            /* cos(pi turn) */
}

/* A tensor that is made up; `number` counts those of the model, in the order of its graph. */
typedef struct Made {
    uint64_t seed, number;
    int64_t columns;
    double deviation, value;
} Made;

static bool make_rows(void *owner, int64_t first, int64_t rows, float *out, Err *err) {
    const Made *m = owner;
    (void)err;
    for (int64_t i = 0; i < rows * m->columns; i++) {
        uint64_t place = (uint64_t)(first * m->columns + i);
        out[i] = (float)(m->deviation > 0 ? m->deviation * initial_normal(m->seed, m->number, place) : m->value);
    }
    return true;
}

static bool deviation_of(Source *source, double *out, Err *err) {
    const json_t *root;
    const char *where;
    *out = 0.02;
    return source_json(source, "config.json", &root, &where, err) &&
           (!root || json_get_float(root, "initializer_range", where, 1e-9, 1e3, out, err));
}

/* Every weight of the graph, once. */
static bool make_tensors(const Graph *g, uint64_t seed, double deviation, SaveTensor *tensors, Made *made,
                         int64_t *count) {
    for (int id = 1; id < g->count; id++) {
        const Node *n = &g->nodes[id];
        bool twice = false;
        for (int64_t i = 0; i < *count; i++) twice = twice || !strcmp(tensors[i].name, n->name);
        if (n->kind != NODE_WEIGHT || twice) continue;
        int rank = n->shape.rank;
        Made *m = &made[*count];
        *m = (Made){.seed = seed,
                    .number = (uint64_t)*count,
                    .columns = rank > 1 ? n->shape.dim[1].size : 1,
                    .deviation = rank > 1 ? deviation : 0,
                    .value = norm_has_gain(g, id) ? 1 : 0};
        tensors[*count] = (SaveTensor){
            .name = n->name, .rank = rank, .dim = {n->shape.dim[0].size, m->columns}, .read = make_rows, .owner = m};
        ++*count;
    }
    return *count > 0;
}

bool initial_model(Source *source, Source *tokenizer, uint64_t seed, const char *folder, Err *err) {
    ModelConfig *config = mem_new(1, sizeof *config, "configuration", err);
    ModelGraph *model = mem_new(1, sizeof *model, "model", err);
    SaveTensor *tensors = NULL;
    Made *made = NULL;
    double deviation;
    bool ok = config && model && config_load(config, source, err) && deviation_of(source, &deviation, err) &&
              model_graph(model, config, 1, 1, false, err);
    if (ok) {
        size_t most = (size_t)model->graph.count;
        ModelSave save = {.source = source, .tokenizer = tokenizer, .config = config, .dtype = DTYPE_F32};
        tensors = mem_new(most, sizeof *tensors, "tensors", err);
        made = mem_new(most, sizeof *made, "tensors", err);
        save.tensors = tensors;
        ok = tensors && made && make_tensors(&model->graph, seed, deviation, tensors, made, &save.count);
        if (ok) save_order(tensors, save.count);
        ok = ok && model_folder_save(&save, folder, err);
        model_graph_free(model);
    }
    free(tensors), free(made), free(config), free(model);
    return ok;
}
