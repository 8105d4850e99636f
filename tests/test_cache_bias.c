/* test_cache_bias.c: a cache in 8 bits loses as little where keys and values have large biases as where they have none,
 * and the bits stay the same on every mesh, instruction set and way of feeding. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "tiny_model.h"

enum { TOKENS = 200, VOCAB = 160 };
static const TinyShape shape = {.layers = 2, .hidden = 96, .ffn = 96, .vocab = VOCAB, .heads = 6, .kv_heads = 3,
                                .head_dim = 32, .bias = true, .scale = 1};
static char folder[] = "/tmp/qwenmesh-bias-XXXXXX";

/* What the biases become. */
typedef enum Kind { PLAIN, SLOW_PAIR, FAST_PAIRS, ALL, VALUES, KINDS } Kind;
static const char *const kind_names[KINDS] = {"small biases", "600 in the slowest pair", "300 in fast pairs",
                                              "100 everywhere", "50 in values"};
static Kind kind;

/* Queries look little at pairs of a large bias, as trained models' do: it would be all that counts else. */
static void change(const char *name, float *data, int64_t rows, int64_t columns) {
    int64_t half = shape.head_dim / 2;
    bool key = strstr(name, "k_proj.bias"), value = strstr(name, "v_proj.bias"), query = strstr(name, "q_proj.weight");
    for (int64_t r = 0; (key || value || query) && r < rows; r++) {
        int64_t channel = r % shape.head_dim, pair = channel % half;
        bool large = (kind == SLOW_PAIR && pair == half - 1) || (kind == FAST_PAIRS && pair < 3) || kind == ALL;
        float size = kind == SLOW_PAIR ? 600 : kind == FAST_PAIRS ? 300 : 100;
        if (query && large)
            for (int64_t c = 0; c < columns; c++) data[r * columns + c] *= kind == ALL ? 0.3f : 0.05f;
        if (key && large) data[r] += channel < half ? 0.8f * size : -0.6f * size;
        if (value && kind == VALUES) data[r] += channel % 3 ? 50 : -30;
    }
}

static QmEngine *engine(const char *mesh, int threads, int rows, const char *cache, const char *isa) {
    QmErr err = {0};
    QmEngineOptions o = {.size = sizeof o, .model = folder, .mesh = mesh, .threads = threads, .slots = 3,
                         .context = 256, .rows = rows,
                         .kv_cache = cache, .isa = isa};
    QmEngine *e = qm_engine_open(&o, &err);
    if (!e) fail_msg("%s", err.text);
    return e;
}

static int32_t token(int i) { return (int32_t)((i * 7919 + i * i * 31 + 13) % VOCAB); }

/* Logits of all tokens, `step` of them a call, from rotary position `from` on. */
static float *logits_of(QmEngine *e, int step, int from) {
    QmErr err = {0};
    int32_t ids[TOKENS], positions[TOKENS];
    float *logits = malloc((size_t)TOKENS * VOCAB * sizeof *logits);
    QmSession *s = qm_session_new(e, &err);
    for (int i = 0; i < TOKENS; i++) ids[i] = token(i), positions[i] = from + i;
    for (int i = 0; i < TOKENS; i += step) {
        int n = TOKENS - i < step ? TOKENS - i : step;
        QmAppend a = {.session = s, .tokens = ids + i, .count = n, .positions = positions + i, .logits_from = n,
                      .logits = logits + i * VOCAB};
        if (!qm_forward(e, &a, 1, &err)) fail_msg("%s", err.text);
    }
    qm_session_free(s);
    return logits;
}

/* Mean KL of b to a, in nats. */
static double kl(const float *a, const float *b) {
    double sum = 0;
    for (int t = 0; t < TOKENS; t++, a += VOCAB, b += VOCAB) {
        double za = 0, zb = 0, of = 0;
        for (int v = 0; v < VOCAB; v++) za += exp((double)a[v]), zb += exp((double)b[v]);
        for (int v = 0; v < VOCAB; v++) of += exp((double)a[v]) / za * ((double)a[v] - (double)b[v]);
        sum += of + log(zb) - log(za);
    }
    return sum / TOKENS;
}

static double loss(int from, int64_t *bytes) {
    QmEngine *whole = engine("1x1", 2, 64, "f32", NULL), *few = engine("1x1", 2, 64, "8bit", NULL);
    float *a = logits_of(whole, TOKENS, from), *b = logits_of(few, TOKENS, from);
    double d = kl(a, b);
    *bytes = qm_engine_info(few)->cache_bytes;
    qm_engine_close(whole);
    qm_engine_close(few);
    free(a);
    free(b);
    return d;
}

