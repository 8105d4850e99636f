/* lower.c: names, types, arguments and results of StableHLO text. */
#include <stdlib.h>
#include <string.h>
#include "lower_arguments.h"
#include "lower_train.h"

/* ---- Texts ------------------------------------------------------------------------------------------------------- */

enum { WORD_BLOCK = 1 << 16 };

/* Room for a text of `bytes`, its end included; NULL: no memory. */
static char *word_room(Lower *l, size_t bytes) {
    LowerWords *w = &l->words;
    if (!w->blocks || w->used + bytes > w->room) {
        size_t room = bytes > WORD_BLOCK ? bytes : WORD_BLOCK;
        if (!mem_grow((void **)&w->block, &w->capacity, w->blocks + 1, sizeof *w->block, "program text", &l->err) ||
            !(w->block[w->blocks] = mem_new(room, 1, "program text", &l->err)))
            return NULL;
        w->blocks++;
        w->room = room;
        w->used = 0;
    }
    char *out = w->block[w->blocks - 1] + w->used;
    w->used += bytes;
    return out;
}

const char *lower_word(Lower *l, const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int bytes = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *out = bytes < 0 ? NULL : word_room(l, (size_t)bytes + 1);
    if (out) vsnprintf(out, (size_t)bytes + 1, format, again);
    va_end(again);
    return out ? out : "?";
}

/* A name of an argument. */
static void name_set(Lower *l, char out[LOWER_NAME], const char *format, ...) __attribute__((format(printf, 3, 4)));
static void name_set(Lower *l, char out[LOWER_NAME], const char *format, ...) {
    va_list args;
    va_start(args, format);
    int bytes = vsnprintf(out, LOWER_NAME, format, args);
    va_end(args);
    if (bytes < 0 || bytes >= LOWER_NAME) err_as(&l->err, QM_INTERNAL, "lowering: the name %s... is too long", out);
}

void lower_type_text(char *out, size_t size, const char *type, int rank, const int64_t *dim) {
    size_t n = (size_t)snprintf(out, size, "tensor<");
    for (int i = 0; i < rank && n < size; i++) n += (size_t)snprintf(out + n, size - n, "%lldx", (long long)dim[i]);
    if (n < size) snprintf(out + n, size - n, "%s>", type);
}

const char *lower_type(Lower *l, const char *type, int rank, ...) {
    int64_t dim[8];
    char out[256];
    va_list args;
    va_start(args, rank);
    for (int i = 0; i < rank && i < 8; i++) dim[i] = va_arg(args, int64_t);
    va_end(args);
    lower_type_text(out, sizeof out, type ? type : l->type, rank, dim);
    return lower_word(l, "%s", out);
}

void lower_line(Lower *l, const char *format, ...) {
    char line[2048];
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    const char *text = line;
    if (n >= (int)sizeof line) { /* a list of many operands */
        char *room = word_room(l, (size_t)n + 1);
        if (room) vsnprintf(room, (size_t)n + 1, format, again);
        text = room;
    }
    va_end(again);
    if (n < 0) err_as(&l->err, QM_INTERNAL, "lowering: a line of text cannot be formed");
    if (n < 0 || !text) return;
    text_add(&l->body, text, (size_t)n);
    text_add(&l->body, "\n", 1);
}

void lower_op(Lower *l, const char *out, const char *op, const char *a, const char *b, const char *type) {
    lower_line(l, "%s = stablehlo.%s %s%s%s : %s", out, op, a, b ? ", " : "", b ? b : "", type);
}

void lower_spread(Lower *l, const char *out, const char *x, const char *dims, const char *from, const char *to) {
    lower_line(l, "%s = stablehlo.broadcast_in_dim %s, dims = %s : (%s) -> %s", out, x, dims, from, to);
}

