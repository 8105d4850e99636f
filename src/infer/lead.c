/* lead.c: what rank 0 tells the other ranks, and how all agree. */
#include <stdlib.h>
#include <string.h>
#include "../base/transport.h"
#include "../model/adapters.h"
#include "lead.h"
#include "orders.h"

/* What must be the same on all ranks. */
typedef struct Verdict {
    uint64_t model;
    char mesh[32];
    int64_t context, slots, rows;
} Verdict;

static QmEngine *engines[MAX_ENGINES]; /* by number, the same on all ranks */

QmEngine **lead_engine(int number) { return &engines[number]; }

/* ---- Telling ----------------------------------------------------------------------------------------------------- */

void lead_tell(void *data, size_t bytes, Patience patience) {
    Message m[MAX_DEVICES];
    int count = transport_ranks() - 1;
    for (int i = 0; i < count; i++) m[i] = (Message){i + 1, true, data, bytes};
    transport_exchange(m, count, patience, "orders of rank 0");
}

/* Twice as long: where a third rank is silent, the one that waits for it is the first to end all, and names it. */
void lead_hear(void *data, size_t bytes, Patience patience) {
    transport_exchange(&(Message){0, false, data, bytes}, 1, (Patience)(2 * patience), "orders of rank 0");
}

static bool leads(const QmEngine *e) { return e->spread_number > 0 && transport_rank() == 0; }

/* What belongs to a step waits as long as a step. */
static void order(const QmEngine *e, OrderKind what, int64_t a, int64_t b, int64_t c) {
    bool step = what == ORDER_COPY || what == ORDER_READ || what == ORDER_CANDIDATES;
    Order o = {.kind = (int32_t)what, .engine = e ? e->spread_number : 0, .number = {a, b, c}};
    lead_tell(&o, sizeof o, step ? PATIENCE_STEP : PATIENCE_OPEN);
}

void lead_open(QmEngine *e, const QmEngineOptions *options) {
    if (transport_ranks() == 1 || transport_rank() != 0) return;
    OpenOrder open;
    Err err = {0};
    int number = 1;
    while (number < MAX_ENGINES && engines[number]) number++;
    if (number == MAX_ENGINES) transport_fail("more than %d engines are open", MAX_ENGINES - 1);
    if (!open_order_write(&open, options, &err)) transport_fail("%s", err.text);
    e->spread_number = number;
    engines[number] = e;
    order(e, ORDER_OPEN, 0, 0, 0);
    lead_tell(&open, sizeof open, PATIENCE_OPEN);
}

void lead_step(const QmEngine *e) {
    if (!leads(e)) return;
    const StepRows *s = e->backend->rows(e->state);
    Order o = {.kind = ORDER_STEP, .engine = e->spread_number, .number = {s->rows, s->logit_rows}};
    for (int64_t r = 0; r < s->rows && r < ORDER_ROWS; r++) o.row[r] = order_row(s, r);
    lead_tell(&o, sizeof o, PATIENCE_STEP);
    for (int64_t at = ORDER_ROWS; at < s->rows; at += ORDER_MORE_ROWS) {
        OrderRow row[ORDER_MORE_ROWS];
        int64_t n = s->rows - at < ORDER_MORE_ROWS ? s->rows - at : ORDER_MORE_ROWS;
        for (int64_t r = 0; r < n; r++) row[r] = order_row(s, at + r);
        lead_tell(row, (size_t)n * sizeof *row, PATIENCE_STEP);
    }
}

void lead_copy(const QmEngine *e, int from_slot, int to_slot, int64_t positions) {
    if (leads(e)) order(e, ORDER_COPY, from_slot, to_slot, positions);
}

void lead_read(const QmEngine *e, Tensor t) {
    if (leads(e) && (e->backend->reads_together || graph_node(&e->program.graph, t)->split[0]))
        order(e, ORDER_READ, t.id, 0, 0);
}

