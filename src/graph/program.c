/* program.c: from factor strings to splits, and from split sums to collectives. */
#include <stdlib.h>
#include <string.h>
#include "program.h"

/* Splits of the factor letters of one op, found on its inputs. */
typedef struct Binding { char split[128][MAX_LETTERS + 1]; bool picked[128]; } Binding;

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

/* Whether devices or replicas share a letter of an input. A weight is shared by its axes, unless the op needs it
 * whole; rows are, wherever they come from. */
static bool letter_split(const Node *in, char letter, bool whole) {
    if (axis_is_rows(letter)) return in->kind == NODE_INPUT || in->dealt == letter; /* of a state: state_split */
    return in->kind == NODE_WEIGHT ? axis_is_split(letter) && !whole : strchr(in->split, letter) != NULL;
}

static bool bind_input(const Program *p, const Node *user, int i, const Factors *f, Binding *b, Err *err) {
    const Node *in = graph_node(&p->graph, user->in[i]);
    if (!in) return true;
    /* A vector where rows are written is one for all of them: its dimension is their last. */
    int skip = i < f->inputs ? f->rank[i] - in->shape.rank : 0;
    if (skip < 0) return true;
    for (int d = 0; d < in->shape.rank; d++) {
        const char *letters = in->shape.dim[d].letters;
        const FactorDim *fd = &f->dim[i][d + skip];
        for (int l = 0; letters[l]; l++) {
            int at = factor_of(fd, l, (int)strlen(letters)), factor = fd->letters[at] & 127;
            if (!letter_split(in, letters[l], fd->whole[at])) continue;
            if (fd->whole[at])
                return err_as(err, QM_INTERNAL, "%s: dimension %c of input %d must stay whole but %c is split",
                              user->op->name,
                              fd->letters[at], i, letters[l]);
            letters_add(b->split[factor], letters[l]);
            b->picked[factor] |= fd->picked[at];
        }
    }
    return true;
}

static bool on_result(const Factors *f, int result, char letter) {
    int at = MAX_INPUTS + result;
    for (int d = 0; d < f->rank[at]; d++)
        if (memchr(f->dim[at][d].letters, letter, (size_t)f->dim[at][d].count)) return true;
    return false;
}

/* Whether what is summed over these letters is more than any one device, or replica, has. An op that makes whole sums
 * needs no collective else. */
static bool partial_shared(const Program *p, const Node *n) {
    for (const char *l = n->partial; *l; l++)
        if (!n->op->whole || partition_shared(p->partition, *l)) return true;
    return false;
}

/* Sets split, dealt and partial of a result of an op: the op's own node, or a further one's. */
static bool propagate(const Program *p, const Node *op, Node *n, Err *err) {
    Factors f;
    Binding b = {0};
    n->split[0] = n->partial[0] = n->dealt = 0;
    if (!factors_parse(op->op->factors, &f, err)) return false;
    for (int i = 0; i < op->inputs && i < f.inputs; i++)
        if (!bind_input(p, op, i, &f, &b, err)) return false;
    for (int c = 'a'; c <= 'z'; c++)
        for (const char *s = b.split[c]; *s; s++) {
            bool there = on_result(&f, n->result, (char)c);
            if (!there && !b.picked[c]) letters_add(n->partial, *s);
            else if (axis_is_rows(*s)) n->dealt = there ? *s : n->dealt;
            else letters_add(n->split, *s);
        }
    if (!partial_shared(p, n)) n->partial[0] = 0;
    return !n->partial[0] || n->op->finish ||
           err_as(err, QM_INTERNAL, "%s: its result would be a partial sum, which it cannot be", n->op->name);
}

/* A state lies where its axes are dealt to: all ops find it so. */
static void state_split(Node *n) {
    for (int d = 0; d < n->shape.rank; d++)
        for (const char *c = n->shape.dim[d].letters; *c; c++)
            if (axis_is_split(*c)) letters_add(n->split, *c);
            else if (axis_is_rows(*c)) n->dealt = *c;
}

/* The collective that completes a node's result, in a stage. */
static Tensor complete(Program *p, Tensor t, Stage stage) {
    Node *part = graph_node(&p->graph, t), n = *part;
    part->keep = false;
    p->graph.stage = stage;
    t = n.op->finish(&p->graph, t);
    Node *whole = graph_node(&p->graph, t);
    if (whole) whole->keep = n.keep, whole->dealt = n.dealt, memcpy(whole->split, n.split, sizeof n.split);
    return t;
}