void lower_fold(Lower *l, const char *out, const char *op, const char *x, const char *dims, const char *element,
                const char *from, const char *to) {
    bool most = !strcmp(op, "maximum");
    const char *start = !most ? "0.0" : !strcmp(element, "f32") ? "0xFF800000" : "0xFF80"; /* -infinity */
    lower_line(l, "%s_init = stablehlo.constant dense<%s> : tensor<%s>", out, start, element);
    lower_line(l, "%s = stablehlo.reduce(%s init: %s_init) applies stablehlo.%s across dimensions = %s : (%s, tensor<%s>) "
               "-> %s", out, x, out, op, dims, from, element, to);
}

void lower_constant(Lower *l, const char *out, double value, const char *type) {
    lower_line(l, "%s = stablehlo.constant dense<%.9e> : %s", out, value, type);
}

void lower_compare(Lower *l, const char *out, const char *how, const char *a, const char *b, const char *kind,
                   const char *type, const char *bits) {
    lower_line(l, "%s = stablehlo.compare %s, %s, %s, %s : (%s, %s) -> %s", out, how, a, b, kind, type, type, bits);
}

void lower_select(Lower *l, const char *out, const char *bits, const char *yes, const char *no, const char *bits_type,
                  const char *type) {
    lower_line(l, "%s = stablehlo.select %s, %s, %s : %s, %s", out, bits, yes, no, bits_type, type);
}

void lower_convert(Lower *l, const char *out, const char *x, const char *from, const char *to) {
    lower_line(l, "%s = stablehlo.convert %s : (%s) -> %s", out, x, from, to);
}

void lower_reshape(Lower *l, const char *out, const char *x, const char *from, const char *to) {
    lower_line(l, "%s = stablehlo.reshape %s : (%s) -> %s", out, x, from, to);
}

bool lower_once(Lower *l, const char *format, ...) {
    char name[LOWER_NAME];
    va_list args;
    va_start(args, format);
    vsnprintf(name, sizeof name, format, args);
    va_end(args);
    for (int i = 0; i < l->once_count; i++)
        if (!strcmp(l->once[i], name)) return false;
    if (!mem_grow((void **)&l->once, &l->once_capacity, (size_t)l->once_count + 1, sizeof *l->once, "lowering",
                  &l->err))
        return false;
    memcpy(l->once[l->once_count++], name, sizeof name);
    return true;
}

/* ---- Sizes ------------------------------------------------------------------------------------------------------- */

int64_t lower_rows(const Lower *l) { return l->bucket.slots * l->bucket.rows; }

static int64_t rows_of_kind(const Lower *l, RowKind kind) {
    return kind == LOGIT_ROWS ? l->bucket.logit_rows : lower_rows(l);
}

int64_t lower_letter(const Lower *l, char letter, const char *split) {
    const AxisRow *axis = axis_row(letter);
    if (axis && axis->role == AXIS_ROWS) return rows_of_kind(l, axis->rows);
    return partition_local(l->program->partition, letter, strchr(split, letter) != NULL,
                           l->program->graph.size[letter & 127]);
}

static int64_t local_size(const Lower *l, const Dim *dim, const char *split) {
    int64_t size = 1;
    for (const char *c = dim->letters; *c; c++) size *= lower_letter(l, *c, split);
    return size;
}

int64_t lower_dim(const Lower *l, const Node *n, int dim) { return local_size(l, &n->shape.dim[dim], n->split); }

static int node_id(const Lower *l, const Node *n) { return (int)(n - l->program->graph.nodes); }

bool lower_has(const Lower *l, int id) {
    const Node *n = &l->program->graph.nodes[id];
    if (l->trains && n->kind == NODE_RESULT) return lower_has(l, n->in[0].id); /* which may be far before it */
    if (id < l->first || id >= l->last) return false;
    return !l->trains || (n->stage >= l->stage_first && n->stage <= l->stage_last && !(n->op && n->op->on_host));
}

/* Numbers of a head: a further result with other columns than the op's own. */
static bool of_heads(const Lower *l, const Node *n) {
    const Node *own = n->kind == NODE_RESULT ? graph_node(&l->program->graph, n->in[0]) : n;
    return n->shape.rank == 2 && n->shape.dim[1].size != own->shape.dim[1].size;
}

