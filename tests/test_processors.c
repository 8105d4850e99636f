/* test_processors.c: every logits processor against golden results, hostile values, the draws, and the request
 * fields. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "../src/infer/choice.h"
#include "../src/infer/lists.h"
#include "../src/infer/processors.h"
#include "../src/io/safetensors.h"
#include "at_path.h"
#include "fixture.h"

enum { V = 512, ROWS = 3, HISTORY = 12 };

static SafeTensors golden;
static json_t *golden_json;
static SampleWork work;

static int open_golden(void **state) {
    (void)state;
    Err err = {0};
    golden_json = json_file("tests/golden/generation/generation.json", 1 << 20, &err);
    return golden_json && safetensors_open(&golden, "tests/golden/generation/processors.safetensors", &err) &&
           sample_work_new(&work, V, &err) ? 0 : -1;
}

static int close_golden(void **state) {
    (void)state;
    json_decref(golden_json);
    safetensors_close(&golden);
    sample_work_free(&work);
    return 0;
}

static const void *tensor(const char *name) {
    const SafeTensor *t = safetensors_find(&golden, name);
    if (!t) fail_msg("no tensor %s", name);
    return t->data;
}

/* The defaults of a request, with the members of a JSON text. */
static GenerationConfig config_of(const char *text) {
    Err err = {0};
    GenerationConfig c = {0}, base = {0};
    json_t *o = json_loads(text, 0, NULL);
    if (!defaults_at(&base, "tests/golden/tiny", &err)) fail_msg("%s", err.text);
    if (!o || !generation_from_json(&c, &base, o, "test", &err)) fail_msg("%s: %s", text, err.text);
    json_decref(o);
    generation_config_free(&base);
    return c;
}

/* ---- Golden ------------------------------------------------------------------------------------------------------ */

/* What the golden file calls a case, which row that is, and where its parameters are not GenerationConfig's. */
static const struct Case { const char *name, *row; } cases[] = {
    {"temperature", "TemperatureLogitsWarper"}, {"top_k", "TopKLogitsWarper"}, {"top_p", "TopPLogitsWarper"},
    {"top_p_min_keep", "TopPLogitsWarper"}, {"min_p", "MinPLogitsWarper"}, {"typical_p", "TypicalLogitsWarper"},
    {"epsilon", "EpsilonLogitsWarper"}, {"eta", "EtaLogitsWarper"},
    {"repetition", "RepetitionPenaltyLogitsProcessor"}, {"no_repeat_ngram_3", "NoRepeatNGramLogitsProcessor"},
    {"no_repeat_ngram_2", "NoRepeatNGramLogitsProcessor"}, {"bad_words", "NoBadWordsLogitsProcessor"},
    {"min_length", "MinLengthLogitsProcessor"}, {"min_new_tokens", "MinNewTokensLengthLogitsProcessor"},
    {"forced_bos", "ForcedBOSTokenLogitsProcessor"}, {"forced_eos", "ForcedEOSTokenLogitsProcessor"},
    {"suppress", "SuppressTokensLogitsProcessor"}, {"begin_suppress", "SuppressTokensAtBeginLogitsProcessor"},
    {"exp_decay", "ExponentialDecayLengthPenalty"}, {"sequence_bias", "SequenceBiasLogitsProcessor"},
    {"encoder_repetition", "EncoderRepetitionPenaltyLogitsProcessor"}, {"renormalize", "LogitNormalization"},
};
enum { CASES = sizeof cases / sizeof *cases };

/* The history has 12 ids. How many of them are the prompt, each case says in its own way. */
static int64_t prompt_of(const json_t *parameters) {
    static const char *const names[] = {"prompt_length", "begin_index", "input_ids_seq_length"};
    int64_t n = HISTORY;
    for (int i = 0; i < 3; i++)
        if (json_object_get(parameters, names[i])) n = json_integer_value(json_object_get(parameters, names[i]));
    return n;
}

static void golden_case(const struct Case *one) {
    Err err = {0};
    GenerationConfig base = {0}, c;
    const json_t *parameters = json_object_get(json_object_get(golden_json, "processors"), one->name);
    assert_non_null(parameters);
    assert_true(defaults_at(&base, "tests/golden/tiny", &err));
    if (!generation_from_json(&c, &base, parameters, one->name, &err)) fail_msg("%s", err.text);
    int64_t prompt = prompt_of(parameters), applied = 0;
    if (c.max_length) c.max_new_tokens = c.max_length - prompt; /* as generation_start has it */
    char name[64];
    snprintf(name, sizeof name, "out.%s", one->name);
    const float *want = tensor(name), *scores = tensor("scores");
    for (int r = 0; r < ROWS; r++) {
        float value[V], dense[V];
        Scores s = {.value = value, .id = work.id, .count = V, .all = true};
        ProcessorCall call = {.config = &c, .ids = (const int32_t *)tensor("history") + r * HISTORY,
                              .count = HISTORY, .prompt = prompt, .scores = &s, .work = &work};
        memcpy(value, scores + r * V, sizeof value);
        for (int i = 0; i < processor_count; i++)
            if (!strcmp(processor_rows[i].name, one->row) && processor_rows[i].applies(&call))
                processor_rows[i].apply(&call), applied++;
        for (int i = 0; i < V; i++) dense[i] = -INFINITY;
        for (int64_t i = 0; i < s.count; i++) dense[scores_id(&s, i)] = s.value[i];
        for (int i = 0; i < V; i++)
            if (dense[i] != want[r * V + i] && !(fabsf(dense[i] - want[r * V + i]) <= 1e-5f))
                fail_msg("%s, row %d, id %d: %.8g, expected %.8g", one->name, r, i, dense[i], want[r * V + i]);
        for (int i = 0; i < V; i++) assert_int_equal(work.tally[i], 0);
    }
    /* forced_bos acts on the second id only: with 12 it must not */
    assert_int_equal(applied, strcmp(one->name, "forced_bos") ? ROWS : 0);
    generation_config_free(&c);
    generation_config_free(&base);
}

