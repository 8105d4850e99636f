/* follow.c: what rank 0 tells the other ranks, and what they do about it. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include "../base/transport.h"
#include "follow.h"

enum { MAX_ENGINES = 16, TEXT_BYTES = 4096, TEXTS = 11 };

typedef enum Order { ORDER_END, ORDER_OPEN, ORDER_STEP, ORDER_COPY, ORDER_READ, ORDER_CANDIDATES, ORDER_CLOSE } Order;

/* Rows of a decode step travel in the order itself: one message. */
enum { SHORT_ROWS = 8, MAX_SENT_ROWS = 256 };
typedef struct Row { int64_t index, length; int32_t token, slot, position, logit_row; } Row;
typedef struct Command {
    int32_t order, engine;
    int64_t number[3]; /* step: rows, logit rows; copy: from, to, positions; read: node;
                        candidates: logit row */
    Row row[SHORT_ROWS];
} Command;

/* Options as one message. The texts, in the order of texts_of, lie in `text` behind each other; a NULL has no bytes. */
typedef struct OpenOrder {
    int32_t slots, rows, threads;
    int64_t context;
    bool rope_bf16, hidden, pin, has[TEXTS];
    char text[TEXT_BYTES];
} OpenOrder;

/* What must be the same on all ranks. */
typedef struct Verdict {
    uint64_t model;
    char mesh[32];
    int64_t context, slots, rows;
} Verdict;

static QmEngine *engines[MAX_ENGINES]; /* by number, the same on all ranks */

/* ---- Telling ----------------------------------------------------------------------------------------------------- */

static void tell_all(void *data, size_t bytes, Patience patience) {
    Message m[MAX_DEVICES];
    int count = transport_ranks() - 1;
    for (int i = 0; i < count; i++) m[i] = (Message){i + 1, true, data, bytes};
    transport_exchange(m, count, patience, "orders of rank 0");
}

/* Twice as long: where a third rank is silent, the one that waits for it is the first to end all, and names it. */
static void hear(void *data, size_t bytes, Patience patience) {
    transport_exchange(&(Message){0, false, data, bytes}, 1, (Patience)(2 * patience), "orders of rank 0");
}

static bool leads(const QmEngine *e) { return e->spread_number > 0 && transport_rank() == 0; }

/* What belongs to a step waits as long as a step. */
static void order(const QmEngine *e, Order what, int64_t a, int64_t b, int64_t c) {
    bool step = what == ORDER_COPY || what == ORDER_READ || what == ORDER_CANDIDATES;
    Command command = {.order = (int32_t)what, .engine = e ? e->spread_number : 0, .number = {a, b, c}};
    tell_all(&command, sizeof command, step ? PATIENCE_STEP : PATIENCE_OPEN);
}

/* Fields of QmEngineOptions that are text. */
static void texts_of(QmEngineOptions *o, const char **text[TEXTS]) {
    const char **all[TEXTS] = {&o->model, &o->mesh, &o->kv_cache, &o->isa, &o->act, &o->weights, &o->random,
                                &o->backend, &o->plugin, &o->candidates, &o->program_cache};
    memcpy(text, all, sizeof all);
}

void follow_open(QmEngine *e, const QmEngineOptions *options) {
    if (transport_ranks() == 1 || transport_rank() != 0) return;
    QmEngineOptions o = *options;
    OpenOrder open = {.slots = o.slots, .rows = o.rows, .threads = o.threads, .context = o.context,
                      .rope_bf16 = o.rope_bf16, .hidden = o.hidden, .pin = o.pin};
    const char **text[TEXTS];
    size_t at = 0;
    int number = 1;
    while (number < MAX_ENGINES && engines[number]) number++;
    if (number == MAX_ENGINES) transport_fail("more than %d engines are open", MAX_ENGINES - 1);
    texts_of(&o, text);
    for (int i = 0; i < TEXTS; i++) {
        if (!(open.has[i] = *text[i] != NULL)) continue;
        size_t bytes = strlen(*text[i]) + 1;
        if (bytes > sizeof open.text - at) transport_fail("the options of the engine are longer than %d", TEXT_BYTES);
        memcpy(open.text + at, *text[i], bytes);
        at += bytes;
    }
    e->spread_number = number;
    engines[number] = e;
    order(e, ORDER_OPEN, 0, 0, 0);
    tell_all(&open, sizeof open, PATIENCE_OPEN);
}

