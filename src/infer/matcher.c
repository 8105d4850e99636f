/* matcher.c: reads text by a grammar. A configuration is a place in the grammar and a stack of places to return to; a
 * state is a set of them. Stacks and states are numbered and kept, with the transitions and masks found so far: a
 * lazily built automaton. Tokens are tried in the order of their bytes, so that common beginnings are read once.
 *
 * Budgets are those of one call, so that a long text costs no more at its end: what was found is forgotten when it
 * fills KEPT_BYTES, all but the states that callers hold. Ways beyond MAX_CONFIGS are dropped: what is then let
 * through is less, but still of the grammar, and as every way can be ended, if any can (grammar_prune), none of them is
 * a trap. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include "../text/order.h"
#include "grammar.h"

typedef struct Config { int32_t node, stack; } Config;               /* stack -1: empty                    */
typedef struct StackCell { int32_t back, under, depth, chain; } StackCell; /* where to return; chain: of its bucket */
typedef struct State {
    Config *config;          /* [count] at bytes, in the order found: what is dropped hangs on the text only, and
                              * not on the numbers that stacks happen to have            */
    int32_t count, chain;    /* chain: next state of the same bucket                     */
    bool accepts;
    bool held;               /* a caller has its number                                  */
    int32_t mask;            /* slot of its mask, or -1                                  */
    int32_t *next;           /* [classes] -2: not known; NULL: none asked                */
} State; /* config NULL: the number is free, and chain the next free one */

enum { BUCKETS = 4096, MAX_WORK = 1 << 26, KEPT_BYTES = 1 << 26, MAX_BYTES = 1 << 29, SEEN = 4 * MAX_CONFIGS };

struct Matcher {
    atomic_int users;
    Grammar *grammar;
    StackCell *cell;
    State *state;
    size_t cells, cell_room, states, state_room;
    int32_t cell_bucket[BUCKETS], state_bucket[BUCKETS], free_cell, free_state;
    uint8_t class_of[256];   /* bytes that no node of the grammar tells apart */
    int32_t classes;
    size_t live_bytes, held_bytes; /* of cells, states and transitions; of states that callers hold */
    Config *set, *todo;      /* [MAX_CONFIGS] a closure under way; what is still to follow */
    int32_t set_count;
    bool set_accepts;
    struct Seen { uint32_t closure; int32_t place; } *seen; /* [SEEN] hash set of places in `done`, of one closure */
    uint32_t closure;
    Config *done;            /* every configuration of the closure, forks and calls too    */
    int32_t done_count;
    const TokenOrder *order; /* the tokenizer's */
    size_t mask_bytes;
    int32_t vocab;
    uint8_t *mask;           /* [MAX_MASKS][mask_bytes], grown as needed */
    size_t mask_room;
    int32_t masks, mask_owner[MAX_MASKS];
    int64_t work;            /* configurations looked at in this call */
    bool spent;              /* the budget of this call is            */
    int32_t *path;           /* states along a token's bytes */
    size_t path_room;
};

static uint32_t hash_of(uint32_t a, uint32_t b) {
    uint64_t x = ((uint64_t)a << 32 | b) * 0x9e3779b97f4a7c15u;
    return (uint32_t)(x >> 32) ^ (uint32_t)x;
}

static bool budget_spent(Matcher *m, const char *what, Err *err) {
    m->spent = true;
    return err_set(err, "grammar: %s", what);
}

static bool room_for(Matcher *m, size_t bytes, Err *err) {
    return (m->live_bytes += bytes) <= MAX_BYTES || budget_spent(m, "the budget for one token is spent", err);
}

/* The stack with one more return address, numbered; -2 when memory ends or it is too deep. */
static int32_t stack_push(Matcher *m, int32_t back, int32_t under, Err *err) {
    int32_t depth = under < 0 ? 1 : m->cell[under].depth + 1;
    uint32_t bucket = hash_of((uint32_t)back, (uint32_t)under) % BUCKETS;
    if (depth > MAX_STACK) return -2;
    for (int32_t i = m->cell_bucket[bucket]; i >= 0; i = m->cell[i].chain)
        if (m->cell[i].back == back && m->cell[i].under == under) return i;
    int32_t cell = m->free_cell;
    if (!room_for(m, sizeof *m->cell, err)) return -2;
    if (cell >= 0) m->free_cell = m->cell[cell].chain;
    else {
        if (!mem_grow((void **)&m->cell, &m->cell_room, m->cells + 1, sizeof *m->cell, "grammar", err)) return -2;
        cell = (int32_t)m->cells++;
    }
    m->cell[cell] = (StackCell){back, under, depth, m->cell_bucket[bucket]};
    return m->cell_bucket[bucket] = cell;
}

