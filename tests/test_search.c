/* test_search.c: whole generations against golden results; beams, samples, contrastive search and drafts on every mesh;
 * copies of sessions. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "../src/infer/session.h"
#include "at_path.h"
#include "drive.h"
#include "fixture.h"

static const char *const tiny = "tests/golden/tiny";

static QmEngine *engine(const char *model, const char *mesh, int threads, int64_t slots, bool hidden,
                        const char *cache) {
    QmErr err = {0};
    QmEngineOptions o = {.size = sizeof o, .model = model, .mesh = mesh, .threads = threads, .slots = (int)slots,
                         .context = 256,
                         .rows = 16, .kv_cache = cache, .hidden = hidden};
    QmEngine *e = qm_engine_open(&o, &err);
    if (!e) fail_msg("%s", err.text);
    return e;
}

static Generation start_of(const json_t *request, const int32_t *prompt, int64_t count) {
    Err err = {0};
    Generation g = {0};
    GenerationConfig base = {0}, c;
    if (!defaults_at(&base, tiny, &err) || !generation_from_json(&c, &base, request, "test", &err) ||
        !generation_check(&c, 512, &err) || !generation_start(&g, &c, NULL, prompt, count, &err))
        fail_msg("%s", err.text);
    generation_config_free(&base);
    generation_config_free(&c);
    return g;
}

/* The loop without a search; with `logits`, the bits of all rows are added up there. */
static void plain(QmEngine *e, Generation *g, uint64_t *logits) {
    Err err = {0};
    SampleWork w;
    int64_t vocab = qm_engine_info(e)->vocab;
    float *row = malloc((size_t)vocab * sizeof *row);
    QmSession *s = qm_session_new(e, &err);
    assert_true(s && sample_work_new(&w, vocab, &err));
    for (int64_t fed = 0; !g->finish;) {
        const char *text;
        size_t bytes;
        int32_t id;
        QmAppend a = {.session = s, .tokens = g->ids + fed, .count = g->count - fed, .logits_from = 1, .logits = row};
        fed = g->count;
        if (!qm_forward(e, &a, 1, &err)) fail_msg("%s", err.text);
        for (int64_t v = 0; logits && v < vocab; v++) {
            union { float f; uint32_t u; } bits = {.f = row[v]};
            *logits = *logits * 1099511628211u + bits.u;
        }
        assert_true(generation_choose(g, row, 3, &w, &id, &err) && generation_push(g, id, &text, &bytes, &err));
        if (g->count > qm_engine_info(e)->context) generation_end(g, "length", &text, &bytes);
    }
    qm_session_free(s);
    sample_work_free(&w);
    free(row);
}

static Sequences search(QmEngine *e, QmEngine *draft, const Generation *start) {
    Err err = {0};
    Driver s = {.engine = e, .draft = draft, .sequence = 3};
    Sequences found;
    if (!drive(&s, start, &found, &err)) fail_msg("%s", err.text);
    int64_t slots = qm_engine_info(e)->slots;
    QmSession *session[64];
    for (int64_t i = 0; i < slots; i++)
        assert_non_null(session[i] = qm_session_new(e, &err)); /* every slot came back */
    for (int64_t i = 0; i < slots; i++) qm_session_free(session[i]);
    return found;
}

static void same_ids(const char *what, const Generation *a, const Generation *b) {
    if (a->count != b->count || strcmp(a->finish, b->finish))
        fail_msg("%s: %lld ids (%s), expected %lld (%s)", what, (long long)a->count, a->finish, (long long)b->count,
                 b->finish);
    for (int64_t i = 0; i < a->count; i++)
        if (a->ids[i] != b->ids[i])
            fail_msg("%s: id %lld is %d, expected %d", what, (long long)i, a->ids[i], b->ids[i]);
}

/* ---- Golden ------------------------------------------------------------------------------------------------------ */

