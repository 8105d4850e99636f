/* test_parts.c: work that workers share. Rows of attention: any cut, done in any order, by any number of workers, gives
 * the bits of whole rows. Units of a phase: each is in one part of one share. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "../src/cpu/cache_pages.h"
#include "../src/cpu/kernels_select.h"
#include "../src/cpu/share.h"
#include "../src/qwenmesh.h"
#include "fixture.h"

/* ---- The op ------------------------------------------------------------------------------------------------------ */

enum { SLOTS = 3, BLOCKS = 11, CHANNELS = 24, KV = 2, GROUP = 3, WIDTH = KV * GROUP * CHANNELS };

/* A layer of attention over a cache of random bytes that are finite numbers, slots 1 and 2 beginning with the same
 * pages. */
typedef struct Case {
    Graph graph;
    Node node;
    AttentionAttributes attributes;
    KvCache cache;
    StepRows step;
    Parts parts;
    Call call;
    float q[STATIC_ROWS * WIDTH], whole[STATIC_ROWS * WIDTH], out[STATIC_ROWS * WIDTH];
    float *scratch;
} Case;

static float random_part(void) { return (float)random_below(2001) / 1000 - 1; }

static void cache_fill(KvCache *c) {
    int64_t n = (int64_t)c->bytes;
    if (c->type == CACHE_F32)
        for (int64_t i = 0; i < n / 4; i++) ((float *)(void *)c->data)[i] = random_part();
    else if (c->type == CACHE_BF16)
        for (int64_t i = 0; i < n / 2; i++) ((uint16_t *)(void *)c->data)[i] = f32_to_bf16(random_part());
    else
        for (int64_t at = 0; at < n; at += c->page_bytes / 2) {
            for (int64_t i = 0; i < ATTENTION_BLOCK * CHANNELS; i++) c->data[at + i] = (uint8_t)random_below(256);
            float *scale = (float *)(void *)(c->data + at + ATTENTION_BLOCK * CHANNELS);
            for (int64_t i = 0; i < ATTENTION_BLOCK; i++) scale[i] = (random_part() + 2) / 256;
        }
}

static Case *case_new(CacheType type) {
    Err err = {0};
    Case *c = aligned_alloc(64, (sizeof *c + 63) / 64 * 64);
    *c = (Case){.cache = {.type = type, .layers = 2, .kv_heads = KV, .channels = CHANNELS, .slots = SLOTS,
                          .positions = BLOCKS * ATTENTION_BLOCK}};
    assert_true(pages_new(&c->cache, &err));
    for (int slot = 0; slot < SLOTS; slot++)
        for (int block = 0; block < BLOCKS; block++) pages_own(&c->cache, slot, block);
    pages_share(&c->cache, 1, 2, BLOCKS / 2 * ATTENTION_BLOCK);
    cache_fill(&c->cache);
    c->graph.size[AXIS_KV_HEAD] = KV;
    c->graph.size[AXIS_GROUP] = GROUP;
    assert_true(step_rows_new(&c->step, STATIC_ROWS, &err));
    c->scratch = aligned_alloc(64, (size_t)(attention_scratch(GROUP, CHANNELS) * 4 + 63) / 64 * 64);
    c->parts.bytes = STATIC_ROWS * KV * GROUP * BLOCKS * (size_t)attention_part(1, CHANNELS) * sizeof(float);
    c->parts.data = aligned_alloc(64, (c->parts.bytes + 63) / 64 * 64);
    c->node.attributes = &c->attributes;
    c->parts.done = calloc(STATIC_ROWS * KV * GROUP, sizeof *c->parts.done);
    c->call = (Call){.graph = &c->graph, .node = &c->node, .cache = {&c->cache, 1, NULL}, .step = &c->step,
                     .in = {c->q}, .in_width = {WIDTH}, .out_width = WIDTH, .scratch = c->scratch};
    return c;
}

static void case_free(Case *c) {
    pages_free(&c->cache);
    step_rows_free(&c->step);
    free(c->scratch), free(c->parts.data), free(c->parts.done), free(c);
}