static void golden_processors(void **state) {
    (void)state;
    assert_int_equal(json_object_size(json_object_get(golden_json, "processors")), CASES);
    for (int i = 0; i < CASES; i++) golden_case(&cases[i]);
}

/* ---- What has no golden result: by the formula ------------------------------------------------------------------- */

/* Processes scores [n] after a history; removed ids come back as -inf. */
static void process(const char *request, const int32_t *ids, int64_t count, int64_t prompt, float *value, int64_t n) {
    GenerationConfig c = config_of(request);
    float input[V];
    memcpy(input, value, (size_t)n * sizeof *value);
    Scores s = {.value = input, .id = work.id, .count = n, .all = true};
    ProcessorCall call = {.config = &c, .ids = ids, .count = count, .prompt = prompt, .scores = &s, .work = &work};
    processors_run(&call, !generation_greedy(&c));
    for (int64_t i = 0; i < n; i++) value[i] = -INFINITY;
    for (int64_t i = 0; i < s.count; i++) value[scores_id(&s, i)] = s.value[i];
    generation_config_free(&c);
}

static void expect(const float *got, const float *want, int n) {
    for (int i = 0; i < n; i++)
        if (got[i] != want[i] && !(fabsf(got[i] - want[i]) <= 1e-6f))
            fail_msg("[%d]: %g, expected %g", i, got[i], want[i]);
}

static void openai_penalties(void **state) {
    (void)state;
    const int32_t ids[] = {1, 1, 2, 2, 3};
    float v[] = {1, 1, 1, 1, 1};
    process("{\"presence_penalty\":0.5,\"frequency_penalty\":0.25}", ids, 5, 2, v, 5);
    expect(v, (float[]){1, 1, 0, 0.25f, 1}, 5); /* the prompt's id 1 stays; 2 came twice */
    process("{\"logit_bias\":{\"4\":3,\"0\":-2}}", ids, 5, 2, v, 5);
    expect(v, (float[]){-1, 1, 0, 0.25f, 4}, 5);
}

static void encoder_ngrams(void **state) {
    (void)state;
    const int32_t ids[] = {1, 2, 3, 0, 1};
    float v[] = {0, 0, 0, 0, 0};
    process("{\"encoder_no_repeat_ngram_size\":2}", ids, 5, 3, v, 5);
    expect(v, (float[]){0, 0, -INFINITY, 0, 0}, 5); /* 1 2 is the prompt's */
    const int32_t new_ids[] = {4, 3, 0, 1, 0};
    float w[] = {0, 0, 0, 0, 0};
    process("{\"encoder_no_repeat_ngram_size\":2}", new_ids, 5, 2, w, 5);
    expect(w, (float[]){0, 0, 0, 0, 0}, 5); /* 0 1 is none of it */
}

/* Where a rule just begins or just ends to hold. */
static void edges(void **state) {
    (void)state;
    const int32_t ids[] = {1, 2, 2};
    float a[] = {0, 0, 0, 0, 0};
    process("{\"sequence_bias\":[[[1,2,3],7.0],[[2,4],5.0]]}", ids, 2, 1, a, 5);
    expect(a, (float[]){0, 0, 0, 0, 5}, 5); /* two ids of history: enough for a pair, one too few for three */
    float b[] = {0, 0, 0, 0, 0};
    process("{\"eos_token_id\":3,\"bad_words_ids\":[[3],[4],[2,0]]}", ids, 3, 1, b, 5);
    expect(b, (float[]){-INFINITY, 0, 0, 0, -INFINITY}, 5); /* the end alone is no bad word */
    float c[] = {0, 0, 0, 0, 0};
    process("{\"no_repeat_ngram_size\":2}", ids, 3, 1, c, 5);
    expect(c, (float[]){0, 0, -INFINITY, 0, 0}, 5); /* 2 2 is the end of the history itself */
    for (int least = 2; least <= 4; least++)
        for (int new_tokens = 0; new_tokens < 2; new_tokens++) { /* of 3 ids 2 are new: the end is allowed at 3, at 2 */
            char request[96];
            float d[] = {0, 0, 0, 0, 0};
            snprintf(request, sizeof request, "{\"eos_token_id\":3,\"%s\":%d}",
                     new_tokens ? "min_new_tokens" : "min_length", new_tokens ? least - 1 : least);
            process(request, ids, 3, 1, d, 5);
            expect(d, (float[]){0, 0, 0, least > 3 ? -INFINITY : 0, 0}, 5);
        }
}

static void decay_begins(void **state) {
    (void)state;
    const int32_t ids[] = {1, 2, 2};
    for (int start = 1; start <= 4; start++) {
        char request[96];
        float a[] = {0, -2, 2, 0}; /* of 3 ids 2 are new; the end is 1, whose score is below 0: it rises all the same */
        snprintf(request, sizeof request, "{\"eos_token_id\":1,\"exponential_decay_length_penalty\":[%d,1.5]}", start);
        process(request, ids, 3, 1, a, 4);
        expect(a, (float[]){0, start < 2 ? -1 : -2, 2, 0}, 4);
    }
}

