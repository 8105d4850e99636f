/* test_attention_grad.c: the gradient of attention: against finite differences of the forward pass in double, and the
 * bits of its law with every table of kernels. */
#include "kernel_numbers.h"
#include "../src/ops/attention_grad.h"

/* A head: q, k, v and the output's gradient in f32; o and stats from the kernel over a cache of its keys and values. */
typedef struct HeadCase {
    int64_t rows, channels, window, stride;
    float scale, *in[5], *stats, *out[3]; /* in: q, k, v, o, d_out; out: dq, dk, dv */
} HeadCase;

static void head_forward(HeadCase *c) {
    int64_t blocks = (c->rows + ATTENTION_BLOCK - 1) / ATTENTION_BLOCK, half = ATTENTION_BLOCK * c->channels;
    float *cache = floats_new(blocks * 2 * half), *scratch = floats_new(attention_scratch(1, c->channels));
    int32_t *page = malloc((size_t)blocks * sizeof *page);
    memset(cache, 0, (size_t)(blocks * 2 * half) * sizeof *cache);
    for (int64_t t = 0; t < c->rows; t++)
        for (int64_t i = 0; i < c->channels; i++) {
            float *keys = cache + t / ATTENTION_BLOCK * 2 * half;
            int64_t p = t % ATTENTION_BLOCK;
            keys[(p / K_BLOCK * c->channels + i) * K_BLOCK + p % K_BLOCK] = c->in[1][t * c->stride + i];
            keys[half + p * c->channels + i] = c->in[2][t * c->stride + i];
        }
    for (int64_t b = 0; b < blocks; b++) page[b] = (int32_t)b;
    for (int64_t t = 0; t < c->rows; t++) {
        AttentionRow row = {.q = c->in[0] + t * c->stride, .out = c->in[3] + t * c->stride, .page = page,
                            .first = c->window && t >= c->window ? t - c->window + 1 : 0, .last = t + 1,
                            .stats = c->stats + 2 * t};
        AttentionCall call = {.row = &row, .rows = 1, .heads = 1, .cache = (const uint8_t *)cache,
                              .channels = c->channels, .scale = c->scale, .scratch = scratch};
        kernels_reference.attention[CACHE_F32](&call);
    }
    free(cache), free(scratch), free(page);
}

static void head_new(HeadCase *c, int64_t rows, int64_t channels, int64_t window) {
    *c = (HeadCase){.rows = rows, .channels = channels, .window = window, .stride = channels + 3, .scale = 0.23f};
    for (int i = 0; i < 5; i++) c->in[i] = random_floats(rows * c->stride);
    for (int i = 0; i < 3; i++) c->out[i] = floats_new(rows * c->stride);
    c->stats = floats_new(2 * rows);
    for (int i = 0; i < 3; i++)
        for (int64_t j = 0; j < rows * c->stride; j++) c->out[i][j] = -7;
    head_forward(c);
}
static void head_free(HeadCase *c) {
    for (int i = 0; i < 5; i++) free(c->in[i]);
    for (int i = 0; i < 3; i++) free(c->out[i]);
    free(c->stats);
}

static void head_grad(const HeadCase *c, const Kernels *k, float *const out[3]) {
    int64_t n = attention_grad_scratch(c->rows, c->channels);
    float *scratch = floats_new(n);
    for (int64_t i = 0; i < n; i++) scratch[i] = NAN;
    AttentionGrad a = {.stats = c->stats, .stats_step = 2, .rows = c->rows, .channels = c->channels,
                       .window = c->window, .scale = c->scale, .scratch = scratch};
    a.q = (HeadRows){c->in[0], c->stride}, a.k = (HeadRows){c->in[1], c->stride};
    a.v = (HeadRows){c->in[2], c->stride}, a.o = (HeadRows){c->in[3], c->stride};
    a.d_out = (HeadRows){c->in[4], c->stride};
    a.dq = (HeadGrad){out[0], c->stride}, a.dk = (HeadGrad){out[1], c->stride};
    a.dv = (HeadGrad){out[2], c->stride};
    attention_grad(k, &a);
    free(scratch);
}

/* The loss sum(o * d_out) in double, for q, k and v as they are. */
static double head_loss(const HeadCase *c, double *const in[3]) {
    double loss = 0, *p = malloc((size_t)c->rows * sizeof *p);
    for (int64_t t = 0; t < c->rows; t++) {
        int64_t first = c->window && t >= c->window ? t - c->window + 1 : 0;
        double sum = 0;
        for (int64_t j = first; j <= t; j++) {
            double s = 0;
            for (int64_t i = 0; i < c->channels; i++)
                s += in[0][t * c->channels + i] * in[1][j * c->channels + i];
            sum += p[j] = exp(s * (double)c->scale);
        }
        for (int64_t j = first; j <= t; j++)
            for (int64_t i = 0; i < c->channels; i++)
                loss += p[j] / sum * in[2][j * c->channels + i] * (double)c->in[4][t * c->stride + i];
    }
    free(p);
    return loss;
}