const char *lower_element(const Lower *l, const Node *n) {
    bool rows = n->value == VALUE_ROWS && n->shape.rank == 2 && !of_heads(l, n);
    return !rows || node_is_state(n) ? "f32" : l->type;
}

const char *lower_tensor(Lower *l, const Node *n) {
    int64_t first = lower_dim(l, n, 0);
    return n->shape.rank == 1 ? lower_type(l, lower_element(l, n), 1, first)
                              : lower_type(l, lower_element(l, n), 2, first, lower_dim(l, n, 1));
}

/* ---- States ------------------------------------------------------------------------------------------------------ */

int lower_states(const Program *program) {
    int count = program->graph.states;
    for (int id = 1; id < program->graph.count; id++)
        count += program->graph.nodes[id].kind == NODE_WEIGHT && program->graph.nodes[id].trained;
    return count;
}

int lower_state(const Program *program, const Node *state) {
    if (state->kind == NODE_STATE) return state->state;
    int number = program->graph.states;
    for (const Node *n = program->graph.nodes + 1; n < state; n++) number += n->kind == NODE_WEIGHT && n->trained;
    return number;
}

static bool of_rows(const Node *state) { return shape_rows(&state->shape) != NO_ROWS; }

/* Of a program that trains: rows that all pass the head at once are values of one step, and caches are none at all. */
static bool state_lasts(const Lower *l, const Node *state) {
    return !l->trains || (state->type != TYPE_CACHE && (!of_rows(state) || !l->bucket.all_logits));
}

/* Letters that a state is split by: all that its axes are dealt by. */
static void state_letters(const Node *state, char split[MAX_LETTERS + 1]) {
    int count = 0;
    for (int d = 0; d < state->shape.rank; d++)
        for (const char *c = state->shape.dim[d].letters; *c; c++)
            if (axis_is_split(*c) && count < MAX_LETTERS && !memchr(split, *c, (size_t)count)) split[count++] = *c;
    split[count] = 0;
}

/* ---- Arguments --------------------------------------------------------------------------------------------------- */

LowerArgument *lower_argument(Lower *l, const char *name) {
    for (int i = 0; i < l->argument_count; i++)
        if (!strcmp(l->arguments[i].name, name)) return &l->arguments[i];
    return NULL;
}

static void argument_add(Lower *l, const LowerArgument *a) {
    if (lower_argument(l, a->name)) return;
    if (mem_grow((void **)&l->arguments, &l->argument_capacity, (size_t)l->argument_count + 1, sizeof *l->arguments,
                 "arguments", &l->err))
        l->arguments[l->argument_count++] = *a;
}

static void result_add(Lower *l, const LowerArgument *a) {
    if (mem_grow((void **)&l->results, &l->result_capacity, (size_t)l->result_count + 1, sizeof *l->results, "results",
                 &l->err))
        l->results[l->result_count++] = *a;
}

/* Numbers of nodes, weights and states count from the piece's first, so that equal pieces have equal texts. */
static int node_number(const Lower *l, int id) {
    const Node *nodes = l->program->graph.nodes;
    int number = 1;
    if (!l->trains) return nodes[id].number - nodes[l->first].number + 1;
    for (int i = l->first; i < id; i++) number += nodes[i].kind == NODE_OP && lower_has(l, i);
    return number;
}

const char *lower_name(Lower *l, const Node *n) {
    if (n->kind == NODE_RESULT)
        return lower_word(l, "%s_r%d", lower_name(l, graph_node(&l->program->graph, n->in[0])), n->result);
    if (l->part >= 0 && lower_of_head(n)) return lower_word(l, "n%dp%d", node_number(l, node_id(l, n)), l->part);
    return lower_word(l, "n%d", node_number(l, node_id(l, n)));
}
const char *lower_more(Lower *l, const Node *n, int result) { return lower_word(l, "%%%s_r%d", lower_name(l, n), result); }
const char *lower_out(Lower *l, const Node *n) { return lower_word(l, "%%%s", lower_name(l, n)); }

