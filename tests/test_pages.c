/* test_pages.c: pages of the key/value cache: who holds which, and that sessions which share them keep their bits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "../src/cpu/cache_pages.h"
#include "../src/qwenmesh.h"

static uint32_t seed = 1;
static int64_t below(int64_t n) {
    seed = seed * 1664525 + 1013904223;
    return (int64_t)(seed >> 8) % n;
}

/* Every page is counted as often as tables name it. */
static void check_users(const KvCache *c) {
    for (int64_t page = 0; page < c->slots * c->blocks; page++) {
        int32_t users = 0;
        for (int64_t i = 0; i < c->slots * c->blocks; i++) users += c->page[i] == page;
        assert_int_equal(c->users[page], users);
    }
}

/* Any order of owning and sharing: an owned page is its slot's alone, what was there before is told, and a page to own
 * is found even when every table is full. */
static void pages_are_counted(void **state) {
    (void)state;
    enum { SLOTS = 4, BLOCKS = 5 };
    Err err = {0};
    KvCache c = {.type = CACHE_BF16, .layers = 1, .kv_heads = 1, .channels = 2, .slots = SLOTS,
                 .positions = BLOCKS * ATTENTION_BLOCK - 3};
    assert_true(pages_new(&c, &err));
    assert_int_equal(c.positions, BLOCKS * ATTENTION_BLOCK);
    int64_t filled[SLOTS] = {0}; /* blocks */
    for (int round = 0; round < 4000; round++) {
        int64_t slot = below(SLOTS), other = below(SLOTS);
        if (below(3)) {
            int64_t block = below(filled[slot] + (filled[slot] < BLOCKS));
            int32_t before = cache_pages(&c, slot)[block];
            assert_int_equal(pages_own(&c, slot, block), before);
            assert_int_equal(c.users[cache_pages(&c, slot)[block]], 1);
            if (block == filled[slot]) filled[slot]++;
        } else if (slot != other) {
            int64_t positions = below(filled[other] * ATTENTION_BLOCK + 1);
            pages_share(&c, other, slot, positions);
            int64_t blocks = (positions + ATTENTION_BLOCK - 1) / ATTENTION_BLOCK;
            for (int64_t b = 0; b < blocks; b++)
                assert_int_equal(cache_pages(&c, slot)[b], cache_pages(&c, other)[b]);
            if (blocks > filled[slot]) filled[slot] = blocks;
        }
        check_users(&c);
    }
    pages_free(&c);
}

static void sizes_that_wrap(void **state) {
    (void)state;
    Err err = {0};
    KvCache c = {.layers = 1 << 20, .kv_heads = 1 << 20, .channels = 1 << 20, .slots = 1024,
                 .positions = (int64_t)1 << 31};
    assert_false(pages_new(&c, &err));
    assert_non_null(strstr(err.text, "too many"));
    pages_free(&c);
}

/* ---- Sessions ---------------------------------------------------------------------------------------------------- */

enum { SESSIONS = 4, CONTEXT = 200, VOCAB_MOST = 2048 };
typedef struct Tokens { int32_t id[CONTEXT]; int64_t count; } Tokens;

static QmEngine *engine(const char *mesh, const char *cache) {
    QmErr err = {0};
    QmEngineOptions o = {.size = sizeof o, .model = "tests/golden/heads28-4", .mesh = mesh, .threads = 2,
                         .slots = SESSIONS + 1,
                         .context = CONTEXT, .rows = 24, .kv_cache = cache};
    QmEngine *e = qm_engine_open(&o, &err);
    if (!e) fail_msg("%s", err.text);
    assert_true(qm_engine_info(e)->vocab <= VOCAB_MOST);
    return e;
}

static void feed(QmEngine *e, QmSession *s, const Tokens *t, int64_t from, float *logits) {
    QmErr err = {0};
    QmAppend a = {.session = s, .tokens = t->id + from, .count = t->count - from, .logits_from = 1, .logits = logits};
    if (!qm_forward(e, &a, 1, &err)) fail_msg("%s", err.text);
}

/* Sessions that are fed, cut short and copied over each other at random give the bits of a session that was fed the
 * same tokens alone. */
static void copies_keep_their_bits(const char *mesh, const char *cache) {
    static Tokens text[SESSIONS];
    static float shared[VOCAB_MOST], alone[VOCAB_MOST];
    QmErr err = {0};
    QmEngine *e = engine(mesh, cache);
    QmSession *session[SESSIONS], *fresh = qm_session_new(e, &err);
    for (int i = 0; i < SESSIONS; i++) {
        session[i] = qm_session_new(e, &err);
        text[i].count = 0;
    }
    for (int round = 0; round < 60; round++) {
        int i = (int)below(SESSIONS), j = (int)below(SESSIONS);
        if (below(2) && text[j].count) {
            int64_t n = below(4) ? text[j].count : below(text[j].count + 1);
            assert_true(qm_session_copy(session[i], session[j], n, &err));
            memmove(text[i].id, text[j].id, (size_t)n * sizeof *text[i].id);
            text[i].count = n;
        } else if (!below(4)) {
            text[i].count = below(text[i].count + 1);
            assert_true(qm_session_crop(session[i], text[i].count, &err));
        }
        int64_t more = 1 + below(below(3) ? 3 : 70), from = text[i].count;
        if (from + more > CONTEXT) continue;
        for (int64_t k = 0; k < more; k++) text[i].id[text[i].count++] = (int32_t)below(500);
        feed(e, session[i], &text[i], from, shared);
        assert_true(qm_session_crop(fresh, 0, &err));
        feed(e, fresh, &text[i], 0, alone);
        assert_memory_equal(shared, alone, (size_t)qm_engine_info(e)->vocab * sizeof *alone);
    }
    for (int i = 0; i < SESSIONS; i++) qm_session_free(session[i]);
    qm_session_free(fresh);
    qm_engine_close(e);
}
static void copies_f32(void **state) { (void)state; copies_keep_their_bits("1x1", "f32"); }
static void copies_8bit(void **state) { (void)state; copies_keep_their_bits("1x8", "8bit"); }
static void copies_replicas(void **state) { (void)state; copies_keep_their_bits("dp3,tp2", "bf16"); }

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(pages_are_counted), cmocka_unit_test(sizes_that_wrap),
                                       cmocka_unit_test(copies_f32), cmocka_unit_test(copies_8bit),
                                       cmocka_unit_test(copies_replicas)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