static void golden_generation(QmEngine *e, const json_t *one, const int32_t *prompt, int64_t count, int row) {
    const json_t *args = json_object_get(one, "args"), *want = json_object_get(one, "sequences");
    const json_t *scores = json_object_get(one, "sequences_scores");
    Generation g = start_of(args, prompt, count);
    int64_t n = g.config.num_return_sequences;
    Sequences found = {.list = &g, .count = 1};
    if (search_wanted(&g.config, false)) found = search(e, NULL, &g);
    else plain(e, &g, NULL);
    assert_int_equal(found.count, n);
    for (int64_t i = 0; i < n; i++) {
        const json_t *ids = json_array_get(want, (size_t)(row * n + i));
        const Generation *s = &found.list[i];
        assert_true(s->count <= (int64_t)json_array_size(ids));
        for (size_t t = 0; t < json_array_size(ids); t++) { /* the reference pads with 0 after the end */
            int32_t id = (int64_t)t < s->count ? s->ids[t] : 0;
            if (id != json_integer_value(json_array_get(ids, t)))
                fail_msg("%s: row %d, sequence %lld, id %zu: %d, expected %lld", json_dumps(args, 0), row, (long long)i,
                         t, id, (long long)json_integer_value(json_array_get(ids, t)));
        }
        double score = json_number_value(json_array_get(scores, (size_t)(row * n + i)));
        if (scores && !(fabs(s->score - score) <= 2e-5 * fmax(1, fabs(score))))
            fail_msg("%s: row %d, sequence %lld: score %.8g, expected %.8g", json_dumps(args, 0), row, (long long)i,
                     s->score, score);
    }
    if (found.list != &g) sequences_free(&found);
    generation_free(&g);
}

static void golden_generations(void **state) {
    (void)state;
    Err err = {0};
    static const char *const meshes[] = {"1x1", "2x4", "8x4"};
    json_t *json = json_file("tests/golden/generation/generation.json", 1 << 20, &err);
    for (int m = 0; m < 3; m++) {
        QmEngine *e = engine(tiny, meshes[m], 1 + m % 2, 5, false, NULL);
        size_t at;
        const json_t *one, *prompts = json_object_get(json, "prompt");
        assert_int_equal(json_array_size(json_object_get(json, "generations")), 12);
        json_array_foreach(json_object_get(json, "generations"), at, one) {
            for (int row = 0; row < 2; row++) {
                int32_t prompt[10];
                for (size_t i = 0; i < 10; i++)
                    prompt[i] = (int32_t)json_integer_value(json_array_get(json_array_get(prompts, (size_t)row), i));
                golden_generation(e, one, prompt, 10, row);
            }
        }
        qm_engine_close(e);
    }
    json_decref(json);
}

/* ---- Every search on every mesh ---------------------------------------------------------------------------------- */

static const int32_t prompt[] = {215, 442, 328, 278, 253, 401, 75, 81, 245, 235, 208, 502, 440};
enum { PROMPT = sizeof prompt / sizeof *prompt };

static const char *const modes[] = {
    "{\"num_beams\":4,\"num_return_sequences\":4,\"max_new_tokens\":12}",
    "{\"num_beams\":4,\"num_return_sequences\":2,\"do_sample\":true,\"top_k\":40,\"seed\":9,\"max_new_tokens\":12}",
    ("{\"num_beams\":6,\"num_beam_groups\":3,\"diversity_penalty\":1.5,\"num_return_sequences\":6,"
     "\"max_new_tokens\":12}"),
    "{\"penalty_alpha\":0.6,\"top_k\":4,\"max_new_tokens\":12}",
    "{\"do_sample\":true,\"num_return_sequences\":3,\"best_of\":9,\"seed\":4,\"max_new_tokens\":12}",
    "{\"prompt_lookup_num_tokens\":6,\"max_new_tokens\":40}",
    "{\"prompt_lookup_num_tokens\":6,\"do_sample\":true,\"temperature\":0.5,\"max_new_tokens\":40}",
};
enum { MODES = sizeof modes / sizeof *modes };