static void make(Kind k) {
    kind = k;
    random_state = 88172645463325252u;
    tiny_write(folder, &shape, change);
}

static void loses_little(void **state) {
    (void)state;
    int64_t bytes, plain_bytes = 0;
    double plain = 0;
    /* With biases kept in the cache: 2.5e-5, 2.6e-1, 1.1e-1, 6.1e-3, 5.7e-6. */
    static const double limit[KINDS] = {5e-5, 5e-5, 2e-4, 4e-4, 5e-8};
    for (int k = 0; k < KINDS; k++) {
        make((Kind)k);
        double d = loss(0, &bytes);
        print_message("%s: KL %.2e nats\n", kind_names[k], d);
        if (k == PLAIN) plain = d, plain_bytes = bytes;
        if (!(d > 0 && d < limit[k])) fail_msg("%s: KL %g nats, expected at most %g", kind_names[k], d, limit[k]);
        assert_int_equal(bytes, plain_bytes);
    }
    make(SLOW_PAIR); /* positions that do not begin with a block; the cache's places are others */
    double d = loss(37, &bytes);
    if (!(d > 0 && d < 2 * plain)) fail_msg("from position 37 on: KL %g nats, %g with none", d, plain);
}

static void same(const char *what, QmEngine *e, int step, int from, const float *want) {
    float *got = logits_of(e, step, from);
    for (int i = 0; i < TOKENS * VOCAB; i++)
        if (memcmp(&got[i], &want[i], sizeof *got))
            fail_msg("%s: %s differ at %d: %g, expected %g", kind_names[kind], what, i, (double)got[i],
                     (double)want[i]);
    free(got);
    qm_engine_close(e);
}

static void same_bits(void **state) {
    (void)state;
    static const Kind kinds[] = {FAST_PAIRS, ALL, VALUES};
    for (int k = 0; k < 3; k++) {
        make(kinds[k]);
        QmEngine *e = engine("1x1", 1, 64, "8bit", NULL);
        float *want = logits_of(e, TOKENS, 5);
        qm_engine_close(e);
        same("plain kernels", engine("1x1", 1, 64, "8bit", "reference"), TOKENS, 5, want);
        same("rows of one", engine("1x3", 2, 1, "8bit", NULL), 1, 5, want); /* rows that workers share */
        same("a mesh", engine("2x4", 3, 7, "8bit", NULL), 50, 5, want);
        same("replicas", engine("dp2,tp2", 2, 64, "8bit", NULL), 33, 5, want);
        free(want);
    }
}

/* A copy goes on as what it is a copy of, when that goes on otherwise: pages and positions are its own. */
static void copies(void **state) {
    (void)state;
    QmErr err = {0};
    int32_t ids[TOKENS];
    float *want, last[2][VOCAB];
    make(FAST_PAIRS);
    QmEngine *e = engine("1x1", 2, 64, "8bit", NULL);
    want = logits_of(e, TOKENS, 0);
    for (int i = 0; i < TOKENS; i++) ids[i] = token(i);
    QmSession *s = qm_session_new(e, &err), *copy = qm_session_new(e, &err);
    QmAppend a = {.session = s, .tokens = ids, .count = 150};
    assert_true(qm_forward(e, &a, 1, &err) && qm_session_copy(copy, s, 100, &err));
    int32_t far = 400; /* over what the copy shares, elsewhere */
    assert_true(qm_session_crop(s, 100, &err));
    QmAppend other = {.session = s, .tokens = ids, .count = 1, .positions = &far};
    assert_true(qm_forward(e, &other, 1, &err));
    QmAppend on = {.session = copy, .tokens = ids + 100, .count = 2, .logits_from = 2, .logits = last[0]};
    assert_true(qm_forward(e, &on, 1, &err));
    assert_memory_equal(last, want + 100 * VOCAB, sizeof last);
    qm_session_free(s);
    qm_session_free(copy);
    qm_engine_close(e);
    free(want);
}

static int folder_new(void **state) { (void)state; return mkdtemp(folder) ? 0 : -1; }
static int folder_free(void **state) { (void)state; tiny_remove(folder); return 0; }

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(loses_little), cmocka_unit_test(same_bits),
                                       cmocka_unit_test(copies)};
    return cmocka_run_group_tests_name("biases of the cache", tests, folder_new, folder_free);
}