/* Only what the grammar lets follow, and the end, with its own score, where the text is whole. */
static void grammar_masks(void **state) {
    (void)state;
    Err err = {0};
    QmTokenizer *bytes = qm_tokenizer_open("tests/data/bytes", &err);
    Grammar *g = grammar_regex("(ab|cd)+", 8, &err);
    Matcher *m = bytes && g ? matcher_new(g, bytes, &err) : NULL;
    if (!m) fail_msg("%s", err.text);
    static const char *const texts[] = {"", "a", "abc", "abcd"}, *const follows[] = {"ac", "b", "d", "ac"};
    GenerationConfig c = config_of("{\"eos_token_id\":[511,510]}");
    for (int i = 0; i < 4; i++) {
        float value[V];
        MatchFault fault = MATCH_SOUND;
        for (int v = 0; v < V; v++) value[v] = (float)v * 0.5f;
        Scores s = {.value = value, .id = work.id, .count = V, .all = true};
        ProcessorCall call = {.config = &c, .scores = &s, .work = &work, .matcher = m, .fault = &fault,
                              .state = matcher_read(m, 0, (const uint8_t *)texts[i], strlen(texts[i]), &err)};
        processors_run(&call, false);
        assert_int_equal(fault, MATCH_SOUND);
        for (int v = 0; v < V; v++) {
            bool want = v >= 510 ? i == 3 : v && v < 128 && strchr(follows[i], v);
            if ((value[v] > -INFINITY) != want) fail_msg("after '%s': token %d", texts[i], v);
            if (want) assert_true(value[v] == (float)v * 0.5f);
        }
    }
    generation_config_free(&c);
    matcher_release(m);
    grammar_release(g);
    qm_tokenizer_close(bytes);
}

static void forced_ids(void **state) {
    (void)state;
    const int32_t ids[] = {7, 8, 9};
    float v[] = {5, 5, 5, 5};
    process("{\"forced_bos_token_id\":2}", ids, 1, 1, v, 4);
    expect(v, (float[]){-INFINITY, -INFINITY, 0, -INFINITY}, 4);
    float w[] = {5, 5, 5, 5};
    process("{\"forced_eos_token_id\":[1,3],\"max_new_tokens\":3}", ids, 3, 1, w, 4);
    expect(w, (float[]){-INFINITY, 0, -INFINITY, 0}, 4);
}

static void invalid_values(void **state) {
    (void)state;
    const int32_t ids[] = {1};
    float v[] = {NAN, INFINITY, -INFINITY, 2};
    process("{\"remove_invalid_values\":true}", ids, 1, 1, v, 4);
    expect(v, (float[]){0, 3.40282347e38f, -3.40282347e38f, 2}, 4);
}

/* The same filters on the vocabulary of Qwen2.5, against a sort of all of it. */
static int descending(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x < y) - (x > y);
}

static void large_vocabulary(void **state) {
    (void)state;
    enum { N = 151936 };
    Err err = {0};
    SampleWork w;
    float *value = malloc(N * sizeof *value), *sorted = malloc(N * sizeof *sorted);
    assert_true(sample_work_new(&w, N, &err));
    for (int round = 0; round < 6; round++) {
        float spread = (float)(1 + round * round);
        for (int i = 0; i < N; i++) sorted[i] = (float)((int32_t)random_below(2000001) - 1000000) * 1e-6f * spread;
        qsort(sorted, N, sizeof *sorted, descending);
        float order = sorted[0];
        for (int i = 0; i < N; i++) value[i] = sorted[(i * 7919L) % N];
        for (int64_t k = 1; k <= N; k = k * 3 + 1) {
            float kth = select_largest(value, N, k, &w);
            if (kth != sorted[k - 1]) fail_msg("k %lld: %g, expected %g", (long long)k, kth, sorted[k - 1]);
        }
        assert_true(select_largest(value, N, N + 1, &w) == -INFINITY);
        double total = 0, mass = 0, p = 0.05 + 0.15 * round;
        for (int i = 0; i < N; i++) total += exp((double)(sorted[i] - order));
        int kept = 0;
        while (mass < p * total) mass += exp((double)(sorted[kept++] - order));
        GenerationConfig c = {.top_p = p, .min_tokens_to_keep = 1};
        Scores s = {.value = value, .id = w.id, .count = N, .all = true};
        ProcessorCall call = {.config = &c, .scores = &s, .work = &w};
        top_p_apply(&call);
        if (llabs(s.count - kept) > kept / 10000 + 8) /* ties, and sums in f32 weights */
            fail_msg("top_p %g: %lld kept, expected %d", p, (long long)s.count, kept);
        for (int64_t i = 1; i < s.count; i++) assert_true(s.id[i] > s.id[i - 1]);
    }
    for (int64_t k = 1; k <= 3000; k += 7) { /* of few: every step of the histogram holds one or two */
        for (int i = 0; i < 3000; i++) value[i] = (float)((i * 1709L) % 3000);
        assert_true(select_threshold(value, NULL, 3000, (double)k, w.room, &w) == (float)(3000 - k));
    }
    free(value);
    free(sorted);
    sample_work_free(&w);
}

/* top_p and typical_p of flat and of steep scores beside a sort of all candidates: how many are kept, and that the
 * least of them is nearer than the first that is not. */
typedef struct Far { double by; int id; } Far;
static int nearest(const void *a, const void *b) {
    double x = ((const Far *)a)->by, y = ((const Far *)b)->by;
    return (x > y) - (x < y);
}

