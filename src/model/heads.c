/* heads.c: see heads.h. A head with labels is a linear that every device has whole: its rows are few. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include "blocks.h"
#include "heads.h"

void output_add(ModelOutputs *outputs, Graph *g, Tensor value, const char *name, ...) {
    Node *n = graph_node(g, value);
    if (!n || !mem_grow((void **)&outputs->list, &outputs->capacity, (size_t)outputs->count + 1, sizeof *outputs->list,
                        "outputs", &g->err))
        return;
    ModelOutput *o = &outputs->list[outputs->count++];
    va_list values;
    va_start(values, name);
    vsnprintf(o->name, sizeof o->name, name, values);
    va_end(values);
    o->tensor = value;
    n->keep = !g->trains;
}

Tensor output_find(const ModelOutputs *outputs, const char *name) {
    for (int i = 0; i < outputs->count; i++)
        if (!strcmp(outputs->list[i].name, name)) return outputs->list[i].tensor;
    return NO_TENSOR;
}

static void causal(ModelOutputs *outputs, Graph *g, const ModelConfig *c, Tensor states, Tensor embeddings) {
    Tensor head = c->tied ? embeddings : weight(g, "vd", "lm_head.weight");
    Tensor logits = dense_with(g, c, states, head, "v", "d", "lm_head");
    output_add(outputs, g, logits, "logits");
    if (!g->trains) output_add(outputs, g, argmax(g, logits), "best");
}

static void labels(ModelOutputs *outputs, Graph *g, const ModelConfig *c, const HeadRow *row, Tensor states) {
    output_add(outputs, g, dense(g, c, states, "n", "d", row->bias, "%s", row->weight), "logits");
}

void head_add(ModelOutputs *outputs, Graph *g, const ModelConfig *c, Tensor states, Tensor embeddings) {
    if (c->head == HEAD_CAUSAL) causal(outputs, g, c, states, embeddings);
    else if (c->head == HEAD_ABSENT) output_add(outputs, g, states, "states");
    else labels(outputs, g, c, &head_table[c->head], states);
}