/* Remembers a configuration of the closure under way; false if it is there, or too many are. */
static bool config_new(Matcher *m, Config c) {
    if (m->done_count == 2 * MAX_CONFIGS) return false;
    for (uint32_t at = hash_of((uint32_t)c.node, (uint32_t)c.stack);; at++) {
        struct Seen *slot = &m->seen[at % SEEN];
        if (slot->closure != m->closure) {
            *slot = (struct Seen){m->closure, m->done_count};
            m->done[m->done_count++] = c;
            return true;
        }
        if (m->done[slot->place].node == c.node && m->done[slot->place].stack == c.stack) return false;
    }
}

/* Follows forks, calls and returns from a configuration to bytes; those go into the set. */
static bool follow(Matcher *m, Config from, Err *err) {
    int32_t top = 0;
    if (config_new(m, from)) m->todo[top++] = from;
    while (top && !err->kind) {
        Config c = m->todo[--top], ways[2];
        const GrammarNode *n = &m->grammar->node[c.node];
        int count = 0;
        if (n->kind == GRAMMAR_BYTES && m->set_count < MAX_CONFIGS) m->set[m->set_count++] = c;
        if (n->kind == GRAMMAR_FORK)
            ways[count++] = (Config){n->other, c.stack}, ways[count++] = (Config){n->next, c.stack};
        if (n->kind == GRAMMAR_CALL) {
            /* a call with nothing after it but a return needs no cell: tail calls keep stacks flat */
            int32_t stack = n->next == 0 ? c.stack : stack_push(m, n->next, c.stack, err);
            if (stack != -2) ways[count++] = (Config){n->other, stack};
        }
        if (n->kind == GRAMMAR_RETURN) {
            if (c.stack < 0) m->set_accepts = true;
            else ways[count++] = (Config){m->cell[c.stack].back, m->cell[c.stack].under};
        }
        for (int i = 0; i < count; i++)
            if (config_new(m, ways[i])) m->todo[top++] = ways[i];
    }
    return !err->kind;
}

static void closure_start(Matcher *m) {
    m->set_count = m->done_count = 0;
    m->set_accepts = false;
    if (++m->closure == 0) { /* round again: what was seen long ago would look new */
        memset(m->seen, 0, SEEN * sizeof *m->seen);
        m->closure = 1;
    }
}

static uint32_t set_hash(const Config *set, int32_t count, bool accepts) {
    uint32_t hash = (uint32_t)count * 2 + accepts;
    for (int32_t i = 0; i < count; i++) hash = hash_of(hash ^ (uint32_t)set[i].node, (uint32_t)set[i].stack);
    return hash;
}

/* The number of the state whose set was just closed. MATCH_DEAD when it is empty; -2 and an error. */
static int32_t state_of_set(Matcher *m, Err *err) {
    if (m->set_count == 0 && !m->set_accepts)
        return m->done_count < 2 * MAX_CONFIGS ? MATCH_DEAD
                                               : (budget_spent(m, "too many rules within rules", err), -2);
    size_t bytes = (size_t)m->set_count * sizeof *m->set;
    int32_t *bucket = &m->state_bucket[set_hash(m->set, m->set_count, m->set_accepts) % BUCKETS];
    for (int32_t i = *bucket; i >= 0; i = m->state[i].chain)
        if (m->state[i].count == m->set_count && m->state[i].accepts == m->set_accepts &&
            !memcmp(m->state[i].config, m->set, bytes))
            return i;
    if (!room_for(m, bytes + sizeof(State), err)) return -2;
    Config *copy = mem_new((size_t)m->set_count + 1, sizeof *copy, "grammar", err);
    if (!copy) return -2;
    int32_t state = m->free_state;
    if (state >= 0) m->free_state = m->state[state].chain;
    else if (mem_grow((void **)&m->state, &m->state_room, m->states + 1, sizeof *m->state, "grammar", err))
        state = (int32_t)m->states++;
    else return free(copy), -2;
    memcpy(copy, m->set, bytes);
    m->state[state] = (State){copy, m->set_count, *bucket, m->set_accepts, false, -1, NULL};
    return *bucket = state;
}