static void filters_beside_a_sort(void **state) {
    (void)state;
    enum { N = 5000 };
    Err err = {0};
    SampleWork w;
    static float value[N], given[N];
    static double p[N];
    static Far far[N];
    static bool kept[N];
    assert_true(sample_work_new(&w, N, &err));
    for (int round = 0; round < 40; round++) {
        bool typical = round % 2;
        float spread = (float)(round / 2 % 5) * 2 + 0.1f;
        double mass = 0.05 + 0.0485 * (round / 2), total = 0, mean = 0, sum = 0;
        for (int i = 0; i < N; i++) {
            given[i] = value[i] = (float)random_below(1000003) * 1e-6f * spread;
            total += p[i] = exp((double)value[i]);
        }
        for (int i = 0; i < N; i++) mean += p[i] / total * (double)value[i];
        for (int i = 0; i < N; i++)
            far[i] = (Far){typical ? fabs((double)value[i] - mean) : -(double)value[i], i};
        qsort(far, N, sizeof *far, nearest);
        int want = 0;
        while (want < N && sum < mass) sum += p[far[want++].id] / total;
        GenerationConfig c = {.top_p = mass, .typical_p = mass, .min_tokens_to_keep = round == 0 ? 777 : 1};
        if (round == 0) want = 777; /* more than the mass needs */
        Scores s = {.value = value, .id = w.id, .count = N, .all = true};
        ProcessorCall call = {.config = &c, .scores = &s, .work = &w};
        (typical ? typical_apply : top_p_apply)(&call);
        if (llabs(s.count - want) > 3) /* ties, and sums in f32 */
            fail_msg("%s %g, spread %g: %lld kept, expected %d", typical ? "typical_p" : "top_p", mass, (double)spread,
                     (long long)s.count, want);
        memset(kept, 0, sizeof kept);
        for (int64_t i = 0; i < s.count; i++) {
            kept[s.id[i]] = true;
            assert_true(s.value[i] == given[s.id[i]]);
        }
        for (int i = 0; i < want - 4; i++) assert_true(kept[far[i].id]);
        for (int i = want + 4; i < N; i++) assert_false(kept[far[i].id]);
    }
    sample_work_free(&w);
}

/* What is rarer than the floor of its mass may still be the most typical. */
static void typical_below_its_floor(void **state) {
    (void)state;
    const int32_t ids[] = {0};
    const float p[] = {0.45f, 0.15f, 0.15f, 0.15f, 0.10f}; /* H is nearest to -log 0.15 */
    float value[5];
    for (int i = 0; i < 5; i++) value[i] = logf(p[i]);
    process("{\"do_sample\":true,\"typical_p\":0.2}", ids, 1, 1, value, 5);
    for (int i = 0; i < 5; i++) assert_int_equal(value[i] > -INFINITY, i > 0 && i < 4);
}

/* Probabilities that add up to exactly top_p, as in Hugging Face's test_top_p_dist_warper: the next one goes. */
static void top_p_at_its_edge(void **state) {
    (void)state;
    static const struct { float p[5]; int count; double top_p; int kept; } cases_of[] = {
        {{0.3f, 0.1f, 0.1f, 0.5f}, 4, 0.8, 2}, {{0.15f, 0.3f, 0.3f, 0.25f}, 4, 0.8, 3},
        {{0.5f, 0.3f, 0.1f, 0.1f}, 4, 0.8, 2}, {{0.1f, 0.2f, 0.7f}, 3, 0.9, 2},
        {{0.4f, 0.3f, 0.2f, 0.1f}, 4, 0.9, 3}, {{0.4f, 0.3f, 0.2f, 0.1f}, 4, 0.7, 2},
        {{0.4f, 0.3f, 0.2f, 0.1f}, 4, 0.701, 3}, {{0.6f, 0.25f, 0.1f, 0.05f}, 4, 0.95, 3},
        {{0.35f, 0.25f, 0.2f, 0.15f, 0.05f}, 5, 0.6, 2}, {{0.9f, 0.1f}, 2, 1e-9, 1},
    };
    for (size_t i = 0; i < sizeof cases_of / sizeof *cases_of; i++)
        for (int shift = -4; shift <= 4; shift += 2) { /* scores are logits, so any constant may be on them */
            float value[5];
            for (int k = 0; k < cases_of[i].count; k++) value[k] = logf(cases_of[i].p[k]) + (float)shift;
            Scores s = {.value = value, .id = work.id, .count = cases_of[i].count, .all = true};
            GenerationConfig c = {.top_p = cases_of[i].top_p, .min_tokens_to_keep = 1};
            ProcessorCall call = {.config = &c, .scores = &s, .work = &work};
            top_p_apply(&call);
            if (s.count != cases_of[i].kept)
                fail_msg("case %zu, shift %d: %lld kept, expected %d", i, shift, (long long)s.count, cases_of[i].kept);
        }
}

/* Temperature first, then top_k, then top_p: each sees what the one before left. */
static void warpers_in_order(void **state) {
    (void)state;
    const int32_t ids[] = {0};
    float a[] = {2, 1, 0};
    process("{\"do_sample\":true,\"temperature\":2.0,\"top_p\":0.6}", ids, 1, 1, a, 3);
    expect(a, (float[]){1, 0.5f, -INFINITY}, 3);
    float b[] = {2, 1, 0.9f, 0.8f};
    process("{\"do_sample\":true,\"top_k\":2,\"top_p\":0.7}", ids, 1, 1, b, 4);
    expect(b, (float[]){2, -INFINITY, -INFINITY, -INFINITY}, 4);
    float c[] = {2, 1, 0.9f, 0.8f};
    process("{\"top_k\":2,\"top_p\":0.7,\"temperature\":5.0}", ids, 1, 1, c, 4);
    expect(c, (float[]){2, 1, 0.9f, 0.8f}, 4); /* not sampled: none of them */
}