/* Rows at random places of random slots, or at the edges of blocks, and some heads of one key/value head. */
static void case_draw(Case *c) {
    static const int64_t windows[] = {0, 0, 0, 8, 64, 130, 400};
    int head = (int)random_below(GROUP), kv = (int)random_below(KV);
    c->step.rows = 1 + random_below(STATIC_ROWS);
    c->call.row0 = random_below((uint32_t)c->step.rows);
    c->call.row1 = c->call.row0 + 1 + random_below((uint32_t)(c->step.rows - c->call.row0));
    for (int64_t t = 0; t < c->step.rows; t++) {
        int64_t edge = (int64_t)random_below(BLOCKS) * ATTENTION_BLOCK + random_below(3) - 1;
        c->step.slot[t] = (int32_t)random_below(SLOTS);
        c->step.index[t] = random_below(2) && edge >= 0 ? edge : random_below(BLOCKS * ATTENTION_BLOCK);
    }
    c->attributes.window = windows[random_below(7)];
    c->call.columns.first = (kv * GROUP + head) * CHANNELS;
    c->call.columns.last = (kv * GROUP + head + 1 + (int)random_below((uint32_t)(GROUP - head))) * CHANNELS;
    for (int i = 0; i < STATIC_ROWS * WIDTH; i++) c->q[i] = random_part();
}

/* Does the units in pieces of random lengths, in random order. */
static void pieces_run(Case *c, int64_t units) {
    int64_t cut[STATIC_ROWS * BLOCKS + 1] = {0}, pieces = 0;
    while (cut[pieces] < units) {
        int64_t left = units - cut[pieces];
        cut[pieces + 1] = cut[pieces] + 1 + random_below((uint32_t)(left < 9 ? left : 9));
        pieces++;
    }
    bool done[STATIC_ROWS * BLOCKS] = {false};
    for (int64_t left = pieces; left > 0;) {
        int64_t i = random_below((uint32_t)pieces);
        if (done[i]) continue;
        attention_row.run(&c->call, cut[i], cut[i + 1]);
        done[i] = true;
        left--;
    }
}

static void check_cuts(CacheType type, const Kernels *kernels) {
    Case *c = case_new(type);
    int64_t cut = 0;
    for (int round = 0; round < 150; round++) {
        case_draw(c);
        c->call.kernels = &kernels_reference;
        c->call.out = c->whole;
        c->call.cache.parts = NULL;
        memset(c->whole, 0, sizeof c->whole);
        memset(c->out, 0, sizeof c->out);
        memset(c->parts.data, 0xFF, c->parts.bytes); /* NaN: what nobody wrote must not count */
        int64_t rows = attention_row.units(&c->call);
        assert_int_equal(rows, c->call.row1 - c->call.row0);
        attention_row.run(&c->call, 0, rows);
        c->call.kernels = kernels;
        c->call.out = c->out;
        c->call.cache.parts = &c->parts;
        int64_t units = attention_row.units(&c->call);
        assert_true(units >= rows && units <= rows * BLOCKS);
        cut += units > rows;
        pieces_run(c, units);
        if (memcmp(c->whole, c->out, sizeof c->out)) fail_msg("%s: cut rows differ, round %d", kernels->isa, round);
        for (int i = 0; i < STATIC_ROWS * KV * GROUP; i++) assert_int_equal(atomic_load(&c->parts.done[i]), 0);
    }
    assert_true(cut > 75);
    case_free(c);
}

static void any_cut(void **state) {
    (void)state;
    for (int type = 0; type < CACHE_COUNT; type++) {
        check_cuts((CacheType)type, &kernels_reference);
        for (int i = 0; kernels_name(i); i++) {
            const Kernels *k = kernels_select(kernels_name(i), NULL);
            if (k) check_cuts((CacheType)type, k);
        }
    }
}

/* Units of a row do not change while it stays in its block, whatever the window: shares are counted once a block. */
static void units_last_a_block(void **state) {
    (void)state;
    Case *c = case_new(CACHE_BF16);
    c->call.cache.parts = &c->parts;
    c->call.row1 = c->step.rows = 1;
    c->call.columns.last = CHANNELS;
    for (c->attributes.window = 0; c->attributes.window < 300; c->attributes.window += 7)
        for (int64_t p = 0; p < BLOCKS * ATTENTION_BLOCK; p++) {
            c->step.index[0] = p;
            int64_t units = attention_row.units(&c->call);
            c->step.index[0] = p / ATTENTION_BLOCK * ATTENTION_BLOCK;
            assert_int_equal(units, attention_row.units(&c->call));
        }
    case_free(c);
}