static int32_t step(Matcher *m, int32_t state, uint8_t byte, Err *err) {
    State *s = &m->state[state];
    int32_t class = m->class_of[byte];
    if (s->next && s->next[class] != -2) return s->next[class];
    if (!s->next) {
        size_t classes = (size_t)m->classes;
        if (!room_for(m, classes * sizeof *s->next, err)) return -2;
        if (!(s->next = mem_new(classes, sizeof *s->next, "grammar", err))) return -2;
        for (size_t i = 0; i < classes; i++) s->next[i] = -2;
    }
    if ((m->work += m->done_count + s->count) > MAX_WORK)
        return budget_spent(m, "the budget for one token is spent", err), -2;
    closure_start(m);
    for (int32_t i = 0; i < s->count; i++) {
        const GrammarNode *n = &m->grammar->node[s->config[i].node];
        if (byte < n->low || byte > n->high) continue;
        if (!follow(m, (Config){n->next, s->config[i].stack}, err)) return -2;
    }
    int32_t next = state_of_set(m, err);
    if (next != -2) m->state[state].next[class] = next; /* the array may have moved */
    return next;
}

/* ---- Forgetting -------------------------------------------------------------------------------------------------- */

/* Cells under the stacks of states that are left stay; the others' numbers are free. */
static bool forget_cells(Matcher *m, Err *err) {
    uint8_t *used = mem_new(m->cells + 1, 1, "grammar", err);
    if (!used) return false;
    for (size_t i = 0; i < m->states; i++)
        for (int32_t k = 0; m->state[i].config && k < m->state[i].count; k++)
            for (int32_t c = m->state[i].config[k].stack; c >= 0 && !used[c]; c = m->cell[c].under) used[c] = 1;
    m->free_cell = -1;
    for (int i = 0; i < BUCKETS; i++) m->cell_bucket[i] = -1;
    for (size_t i = m->cells; i-- > 0;) {
        StackCell *c = &m->cell[i];
        int32_t *list = used[i] ? &m->cell_bucket[hash_of((uint32_t)c->back, (uint32_t)c->under) % BUCKETS]
                                : &m->free_cell;
        c->chain = *list;
        *list = (int32_t)i;
        if (used[i]) m->live_bytes += sizeof *c;
    }
    free(used);
    return true;
}

static bool forget(Matcher *m, Err *err) {
    m->free_state = -1;
    m->live_bytes = 0;
    m->masks = 0;
    for (int i = 0; i < BUCKETS; i++) m->state_bucket[i] = -1;
    for (size_t i = m->states; i-- > 0;) {
        State *s = &m->state[i];
        int32_t *list = &m->free_state;
        free(s->next);
        s->next = NULL;
        s->mask = -1;
        if (s->held) {
            list = &m->state_bucket[set_hash(s->config, s->count, s->accepts) % BUCKETS];
            m->live_bytes += sizeof *s + (size_t)s->count * sizeof *s->config;
        } else {
            free(s->config);
            s->config = NULL;
        }
        s->chain = *list;
        *list = (int32_t)i;
    }
    bool ok = forget_cells(m, err);
    m->held_bytes = m->live_bytes;
    return ok;
}

/* A call begins: its budget is whole, whatever others have spent. */
static bool call_begins(Matcher *m, Err *err) {
    m->work = 0;
    m->spent = false;
    return m->live_bytes - m->held_bytes < KEPT_BYTES || forget(m, err);
}

int32_t matcher_read(Matcher *m, int32_t state, const uint8_t *bytes, size_t count, Err *err) {
    for (size_t i = 0; i < count && state >= 0; i++) {
        if (i % 256 == 0 && !call_begins(m, err)) return -2; /* a long text is many calls */
        state = step(m, state, bytes[i], err);
        if (state >= 0 && (i % 256 == 255 || i + 1 == count)) m->state[state].held = true;
    }
    return state;
}

bool matcher_accepts(const Matcher *m, int32_t state) { return state >= 0 && m->state[state].accepts; }
bool matcher_ended(const Matcher *m, int32_t state) { return matcher_accepts(m, state) && m->state[state].count == 0; }

int64_t matcher_tokens(const Matcher *m) { return m->vocab; }

MatchFault matcher_fault(const Matcher *m) { return m->spent ? MATCH_SPENT : MATCH_STARVED; }

const Grammar *matcher_grammar(const Matcher *m) { return m->grammar; }

bool matcher_reusable(const Matcher *m) {
    return atomic_load(&m->users) == 1 && !m->spent && m->live_bytes < KEPT_BYTES / 4;
}

/* ---- Tokens ------------------------------------------------------------------------------------------------------ */

