/* test_meshes.c: models of odd sizes on any mesh: fewer panels of the vocabulary, leaves of ffn, heads or layers than
 * devices. The same bits and the same greedy ids everywhere, in every way of feeding. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "tiny_model.h"

enum { TOKENS = 21, GREEDY = 5, SEQUENCES = 3, MOST_VOCAB = 600 };

typedef struct Model { TinyShape shape; const char *cache, *act, *weights; bool negative; } Model;

static const Model models[] = {
    /* layers, hidden, ffn, vocab, heads, kv, head_dim, bias, tied, scale */
    {{1, 16, 32, 16, 2, 1, 8, true, false, 1}, "f32", "f32", NULL, true},
    {{1, 16, 32, 16, 2, 1, 8, false, true, 1}, "8bit", "f32", NULL, false},
    {{2, 8, 1, 1, 1, 1, 2, false, false, 1}, "f32", "f32", NULL, true},
    {{1, 10, 33, 7, 5, 5, 2, true, false, 1}, "bf16", "f32", "bf16", true},
    {{1, 32, 65, 17, 3, 1, 10, false, false, 1}, "f32", "bf16", "bf16", true},
    {{3, 32, 96, 40, 6, 3, 16, true, false, 1}, "8bit", "int8", "8bit", true},
    {{1, 64, 1100, 600, 14, 2, 4, true, true, 1}, "8bit", "int8", "4bit", false},
    {{1, 24, 31, 33, 12, 4, 6, false, false, 1}, "f32", "f32", "8bit", true},
};
static const char *const meshes[] = {"1x2", "3", "8x4", "1x32", "5x3", "7x1", "dp2,tp33", "dp3,tp2", "tp48", "dp4,tp1"};

static char folder[] = "/tmp/qwenmesh-meshes-XXXXXX";

/* All logits far below zero: memory that nobody wrote, and padding, would win. Channel 0 of every token is large. */
static void below_zero(const char *name, float *data, int64_t rows, int64_t columns) {
    bool in = !strcmp(name, "model.embed_tokens.weight"), out = !strcmp(name, "lm_head.weight");
    for (int64_t r = 0; r < rows && (in || out); r++) data[r * columns] = in ? 40 : -90;
    if (!strcmp(name, "model.norm.weight")) data[0] = 1;
}

typedef struct Answer { float logits[TOKENS][MOST_VOCAB]; int32_t best[TOKENS], greedy[SEQUENCES][GREEDY]; } Answer;

static QmEngine *engine(const Model *m, const char *mesh, int threads, int rows) {
    QmErr err = {0};
    QmEngineOptions o = {.size = sizeof o, .model = folder, .mesh = mesh, .threads = threads, .slots = SEQUENCES,
                         .context = 70,
                         .rows = rows, .kv_cache = m->cache, .act = m->act, .weights = m->weights};
    QmEngine *e = qm_engine_open(&o, &err);
    if (!e) fail_msg("mesh %s: %s", mesh, err.text);
    return e;
}

/* A prompt whole; then that many sequences, as far as replicas have room, greedily side by side. */
static void answer(QmEngine *e, int64_t vocab, Answer *out) {
    QmErr err = {0};
    int32_t ids[TOKENS], next[SEQUENCES];
    QmSession *s[SEQUENCES];
    QmAppend a[SEQUENCES];
    static float logits[TOKENS * MOST_VOCAB];
    for (int i = 0; i < TOKENS; i++) ids[i] = (int32_t)((i * 7 + 3) % vocab);
    for (int i = 0; i < SEQUENCES; i++) assert_non_null(s[i] = qm_session_new(e, &err));
    a[0] = (QmAppend){.session = s[0], .tokens = ids, .count = TOKENS, .logits_from = TOKENS, .logits = logits,
                      .argmax = out->best};
    if (!qm_forward(e, a, 1, &err)) fail_msg("%s", err.text);
    for (int i = 0; i < TOKENS; i++) memcpy(out->logits[i], logits + i * vocab, (size_t)vocab * sizeof *logits);
    assert_true(qm_session_crop(s[0], 0, &err));
    for (int n = 0; n < GREEDY; n++) {
        for (int i = 0; i < SEQUENCES; i++)
            a[i] = (QmAppend){.session = s[i], .tokens = n ? &out->greedy[i][n - 1] : ids + i, .count = n ? 1 : 3 + i,
                              .logits_from = 1, .argmax = &next[i]};
        if (!qm_forward(e, a, SEQUENCES, &err)) fail_msg("%s", err.text);
        for (int i = 0; i < SEQUENCES; i++) out->greedy[i][n] = next[i];
    }
    for (int i = 0; i < SEQUENCES; i++) qm_session_free(s[i]);
}

static void odd_sizes(void **state) {
    (void)state;
    static Answer want, got;
    for (size_t m = 0; m < sizeof models / sizeof *models; m++) {
        int64_t vocab = models[m].shape.vocab;
        tiny_write(folder, &models[m].shape, models[m].negative ? below_zero : NULL);
        memset(&want, 0, sizeof want);
        QmEngine *e = engine(&models[m], "1x1", 1, 64);
        answer(e, vocab, &want);
        qm_engine_close(e);
        for (int i = 0; i < TOKENS; i++) {
            int32_t best = 0;
            for (int32_t v = 1; v < vocab; v++) best = want.logits[i][v] > want.logits[i][best] ? v : best;
            assert_int_equal(want.best[i], best);
            assert_true(!models[m].negative || want.logits[i][best] < 0);
        }
        for (size_t i = 0; i < sizeof meshes / sizeof *meshes; i++) {
            memset(&got, 0, sizeof got);
            memset(&got.best, 0x7f, sizeof got.best);
            e = engine(&models[m], meshes[i], 1 + (int)((i + m) % 3), i % 2 ? 3 : 64);
            answer(e, vocab, &got);
            qm_engine_close(e);
            if (memcmp(&got.logits, &want.logits, sizeof want.logits))
                fail_msg("model %zu: other logits on %s", m, meshes[i]);
            assert_memory_equal(got.best, want.best, sizeof want.best);
            assert_memory_equal(got.greedy, want.greedy, sizeof want.greedy);
        }
    }
}

static int folder_new(void **state) { (void)state; return mkdtemp(folder) ? 0 : -1; }
static int folder_free(void **state) { (void)state; tiny_remove(folder); return 0; }

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(odd_sizes)};
    return cmocka_run_group_tests_name("meshes", tests, folder_new, folder_free);
}
