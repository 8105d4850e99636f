/* test_door.c: the small calls of qwenmesh.h: parameters by their names, templates without a tokenizer, what files say
 * without an engine, vectors of texts. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "fixture.h"

static QmSource *source;
static QmEngine *engine;
static QmTokenizer *tokenizer;

static QmEngine *opened(const char *model, const char *head, int64_t slots) {
    QmErr err = {0};
    QmEngineOptions o;
    qm_engine_options(&o);
    o.model = model, o.slots = slots, o.context = 64, o.head = head, o.threads = 1;
    QmEngine *e = qm_engine_open(&o, &err);
    assert_string_equal(err.text, "");
    return e;
}

static int open_all(void **state) {
    QmErr err = {0};
    (void)state;
    source = qm_source_open("tests/golden/tiny", &err);
    engine = opened("tests/golden/tiny", NULL, 2);
    tokenizer = qm_tokenizer_open("tests/data/bytes", &err);
    return source && tokenizer ? 0 : -1;
}

static int close_all(void **state) {
    (void)state;
    qm_tokenizer_close(tokenizer);
    qm_engine_close(engine);
    qm_source_close(source);
    return 0;
}

/* ---- Parameters -------------------------------------------------------------------------------------------------- */

static QmParameters *fresh(void) {
    QmErr err = {0};
    QmParameters *p = qm_parameters_new(source, &err);
    assert_non_null(p);
    return p;
}

static bool put(QmParameters *p, const char *json, const char *why) {
    static const char *const others[] = {"prompt", "ids", NULL};
    QmErr err = {0};
    bool ok = qm_parameters_read(p, json, strlen(json), others, "line 7", &err);
    if (!ok && why && !strstr(err.text, why)) fail_msg("'%s' is not in '%s'", why, err.text);
    return ok;
}

static void parameters_are_read(void **state) {
    QmParameters *p = fresh();
    (void)state;
    assert_true(put(p, "{\"prompt\": 5, \"max_new_tokens\": 9, \"temperature\": 0.25, \"do_sample\": true}", NULL));
    assert_true(qm_parameters_number(p, "max_new_tokens") == 9);
    assert_true(qm_parameters_number(p, "temperature") == 0.25);
    assert_true(qm_parameters_number(p, "do_sample") == 1);
    assert_true(qm_parameters_number(p, "logprobs") == -1);
    assert_true(isnan(qm_parameters_number(p, "grammar")) && isnan(qm_parameters_number(p, "nothing")));
    assert_false(put(p, "{\"max_new_tokens\": 10, \"promt\": 1}", "line 7: unknown member \"promt\": did you mean \"prompt\"?"));
    assert_false(put(p, "{\"top_k\": \"many\"}", "line 7"));
    assert_false(put(p, "[1]", "line 7: expected an object"));
    assert_true(qm_parameters_number(p, "max_new_tokens") == 9); /* all of an object or none of it */
    assert_true(put(p, "{\"max_length\": 30}", NULL));
    assert_true(qm_parameters_number(p, "max_length") == 30);
    qm_parameters_free(p);
}

static void parameters_have_a_search(void **state) {
    QmParameters *p = fresh();
    (void)state;
    assert_null(qm_parameters_search(p));
    assert_true(put(p, "{\"num_beams\": 3}", NULL));
    assert_string_equal(qm_parameters_search(p), "beams");
    assert_true(put(p, "{\"num_beams\": 1, \"do_sample\": true, \"best_of\": 2}", NULL));
    assert_non_null(qm_parameters_search(p));
    assert_true(qm_parameters_slots(p) >= 1);
    assert_true(put(p, "{\"best_of\": 0}", NULL)); /* as many as are returned */
    assert_null(qm_parameters_search(p));
    qm_parameters_free(p);
}