/* Of a program that trains: how many other states it has told of before. */
static int state_number(const Lower *l, int state) {
    int number = 0;
    for (int i = 0; i < l->argument_count + l->result_count; i++) {
        const LowerArgument *a = i < l->argument_count ? &l->arguments[i] : &l->results[i - l->argument_count];
        if (a->role != ROLE_STATE) continue;
        if (a->state == state) return atoi(a->name + 1);
        if (atoi(a->name + 1) >= number) number = atoi(a->name + 1) + 1;
    }
    return number;
}

/* A buffer of a state: of a cache keys and values. */
static void state_name(Lower *l, const Node *state, int v, char out[LOWER_NAME]) {
    int number = l->trains ? state_number(l, lower_state(l->program, state)) : state->state - l->state;
    if (state->type == TYPE_CACHE) name_set(l, out, "%s%d", v ? "v" : "k", number / 2);
    else name_set(l, out, "s%d", number);
}

static int weight_number(const Lower *l, const LowerArgument *a) {
    int number = 0;
    for (int i = 0; i < l->argument_count; i++) {
        const LowerArgument *old = &l->arguments[i];
        if (old->role == ROLE_WEIGHT && old->node == a->node) return atoi(old->name + 1);
        if (old->role == ROLE_WEIGHT && atoi(old->name + 1) >= number) number = atoi(old->name + 1) + 1;
    }
    return number;
}

static void weight_name(Lower *l, const LowerArgument *a, char out[LOWER_NAME]) {
    bool own = l->trains || a->node >= l->first; /* else it stands before all pieces: a tied head */
    int number = l->trains ? weight_number(l, a) : own ? node_number(l, a->node) : l->program->graph.nodes[a->node].number;
    name_set(l, out, "w%s%d%s", own ? "" : "_", number,
             a->weight_split[0] ? "s" : "");
}

const char *lower_step_input(Lower *l, const char *name, const char *type, int64_t first, int64_t second, int node) {
    LowerArgument a = {
        .role = ROLE_STEP, .rank = second ? 2 : 1, .dim = {first, second}, .split = {SPLIT_DP}, .node = node};
    name_set(l, a.name, "%s", name);
    snprintf(a.type, sizeof a.type, "%s", type ? type : l->type);
    argument_add(l, &a);
    return lower_word(l, "%%%s", name);
}

const char *lower_same_input(Lower *l, const char *name, int64_t size) {
    LowerArgument a = {.role = ROLE_STEP, .rank = 1, .dim = {size}, .type = "f32"};
    name_set(l, a.name, "%s", name);
    argument_add(l, &a);
    return lower_word(l, "%%%s", name);
}

const char *lower_shard_input(Lower *l) {
    argument_add(l,
                 &(LowerArgument){.name = "shard", .role = ROLE_SHARD, .type = "i32", .rank = 1, .dim = {LOWER_PLACES},
                                  .split = {SPLIT_ALL}});
    return "%shard";
}

const char *lower_place(Lower *l, LowerPlace place) {
    const char *name = lower_word(l, "%%place_%d", (int)place), *shard = lower_shard_input(l);
    if (!lower_once(l, "%s", name + 1)) return name;
    lower_line(l, "%s_1 = stablehlo.slice %s [%d:%d] : (%s) -> tensor<1xi32>", name, shard, (int)place, (int)place + 1,
               lower_type(l, "i32", 1, (int64_t)LOWER_PLACES));
    lower_line(l, "%s = stablehlo.reshape %s_1 : (tensor<1xi32>) -> tensor<i32>", name, name);
    return name;
}

void lower_places(const Partition *p, int device, int32_t out[LOWER_PLACES]) {
    static const struct { char letter; LowerPlace at; } axes[] = {
        {AXIS_VOCAB, PLACE_VOCAB}, {AXIS_FFN, PLACE_FFN}, {AXIS_KV_HEAD, PLACE_KV}, {AXIS_GROUP, PLACE_GROUP}};
    for (size_t i = 0; i < sizeof axes / sizeof *axes; i++) {
        Range r = partition_range(p, axes[i].letter, device);
        out[axes[i].at] = (int32_t)r.first;
        out[axes[i].at + 1] = (int32_t)(r.last - r.first);
    }
    out[PLACE_KV_PART] = device / p->grid.group_parts;
}

