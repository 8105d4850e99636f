/* key_bias.c: see ops/key_bias.h: which biases the cache in 8 bits leaves out, and the tables of their turns. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "cpu_state.h"

enum { MOST_POSITIONS = 1 << 20 };

/* ---- Turns ------------------------------------------------------------------------------------------------------- */

static void turn(const Rope *r, int64_t half, double position, double factor, float *cosine, float *sine,
                 int64_t step) {
    for (int64_t i = 0; i <= half; i++) { /* the last does not turn */
        double angle = i < half ? position * (double)rope_frequency(r, i, 0) : 0;
        cosine[i * step] = (float)(cos(angle) * (i < half ? factor : 1));
        sine[i * step] = (float)(sin(angle) * (i < half ? factor : 1));
    }
}

static bool turns_new(KvCache *c, const Rope *r, Err *err) {
    KeyTurns *t = mem_new(1, sizeof *t, "turns of biases", err);
    if (!(c->turns = t)) return false;
    int64_t half = r->dim / 2, most = r->max_positions > c->positions ? r->max_positions : c->positions;
    if (most > MOST_POSITIONS) most = MOST_POSITIONS;
    int64_t rows = (most + TURN_POSITIONS - 1) / TURN_POSITIONS, width = 2 * (half + 1);
    *t = (KeyTurns){.half = half, .positions = rows * TURN_POSITIONS,
                    .length = r->type == ROPE_DYNAMIC    ? r->max_positions
                              : r->type == ROPE_LONGROPE ? r->original_max
                                                         : INT64_MAX,
                    .far = mem_new((size_t)(rows * width), sizeof(float), "turns of biases", err),
                    .near = mem_new((size_t)(width * TURN_POSITIONS), sizeof(float), "turns of biases", err)};
    if (!t->far || !t->near) return false;
    for (int64_t a = 0; a < rows; a++)
        turn(r, half, (double)(a * TURN_POSITIONS), r->attention_factor, t->far + a * width,
             t->far + a * width + half + 1, 1);
    for (int64_t j = 0; j < TURN_POSITIONS; j++)
        turn(r, half, (double)j, 1, t->near + j, t->near + (half + 1) * TURN_POSITIONS + j, TURN_POSITIONS);
    return true;
}

/* ---- Which biases ------------------------------------------------------------------------------------------------ */

/* What the weights of a head's rows give, root mean square, where x is normed: its columns are the gains times numbers
 * of root mean square 1. Sums in one order, so that every mesh leaves the same biases out. */
static bool content_of(const Cpu *cpu, const CacheSource *s, int64_t first, int64_t rows, double *out, Err *err) {
    enum { COLUMNS = 256 };
    const PackedWeight *w = &cpu->load.weights[s->weight.id].packed;
    const float *gain = cpu->load.weights[s->gain.id].vector;
    float *piece = mem_pages_new(COLUMNS * PANEL * sizeof *piece, "weights of keys", err);
    double square = 0;
    for (int64_t row = first; piece && row < first + rows;) {
        int64_t lane = row % PANEL, last = PANEL - lane < first + rows - row ? PANEL : lane + first + rows - row;
        const uint8_t *panel = w->data + (row / PANEL - w->first_panel) * w->panel_bytes;
        for (int64_t k = 0; k < w->k; k += COLUMNS) {
            int64_t end = k + COLUMNS < w->k ? k + COLUMNS : w->k;
            cpu->kernels->unpack[w->type](panel, k, end, piece);
            for (int64_t i = k; i < end; i++)
                for (int64_t l = lane; l < last; l++) {
                    double v = (double)piece[(i - k) * PANEL + l] * (double)gain[i];
                    square += v * v;
                }
        }
        row += last - lane;
    }
    *out = sqrt(square / (double)rows);
    mem_pages_free(piece, COLUMNS * PANEL * sizeof *piece);
    return piece != NULL;
}