static void meshes_agree(void **state) {
    (void)state;
    static const char *const meshes[] = {"1x1", "2x4", "8x4", "dp2,tp3"};
    for (int i = 0; i < MODES; i++) {
        Sequences want = {0};
        json_t *request = json_loads(modes[i], 0, NULL);
        for (int m = 0; m < 4; m++) {
            Generation g = start_of(request, prompt, PROMPT);
            QmEngine *e = engine(tiny, meshes[m], 1 + m % 2, 6 + m, search_hidden(&g.config), NULL);
            Sequences got = search(e, NULL, &g);
            assert_int_equal(got.count, g.config.num_return_sequences);
            for (int64_t k = 0; m && k < got.count; k++) {
                same_ids(modes[i], &got.list[k], &want.list[k]);
                assert_memory_equal(&got.list[k].score, &want.list[k].score, sizeof(double));
            }
            if (m) sequences_free(&got);
            else want = got;
            generation_free(&g);
            qm_engine_close(e);
        }
        for (int64_t k = 1; k < want.count; k++) assert_true(want.list[k].score <= want.list[k - 1].score);
        sequences_free(&want);
        json_decref(request);
    }
}

/* One beam is greedy search, and sample 0 of several is the sample alone. */
static void searches_begin_with_the_loop(void **state) {
    (void)state;
    QmEngine *e = engine(tiny, "2x4", 2, 4, false, NULL);
    json_t *request =
        json_loads("{\"do_sample\":true,\"num_return_sequences\":4,\"seed\":8,\"max_new_tokens\":16}", 0, NULL);
    Generation g = start_of(request, prompt, PROMPT), alone = start_of(request, prompt, PROMPT);
    Sequences found = search(e, NULL, &g);
    plain(e, &alone, NULL);
    int equal = 0, distinct = 0;
    for (int64_t i = 0; i < found.count; i++) {
        equal += found.list[i].count == alone.count &&
                 !memcmp(found.list[i].ids, alone.ids, (size_t)alone.count * sizeof *alone.ids);
        distinct += memcmp(found.list[i].ids, found.list[0].ids, (size_t)(PROMPT + 8) * sizeof *alone.ids) != 0;
    }
    assert_int_equal(equal, 1);
    assert_true(distinct >= 1);
    sequences_free(&found);
    generation_free(&g);
    generation_free(&alone);
    json_decref(request);
    qm_engine_close(e);
}

/* Groups without a penalty all do the same; with one they part at the first token. */
static void groups_part(void **state) {
    (void)state;
    QmEngine *e = engine(tiny, "1x1", 1, 4, false, NULL);
    static const char *const requests[] = {
        "{\"num_beams\":3,\"num_beam_groups\":3,\"num_return_sequences\":3,\"max_new_tokens\":6}",
        "{\"num_beams\":3,\"num_beam_groups\":3,\"diversity_penalty\":100.0,\"num_return_sequences\":3,\"max_new_"
        "tokens\":6}"};
    for (int i = 0; i < 2; i++) {
        json_t *request = json_loads(requests[i], 0, NULL);
        Generation g = start_of(request, prompt, PROMPT);
        Sequences found = search(e, NULL, &g);
        assert_int_equal(found.count, 3);
        for (int a = 0; a < 3; a++)
            for (int b = 0; b < a; b++)
                assert_int_equal(found.list[a].ids[PROMPT] == found.list[b].ids[PROMPT], i == 0);
        sequences_free(&found);
        generation_free(&g);
        json_decref(request);
    }
    qm_engine_close(e);
}