static void weights_near_exp(void **state) {
    (void)state;
    float v[V], weight[V];
    for (int i = 0; i < V; i++) v[i] = -0.18f * (float)i;
    double mean, total = scores_weights(v, V, 0, &work, weight, &mean), want = 0, moment = 0;
    for (int i = 0; i < V; i++) {
        double e = v[i] >= -87.33f ? exp((double)v[i]) : 0;
        moment += e * (double)v[i];
        want += e;
        if (!(fabs((double)weight[i] - e) <= 3e-7 * e)) fail_msg("e^%g: %g, expected %g", v[i], weight[i], e);
    }
    assert_true(fabs(total - want) < 1e-6 * want);
    assert_true(fabs(mean - moment / want) < 1e-6 * fabs(mean));
}

/* Every instruction set gives the bits of the reference, whatever the size and the values, and writes nowhere else. */
static void weigh_bits(void **state) {
    (void)state;
    enum { N = 2 * WEIGH_BLOCK + 40, BLOCKS = 3, GUARD = 4 };
    static float x[N + 1], a[2][N + GUARD], sum[2][BLOCKS + 1], moment[2][BLOCKS + 1], top[2][BLOCKS + 1];
    const Weigh *one;
    for (int table = 1; (one = weigh_table(table)); table++)
        for (int n = 1; n <= N; n += n < 40 ? 1 : 13)
            for (int odd = 0; odd < 2; odd++) {
                float *in = x + odd; /* also unaligned */
                for (int i = 0; i < n; i++) in[i] = (float)random_below(100000) * -1e-3f;
                if (n % 3 == 0) in[random_below((uint32_t)n)] = NAN, in[random_below((uint32_t)n)] = -INFINITY;
                memset(a, 0x5a, sizeof a);
                const Weigh *w[] = {&weigh_reference, one};
                for (int k = 0; k < 2; k++) {
                    w[k]->tops(in, n, top[k]);
                    w[k]->weights(in, n, odd ? -0.5f : 0, a[k], sum[k], moment[k]);
                }
                for (int64_t b = 0; b < weigh_blocks(n); b++) assert_true(top[0][b] == top[1][b]);
                assert_memory_equal(sum[0], sum[1], (size_t)weigh_blocks(n) * sizeof(float));
                assert_memory_equal(moment[0], moment[1], (size_t)weigh_blocks(n) * sizeof(float));
                assert_memory_equal(a[0], a[1], sizeof a[0]); /* the guard too */
                one->weights(in, n, odd ? -0.5f : 0, NULL, sum[1], NULL);
                assert_memory_equal(sum[0], sum[1], (size_t)weigh_blocks(n) * sizeof(float));
                for (int k = 0; k < 2; k++) w[k]->divide(a[k], n, 0.7f);
                assert_memory_equal(a[0], a[1], sizeof a[0]);
            }
    if (!weigh_table(1)) skip(); /* only the reference runs here */
}

/* ---- Choices ----------------------------------------------------------------------------------------------------- */

static int32_t choose(const char *request, const float *logits, int64_t vocab, uint64_t sequence) {
    Err err = {0};
    Generation g;
    GenerationConfig c = config_of(request);
    float *copy = malloc((size_t)vocab * sizeof *copy);
    int32_t prompt[] = {0, 1, 0, 1}, id;
    SampleWork w = work;
    w.vocab = vocab;
    memcpy(copy, logits, (size_t)vocab * sizeof *copy);
    assert_true(generation_start(&g, &c, NULL, prompt, 4, &err));
    assert_true(generation_choose(&g, copy, sequence, &w, &id, &err));
    free(copy);
    generation_free(&g);
    generation_config_free(&c);
    return id;
}

/* The row as `devices` equal shards that tell their k largest give it (ties: the lowest ids), and the bound of the
 * rest. */
static float largest_only(const float *logits, int64_t vocab, int devices, int64_t k, float *out) {
    float floor = -INFINITY;
    for (int64_t i = 0; i < vocab; i++) out[i] = -INFINITY;
    for (int d = 0; d < devices; d++) {
        int64_t from = vocab * d / devices, to = vocab * (d + 1) / devices;
        float least = -INFINITY;
        for (int64_t n = 0; n < k && n < to - from; n++) {
            int64_t best = -1;
            for (int64_t i = from; i < to; i++)
                if (out[i] == -INFINITY && (best < 0 || logits[i] > logits[best])) best = i;
            least = out[best] = logits[best];
        }
        if (to - from > k && least > floor) floor = least;
    }
    return floor;
}

static bool enough(const char *request, const float *row, float floor) {
    Err err = {0};
    Generation g;
    GenerationConfig c = config_of(request);
    int32_t prompt[] = {0, 1, 0, 1};
    assert_true(generation_start(&g, &c, NULL, prompt, 4, &err));
    SampleWork w = work;
    w.vocab = V;
    bool is = generation_enough(&g, row, floor, &w);
    generation_free(&g);
    generation_config_free(&c);
    return is;
}

/* Whenever a row of the largest logits is said to be enough, the choice is that of the whole row: with ties at the
 * bound, values that a temperature makes equal, and ids of the history among the largest. */