/* Half of what the weights give: leaving it in costs the content a fraction of a bit. */
static bool large(double bias, double content) { return bias > content / 2 && isfinite(bias); }

static bool pairs_new(KeyBias *b, const float *bias, int64_t channels, int64_t half, double content, Err *err) {
    if (!(b->pair = mem_new((size_t)channels, sizeof *b->pair, "biases of keys", err))) return false;
    for (int64_t i = 0; i < channels / 2; i++) {
        bool turns = i < half;
        int64_t x = turns ? i : 2 * i, y = turns ? i + half : 2 * i + 1;
        if (large(hypot((double)bias[x], (double)bias[y]), content))
            b->pair[b->pairs++] = (BiasPair){(int32_t)x, (int32_t)y, (int32_t)(turns ? i : half), bias[x], bias[y]};
    }
    return true;
}

static bool bias_of(Cpu *cpu, const Node *update, int64_t head, Err *err) {
    KvCache *c = &cpu->cache;
    const Graph *g = &cpu->program->graph;
    KeyBias *b = &c->bias[cpu_cache_number(g, graph_state(g, update->in[2])) * c->kv_heads + head];
    int64_t from = head * c->channels;
    double content;
    for (int i = 0; i < 2; i++) {
        CacheSource s;
        if (!cache_source(g, update, i, &s)) continue;
        const float *bias = cpu->load.weights[s.bias.id].vector + from;
        if (!content_of(cpu, &s, from, c->channels, &content, err)) return false;
        if (s.rope) {
            if (!c->turns && !turns_new(c, s.rope, err)) return false;
            if (!pairs_new(b, bias, c->channels, s.rope->dim / 2, content, err)) return false;
        } else
            for (int64_t at = 0; at < c->channels; at++)
                if (large(fabs((double)bias[at]), content)) b->value = bias;
    }
    return true;
}

bool key_bias_new(Cpu *cpu, Err *err) {
    const Graph *g = &cpu->program->graph;
    KvCache *c = &cpu->cache;
    size_t pages = (size_t)(c->slots * c->blocks);
    if (c->type != CACHE_Q8) return true;
    c->bias = mem_new((size_t)(c->layers * c->kv_heads), sizeof *c->bias, "biases of keys", err);
    c->at = mem_new(pages * ATTENTION_BLOCK, sizeof *c->at, "positions of the cache", err);
    if (!c->bias || !c->at) return false;
    for (int id = 1; id < g->count; id++) {
        const Node *state = graph_state(g, (Tensor){id});
        if (!state || state->type != TYPE_CACHE || g->nodes[id].kind != NODE_OP) continue;
        for (int64_t head = 0; head < c->kv_heads; head++) {
            bool held = false;
            for (int replica = 0; replica < cpu->program->partition->mesh.dp; replica++)
                held |= spread_kv_held(&cpu->spread, cpu->spread.rank, replica, head);
            if (held && !bias_of(cpu, &g->nodes[id], head, err)) return false;
        }
    }
    return true;
}

void key_bias_free(KvCache *c) {
    for (int64_t i = 0; c->bias && i < c->layers * c->kv_heads; i++) free(c->bias[i].pair);
    free(c->bias);
    free(c->at);
    if (c->turns) free(c->turns->far), free(c->turns->near);
    free(c->turns);
}

void key_bias_place(KvCache *c, int32_t page, int64_t in_page, int32_t position, int64_t length) {
    if (!c->at) return;
    bool known = c->turns && position < c->turns->positions && length <= c->turns->length;
    c->at[(int64_t)page * ATTENTION_BLOCK + in_page] = known ? position : -1;
}

void key_bias_copy(KvCache *c, int32_t from, int32_t to) {
    if (c->at)
        memcpy(c->at + (int64_t)to * ATTENTION_BLOCK, c->at + (int64_t)from * ATTENTION_BLOCK,
               ATTENTION_BLOCK * sizeof *c->at);
}