/* A weight that is split by a.weight_split. Whole and split in one piece are the same argument. */
static const char *weight_as(Lower *l, const Node *w, LowerArgument a) {
    bool whole = true;
    for (int d = 0; d < w->shape.rank; d++) {
        a.dim[d] = local_size(l, &w->shape.dim[d], a.weight_split);
        for (const char *s = a.weight_split; *s; s++)
            if (strchr(w->shape.dim[d].letters, *s)) a.split[d] = SPLIT_TP;
        if (a.dim[d] != w->shape.dim[d].size) whole = false;
    }
    if (whole && l->program->partition->mesh.tp == 1) memset(a.split, 0, sizeof a.split), a.weight_split[0] = 0;
    weight_name(l, &a, a.name);
    snprintf(a.type, sizeof a.type, "%s", l->type);
    argument_add(l, &a);
    return lower_word(l, "%%%s", a.name);
}

/* A weight as one op uses it: split by the op's factors, or whole. */
static const char *weight_argument(Lower *l, const Node *user, int i) {
    const Node *w = graph_node(&l->program->graph, user->in[i]);
    LowerArgument a = {.role = ROLE_WEIGHT, .rank = w->shape.rank, .node = user->in[i].id};
    return program_weight_split(l->program, user, i, a.weight_split, &l->err) ? weight_as(l, w, a) : "%?";
}

/* Over which devices the dimensions of a value or a state lie. */
static void splits_set(const Shape *shape, const char *split, LowerArgument *a) {
    for (int d = 0; d < shape->rank; d++)
        for (const char *c = shape->dim[d].letters; *c; c++)
            if (axis_is_rows(*c)) a->split[d] = SPLIT_DP;
            else if (strchr(split, *c)) a->split[d] = SPLIT_TP;
}

/* A node's value as an argument or a result. */
static LowerArgument value_of(const Lower *l, const Node *n, LowerRole role) {
    LowerArgument a = {.role = role, .rank = n->shape.rank, .node = node_id(l, n)};
    for (int d = 0; d < a.rank; d++) a.dim[d] = lower_dim(l, n, d);
    splits_set(&n->shape, n->split, &a);
    snprintf(a.type, sizeof a.type, "%s", lower_element(l, n));
    return a;
}

/* What the host or an earlier piece computed: named in the order of its use. */
static const char *value_argument(Lower *l, const Node *n) {
    LowerArgument a = value_of(l, n, ROLE_VALUE);
    int values = 0;
    for (int i = 0; i < l->argument_count; i++) {
        const LowerArgument *old = &l->arguments[i];
        if (old->role == ROLE_VALUE && old->node == a.node) return lower_word(l, "%%%s", old->name);
        values += old->role == ROLE_VALUE;
    }
    name_set(l, a.name, "x%d", values);
    argument_add(l, &a);
    return lower_word(l, "%%%s", a.name);
}

/* A state that is no cache: in f32, but rows have the type of values. */
static LowerArgument state_of(Lower *l, const Node *state) {
    LowerArgument a = {.role = ROLE_STATE, .rank = state->shape.rank, .node = node_id(l, state),
                       .state = lower_state(l->program, state)};
    snprintf(a.type, sizeof a.type, "%s", of_rows(state) ? l->type : "f32");
    state_letters(state, a.weight_split);
    for (int d = 0; d < a.rank; d++) a.dim[d] = local_size(l, &state->shape.dim[d], a.weight_split);
    splits_set(&state->shape, a.weight_split, &a);
    if (state->type == TYPE_SUM) a.split[0] = a.split[0] == SPLIT_TP ? SPLIT_ALL : SPLIT_DP;
    state_name(l, state, 0, a.name);
    return a;
}