static void the_largest_are_enough(void **state) {
    (void)state;
    static const char *const requests[] = {
        "{\"do_sample\":true,\"top_k\":20,\"seed\":%d}",
        "{\"do_sample\":true,\"top_k\":5,\"top_p\":0.8,\"temperature\":0.7,\"repetition_penalty\":1.05,\"seed\":%d}",
        "{\"do_sample\":true,\"top_k\":3,\"temperature\":1000000,\"seed\":%d}",
        "{\"do_sample\":true,\"top_k\":9,\"min_p\":0.05,\"typical_p\":0.9,\"renormalize_logits\":true,\"seed\":%d}",
        ("{\"do_sample\":true,\"top_k\":7,\"eta_cutoff\":0.1,\"presence_penalty\":2,\"frequency_penalty\":1,"
         "\"seed\":%d}"),
        "{\"do_sample\":true,\"top_k\":2,\"min_tokens_to_keep\":6,\"no_repeat_ngram_size\":2,\"seed\":%d}",
        "{\"do_sample\":true,\"top_k\":4,\"suppress_tokens\":[3,5],\"encoder_repetition_penalty\":0.8,\"seed\":%d}",
        "{\"repetition_penalty\":1.5,\"seed\":%d}",
        "{\"suppress_tokens\":[1,2],\"no_repeat_ngram_size\":2,\"seed\":%d}"};
    enum { REQUESTS = sizeof requests / sizeof *requests };
    int yes[REQUESTS] = {0}, no = 0;
    float logits[V], row[V];
    for (int n = 0; n < 9000; n++) {
        char request[256];
        snprintf(request, sizeof request, requests[n % REQUESTS], n);
        float step = n % 4 ? 1e-3f : 0.25f; /* coarse: many ties */
        for (int i = 0; i < V; i++) logits[i] = (float)((int)random_below(n % 4 ? 20000 : 80) - 40) * step;
        for (int i = 0; i < 2; i++) logits[i] += (float)(n % 3); /* of the history */
        if (n % 50 == 0) logits[random_below(V)] = -INFINITY;
        float floor = largest_only(logits, V, 1 + (int)random_below(4), 4 + random_below(24), row);
        if (!enough(request, row, floor)) {
            no++;
            continue;
        }
        yes[n % REQUESTS]++;
        int32_t a = choose(request, logits, V, 5), b = choose(request, row, V, 5);
        if (a != b) fail_msg("%s: expected %d, got %d", request, a, b);
    }
    for (int i = 0; i < REQUESTS; i++)
        if (yes[i] < 50) fail_msg("%s was enough only %d times", requests[i], yes[i]);
    assert_true(no > 500);
    static const char *const whole[] = { /* these look at what is not among the largest, or may raise it */
        "{\"do_sample\":true}", "{\"do_sample\":true,\"top_p\":0.5}", "{\"do_sample\":true,\"top_k\":2,\"logprobs\":1}",
        "{\"do_sample\":true,\"top_k\":2,\"repetition_penalty\":0.9}", "{\"logit_bias\":{\"7\":50}}",
        "{\"do_sample\":true,\"top_k\":2,\"frequency_penalty\":-1}", "{\"renormalize_logits\":true}",
        "{\"forced_bos_token_id\":3,\"logprobs\":0}", "{\"do_sample\":true,\"top_k\":2,\"remove_invalid_values\":true}",
        "{\"encoder_repetition_penalty\":1.5}"};
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++)
        if (enough(whole[i], row, -INFINITY)) fail_msg("%s needs the whole row", whole[i]);
}

/* The largest logit is the choice only at steps where nothing stands between: asked per token, and a grammar counts. */
static void argmax_by_step(void **state) {
    (void)state;
    static const struct { const char *request; const char *largest; /* at new token 0, 1, 2, 3 */ } steps[] = {
        {"{\"max_new_tokens\":4}", "yyyy"},
        {"{\"max_new_tokens\":4,\"do_sample\":true}", "nnnn"},
        {"{\"max_new_tokens\":4,\"logprobs\":0}", "nnnn"},
        {"{\"max_new_tokens\":4,\"min_new_tokens\":2}", "nnyy"},
        {"{\"max_new_tokens\":4,\"forced_eos_token_id\":3}", "yyyn"},
        {"{\"max_new_tokens\":4,\"begin_suppress_tokens\":[3]}", "nyyy"},
        {"{\"max_new_tokens\":4,\"exponential_decay_length_penalty\":[1,2.0]}", "yynn"}};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        Err err = {0};
        Generation g;
        GenerationConfig c = config_of(steps[i].request);
        int32_t prompt[] = {0, 1, 0, 1};
        assert_true(generation_start(&g, &c, NULL, prompt, 4, &err));
        for (int n = 0; n < 4; n++) {
            g.count = 4 + n;
            if (generation_argmax(&g) != (steps[i].largest[n] == 'y'))
                fail_msg("%s: new token %d, expected %c", steps[i].request, n, steps[i].largest[n]);
            char any;
            g.matcher = (Matcher *)(void *)&any; /* only asked for */
            assert_false(generation_argmax(&g));
            g.matcher = NULL;
        }
        generation_free(&g);
        generation_config_free(&c);
    }
}

static const char *const every_filter =
    "{\"do_sample\":true,\"temperature\":0.7,\"top_k\":50,\"top_p\":0.9,\"min_p\":0.01,\"typical_p\":0.9,"
    "\"epsilon_cutoff\":0.001,\"eta_cutoff\":0.001,\"renormalize_logits\":true,\"repetition_penalty\":1.3,"
    "\"no_repeat_ngram_size\":2,\"presence_penalty\":1,\"logprobs\":3}";

/* Values no sound model gives: NaN anywhere, +inf, or nothing but -inf. No id is chosen from them, unless the request
 * makes numbers of them. */