static bool tokens_of(Matcher *m, const QmTokenizer *t, Err *err) {
    m->vocab = qm_tokenizer_vocab(t);
    m->mask_bytes = ((size_t)m->vocab + 7) / 8;
    m->order = tokenizer_order(t, err);
    return m->order &&
           mem_grow((void **)&m->path, &m->path_room, m->order->longest + 1, sizeof *m->path, "grammar", err);
}

/* path[k]: the state after the first k bytes; alive: how many of them can be read. */
static bool mask_fill(Matcher *m, int32_t state, uint8_t *mask, Err *err) {
    size_t alive = 0;
    memset(mask, 0, m->mask_bytes);
    m->path[0] = state;
    for (size_t i = 0; i < m->order->count; i++) {
        const OrderedToken *t = &m->order->token[i];
        if (t->common > alive) continue; /* the byte that failed is one of the common ones */
        for (alive = t->common; alive < t->bytes; alive++) {
            int32_t next = step(m, m->path[alive], t->data[alive], err);
            if (next == -2) return false;
            if (next == MATCH_DEAD) break;
            m->path[alive + 1] = next;
        }
        if (alive == t->bytes) mask[t->id / 8] |= (uint8_t)(1 << t->id % 8);
    }
    return true;
}

const uint8_t *matcher_mask(Matcher *m, int32_t state, Err *err) {
    int32_t slot = m->state[state].mask;
    if (slot < 0 && !call_begins(m, err)) return NULL;
    if (slot >= 0) return m->mask + (size_t)slot * m->mask_bytes;
    slot = m->masks++ % MAX_MASKS;
    if (m->masks > MAX_MASKS) m->state[m->mask_owner[slot]].mask = -1;
    if (!mem_grow((void **)&m->mask, &m->mask_room, (size_t)(slot + 1) * m->mask_bytes, 1, "grammar", err)) return NULL;
    if (!mask_fill(m, state, m->mask + (size_t)slot * m->mask_bytes, err)) {
        m->masks--;
        return NULL;
    }
    m->mask_owner[slot] = state;
    m->state[state].mask = slot;
    return m->mask + (size_t)slot * m->mask_bytes;
}

/* Bytes are of one class where no range of the grammar begins or ends between them. */
static void classes_of(Matcher *m) {
    bool begins[257] = {false};
    for (int32_t i = 0; i < m->grammar->count; i++)
        if (m->grammar->node[i].kind == GRAMMAR_BYTES)
            begins[m->grammar->node[i].low] = begins[m->grammar->node[i].high + 1] = true;
    for (int i = 1; i < 256; i++) m->class_of[i] = (uint8_t)(m->class_of[i - 1] + begins[i]);
    m->classes = m->class_of[255] + 1;
}

Matcher *matcher_new(Grammar *grammar, const QmTokenizer *tokenizer, Err *err) {
    Matcher *m = mem_new(1, sizeof *m, "grammar", err);
    if (!m) return NULL;
    atomic_init(&m->users, 1);
    m->grammar = grammar_share(grammar);
    for (int i = 0; i < BUCKETS; i++) m->cell_bucket[i] = m->state_bucket[i] = -1;
    m->free_cell = m->free_state = -1;
    classes_of(m);
    m->set = mem_new(2 * MAX_CONFIGS, sizeof *m->set, "grammar", err);
    m->todo = mem_new(2 * MAX_CONFIGS + 2, sizeof *m->todo, "grammar", err);
    m->done = mem_new(2 * MAX_CONFIGS, sizeof *m->done, "grammar", err);
    m->seen = mem_new(SEEN, sizeof *m->seen, "grammar", err);
    bool ok = m->set && m->todo && m->done && m->seen && (!tokenizer || tokens_of(m, tokenizer, err));
    if (ok) closure_start(m);
    ok = ok && follow(m, (Config){grammar->start, -1}, err) && state_of_set(m, err) >= -1;
    if (ok && m->states == 0) ok = err_set(err, "grammar: no text matches it");
    if (ok) m->state[0].held = true;
    if (ok) return m;
    matcher_release(m);
    return NULL;
}

Matcher *matcher_share(Matcher *matcher) {
    if (matcher) atomic_fetch_add(&matcher->users, 1);
    return matcher;
}

void matcher_release(Matcher *m) {
    if (!m || atomic_fetch_sub(&m->users, 1) > 1) return;
    for (size_t i = 0; i < m->states; i++) free(m->state[i].config), free(m->state[i].next);
    grammar_release(m->grammar);
    free(m->cell), free(m->state), free(m->set), free(m->todo), free(m->done), free(m->seen);
    free(m->mask), free(m->path), free(m);
}
