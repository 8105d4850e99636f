/* program.c: from factor strings to splits, and from split sums to collectives. */
#include <stdlib.h>
#include <string.h>
#include "program.h"

/* Splits of the factor letters of one op, found on its inputs. */
typedef struct Binding { char split[128][MAX_LETTERS + 1]; } Binding;

static void letters_add(char *set, char letter) {
    size_t count = strlen(set);
    if (strchr(set, letter) || count >= MAX_LETTERS) return;
    set[count] = letter;
    set[count + 1] = 0;
}

/* Which factor letter of `f` the value letter number `i` of `n` belongs to: the first takes what is left over. */
static int factor_of(const FactorDim *f, int i, int n) {
    int extra = n - f->count;
    return i <= extra ? 0 : i - extra;
}

/* Splits of an input as the op uses it. A weight may be split by the rules, unless the op needs it whole. */
static bool bind_input(const Program *p, const Node *user, int i, const Factors *f, Binding *b, Err *err) {
    const Node *in = graph_node(&p->graph, user->in[i]);
    if (i < f->inputs && f->rank[i] != in->shape.rank) return true; /* e.g. a bias of rank 1 where none is written */
    for (int d = 0; d < in->shape.rank; d++) {
        const char *letters = in->shape.dim[d].letters;
        const FactorDim *fd = &f->dim[i][d];
        for (int l = 0; letters[l]; l++) {
            int at = factor_of(fd, l, (int)strlen(letters));
            bool by_rule =
                in->kind == NODE_WEIGHT && rules_of(&p->partition->rules, letters[l]) == RULE_TENSOR_PARALLEL;
            if (in->kind == NODE_WEIGHT ? !by_rule || fd->whole[at] : !strchr(in->split, letters[l])) continue;
            if (fd->whole[at])
                return err_set(err, "%s: dimension %c of input %d must stay whole but %c is split", user->op->name,
                               fd->letters[at], i, letters[l]);
            letters_add(b->split[fd->letters[at] & 127], letters[l]);
        }
    }
    return true;
}

static bool on_result(const Factors *f, char letter) {
    for (int d = 0; d < f->rank[MAX_INPUTS]; d++)
        if (memchr(f->dim[MAX_INPUTS][d].letters, letter, (size_t)f->dim[MAX_INPUTS][d].count)) return true;
    return false;
}

/* Sets split and partial of one op node. */
static bool propagate(const Program *p, Node *n, Err *err) {
    Factors f;
    Binding b = {0};
    n->split[0] = n->partial = 0;
    if (!factors_parse(n->op->factors, &f, err)) return false;
    for (int i = 0; i < n->inputs && i < f.inputs; i++)
        if (!bind_input(p, n, i, &f, &b, err)) return false;
    for (int c = 'a'; c <= 'z'; c++)
        for (const char *s = b.split[c]; *s; s++) {
            if (on_result(&f, (char)c)) letters_add(n->split, *s);
            else n->partial = *s == 'k' || *s == 'g' ? 'h' : *s;
        }
    return !n->partial || n->op->finish ||
           err_set(err, "%s: its result would be a partial sum, which it cannot be", n->op->name);
}

bool program_new(Program *p, const Graph *graph, const Partition *partition, Err *err) {
    *p = (Program){.partition = partition, .map_count = graph->count};
    p->graph.nodes = NULL;
    memcpy(p->graph.size, graph->size, sizeof p->graph.size);
    p->map = mem_new((size_t)graph->count, sizeof *p->map, "program", err);
    if (!p->map ||
        !mem_grow((void **)&p->graph.nodes, &p->graph.capacity, (size_t)graph->count * 2, sizeof(Node), "program", err))
        goto failed;
    p->graph.nodes[0] = (Node){0};
    p->graph.count = 1;
    for (int id = 1; id < graph->count; id++) {
        Node n = graph->nodes[id];
        for (int i = 0; i < n.inputs; i++) n.in[i] = p->map[n.in[i].id];
        if (n.kind == NODE_OP && !propagate(p, &n, err)) goto failed;
        Tensor t = graph_copy(&p->graph, &n);
        if (n.kind == NODE_OP && n.partial) {
            bool keep = n.keep;
            graph_node(&p->graph, t)->keep = false;
            t = n.op->finish(&p->graph, t);
            if (graph_node(&p->graph, t)) graph_node(&p->graph, t)->keep = keep;
        }
        p->map[id] = t;
    }
    if (p->graph.err.set) {
        err_set(err, "%s", p->graph.err.text);
        goto failed;
    }
    return true;
failed:
    program_free(p);
    return false;
}

void program_free(Program *p) {
    graph_free(&p->graph);
    free(p->map);
    *p = (Program){0};
}

Tensor program_tensor(const Program *p, Tensor t) { return t.id > 0 && t.id < p->map_count ? p->map[t.id] : NO_TENSOR; }

bool program_weight_split(const Program *p, const Node *user, int input, char split[MAX_LETTERS + 1], Err *err) {
    Factors f;
    Binding b = {0};
    split[0] = 0;
    if (!factors_parse(user->op->factors, &f, err) || !bind_input(p, user, input, &f, &b, err)) return false;
    for (int c = 'a'; c <= 'z'; c++)
        for (const char *s = b.split[c]; *s; s++) letters_add(split, *s);
    return true;
}

static int64_t range_size(Range r) { return r.last - r.first; }

int64_t program_local(const Program *p, const Node *n, int dim, int device) {
    const DeviceShard *s = &p->partition->device[device];
    int64_t size = 1;
    for (const char *l = n->shape.dim[dim].letters; *l; l++) {
        bool split = strchr(n->split, *l) != NULL;
        size *= !split ? p->graph.size[*l & 127] : *l == 'k' ? range_size(s->kv) : *l == 'g' ? range_size(s->group)
                : *l == 'f' ? range_size(s->ffn) : range_size(s->vocab);
    }
    return size;
}

int program_collectives(const Program *p, const char *op) {
    int count = 0;
    for (int i = 1; i < p->graph.count; i++) {
        const Node *n = &p->graph.nodes[i];
        count += n->kind == NODE_OP && n->op->collective && (!op || !strcmp(n->op->name, op));
    }
    return count;
}

static void node_text(const Program *p, const Node *n, int id, int device, Text *out) {
    text_line(out, "%s%%%d = %s", n->op->collective ? "== " : "   ", id, n->op->name);
    for (int i = 0; i < n->inputs; i++) {
        const Node *in = graph_node(&p->graph, n->in[i]);
        if (in->kind == NODE_OP) text_line(out, " %%%d", n->in[i].id);
        else text_line(out, " %s", in->name);
    }
    text_line(out, " -> [");
    for (int d = 0; d < n->shape.rank; d++)
        text_line(out, "%s%s=%lld", d ? ", " : "", n->shape.dim[d].letters, (long long)program_local(p, n, d, device));
    text_line(out, "]%s%s%s\n", n->split[0] ? " split " : "", n->split, n->partial ? " partial" : "");
}

void program_text(const Program *p, int device, Text *out) {
    for (int id = 1; id < p->graph.count; id++)
        if (p->graph.nodes[id].kind == NODE_OP) node_text(p, &p->graph.nodes[id], id, device, out);
}