/* Against finite differences of the forward pass in double. */
static void attention_grad_is_a_gradient(void **state) {
    (void)state;
    static const struct { int64_t rows, channels, window; } cases[] = {{1, 2, 0},  {5, 4, 0},   {67, 6, 0},
                                                                       {70, 10, 9}, {40, 18, 1}, {140, 2, 70}};
    for (size_t n = 0; n < sizeof cases / sizeof *cases; n++) {
        HeadCase c;
        double *in[3];
        head_new(&c, cases[n].rows, cases[n].channels, cases[n].window);
        head_grad(&c, &kernels_reference, c.out);
        for (int a = 0; a < 3; a++) {
            in[a] = malloc((size_t)(c.rows * c.channels) * sizeof(double));
            for (int64_t i = 0; i < c.rows * c.channels; i++)
                in[a][i] = (double)c.in[a][i / c.channels * c.stride + i % c.channels];
        }
        for (int a = 0; a < 3; a++)
            for (int64_t i = 0; i < c.rows * c.channels; i += 1 + random_below(c.rows)) {
                double h = 1e-5, x = in[a][i], up, down;
                in[a][i] = x + h;
                up = head_loss(&c, in);
                in[a][i] = x - h;
                down = head_loss(&c, in);
                in[a][i] = x;
                double expected = (up - down) / (2 * h);
                double got = (double)c.out[a][i / c.channels * c.stride + i % c.channels];
                if (fabs(got - expected) > 2e-4 + 1e-4 * fabs(expected))
                    fail_msg("rows %lld, input %d, element %lld: %g, finite difference %g", (long long)c.rows, a,
                             (long long)i, got, expected);
            }
        for (int a = 0; a < 3; a++) free(in[a]);
        head_free(&c);
    }
}

/* The law of attention_grad.h, written out. Terms that are not seen are zeros and change nothing. */
static void head_law(const HeadCase *c, float *const out[3]) {
    float *p = malloc((size_t)(c->rows * c->rows) * sizeof *p), *ds = malloc((size_t)(c->rows * c->rows) * sizeof *p);
    int64_t n = c->rows, stride = c->stride;
    for (int64_t t = 0; t < n; t++) {
        float d = kernels_reference.product_sum(c->in[3] + t * stride, c->in[4] + t * stride, c->channels);
        for (int64_t j = 0; j < n; j++) {
            float s = 0, dp = 0;
            for (int64_t i = 0; i < c->channels; i++) {
                s = fmaf(c->in[0][t * stride + i], c->in[1][j * stride + i], s);
                dp = fmaf(c->in[4][t * stride + i], c->in[2][j * stride + i], dp);
            }
            bool seen = j <= t && (!c->window || j > t - c->window);
            p[t * n + j] = seen ? exp_f32(s * c->scale - c->stats[2 * t]) / c->stats[2 * t + 1] : 0;
            ds[t * n + j] = seen ? p[t * n + j] * (dp - d) : 0;
        }
    }
    for (int64_t t = 0; t < n; t++)
        for (int64_t i = 0; i < c->channels; i++) {
            float dq = 0, dk = 0, dv = 0;
            for (int64_t j = 0; j < n; j++) {
                dq = fmaf(ds[t * n + j], c->in[1][j * stride + i], dq);
                dk = fmaf(ds[j * n + t], c->in[0][j * stride + i], dk);
                dv = fmaf(p[j * n + t], c->in[4][j * stride + i], dv);
            }
            out[0][t * stride + i] = dq * c->scale;
            out[1][t * stride + i] = dk * c->scale;
            out[2][t * stride + i] = dv;
        }
    free(p), free(ds);
}

/* A row's P sums to 1, with every table; dq, dk, dv have the law's bits, and nothing between rows is touched. */
static void attention_grad_is_lawful(void **state) {
    (void)state;
    const Kernels *table[TABLES_MOST];
    int tables = all_tables(table);
    static const int64_t channels[] = {2, 16, 10, 64, 30, 80};
    for (int round = 0; round < 24; round++) {
        HeadCase c;
        float *expected[3], *got[3];
        int64_t rows = 1 + random_below(round % 3 ? 90 : 260);
        head_new(&c, rows, channels[round % 6], round % 4 == 1 ? 1 + random_below(100) : 0);
        for (int a = 0; a < 3; a++) {
            expected[a] = floats_new(rows * c.stride), got[a] = floats_new(rows * c.stride);
            memcpy(expected[a], c.out[a], (size_t)(rows * c.stride) * sizeof(float));
        }
        head_law(&c, expected);
        for (int k = 0; k < tables; k++) {
            for (int a = 0; a < 3; a++) memcpy(got[a], c.out[a], (size_t)(rows * c.stride) * sizeof(float));
            head_grad(&c, table[k], got);
            static const char *const names[] = {"dq", "dk", "dv"};
            for (int a = 0; a < 3; a++) same_bits(table[k]->isa, names[a], expected[a], got[a], rows * c.stride);
        }
        for (int a = 0; a < 3; a++) free(expected[a]), free(got[a]);
        head_free(&c);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attention_grad_is_a_gradient),
        cmocka_unit_test(attention_grad_is_lawful),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