/* alpha 0 is greedy; a large one does not repeat what greedy repeats. */
static void contrastive_extremes(void **state) {
    (void)state;
    QmEngine *e = engine(tiny, "1x1", 1, 4, true, NULL);
    json_t *request = json_loads("{\"penalty_alpha\":1e-9,\"top_k\":4,\"max_new_tokens\":20}", 0, NULL);
    json_t *greedy = json_loads("{\"max_new_tokens\":20}", 0, NULL);
    Generation g = start_of(request, prompt, PROMPT), want = start_of(greedy, prompt, PROMPT);
    Sequences found = search(e, NULL, &g);
    plain(e, &want, NULL);
    same_ids("alpha 1e-9", found.list, &want);
    sequences_free(&found);
    generation_free(&g);
    json_object_set_new(request, "penalty_alpha", json_real(0.9));
    g = start_of(request, prompt, PROMPT);
    found = search(e, NULL, &g);
    assert_true(memcmp(found.list->ids, want.ids, (size_t)want.count * sizeof *want.ids) != 0);
    sequences_free(&found);
    generation_free(&g);
    generation_free(&want);
    json_decref(request), json_decref(greedy);
    qm_engine_close(e);
}

/* ---- Drafts ------------------------------------------------------------------------------------------------------ */

typedef struct Bits { uint64_t sum; int64_t rows; } Bits;

static bool add_bits(void *context, const float *logits, int64_t vocab, Err *err) {
    Bits *b = context;
    (void)err;
    for (int64_t v = 0; v < vocab; v++) {
        union { float f; uint32_t u; } bits = {.f = logits[v]};
        b->sum = b->sum * 1099511628211u + bits.u;
    }
    b->rows++;
    return true;
}

/* Tokens and the bits of all logits are those of the loop without drafts; drafts were tried, and some taken over. */
static void drafts_exact(QmEngine *e, QmEngine *draft, const char *request_text, bool some) {
    Err err = {0};
    json_t *request = json_loads(request_text, 0, NULL);
    Generation want = start_of(request, prompt, PROMPT), start = start_of(request, prompt, PROMPT);
    Bits bits = {0};
    uint64_t loop = 0;
    Driver s = {.engine = e, .draft = draft, .sequence = 3, .emit = add_bits, .context = &bits};
    Sequences found;
    plain(e, &want, &loop);
    if (!drive(&s, &start, &found, &err)) fail_msg("%s", err.text);
    same_ids(request_text, found.list, &want);
    assert_int_equal(bits.rows, want.count - want.prompt);
    if (bits.sum != loop) fail_msg("%s: other bits of logits than without drafts", request_text);
    assert_true(s.drafted > 0);
    if (some) assert_true(s.accepted > 0);
    sequences_free(&found);
    generation_free(&start);
    generation_free(&want);
    json_decref(request);
}

static void lookup_exact(void **state) {
    (void)state;
    static const char *const meshes[] = {"1x1", "2x4", "8x4"};
    for (int m = 0; m < 3; m++) {
        QmEngine *e = engine(tiny, meshes[m], 2, 1, false, m == 1 ? "bf16" : NULL);
        drafts_exact(e, NULL, "{\"prompt_lookup_num_tokens\":8,\"max_new_tokens\":60,\"eos_token_id\":null}", true);
        drafts_exact(e, NULL, "{\"prompt_lookup_num_tokens\":3,\"max_new_tokens\":60,\"repetition_penalty\":1.2}",
                     false);
        drafts_exact(e, NULL,
                     "{\"prompt_lookup_num_tokens\":4,\"max_new_tokens\":60,\"do_sample\":true,\"temperature\":0.4,"
                     "\"eos_token_id\":[7,20]}",
                     false);
        drafts_exact(e, NULL, "{\"prompt_lookup_num_tokens\":64,\"max_new_tokens\":5000,\"eos_token_id\":null}", true);
        qm_engine_close(e);
    }
}

