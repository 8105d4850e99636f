/* test_lora_choice.c: adapters that every request chooses for itself, in one batch: the bits that each has alone. */
#include "adapter_cases.h"

#define CHOICES "ten=" MODEL "/adapter-lora-10\nzero=" MODEL "/adapter-zero-2:2\nrs=" MODEL "/adapter-rslora-0:0.5"
static const struct { const char *name, *alone; } chosen[] = {
    {"ten", MODEL "/adapter-lora-10"}, {NULL, NULL}, {"rs", MODEL "/adapter-rslora-0:0.5"},
    {"zero", MODEL "/adapter-zero-2:2"}, {NULL, NULL}, {"ten", MODEL "/adapter-lora-10"}};
enum { CHOSEN = sizeof chosen / sizeof *chosen };

/* Each of a mixed batch has the bits that its adapter gives alone, and without one those of the plain model. */
static void chosen_in_one_batch(void **state) {
    static const struct { const char *mesh, *weights, *act; } bases[] = {
        {"1x1", NULL, NULL}, {"2x2", NULL, NULL}, {"dp2,tp2", NULL, NULL}, {"1x1", "8bit", "int8"},
        {"1x3", "4bit", "int8"}};
    static float got[CHOSEN][S * V];
    const int32_t *ids = (const int32_t *)(const void *)floats("input_ids");
    (void)state;
    for (size_t i = 0; i < sizeof bases / sizeof *bases && (i < 2 || !brief()); i++) {
        Err err = {0};
        QmAppend append[CHOSEN];
        QmEngineOptions o = options_of(MODEL, NULL);
        o.mesh = bases[i].mesh, o.weights = bases[i].weights, o.act = bases[i].act, o.adapters = CHOICES;
        o.slots = CHOSEN;
        QmEngine *e = qm_engine_open(&o, &err);
        if (!e) fail_msg("%s", err.text);
        assert_string_equal(qm_engine_adapter(e, 1), "zero");
        assert_null(qm_engine_adapter(e, 3));
        for (int k = 0; k < CHOSEN; k++) {
            append[k] = (QmAppend){.session = qm_session_new(e, &err), .tokens = ids, .count = S, .logits_from = S,
                                   .logits = got[k]};
            assert_true(append[k].session && qm_session_adapter(append[k].session, chosen[k].name, &err));
        }
        assert_false(qm_session_adapter(append->session, "eleven", &err));
        assert_non_null(strstr(err.text, "eleven"));
        err = (Err){0};
        if (!qm_forward(e, append, CHOSEN, &err)) fail_msg("%s", err.text);
        assert_true(qm_session_adapter(append->session, "ten", &err) && qm_session_length(append->session) == S);
        assert_true(qm_session_adapter(append->session, "rs", &err) && qm_session_length(append->session) == 0);
        for (int k = 0; k < CHOSEN; k++) qm_session_free(append[k].session);
        qm_engine_close(e);
        for (int k = 0; k < CHOSEN; k++) {
            o = options_of(MODEL, chosen[k].alone);
            o.weights = bases[i].weights, o.act = bases[i].act;
            logits_of(&o, first);
            for (int n = 0; n < S * V; n++)
                if (memcmp(&first[n], &got[k][n], sizeof *first))
                    fail_msg("%s, %s, row %d: number %d: expected %.9g, got %.9g", bases[i].mesh,
                             chosen[k].name ? chosen[k].name : "none", k, n, (double)first[n], (double)got[k][n]);
        }
        for (int k = 0; k < 2; k++) assert_true(memcmp(got[k], got[k + 1], sizeof *got)); /* they do differ */
    }
}

typedef struct Answered { char proof[65]; int32_t ids[8]; int64_t count, reused; } Answered;
static void answered(void *owner, const QmAnswer *a) {
    Answered *to = owner;
    if (a->failed) fail_msg("%s", a->failed->text);
    snprintf(to->proof, sizeof to->proof, "%s", a->sequences->proof);
    to->count = a->sequences->count;
    to->reused = a->reused;
    memcpy(to->ids, a->sequences->ids, (size_t)to->count * sizeof *to->ids);
}

static void ask_for(QmGenerator *g, QmSource *source, const char *json, const char *adapter, Answered *to) {
    Err err = {0};
    QmParameters *p = qm_parameters_new(source, &err);
    assert_true(p && qm_parameters_set(p, json, strlen(json), &err));
    QmRequest r = {.size = sizeof r, .ids = (const int32_t *)(const void *)floats("input_ids"), .count = S,
                   .parameters = p, .sink = {.owner = to, .done = answered}, .adapter = adapter, .proof = true};
    if (!qm_generator_add(g, &r, &err)) fail_msg("%s", err.text);
    qm_parameters_free(p);
}