/* ---- Shares ------------------------------------------------------------------------------------------------------ */

/* Every unit is in exactly one part of one share; a share takes as much as any other, give or take a unit, and a
 * part as much as any other of its share, give or take what stays together in an item, which the end of a share alone
 * cuts. */
static void units_once(void **state) {
    (void)state;
    enum { ITEMS = 5, UNITS = 300 };
    for (int round = 0; round < 3000; round++) {
        int items = 1 + (int)random_below(ITEMS), shares = 1 + (int)random_below(9), parts = 1 + (int)random_below(16);
        int together = 1 + (int)random_below(4), seen[ITEMS][UNITS] = {{0}};
        double each[ITEMS], cost = 0, most = 0;
        int64_t units[ITEMS];
        for (int i = 0; i < items; i++) {
            units[i] = random_below(UNITS);
            each[i] = 1 + random_below(200000);
            cost += (double)units[i] * each[i];
            most = each[i] > most ? each[i] : most;
        }
        for (int s = 0; s < shares; s++) {
            double took = 0;
            for (int n = 0; n < parts; n++) {
                SharePart part = share_part(cost, shares, s, parts, n);
                double at = 0, before = took;
                for (int i = 0; i < items; at += (double)units[i] * each[i], i++) {
                    int64_t first, last, mine, end;
                    share_units(at, each[i], units[i], part.begin, part.end, &mine, &end);
                    share_part_units(&part, at, each[i], units[i], together, &first, &last);
                    for (int64_t u = first; u < last; u++) seen[i][u]++;
                    if (first >= last) continue;
                    assert_true(first >= mine && last <= end && (first - mine) % together == 0);
                    assert_true((last - mine) % together == 0 || last == end);
                    took += (double)(last - first) * each[i];
                }
                assert_true(took - before < cost / shares / parts + items * together * most + 1);
            }
            assert_true(took > cost / shares - most - 1 && took < cost / shares + most + 1);
        }
        for (int i = 0; i < items; i++)
            for (int64_t u = 0; u < units[i]; u++) assert_int_equal(seen[i][u], 1);
    }
}

/* ---- Sessions ---------------------------------------------------------------------------------------------------- */

enum { DEPTH = 460, VOCAB = 1024 };
#ifdef __SANITIZE_THREAD__
enum { THREADS_MOST = 3 }; /* more than there are cores take minutes */
#else
enum { THREADS_MOST = 8 };
#endif

typedef struct Engine { const char *model, *mesh, *cache, *isa; int threads, rows; } Engine;

static QmEngine *engine(Engine want) {
    QmErr err = {0};
    QmEngineOptions o = {.size = sizeof o, .model = want.model, .mesh = want.mesh, .threads = want.threads, .slots = 4,
                         .context = 512,
                         .rows = want.rows, .kv_cache = want.cache, .isa = want.isa};
    QmEngine *e = qm_engine_open(&o, &err);
    if (!e && strstr(err.text, "this CPU has no")) return NULL;
    if (!e) fail_msg("%s", err.text);
    return e;
}

static void feed(QmEngine *e, QmSession *s, const int32_t *ids, int64_t count, float *logits, int64_t from) {
    QmErr err = {0};
    QmAppend a = {.session = s, .tokens = ids, .count = count, .logits = logits, .logits_from = from};
    if (!qm_forward(e, &a, 1, &err)) fail_msg("%s", err.text);
}

/* Around the edges of blocks: a row alone, several rows of one session (as a guess is checked), and sessions of three
 * depths in a step, two of them sharing pages. */