/* Where rotary frequencies go by the length nothing is guessed, for a guess would change them. */
static void no_drafts_of_dynamic_rope(void **state) {
    (void)state;
    Err err = {0};
    Driver s = {0};
    Sequences found;
    QmEngine *e = engine("tests/golden/dynamic", "1x1", 1, 1, false, NULL);
    json_t *request =
        json_loads("{\"prompt_lookup_num_tokens\":4,\"max_new_tokens\":30,\"eos_token_id\":null}", 0, NULL);
    Generation g = start_of(request, prompt, PROMPT), want = start_of(request, prompt, PROMPT);
    plain(e, &want, NULL);
    s.engine = e;
    assert_true(drive(&s, &g, &found, &err));
    assert_int_equal(s.drafted, 0);
    same_ids("dynamic rope", found.list, &want);
    sequences_free(&found);
    generation_free(&g), generation_free(&want);
    json_decref(request);
    qm_engine_close(e);
}

static void draft_model_exact(void **state) {
    (void)state;
    /* the model itself guesses right every time; another of the same vocabulary guesses wrong */
    static const char *const drafts[] = {"tests/golden/tiny", "tests/golden/sliding"};
    QmEngine *e = engine(tiny, "2x4", 2, 1, false, NULL);
    for (int i = 0; i < 2; i++) {
        QmEngine *draft = engine(drafts[i], "1x1", 1, 1, false, NULL);
        drafts_exact(e, draft, "{\"max_new_tokens\":40,\"eos_token_id\":null}", i == 0);
        drafts_exact(e, draft, "{\"max_new_tokens\":40,\"do_sample\":true,\"num_assistant_tokens\":3}", i == 0);
        drafts_exact(e, draft, "{\"max_new_tokens\":5000,\"eos_token_id\":null}", i == 0);
        qm_engine_close(draft);
    }
    qm_engine_close(e);
}

/* ---- Copies of sessions ------------------------------------------------------------------------------------------ */

/* A copy goes on with the bits of the original, from any length, and neither disturbs the other. */
static void session_copies(void **state) {
    (void)state;
    static const char *const caches[] = {"f32", "bf16"};
    for (int k = 0; k < 2; k++) {
        QmErr err = {0};
        int32_t ids[70];
        QmEngine *e = engine(tiny, "2x4", 2, 3, false, caches[k]);
        int64_t vocab = qm_engine_info(e)->vocab;
        for (int i = 0; i < 70; i++) ids[i] = (int32_t)((i * 7919 + 13) % vocab);
        QmSession *a = qm_session_new(e, &err), *b = qm_session_new(e, &err), *c = qm_session_new(e, &err);
        float *want = malloc((size_t)vocab * sizeof *want), *got = malloc((size_t)vocab * sizeof *got);
        QmAppend all = {.session = a, .tokens = ids, .count = 70, .logits_from = 1, .logits = want};
        QmAppend other = {.session = b, .tokens = ids + 5, .count = 60};
        assert_true(qm_forward(e, &all, 1, &err) && qm_forward(e, &other, 1, &err));
        for (int n = 1; n < 70; n += 17) {
            QmAppend rest = {.session = b, .tokens = ids + n, .count = 70 - n, .logits_from = 1, .logits = got};
            assert_true(qm_session_copy(b, a, n, &err) && qm_session_copy(c, a, n, &err));
            assert_int_equal(qm_session_length(b), n);
            assert_true(qm_forward(e, &rest, 1, &err));
            assert_memory_equal(got, want, (size_t)vocab * sizeof *want);
            assert_int_equal(qm_session_length(a), 70);
            assert_int_equal(qm_session_length(c), n);
        }
        assert_false(qm_session_copy(b, a, 71, &err));
        assert_non_null(strstr(err.text, "expected 0 to 70"));
        free(want), free(got);
        qm_session_free(a), qm_session_free(b), qm_session_free(c);
        qm_engine_close(e);
    }
}