static void hostile_logits(void **state) {
    (void)state;
    float nan[V], low[V], one[V], two[V];
    for (int i = 0; i < V; i++)
        nan[i] = NAN, low[i] = -INFINITY, one[i] = i == 77 ? 1 : NAN, two[i] = i % 2 ? -INFINITY : NAN;
    const char *const requests[] = {every_filter,
                                    "{}",
                                    "{\"do_sample\":true}",
                                    "{\"do_sample\":true,\"top_k\":3}",
                                    "{\"do_sample\":true,\"typical_p\":0.5}",
                                    "{\"do_sample\":true,\"eta_cutoff\":0.9}"};
    for (int i = 0; i < 6; i++) {
        assert_int_equal(choose(requests[i], nan, V, 1), TOKEN_INVALID);
        assert_int_equal(choose(requests[i], low, V, 1), TOKEN_INVALID);
        assert_int_equal(choose(requests[i], two, V, 1), TOKEN_INVALID);
        assert_int_equal(choose(requests[i], one, V, 1), TOKEN_INVALID);
    }
    one[80] = INFINITY;
    assert_int_equal(choose("{\"remove_invalid_values\":true}", one, V, 1), 80);
    for (int i = 0; i < V; i++) one[i] = (float)i;
    one[80] = INFINITY;
    for (int i = 0; i < 6; i++) assert_int_equal(choose(requests[i], one, V, 1), TOKEN_INVALID);
    one[80] = -INFINITY;
    assert_int_equal(choose("{}", one, V, 1), V - 1);
    for (int i = 0; i < V; i++) one[i] = 3e38f;
    assert_in_range(choose(every_filter, one, V, 1), 0, V - 1);
    assert_int_equal(choose("{\"suppress_tokens\":[0,1,2]}", (float[]){1, 2, 3}, 3, 1), -1);
    assert_int_equal(choose("{\"no_repeat_ngram_size\":1000000}", (float[]){1, 2, 3}, 3, 1), 2);
}

/* The shares of 20,000 draws are near their probabilities, and a draw goes by (seed, sequence, position). */
static void draws(void **state) {
    (void)state;
    float logits[8], p[8], total = 0;
    int count[8] = {0}, n = 20000;
    for (int i = 0; i < 8; i++) logits[i] = (float)(i % 5) * 0.5f, total += p[i] = expf(logits[i]);
    for (int i = 0; i < n; i++) count[choose("{\"do_sample\":true,\"seed\":5}", logits, 8, (uint64_t)i)]++;
    double chi = 0;
    for (int i = 0; i < 8; i++) {
        double want = n * (double)(p[i] / total);
        chi += (count[i] - want) * (count[i] - want) / want;
    }
    if (chi > 24.3) fail_msg("chi squared %g of 7 degrees of freedom", chi); /* 0.1 % */
    int same = 0;
    for (int i = 0; i < 100; i++) {
        int32_t a = choose("{\"do_sample\":true,\"seed\":5}", logits, 8, (uint64_t)i);
        assert_int_equal(a, choose("{\"do_sample\":true,\"seed\":5}", logits, 8, (uint64_t)i));
        same += a == choose("{\"do_sample\":true,\"seed\":6}", logits, 8, (uint64_t)i);
    }
    assert_true(same < 60);
}

/* Seeds, sequences and positions each give their own numbers, spread evenly. */
static void draws_by_counter(void **state) {
    (void)state;
    enum { N = 1000, BINS = 10 };
    for (int what = 0; what < 3; what++) {
        int count[BINS] = {0};
        for (uint64_t i = 0; i < N; i++) {
            double u = draw_uniform(what == 0 ? i : 3, what == 1 ? i : 4, what == 2 ? i : 5);
            assert_true(u >= 0 && u < 1);
            count[(int)(u * BINS)]++;
        }
        double chi = 0;
        for (int i = 0; i < BINS; i++) chi += (count[i] - N / BINS) * (count[i] - N / BINS) / (double)(N / BINS);
        if (chi > 27.9) fail_msg("argument %d: chi squared %g of 9 degrees of freedom", what, chi); /* 0.1 % */
    }
}

/* Over more than one block of weights: every quarter of equal candidates as often, and every one of a few. */
static void draws_over_blocks(void **state) {
    (void)state;
    float equal[V] = {0}, few[V];
    int quarter[4] = {0}, chosen[V] = {0};
    enum { DRAWS = 4000 };
    for (int i = 0; i < V; i++) few[i] = i == 3 || i == 255 || i == 256 || i == 511 ? 5 : -INFINITY;
    for (int i = 0; i < DRAWS; i++) {
        quarter[choose("{\"do_sample\":true,\"seed\":9}", equal, V, (uint64_t)i) * 4 / V]++;
        chosen[choose("{\"do_sample\":true,\"seed\":10}", few, V, (uint64_t)i)]++;
    }
    for (int i = 0; i < 4; i++) assert_in_range(quarter[i], DRAWS / 4 - 120, DRAWS / 4 + 120); /* 4.4 deviations */
    assert_int_equal(chosen[3] + chosen[255] + chosen[256] + chosen[511], DRAWS);
    assert_in_range(chosen[3], DRAWS / 4 - 120, DRAWS / 4 + 120);
    assert_in_range(chosen[255], DRAWS / 4 - 120, DRAWS / 4 + 120);
    assert_in_range(chosen[256], DRAWS / 4 - 120, DRAWS / 4 + 120);
}

static void logprobs_told(void **state) {
    (void)state;
    Err err = {0};
    Generation g;
    GenerationConfig c = config_of("{\"logprobs\":2,\"suppress_tokens\":[2]}");
    float logits[] = {1, 3, 4, 3};
    int32_t prompt[] = {0}, id;
    const char *text;
    size_t bytes;
    SampleWork w = work;
    w.vocab = 4;
    assert_true(generation_start(&g, &c, NULL, prompt, 1, &err));
    assert_true(generation_choose(&g, logits, 0, &w, &id, &err) && generation_push(&g, id, &text, &bytes, &err));
    double total = log(exp(1) + 2 * exp(3) + exp(4));
    assert_int_equal(id, 1); /* 2 is not allowed, but its log-probability is told */
    assert_int_equal(g.logprobs[0].id, 1);
    assert_int_equal(g.logprobs[1].id, 2);
    assert_int_equal(g.logprobs[2].id, 1);
    assert_true(fabs((double)g.logprobs[0].logprob - (3 - total)) < 1e-6);
    assert_true(fabs((double)g.logprobs[1].logprob - (4 - total)) < 1e-6);
    assert_true(fabs(g.logprob_sum - (3 - total)) < 1e-6);
    float ties[] = {1, 1, 5, 1}; /* of those that tie for the last place the lowest id */
    assert_true(generation_choose(&g, ties, 0, &w, &id, &err));
    assert_int_equal(g.logprobs[4].id, 2);
    assert_int_equal(g.logprobs[5].id, 0);
    generation_free(&g);
    generation_config_free(&c);
}