/* What stands for a node of the model's graph: itself, or the collective that completes it. */
static Tensor append(Program *p, const Node *n) {
    Tensor t = graph_copy(&p->graph, n);
    if (!t.id || !n->partial[0] || n->op->accumulates) return t;
    return complete(p, t, n->stage);
}

/* What a node reads: a sum that is added to from pass to pass is completed once, for the first that reads it. */
static Tensor read_by(Program *p, const Node *n, Tensor of_graph) {
    Tensor t = p->map[of_graph.id];
    const Node *in = graph_node(&p->graph, t);
    if (in && in->op && in->op->accumulates && in->partial[0] && !n->op->accumulates)
        t = p->map[of_graph.id] = complete(p, t, n->stage);
    return t;
}

bool program_new(Program *p, const Graph *graph, const Partition *partition, Err *err) {
    *p = (Program){.partition = partition, .map_count = graph->count};
    p->graph.nodes = NULL;
    memcpy(p->graph.size, graph->size, sizeof p->graph.size);
    p->graph.trains = graph->trains;
    p->map = mem_new((size_t)graph->count, sizeof *p->map, "program", err);
    Tensor *made = mem_new((size_t)graph->count, sizeof *made, "program", err); /* before any collective */
    if (!p->map || !made ||
        !mem_grow((void **)&p->graph.nodes, &p->graph.capacity, (size_t)graph->count * 2, sizeof(Node), "program", err))
        goto failed;
    p->graph.nodes[0] = (Node){0};
    p->graph.count = p->graph.numbers = 1;
    for (int id = 1; id < graph->count; id++) {
        Node n = graph->nodes[id];
        const Node *op = &n;
        if (n.dead) continue;
        n.after = p->map[n.after.id];
        if (n.kind == NODE_RESULT) { /* of the op itself, complete or not */
            n.in[0] = made[n.in[0].id];
            op = graph_node(&p->graph, n.in[0]);
        } else
            for (int i = 0; i < n.inputs; i++) n.in[i] = read_by(p, &n, n.in[i]);
        if (n.kind == NODE_STATE) state_split(&n);
        if ((n.kind == NODE_OP || n.kind == NODE_RESULT) && !propagate(p, op, &n, err)) goto failed;
        made[id] = (Tensor){p->graph.count};
        p->map[id] = append(p, &n);
    }
    free(made);
    made = NULL;
    if (p->graph.err.kind) {
        err_from(err, &p->graph.err);
        goto failed;
    }
    return true;
failed:
    free(made);
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
    int64_t size = 1;
    for (const char *l = n->shape.dim[dim].letters; *l; l++) {
        bool split = strchr(n->split, *l) != NULL;
        size *= split ? range_size(partition_range(p->partition, *l, device)) : p->graph.size[*l & 127];
    }
    return size;
}

const SumTree *program_sum(const Program *p, const Node *n) {
    return n->value == VALUE_PAIR ? NULL : partition_sum(p->partition, n->partial);
}

int program_collectives(const Program *p, const char *op) {
    int count = 0;
    for (int i = 1; i < p->graph.count; i++) {
        const Node *n = &p->graph.nodes[i];
        count += n->kind == NODE_OP && n->op->collective && (!op || !strcmp(n->op->name, op));
    }
    return count;
}

static void node_text(const Program *p, const Node *n, int device, Text *out) {
    text_line(out, "%s%%%d = %s", n->op->collective ? "== " : "   ", n->number, n->op->name);
    if (n->kind == NODE_RESULT) text_line(out, " result %d of", n->result);
    for (int i = 0; i < n->inputs; i++) {
        const Node *in = graph_node(&p->graph, n->in[i]);
        if (!in || in->kind == NODE_STATE) continue;
        if (in->op) text_line(out, " %%%d", in->number);
        else text_line(out, " %s", in->name);
    }
    text_line(out, " -> [");
    for (int d = 0; d < n->shape.rank; d++)
        text_line(out, "%s%s=%lld", d ? ", " : "", n->shape.dim[d].letters, (long long)program_local(p, n, d, device));
    text_line(out, "]%s%s%s\n", n->split[0] ? " split " : "", n->split, n->partial[0] ? " partial" : "");
}

void program_text(const Program *p, int device, Text *out) {
    for (int id = 1; id < p->graph.count; id++)
        if (p->graph.nodes[id].op) node_text(p, &p->graph.nodes[id], device, out);
}