/* As it stands before the step. */
static const char *state_argument(Lower *l, const Node *state) {
    LowerArgument a = state_of(l, state);
    argument_add(l, &a);
    return lower_word(l, "%%%s", a.name);
}

/* ... and after what has been lowered: its last value counts. */
static void state_result(Lower *l, const Node *state, const char *value) {
    LowerArgument a = state_of(l, state);
    a.value = value;
    for (int i = 0; i < l->result_count; i++)
        if (l->results[i].role == ROLE_STATE && l->results[i].state == a.state) {
            l->results[i].value = value;
            return;
        }
    result_add(l, &a);
}

/* The op of this piece that left a state as a node finds it; NULL: it is as the step, or the piece before, left it. */
static const Node *state_writer(const Lower *l, const Node *n, const Node *state) {
    const Graph *g = &l->program->graph;
    for (int id = node_id(l, n) - 1; id >= l->first; id--)
        if (g->nodes[id].kind == NODE_OP && lower_has(l, id) && graph_state(g, (Tensor){id}) == state) return &g->nodes[id];
    return NULL;
}

const char *lower_cached(Lower *l, const Node *n, int i, int v) {
    const Node *state = graph_state(&l->program->graph, n->in[i]), *writer = state_writer(l, n, state);
    if (writer) return lower_word(l, "%s%s", lower_out(l, writer), v ? "v" : "k");
    return lower_cache(l, state, v, lower_dim(l, state, 1) / lower_channels(l), lower_channels(l));
}

const char *lower_state_in(Lower *l, const Node *n, int i) {
    const Node *state = graph_state(&l->program->graph, n->in[i]);
    const Node *writer = state ? state_writer(l, n, state) : NULL;
    if (!state || state->type == TYPE_CACHE) {
        err_as(&l->err, QM_INTERNAL, "lowering: input %d of %s is no state that is a value", i, n->name);
        return "%?";
    }
    return writer ? lower_out(l, writer) : state_argument(l, state);
}

/* A trained weight in the program's type, for an op that takes it as it lies. */
static const char *trained_in(Lower *l, const Node *n, int i) {
    const Node *w = graph_state(&l->program->graph, n->in[i]);
    char wanted[MAX_LETTERS + 1], held[MAX_LETTERS + 1];
    const char *value = lower_state_in(l, n, i);
    state_letters(w, held);
    if (program_weight_split(l->program, n, i, wanted, &l->err))
        for (const char *c = held; *c; c++)
            if (!strchr(wanted, *c) && partition_shared(l->program->partition, *c))
                err_as(&l->err, QM_INTERNAL, "lowering: %s wants %s whole, but a trained weight is split", n->op->name,
                       w->name);
    if (!strcmp(l->type, "f32")) return value;
    LowerArgument a = state_of(l, w);
    const char *to = lower_word(l, "%s_%s", value, l->type), *from = lower_type(l, "f32", 1, a.dim[0]);
    const char *type = lower_type(l, NULL, 1, a.dim[0]);
    if (a.rank == 2) from = lower_type(l, "f32", 2, a.dim[0], a.dim[1]), type = lower_type(l, NULL, 2, a.dim[0], a.dim[1]);
    if (lower_once(l, "%s", to + 1)) lower_line(l, "%s = stablehlo.convert %s : (%s) -> %s", to, value, from, type);
    return to;
}

/* What a program that trains reads of a state; NULL: input i is none. */
static const char *kept_in(Lower *l, const Node *n, int i) {
    const Graph *g = &l->program->graph;
    const Node *state = graph_state(g, n->in[i]), *in = graph_node(g, n->in[i]);
    if (!l->trains || !state) return NULL;
    if (state_lasts(l, state)) return state->kind == NODE_WEIGHT ? trained_in(l, n, i) : lower_state_in(l, n, i);
    if (in->kind == NODE_OP) return NULL; /* rows: as any value */
    err_as(&l->err, QM_INTERNAL, "lowering: %s reads %s before it is written", n->name, state->name);
    return "%?";
}