/* The longest shared beginning is copied, never the last id, and nothing where the rope goes by the length. */
static void prefixes(void **state) {
    (void)state;
    QmErr err = {0};
    int32_t ids[60], other[60];
    for (int i = 0; i < 60; i++) ids[i] = i + 3, other[i] = i < 40 ? i + 3 : 7;
    QmEngine *e = engine(tiny, "1x1", 1, 3, false, NULL),
             *dynamic = engine("tests/golden/dynamic", "1x1", 1, 1, false, NULL);
    QmSession *a = qm_session_new(e, &err), *b = qm_session_new(e, &err), *c = qm_session_new(e, &err);
    QmAppend entries[] = {{.session = a, .tokens = other, .count = 60}, {.session = b, .tokens = ids, .count = 30}};
    assert_true(qm_forward(e, entries, 2, &err));
    QmSession *source[] = {b, a}, *lone = qm_session_new(dynamic, &err);
    assert_true(session_borrow(c, ids, 60, source, 2, &err));
    assert_int_equal(qm_session_length(c), 40);
    assert_int_equal(session_holds(c, ids, 60), 40);
    assert_true(qm_session_crop(c, 0, &err) && session_borrow(c, ids, 60, source, 1, &err));
    assert_int_equal(qm_session_length(c), 30);
    assert_true(session_borrow(c, ids, 60, source, 2, &err)); /* ten more are not worth a copy */
    assert_int_equal(qm_session_length(c), 30);
    assert_true(qm_session_crop(c, 0, &err) && session_borrow(c, ids, 20, source, 2, &err));
    assert_int_equal(qm_session_length(c), 19);
    assert_true(qm_session_crop(c, 0, &err) && session_borrow(c, ids, SHARED_LEAST, source, 2, &err));
    assert_int_equal(qm_session_length(c), 0);
    assert_true(qm_forward(dynamic, &(QmAppend){.session = lone, .tokens = ids, .count = 60}, 1, &err));
    assert_int_equal(session_holds(lone, ids, 60), 0);
    qm_session_free(lone);
    qm_session_free(a), qm_session_free(b), qm_session_free(c);
    qm_engine_close(e), qm_engine_close(dynamic);
}

static void too_few_slots(void **state) {
    (void)state;
    Err err = {0};
    Driver s = {0};
    Sequences found;
    QmEngine *e = engine(tiny, "1x1", 1, 2, false, NULL);
    json_t *request = json_loads("{\"num_beams\":3}", 0, NULL);
    Generation g = start_of(request, prompt, PROMPT);
    s.engine = e;
    assert_false(drive(&s, &g, &found, &err));
    assert_non_null(strstr(err.text, "--slots"));
    generation_free(&g);
    json_decref(request);
    qm_engine_close(e);
}

/* No token is allowed: the search ends and says so. */
static void nothing_allowed(void **state) {
    (void)state;
    QmEngine *e = engine(tiny, "1x1", 1, 4, true, NULL);
    json_t *all = json_array();
    for (int i = 0; i < 512; i++) json_array_append_new(all, json_integer(i));
    for (int i = 0; i < MODES; i++) {
        json_t *request = json_loads(modes[i], 0, NULL);
        json_object_set(request, "suppress_tokens", all);
        json_object_set_new(request, "num_beams", json_integer(i < 3 ? i == 2 ? 3 : 4 : 1));
        json_object_set_new(request, "num_return_sequences", json_integer(1));
        Generation g = start_of(request, prompt, PROMPT);
        Sequences found = search(e, NULL, &g);
        assert_int_equal(found.count, 1);
        assert_int_equal(found.list->count, PROMPT);
        assert_string_equal(found.list->finish, "none_allowed");
        sequences_free(&found);
        generation_free(&g);
        json_decref(request);
    }
    json_decref(all);
    qm_engine_close(e);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_generations),
        cmocka_unit_test(meshes_agree),
        cmocka_unit_test(searches_begin_with_the_loop),
        cmocka_unit_test(groups_part),
        cmocka_unit_test(contrastive_extremes),
        cmocka_unit_test(lookup_exact),
        cmocka_unit_test(draft_model_exact),
        cmocka_unit_test(no_drafts_of_dynamic_rope),
        cmocka_unit_test(session_copies),
        cmocka_unit_test(prefixes),
        cmocka_unit_test(too_few_slots),
        cmocka_unit_test(nothing_allowed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