static void row_take(StepRows *s, int64_t r, const Row *row) {
    s->token[r] = row->token;
    s->slot[r] = row->slot;
    s->position[r] = row->position;
    s->index[r] = row->index;
    s->length[r] = row->length;
    s->logit_row[r] = row->logit_row;
}

static Row row_give(const StepRows *s, int64_t r) {
    return (Row){s->index[r], s->length[r], s->token[r], s->slot[r], s->position[r],
                 r < s->logit_rows ? s->logit_row[r] : 0};
}

void follow_step(const QmEngine *e) {
    if (!leads(e)) return;
    const StepRows *s = e->backend->rows(e->state);
    Command command = {.order = ORDER_STEP, .engine = e->spread_number, .number = {s->rows, s->logit_rows}};
    for (int64_t r = 0; r < s->rows && r < SHORT_ROWS; r++) command.row[r] = row_give(s, r);
    tell_all(&command, sizeof command, PATIENCE_STEP);
    for (int64_t at = SHORT_ROWS; at < s->rows; at += MAX_SENT_ROWS) {
        Row row[MAX_SENT_ROWS];
        int64_t n = s->rows - at < MAX_SENT_ROWS ? s->rows - at : MAX_SENT_ROWS;
        for (int64_t r = 0; r < n; r++) row[r] = row_give(s, at + r);
        tell_all(row, (size_t)n * sizeof *row, PATIENCE_STEP);
    }
}

void follow_copy(const QmEngine *e, int from_slot, int to_slot, int64_t positions) {
    if (leads(e)) order(e, ORDER_COPY, from_slot, to_slot, positions);
}

void follow_read(const QmEngine *e, Tensor t) {
    if (leads(e) && (e->backend->reads_together || graph_node(&e->program.graph, t)->split[0]))
        order(e, ORDER_READ, t.id, 0, 0);
}

void follow_candidates(const QmEngine *e, int64_t logit_row) {
    if (leads(e)) order(e, ORDER_CANDIDATES, logit_row, 0, 0);
}

void follow_close(const QmEngine *e) {
    if (!e->spread_number) return;
    if (leads(e)) order(e, ORDER_CLOSE, 0, 0, 0);
    engines[e->spread_number] = NULL;
}

void follow_end(void) {
    if (transport_ranks() > 1) order(NULL, ORDER_END, 0, 0, 0);
}

/* ---- Agreeing ---------------------------------------------------------------------------------------------------- */

/* FNV-1a */
static void hash_bytes(uint64_t *h, const void *data, size_t bytes) {
    const uint8_t *p = data;
    for (size_t i = 0; i < bytes; i++) *h = (*h ^ p[i]) * 1099511628211u;
}

/* The configuration, and of every weight its name, type, shape and a sample of its bytes: it tells models apart, not
 * every damaged byte. */
static uint64_t model_hash(const QmEngine *e) {
    enum { SAMPLES = 64, SAMPLE_BYTES = 64 };
    uint64_t h = 14695981039346656037u;
    const ModelConfig *c = &e->config;
    int64_t sizes[] = {c->layers, c->hidden, c->ffn, c->vocab, c->heads, c->kv_heads, c->head_dim, c->max_positions,
                       c->tied, c->rope.type, c->rope.dim, c->rope.original_max, c->rope.bf16};
    double numbers[] = {c->rms_norm_eps, c->rope.theta, c->rope.factor, c->rope.attention_factor};
    hash_bytes(&h, sizes, sizeof sizes);
    hash_bytes(&h, numbers, sizeof numbers);
    hash_bytes(&h, c->window, sizeof c->window);
    for (int i = 1; i < e->program.graph.count; i++) {
        const Node *n = &e->program.graph.nodes[i];
        const WeightTensor *w = n->kind == NODE_WEIGHT ? weights_find(e->weights, n->name) : NULL;
        if (!w) continue;
        hash_bytes(&h, w->name, strlen(w->name));
        hash_bytes(&h, &w->dtype, sizeof w->dtype);
        hash_bytes(&h, w->dim, (size_t)w->rank * sizeof *w->dim);
        const uint8_t *data = w->data ? w->data : w->panels;
        size_t size = w->data ? w->bytes : w->panel_bytes;
        for (size_t s = 0; s < SAMPLES && data; s++) {
            size_t at = size / SAMPLES * s;
            hash_bytes(&h, data + at, size - at < SAMPLE_BYTES ? size - at : SAMPLE_BYTES);
        }
    }
    return h;
}