static void check_depths(Engine of, const int32_t *ids, const float *want, int64_t vocab) {
    static float got[8 * VOCAB];
    static const int64_t depths[] = {62, 126, 190, 255, 383, DEPTH - 12};
    QmErr err = {0};
    QmEngine *e = engine(of);
    if (!e) return;
    QmSession *s[3];
    for (int i = 0; i < 3; i++) s[i] = qm_session_new(e, &err);
    feed(e, s[1], ids, 130, NULL, 0);
    for (int i = 0, at = 0; i < 6; i++) {
        feed(e, s[0], ids + at, depths[i] - at, NULL, 0);
        for (at = (int)depths[i]; at < depths[i] + 4; at++) {
            feed(e, s[0], ids + at, 1, got, 1);
            assert_memory_equal(got, want + at * vocab, (size_t)vocab * sizeof *got);
        }
        feed(e, s[0], ids + at, 5, got, 5);
        assert_memory_equal(got, want + at * vocab, (size_t)(5 * vocab) * sizeof *got);
        at += 5;
        int64_t length = qm_session_length(s[1]);
        assert_true(qm_session_copy(s[2], s[0], at - i, &err));
        QmAppend batch[3] = {
            {.session = s[0], .tokens = ids + at, .count = 1, .logits = got, .logits_from = 1},
            {.session = s[1], .tokens = ids + length, .count = 2, .logits = got + VOCAB, .logits_from = 2},
            {.session = s[2], .tokens = ids + at - i, .count = 1, .logits = got + 3 * VOCAB, .logits_from = 1}};
        if (!qm_forward(e, batch, 3, &err)) fail_msg("%s", err.text);
        assert_memory_equal(got, want + at * vocab, (size_t)vocab * sizeof *got);
        assert_memory_equal(got + VOCAB, want + length * vocab, (size_t)(2 * vocab) * sizeof *got);
        assert_memory_equal(got + 3 * VOCAB, want + (at - i) * vocab, (size_t)vocab * sizeof *got);
        at++;
    }
    for (int i = 0; i < 3; i++) qm_session_free(s[i]);
    qm_engine_close(e);
}

static void same_bits(const char *model, const char *cache) {
    static const Engine engines[] = {{.mesh = "1x1", .threads = 1}, {.mesh = "1x1", .threads = 2},
                                     {.mesh = "1x1", .threads = 3, .isa = "avx2"},
                                     {.mesh = "1x3", .threads = 4}, {.mesh = "2x4", .threads = 5, .isa = "avx512"},
                                     {.mesh = "1x8", .threads = 6}, {.mesh = "dp2,tp3", .threads = 7},
                                     {.mesh = "dp3,tp1", .threads = 2}, {.mesh = "1x32", .threads = 8}};
    int32_t ids[DEPTH];
    QmErr err = {0};
    QmEngine *e = engine((Engine){.model = model, .mesh = "1x1", .threads = 1, .rows = 64, .cache = cache});
    int64_t vocab = qm_engine_info(e)->vocab;
    for (int i = 0; i < DEPTH; i++) ids[i] = (int32_t)((i * 7919 + 13) % vocab);
    float *want = malloc((size_t)(DEPTH * vocab) * sizeof *want);
    QmSession *s = qm_session_new(e, &err);
    feed(e, s, ids, DEPTH, want, DEPTH);
    qm_session_free(s);
    qm_engine_close(e);
    for (size_t i = 0; i < sizeof engines / sizeof *engines; i++) {
        Engine of = engines[i];
        if (of.threads > THREADS_MOST) continue;
        of.model = model, of.cache = cache, of.rows = i % 2 ? 64 : 8;
        check_depths(of, ids, want, vocab);
    }
    free(want);
}
static void bits_f32(void **state) { (void)state; same_bits("tests/golden/heads28-4", "f32"); }
static void bits_bf16(void **state) { (void)state; same_bits("tests/golden/heads14-2", "bf16"); }
static void bits_8bit(void **state) { (void)state; same_bits("tests/golden/llama-9-3", "8bit"); }
static void bits_window(void **state) { (void)state; same_bits("tests/golden/sliding", "bf16"); }

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(any_cut), cmocka_unit_test(units_last_a_block),
                                       cmocka_unit_test(units_once), cmocka_unit_test(bits_f32),
                                       cmocka_unit_test(bits_bf16), cmocka_unit_test(bits_8bit),
                                       cmocka_unit_test(bits_window)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