/* A value that a node computes again from, in the program that had it: without a barrier both compilers would take the
 * first computation for the second. It waits for what the node waits for. */
static const char *again(Lower *l, const Node *n, const Node *in, const char *value) {
    const Node *after = graph_node(&l->program->graph, n->after);
    if (!l->trains || !after || in->stage >= n->stage || in->kind == NODE_INPUT || in->op->on_host) return value;
    const char *to = lower_word(l, "%s_%s", value, lower_name(l, after)), *type = lower_tensor(l, in);
    if (lower_once(l, "%s", to + 1))
        lower_line(l, "%s = stablehlo.optimization_barrier %s : %s", to, value, type);
    return to;
}

/* Numbers of all rows that pass the head: those of this part. */
static const char *part_input(Lower *l, const Node *in) {
    int64_t r = l->bucket.logit_rows, all = lower_rows(l);
    const char *whole = lower_step_input(l, in->name, "i32", all, 0, node_id(l, in));
    const char *part = lower_word(l, "%s_p%d", whole, l->part);
    if (lower_once(l, "%s", part + 1))
        lower_line(l, "%s = stablehlo.slice %s [%lld:%lld] : (%s) -> %s", part, whole, (long long)(r * l->part),
                   (long long)(r * (l->part + 1)), lower_type(l, "i32", 1, all), lower_type(l, "i32", 1, r));
    return part;
}

const char *lower_in(Lower *l, const Node *n, int i) {
    const Node *in = graph_node(&l->program->graph, n->in[i]);
    const char *kept = kept_in(l, n, i);
    if (kept) return kept;
    if (in->kind == NODE_STATE) return lower_state_in(l, n, i);
    if (in->kind == NODE_WEIGHT) return weight_argument(l, n, i);
    if (in->kind == NODE_INPUT && l->part >= 0 && shape_rows(&in->shape) == LOGIT_ROWS) return part_input(l, in);
    if (in->kind == NODE_INPUT)
        return lower_step_input(l, in->name, "i32", local_size(l, &in->shape.dim[0], ""), 0, n->in[i].id);
    return lower_has(l, n->in[i].id) ? again(l, n, in, lower_out(l, in)) : value_argument(l, in);
}

/* A value of these dimensions in f32. */
static const char *in_f32(Lower *l, const char *value, const LowerArgument *a) {
    const char *to = lower_word(l, "%s_f32", value);
    char from[128], type[128];
    if (!strcmp(a->type, "f32")) return value;
    lower_type_text(from, sizeof from, a->type, a->rank, a->dim);
    lower_type_text(type, sizeof type, "f32", a->rank, a->dim);
    if (lower_once(l, "%s", to + 1)) lower_convert(l, to, value, from, type);
    return to;
}

const char *lower_f32_in(Lower *l, const Node *n, int i) {
    const Graph *g = &l->program->graph;
    const Node *in = graph_node(g, n->in[i]), *state = graph_state(g, n->in[i]);
    if (l->trains && state && state_lasts(l, state) && !of_rows(state)) return lower_state_in(l, n, i);
    const char *value = lower_in(l, n, i);
    const LowerArgument *w = in->kind == NODE_WEIGHT ? lower_argument(l, value + 1) : NULL;
    LowerArgument a = w ? *w : value_of(l, in, ROLE_VALUE);
    return in_f32(l, value, &a);
}

LowerMatrix lower_matrix_in(Lower *l, const Node *n, int i) {
    const Node *w = graph_node(&l->program->graph, n->in[i]);
    LowerArgument a = {.role = ROLE_WEIGHT, .rank = 2, .node = n->in[i].id};
    const char *value;
    state_letters(w, a.weight_split);
    if (w->kind == NODE_WEIGHT && !w->trained) {
        value = weight_as(l, w, a);
        const LowerArgument *placed = lower_argument(l, value + 1);
        if (placed) a = *placed;
        value = in_f32(l, value, &a);
    } else {
        value = lower_state_in(l, n, i);
        a = state_of(l, graph_state(&l->program->graph, n->in[i]));
    }
    return (LowerMatrix){value, a.dim[0], a.dim[1]};
}