static void answer_all(QmGenerator *g) {
    Err err = {0};
    while (qm_generator_busy(g))
        if (!qm_generator_step(g, &err)) fail_msg("%s", err.text);
}

/* Greedy, beams, lookups and samples of several adapters in one batch: what each is alone; a prompt's beginning is
 * taken over between requests of one adapter only. */
static void chosen_by_requests(void **state) {
    static const char *const kinds[] = {
        "{\"max_new_tokens\": 6, \"eos_token_id\": null}",
        "{\"max_new_tokens\": 6, \"num_beams\": 3, \"eos_token_id\": null}",
        "{\"max_new_tokens\": 6, \"prompt_lookup_num_tokens\": 3, \"eos_token_id\": null}",
        "{\"max_new_tokens\": 6, \"num_return_sequences\": 2, \"do_sample\": true, \"seed\": 4, "
        "\"eos_token_id\": null}"};
    static Answered want[4][3], got[4][3], again;
    static const char *const names[] = {"ten", NULL, "rs"}, *const alone[] = {MODEL "/adapter-lora-10", NULL,
                                                                             MODEL "/adapter-rslora-0:0.5"};
    Err err = {0};
    (void)state;
    QmSource *source = qm_source_open(MODEL, &err);
    for (int k = 0; k < 3; k++) {
        QmEngineOptions o = options_of(MODEL, alone[k]);
        o.slots = 4;
        QmEngine *e = qm_engine_open(&o, &err);
        QmGenerator *g = e ? qm_generator_new(e, NULL, NULL, &err) : NULL;
        if (!g) fail_msg("%s", err.text);
        for (int i = 0; i < 4; i++) ask_for(g, source, kinds[i], NULL, &want[i][k]), answer_all(g);
        qm_generator_free(g);
        qm_engine_close(e);
    }
    QmEngineOptions o = options_of(MODEL, NULL);
    o.adapters = CHOICES, o.slots = 9, o.mesh = "2x2";
    QmEngine *e = qm_engine_open(&o, &err);
    QmGenerator *g = e ? qm_generator_new(e, NULL, NULL, &err) : NULL;
    if (!g) fail_msg("%s", err.text);
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < 3; k++) ask_for(g, source, kinds[i], names[k], &got[i][k]);
    answer_all(g);
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < 3; k++) {
            assert_string_equal(got[i][k].proof, want[i][k].proof);
            assert_memory_equal(got[i][k].ids, want[i][k].ids, sizeof want[i][k].ids);
        }
    for (int k = 0; k < 3; k++) assert_int_equal(got[0][k].reused, 0);
    ask_for(g, source, kinds[0], "ten", &again);
    answer_all(g);
    assert_int_equal(again.reused, S - 1);
    ask_for(g, source, kinds[0], "zero", &again);
    answer_all(g);
    assert_int_equal(again.reused, 0);
    QmRequest bad = {.size = sizeof bad, .adapter = "none of these"};
    assert_true(qm_generator_add(g, &bad, &err) == 0 && strstr(err.text, "none of these"));
    qm_generator_free(g);
    qm_engine_close(e);
    qm_source_close(source);
}

static void bad_choices(void **state) {
    static const struct { const char *lora, *adapters, *want; } bad[] = {
        {NULL, "d=" MODEL "/adapter-dora-5", "DoRA"}, {NULL, MODEL "/adapter-lora-10", "NAME=DIR"},
        {NULL, "a=" MODEL "/adapter-lora-10\na=" MODEL "/adapter-zero-2", "the name is taken"},
        {MODEL "/adapter-lora-10", "a=" MODEL "/adapter-lora-10", "not both"}};
    (void)state;
    for (int i = 0; i < 4; i++) {
        Err err = {0};
        QmEngineOptions o = options_of(MODEL, bad[i].lora);
        o.adapters = bad[i].adapters;
        assert_null(qm_engine_open(&o, &err));
        if (!strstr(err.text, bad[i].want)) fail_msg("expected '%s', got '%s'", bad[i].want, err.text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chosen_in_one_batch), cmocka_unit_test(chosen_by_requests),
        cmocka_unit_test(bad_choices),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