void lead_candidates(const QmEngine *e, int64_t logit_row) {
    if (leads(e)) order(e, ORDER_CANDIDATES, logit_row, 0, 0);
}

void lead_close(const QmEngine *e) {
    if (!e->spread_number) return;
    if (leads(e)) order(e, ORDER_CLOSE, 0, 0, 0);
    engines[e->spread_number] = NULL;
}

void lead_end(void) {
    if (transport_ranks() > 1) order(NULL, ORDER_END, 0, 0, 0);
}

/* ---- Agreeing ---------------------------------------------------------------------------------------------------- */

/* FNV-1a */
static void hash_bytes(uint64_t *h, const void *data, size_t bytes) {
    const uint8_t *p = data;
    for (size_t i = 0; i < bytes; i++) *h = (*h ^ p[i]) * 1099511628211u;
}

static void linear_hash(uint64_t *h, const LinearAdapter *l) {
    hash_bytes(h, &l->scale, sizeof l->scale);
    for (int i = 0; l->chosen && i < l->chosen->count; i++)
        hash_bytes(h, &l->chosen->of[i], sizeof l->chosen->of[i]);
}

/* All that a step's numbers depend on, field by field: bytes between fields have no value. */
static void config_hash(uint64_t *h, const ModelConfig *c) {
    const Rope *r = &c->rope;
    const int64_t sizes[] = {c->layers, c->hidden, c->ffn, c->vocab, c->heads, c->kv_heads, c->head_dim,
                             c->max_positions, c->head, c->labels, c->tied, r->type, r->dim, r->max_positions,
                             r->original_max, r->truncate};
    const double numbers[] = {c->rms_norm_eps, r->theta, r->factor, r->attention_factor, r->beta_fast, r->beta_slow,
                              r->low_freq_factor, r->high_freq_factor};
    hash_bytes(h, sizes, sizeof sizes);
    hash_bytes(h, numbers, sizeof numbers);
    hash_bytes(h, c->window, sizeof c->window);
    hash_bytes(h, r->short_factor, sizeof r->short_factor);
    hash_bytes(h, r->long_factor, sizeof r->long_factor);
    for (int64_t i = 0; c->adapters && i < c->adapters->count; i++)
        linear_hash(h, &c->adapters->linears[i]);
}

/* The configuration, and of every weight its name, type, shape and a sample of its bytes: it tells models apart, not
 * every damaged byte. */
static uint64_t model_hash(const LeadModel *m) {
    enum { SAMPLES = 64, SAMPLE_BYTES = 64 };
    uint64_t h = 14695981039346656037u;
    config_hash(&h, m->config);
    for (int i = 1; i < m->graph->count; i++) {
        const Node *n = &m->graph->nodes[i];
        const WeightTensor *w = n->kind == NODE_WEIGHT ? weights_find(m->weights, n->name) : NULL;
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

bool lead_agree_on(const LeadModel *m, bool planned, Err *err) {
    if (!transport_agree(planned, "opening the model", err)) return false;
    Verdict mine = {model_hash(m), "", m->context, m->slots, m->rows}, zero;
    snprintf(mine.mesh, sizeof mine.mesh, "%s", m->mesh);
    zero = mine;
    if (transport_rank() == 0) lead_tell(&zero, sizeof zero, PATIENCE_OPEN);
    else lead_hear(&zero, sizeof zero, PATIENCE_OPEN);
    zero.mesh[sizeof zero.mesh - 1] = 0;
    return transport_agree(verdict_same(&zero, &mine, err), "opening the model", err);
}

bool lead_agree(const QmEngine *e, const BackendOptions *options, bool planned, Err *err) {
    const LeadModel m = {&e->config, &e->program.graph, e->weights, e->partition.mesh.text, options->context,
                         options->slots, options->rows};
    return e->spread_number ? lead_agree_on(&m, planned, err) : planned;
}

bool lead_opened(const QmEngine *e, bool opened, Err *err) {
    return e->spread_number ? transport_agree(opened, "opening the model", err) : opened;
}