const char *lower_cache(Lower *l, const Node *state, int v, int64_t kv_heads, int64_t channels) {
    LowerArgument a = {.role = ROLE_STATE, .rank = 4, .dim = {l->cache_slots, kv_heads, l->positions, channels},
                       .split = {SPLIT_DP, SPLIT_TP}, .state = state->state + v, .node = node_id(l, state)};
    state_name(l, state, v, a.name);
    snprintf(a.type, sizeof a.type, "%s", l->type);
    argument_add(l, &a);
    return lower_word(l, "%%%s", a.name);
}

void lower_result(Lower *l, const char *name, int64_t columns) {
    LowerArgument a = {.role = ROLE_RESULT, .type = "f32", .rank = 2, .dim = {l->bucket.logit_rows, columns},
                       .split = {SPLIT_DP, SPLIT_TP}};
    name_set(l, a.name, "%s", name);
    result_add(l, &a);
}

/* What the step leaves for the host and for later pieces: kept values, and values. */
static void results_declare(Lower *l, const Node *n, LowerRole role) {
    LowerArgument a = value_of(l, n, role);
    name_set(l, a.name, "%s", lower_name(l, n));
    if (n->value == VALUE_PAIR && n->kind == NODE_OP) { /* of all devices */
        a.rank = 2;
        a.dim[1] = 2 * l->program->partition->mesh.tp;
    }
    result_add(l, &a);
}

/* Caches that an op writes, as they are then. */
void lower_caches_declare(Lower *l, const Node *n, const Node *state) {
    for (int v = 0; v < 2; v++) {
        char name[LOWER_NAME];
        state_name(l, state, v, name);
        const LowerArgument *cache = lower_argument(l, name);
        if (!cache) continue;
        LowerArgument a = *cache;
        a.value = lower_word(l, "%s%s", lower_out(l, n), v ? "v" : "k");
        result_add(l, &a);
    }
}

/* Whether a node that is not in the program, but comes after it, takes the value, or, if it is one, what a state is. */
static bool used_later(const Lower *l, int id, const Node *state) {
    const Graph *g = &l->program->graph;
    for (int user = 1; user < g->count; user++) {
        const Node *n = &g->nodes[user];
        bool later = l->trains && user >= l->first && user < l->last ? n->stage > l->stage_last : user >= l->last;
        for (int i = 0; later && i < n->inputs; i++)
            if (n->in[i].id == id || (state && graph_state(g, n->in[i]) == state)) return true;
    }
    return false;
}

/* The state that an op writes, as it is then. */
static void states_declare(Lower *l, const Node *n) {
    const Node *state = graph_state(&l->program->graph, (Tensor){node_id(l, n)});
    if (!state_lasts(l, state)) return;
    if (state->type == TYPE_CACHE) lower_caches_declare(l, n, state);
    else if (state->type != TYPE_SUM || l->sums_go_on || used_later(l, node_id(l, n), state))
        state_result(l, state, lower_out(l, n));
}

void lower_state_out(Lower *l, const Node *n, int i, const char *value) {
    state_result(l, graph_state(&l->program->graph, n->in[i]), value);
}

/* Whether a node's value may be one of the program's: no state, nor what the host has computed. */
static bool is_value(const Lower *l, const Node *n) {
    const Node *state = graph_state(&l->program->graph, (Tensor){node_id(l, n)});
    if (l->trains && n->kind == NODE_OP && n->op->on_host) return false;
    return !state || (state->type != TYPE_CACHE && !state_lasts(l, state));
}

void lower_declare(Lower *l, const Node *n) {
    if (n->kind == NODE_OP && n->op->writes_state) states_declare(l, n);
    if (n->keep) results_declare(l, n, ROLE_RESULT);
    if (is_value(l, n) && used_later(l, node_id(l, n), NULL)) results_declare(l, n, ROLE_VALUE);
}