static void texts_are_bound(void **state) {
    static const struct { const char *kind, *text, *why; } rows[] = {
        {"regex", "[a-c]{2}", NULL},
        {"grammar", "root ::= \"a\" [b-d]", NULL},
        {"json_schema", "{\"type\": \"boolean\"}", NULL},
        {"regex", "[a-", "here"},
        {"grammar", "root := 1", "here"},
        {"json_schema", "{\"type\": ", "here"},
        {"json_schema", "{\"type\": \"colour\"}", "here"},
        {"ebnf", "x", "expected grammar, regex or json_schema"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        QmParameters *p = fresh();
        QmErr err = {0};
        bool ok = qm_parameters_structure(p, rows[i].kind, rows[i].text, strlen(rows[i].text), "here", &err);
        assert_int_equal(ok, !rows[i].why);
        if (rows[i].why) assert_non_null(strstr(err.text, rows[i].why));
        char *text = qm_parameters_text(p, &(QmErr){0});
        assert_int_equal(strstr(text, "a grammar") != NULL, ok);
        free(text);
        qm_parameters_free(p);
    }
}

static void parameters_are_told(void **state) {
    QmParameters *p = fresh(), *plain;
    QmErr err = {0};
    (void)state;
    assert_true(qm_parameters_stop(p, "a\0b", 3, "here", &err) && qm_parameters_stop(p, "two", 3, "here", &err));
    assert_false(qm_parameters_stop(p, "", 0, "here", &err));
    assert_non_null(strstr(err.text, "here"));
    err = (QmErr){0};
    char *text = qm_parameters_text(p, &err);
    assert_non_null(strstr(text, "'two'"));
    free(text);
    assert_true(put(p, "{\"suppress_tokens\": [511]}", NULL) && qm_parameters_check(p, engine, &err));
    assert_true(put(p, "{\"suppress_tokens\": [512]}", NULL));
    assert_false(qm_parameters_check(p, engine, &err));
    assert_non_null(strstr(err.text, "outside the vocabulary of 512"));
    assert_true(put(p, "{\"repetition_penalty\": 1.5}", NULL));
    assert_non_null(plain = qm_parameters_plain(source, &(QmErr){0}));
    assert_true(qm_parameters_number(plain, "repetition_penalty") == 1);
    char *before = qm_parameters_text(plain, &(QmErr){0});
    qm_parameters_chat(plain, tokenizer);
    char *after = qm_parameters_text(plain, &(QmErr){0});
    assert_true(strlen(after) > strlen(before)); /* one more end */
    free(before), free(after);
    qm_parameters_free(plain);
    qm_parameters_free(p);
}

static void a_generator_counts(void **state) {
    const int32_t ids[] = {5, 6, 7, 8};
    QmErr err = {0};
    QmParameters *p = fresh();
    QmGeneratorStats stats;
    (void)state;
    assert_true(put(p, "{\"max_new_tokens\": 5, \"eos_token_id\": null, \"do_sample\": false}", NULL));
    QmGenerator *g = qm_generator_new(engine, tokenizer, NULL, &err);
    QmRequest r = {.size = sizeof r, .ids = ids, .count = 4, .parameters = p};
    assert_true(qm_generator_add(g, &r, &err) > 0);
    while (qm_generator_busy(g)) assert_true(qm_generator_step(g, &err));
    qm_generator_stats(g, &stats);
    assert_int_equal(stats.prompt, 4);
    assert_int_equal(stats.decoded, 4); /* the last token is not fed */
    assert_int_equal(stats.reused, 0);
    assert_int_equal(stats.steps, 5);
    qm_generator_free(g);
    qm_parameters_free(p);
}

/* ---- Files ------------------------------------------------------------------------------------------------------- */

static void files_say_what_they_are(void **state) {
    QmErr err = {0};
    QmModelInfo i;
    const QmModelInfo *e = qm_engine_info(engine);
    (void)state;
    assert_true(qm_source_info(source, &i, &err));
    assert_string_equal(i.architecture, e->architecture);
    assert_string_equal(i.head, "causal");
    assert_true(i.layers == e->layers && i.hidden == e->hidden && i.ffn == e->ffn && i.vocab == e->vocab);
    assert_true(i.heads == e->heads && i.kv_heads == e->kv_heads && i.max_positions == e->max_positions);
    assert_true(i.context == 0 && i.devices == 0);
    assert_false(qm_source_has_tokenizer(source));
    QmSource *bytes = qm_source_open("tests/data/bytes", &err);
    assert_true(qm_source_has_tokenizer(bytes));
    assert_false(qm_source_info(bytes, &i, &err));
    assert_non_null(strstr(err.text, "config.json"));
    qm_source_close(bytes);
}

/* ---- Templates --------------------------------------------------------------------------------------------------- */

static char *rendered(const QmTemplate *t, const char *json, QmErr *err) {
    size_t bytes = 0;
    char *text = qm_template_render(t, json, strlen(json), &bytes, NULL, NULL, err);
    assert_true(!text || strlen(text) == bytes);
    return text;
}

static void templates_are_rendered(void **state) {
    static const char text_of[] = "{{ messages[0].content }}{% generation %}{{ x }}{{ y }}{% endgeneration %}!";
    char path[] = "/tmp/qwenmesh-test-XXXXXX.jinja";
    static const char said[] = "{\"messages\": [{\"role\": \"user\", \"content\": \"h\\u00e9\"}], \"variables\": {\"x\": 3}}";
    QmErr err = {0};
    QmSpan *spans = NULL;
    size_t bytes = 0, count = 0;
    (void)state;
    QmTemplate *t = qm_template_open("chatml", &err);
    char *text = rendered(t, said, &err);
    assert_string_equal(text, "<|im_start|>user\nh\xc3\xa9<|im_end|>\n");
    free(text);
    assert_null(rendered(t, "[]", &err));
    assert_non_null(strstr(err.text, "expected an object with \"messages\""));
    qm_template_close(t);
    int file = mkstemps(path, 6);
    assert_int_equal(write(file, text_of, strlen(text_of)), strlen(text_of));
    close(file);
    err = (QmErr){0};
    t = qm_template_open(path, &err);
    assert_true(qm_template_argument(t, "y=\"why\"", &err));
    text = qm_template_render(t, said, strlen(said), &bytes, &spans, &count, &err);
    assert_string_equal(text, "h\xc3\xa9""3why!");
    assert_int_equal(count, 1);
    assert_true(spans[0].start == 2 && spans[0].end == 6); /* characters, not bytes */
    assert_false(qm_template_argument(t, "y", &err));
    free(spans);
    free(text);
    qm_template_close(t);
    unlink(path);
    err = (QmErr){0};
    assert_null(qm_template_open("nobody", &err));
    err = (QmErr){0};
    assert_non_null(qm_tokenizer_template(tokenizer));
}

/* ---- Vectors ----------------------------------------------------------------------------------------------------- */

static void texts_have_vectors(void **state) {
    enum { TEXTS = 5 };
    static const int32_t ids[TEXTS][3] = {{1, 2, 3}, {4}, {5, 6}, {7, 8, 9}, {1, 2, 3}};
    const int32_t *list[TEXTS];
    int64_t counts[TEXTS] = {3, 1, 2, 3, 3};
    QmErr err = {0};
    QmPooling how;
    (void)state;
    QmEngine *e = opened("tests/golden/tiny", "none", 2);
    int64_t columns = qm_engine_output(e, "states");
    float *all = calloc((size_t)(TEXTS * columns), sizeof *all), *one = calloc((size_t)columns, sizeof *one);
    for (int i = 0; i < TEXTS; i++) list[i] = ids[i];
    assert_true(qm_source_pooling(source, &how, &err));
    assert_true(!how.mean && how.normalize && how.max_tokens == 0);
    char *prompt = qm_source_prompt(source, NULL, &err);
    assert_string_equal(prompt, "");
    free(prompt);
    for (int mean = 0; mean < 2; mean++) {
        how.mean = mean;
        assert_int_equal(qm_embed(e, &how, list, counts, TEXTS, all, &err), TEXTS);
        double length = 0;
        for (int64_t c = 0; c < columns; c++) length += (double)all[c] * (double)all[c];
        assert_true(fabs(length - 1) < 1e-5);
        assert_memory_equal(all, all + 4 * columns, (size_t)columns * sizeof *all);
        QmSession *taken = qm_session_new(e, &err); /* one slot is left */
        assert_int_equal(qm_embed(e, &how, list + 2, counts + 2, 1, one, &err), 1);
        assert_memory_equal(one, all + 2 * columns, (size_t)columns * sizeof *all);
        qm_session_free(taken);
    }
    QmSession *both[2] = {qm_session_new(e, &err), qm_session_new(e, &err)};
    assert_int_equal(qm_embed(e, &how, list, counts, 1, one, &err), 0);
    assert_int_equal(err.kind, QM_LIMIT);
    qm_session_free(both[0]), qm_session_free(both[1]);
    err = (QmErr){0};
    counts[3] = 0;
    assert_int_equal(qm_embed(e, &how, list, counts, TEXTS, all, &err), 3);
    err = (QmErr){0};
    assert_int_equal(qm_embed(engine, &how, list, counts, 1, one, &err), 0); /* it has a head */
    assert_int_equal(err.kind, QM_USAGE);
    free(all), free(one);
    qm_engine_close(e);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parameters_are_read),     cmocka_unit_test(parameters_have_a_search),
        cmocka_unit_test(texts_are_bound),         cmocka_unit_test(parameters_are_told),
        cmocka_unit_test(a_generator_counts),      cmocka_unit_test(files_say_what_they_are),
        cmocka_unit_test(templates_are_rendered),  cmocka_unit_test(texts_have_vectors),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