/* ---- Requests ---------------------------------------------------------------------------------------------------- */

static void refused(const char *request, const char *why) {
    Err err = {0};
    GenerationConfig c, base = {0};
    json_t *o = json_loads(request, 0, NULL);
    assert_non_null(o);
    assert_true(defaults_at(&base, "tests/golden/tiny", &err));
    bool ok = generation_from_json(&c, &base, o, "test", &err) && generation_check(&c, V, &err);
    if (ok || !strstr(err.text, why)) fail_msg("%s: %s", request, ok ? "taken" : err.text);
    json_decref(o);
    generation_config_free(&c);
    generation_config_free(&base);
}

static void bad_requests(void **state) {
    (void)state;
    refused("{\"bad_words_ids\":5}", "bad_words_ids: expected a list of lists");
    refused("{\"bad_words_ids\":[[]]}", "one id or more");
    refused("{\"bad_words_ids\":[[1,-2]]}", "bad_words_ids");
    refused("{\"bad_words_ids\":[[1,99999]]}", "outside the vocabulary");
    refused("{\"sequence_bias\":[[[1,2],\"x\"]]}", "biases from");
    refused("{\"sequence_bias\":[[[1,2]]]}", "a list of [ids, bias]");
    refused("{\"logit_bias\":{\"one\":1}}", "logit_bias");
    refused("{\"logit_bias\":{\"1\":1e9}}", "biases from");
    refused("{\"suppress_tokens\":[1.5]}", "suppress_tokens");
    refused("{\"exponential_decay_length_penalty\":[1]}", "exponential_decay");
    refused("{\"early_stopping\":\"soon\"}", "early_stopping");
    refused("{\"forced_bos_token_id\":512}", "outside the vocabulary");
    refused("{\"num_beams\":2,\"num_return_sequences\":3}", "num_return_sequences");
    refused("{\"num_return_sequences\":3}", "would be equal");
    refused("{\"num_beams\":4,\"num_beam_groups\":3}", "num_beam_groups");
    refused("{\"do_sample\":true,\"typical_p\":0}", "typical_p");
    refused("{\"logprobs\":65}", "logprobs");
}

/* Hundreds of thousands of biases are taken, and more than the limit refused. */
static void huge_lists(void **state) {
    (void)state;
    for (int extra = 0; extra < 2; extra++) {
        Err err = {0};
        GenerationConfig c, base = {0};
        json_t *o = json_object(), *words = json_array();
        for (int i = 0; i < MAX_LIST_IDS / 4 + extra; i++)
            json_array_append_new(words, json_pack("[iiii]", i % V, 1, 2, i % 7));
        json_object_set_new(o, "bad_words_ids", words);
        assert_true(defaults_at(&base, "tests/golden/tiny", &err));
        bool ok = generation_from_json(&c, &base, o, "test", &err);
        assert_int_equal(ok, !extra);
        if (ok) assert_int_equal(c.lists->total, MAX_LIST_IDS);
        json_decref(o);
        generation_config_free(&c);
        generation_config_free(&base);
    }
}

/* Lists that a request does not name come from the model's defaults; null takes one away. */
static void lists_inherit(void **state) {
    (void)state;
    Err err = {0};
    GenerationConfig base = config_of("{\"suppress_tokens\":[3],\"logit_bias\":{\"4\":1}}"), c, d;
    json_t *o = json_loads("{\"suppress_tokens\":null,\"bad_words_ids\":[[5]]}", 0, NULL), *none = json_object();
    assert_true(generation_from_json(&c, &base, o, "test", &err));
    assert_int_equal(c.lists->suppress.count, 0);
    assert_int_equal(c.lists->logit_bias.count, 1);
    assert_int_equal(c.lists->bad_words.count, 1);
    assert_true(generation_from_json(&d, &c, none, "test", &err));
    assert_ptr_equal(d.lists, c.lists);
    json_decref(o), json_decref(none);
    generation_config_free(&base), generation_config_free(&c), generation_config_free(&d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_processors), cmocka_unit_test(openai_penalties), cmocka_unit_test(encoder_ngrams),
        cmocka_unit_test(edges), cmocka_unit_test(decay_begins),
        cmocka_unit_test(grammar_masks), cmocka_unit_test(forced_ids), cmocka_unit_test(invalid_values),
        cmocka_unit_test(large_vocabulary),
        cmocka_unit_test(filters_beside_a_sort), cmocka_unit_test(typical_below_its_floor),
        cmocka_unit_test(warpers_in_order), cmocka_unit_test(top_p_at_its_edge),
        cmocka_unit_test(weights_near_exp), cmocka_unit_test(weigh_bits),
        cmocka_unit_test(the_largest_are_enough), cmocka_unit_test(argmax_by_step),
        cmocka_unit_test(hostile_logits), cmocka_unit_test(draws), cmocka_unit_test(draws_over_blocks),
        cmocka_unit_test(draws_by_counter), 
        cmocka_unit_test(logprobs_told), cmocka_unit_test(bad_requests), cmocka_unit_test(huge_lists),
        cmocka_unit_test(lists_inherit),
    };
    return cmocka_run_group_tests(tests, open_golden, close_golden);
}