static bool verdict_same(const Verdict *zero, const Verdict *mine, Err *err) {
    if (mine->model != zero->model)
        return err_set(err, "another model: expected the hash %016llx as on rank 0, got %016llx",
                       (unsigned long long)zero->model, (unsigned long long)mine->model);
    if (!strcmp(mine->mesh, zero->mesh) && mine->context == zero->context && mine->slots == zero->slots &&
        mine->rows == zero->rows)
        return true;
    return err_set(err,
                   "another engine: expected mesh %s, context %lld, slots %lld, rows %lld as on rank 0, got %s, %lld, "
                   "%lld, %lld", zero->mesh, (long long)zero->context, (long long)zero->slots, (long long)zero->rows,
                   mine->mesh, (long long)mine->context, (long long)mine->slots, (long long)mine->rows);
}

bool follow_agree(const QmEngine *e, const BackendOptions *options, bool planned, Err *err) {
    if (!e->spread_number) return planned;
    if (!transport_agree(planned, "opening the model", err)) return false;
    Verdict mine = {model_hash(e), "", options->context, options->slots, options->rows}, zero;
    snprintf(mine.mesh, sizeof mine.mesh, "%s", e->partition.mesh.text);
    zero = mine;
    if (transport_rank() == 0) tell_all(&zero, sizeof zero, PATIENCE_OPEN);
    else hear(&zero, sizeof zero, PATIENCE_OPEN);
    return transport_agree(verdict_same(&zero, &mine, err), "opening the model", err);
}

bool follow_opened(const QmEngine *e, bool opened, Err *err) {
    return e->spread_number ? transport_agree(opened, "opening the model", err) : opened;
}

/* ---- Following --------------------------------------------------------------------------------------------------- */

static void obey_open(int number) {
    OpenOrder open;
    hear(&open, sizeof open, PATIENCE_OPEN);
    QmEngineOptions o = {.slots = open.slots, .rows = open.rows, .threads = open.threads, .context = open.context,
                         .rope_bf16 = open.rope_bf16, .hidden = open.hidden, .pin = open.pin,
                         .quiet = true};
    const char **text[TEXTS], *at = open.text;
    texts_of(&o, text);
    for (int i = 0; i < TEXTS; i++) {
        if (!open.has[i]) continue;
        *text[i] = at;
        at += strlen(at) + 1;
    }
    Err err = {0};
    engines[number] = engine_open_as(&o, number, &err); /* NULL: rank 0 knows why, and will not use it */
}

static void obey_step(const QmEngine *e, const Command *c) {
    StepRows *s = e->backend->rows(e->state);
    Err err = {0};
    s->rows = c->number[0];
    s->logit_rows = c->number[1];
    for (int64_t r = 0; r < s->rows && r < SHORT_ROWS; r++) row_take(s, r, &c->row[r]);
    for (int64_t at = SHORT_ROWS; at < s->rows; at += MAX_SENT_ROWS) {
        Row row[MAX_SENT_ROWS];
        int64_t n = s->rows - at < MAX_SENT_ROWS ? s->rows - at : MAX_SENT_ROWS;
        hear(row, (size_t)n * sizeof *row, PATIENCE_STEP);
        for (int64_t r = 0; r < n; r++) row_take(s, at + r, &row[r]);
    }
    if (!e->backend->run(e->state, &err)) transport_fail("%s", err.text);
}

int follow(void) {
    signal(SIGINT, SIG_IGN); /* rank 0 decides what an interrupt stops */
    for (;;) {
        Command c;
        Err err = {0};
        hear(&c, sizeof c, PATIENCE_FOREVER);
        if (c.order == ORDER_END) return 0;
        if (c.engine < 1 || c.engine >= MAX_ENGINES) transport_fail("order %d for engine %d", c.order, c.engine);
        if (c.order == ORDER_OPEN) {
            obey_open(c.engine);
            continue;
        }
        QmEngine *e = engines[c.engine];
        if (!e && c.order == ORDER_CLOSE) continue; /* it did not open everywhere: closed already */
        if (!e) transport_fail("order %d for an engine that is not open", c.order);
        if (c.order == ORDER_STEP) obey_step(e, &c);
        else if (c.order == ORDER_READ) e->backend->read(e->state, (Tensor){(int)c.number[0]}, &err);
        else if (c.order == ORDER_CANDIDATES) e->backend->candidates(e->state, c.number[0], NULL, NULL, &err);
        else if (c.order == ORDER_COPY)
            e->backend->copy(e->state, (int)c.number[0], (int)c.number[1], c.number[2], &err);
        else if (c.order == ORDER_CLOSE) qm_engine_close(e);
        if (err.set) transport_fail("%s", err.text);
    }
}
