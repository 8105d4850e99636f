/* host_step.c: what backends of programs that train and that do not have alike: the rows of a step, what the host
 * computes of them, and the end. */
#include <stdlib.h>
#include "../base/watch.h"
#include "pjrt_state.h"

bool pjrt_step_new(Pjrt *p, Err *err) {
    const Graph *g = &p->program->graph;
    size_t rows = (size_t)p->options.rows, nodes = (size_t)g->count;
    p->step.host = mem_new(nodes, sizeof *p->step.host, "step", err);
    p->step.value = mem_new(nodes, sizeof *p->step.value, "step", err);
    p->step.row_logit = mem_new(rows, sizeof *p->step.row_logit, "step", err);
    Blocking blocking = linear_blocking(cpu_caches());
    p->step.scratch = mem_new((size_t)program_scratch(p->program, &blocking, p->options.rows), sizeof(float),
                         "scratch", err);
    p->step.piece = mem_new((size_t)p->dp, sizeof *p->step.piece, "step", err);
    p->step.piece_at = mem_new((size_t)p->dp, sizeof *p->step.piece_at, "step", err);
    const PjrtStep *s = &p->step;
    if (!step_rows_new(&p->step.given, p->options.rows, err) || !s->host || !s->value || !s->row_logit || !s->piece ||
        !s->piece_at || !s->scratch)
        return false;
    for (int id = 1; id < g->count; id++) {
        const Node *n = &g->nodes[id];
        if (n->kind != NODE_OP || !n->op->on_host) continue;
        p->step.host[id] = mem_new(rows * (size_t)n->shape.dim[1].size, sizeof(float), n->name, err);
        if (!p->step.host[id]) return false;
    }
    return true;
}

StepRows *pjrt_rows(void *backend) { return &((Pjrt *)backend)->step.given; }
const BackendInfo *pjrt_backend_info(void *backend) { return &((Pjrt *)backend)->info; }

void pjrt_host_run(Pjrt *p) {
    const Graph *g = &p->program->graph;
    for (int id = 1; id < g->count; id++) {
        const Node *n = &g->nodes[id];
        if (!p->step.host[id]) continue;
        Call c = {.graph = g, .node = n, .step = &p->step.given, .row1 = p->step.given.rows, .out = p->step.host[id],
                  .out_width = n->shape.dim[1].size, .scratch = p->step.scratch};
        for (int i = 0; i < n->inputs; i++) {
            const Node *in = graph_node(g, n->in[i]);
            if (in->kind == NODE_INPUT) c.ids = step_input(&p->step.given, in->name);
            const WeightTensor *t = p->placed.tensor[n->in[i].id];
            if (n->op->binds == BINDS_TABLE && t) c.table.table = t;
        }
        n->op->run(&c, 0, n->op->units(&c));
    }
}

void pjrt_close_backend(void *backend) {
    Pjrt *p = backend;
    if (!p) return;
    if (p->info.read_bytes)
        watch_say(QM_DETAIL, "read back from the devices: %lld bytes", (long long)p->info.read_bytes);
    waves_free(p);
    stages_free(p);
    pjrt_unplace(p);
    if (p->client) pjrt_close(p->client);
    nodes_part(p);
    pjrt_memory_free(p);
    for (int id = 0; id < p->program->graph.count; id++) {
        if (p->step.host) free(p->step.host[id]);
        if (p->step.value) free(p->step.value[id]);
    }
    free(p->step.host);
    free(p->step.value);
    free(p->step.row_logit);
    free(p->step.piece);
    free(p->step.copied);
    free(p->top.row);
    free(p->programs.cut);
    free(p->programs.kept);
    free(p->step.piece_at);
    free(p->step.work);
    free(p->step.scratch);
    step_rows_free(&p->step.given);
    free(p);
}
