/* test_source.c: one source for all that a model's files say, from any thread, for as long as somebody needs it. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "at_path.h"
#include "fixture.h"

static const char tiny[] = "tests/golden/tiny";

/* What was read once is handed out again, the same. */
static void same_again(void **state) {
    (void)state;
    Err err = {0};
    Source *s = source_open(tiny, &err);
    const json_t *root[2];
    const Shards *shards[2];
    const Gguf *gguf;
    const char *where;
    assert_non_null(s);
    for (int i = 0; i < 2; i++) {
        assert_true(source_json(s, "config.json", &root[i], &where, &err) && source_shards(s, &shards[i], &err));
        assert_string_equal(where, "tests/golden/tiny/config.json");
    }
    assert_true(root[0] && root[0] == root[1] && shards[0] && shards[0] == shards[1] && shards[0]->file_count == 6);
    assert_true(source_json(s, "tokenizer_config.json", &root[0], &where, &err) && !root[0]);
    assert_true(source_gguf(s, &gguf, &err) && !gguf && !source_packed(s));
    assert_true(source_has_weights(s) && !source_has_tokenizer(s) && source_has(s, "config.json") &&
                !source_has(s, "tokenizer.json"));
    source_close(s);
}

/* Who was given something keeps it after the opener has closed. */
static void outlives_its_opener(void **state) {
    (void)state;
    Err err = {0};
    Source *s = source_open(tiny, &err);
    Weights *a = weights_open(s, names_at(s), &err), *b = weights_open(s, names_at(s), &err);
    source_close(s);
    assert_true(a && b);
    const WeightTensor *x = weights_find(a, "model.norm.weight"), *y = weights_find(b, "model.norm.weight");
    assert_true(x && y && x->data == y->data);
    weights_close(a);
    assert_string_equal(y->file, "tests/golden/tiny/model-00005-of-00006.safetensors");
    volatile uint8_t sum = 0;
    for (size_t i = 0; i < y->bytes; i++) sum = (uint8_t)(sum + y->data[i]);
    weights_close(b);
}

/* An engine and a tokenizer from one public source, which is closed before they are. */
static void public_door(void **state) {
    (void)state;
    QmErr err = {0};
    QmSource *s = qm_source_open(tiny, &err);
    QmEngineOptions o = {.size = sizeof o, .model = "tests/no-such-model", .threads = 1, .context = 64, .rows = 8};
    QmEngine *e = qm_engine_open_from(s, &o, &err), *other = qm_engine_open_from(s, &o, &err);
    assert_true(e && other);
    assert_null(qm_tokenizer_open_from(s, &err));
    assert_non_null(strstr(err.text, "tests/golden/tiny/tokenizer.json"));
    qm_source_close(s);
    qm_engine_close(other);
    assert_int_equal(qm_engine_info(e)->layers, 3);
    qm_engine_close(e);
    assert_null(qm_source_open("tests/no-such-model", &(QmErr){0}));
}

/* Files are known by their first bytes, *.gguf by its name too. */
static void kinds(void **state) {
    (void)state;
    static const struct { const char *name, *bytes, *says; } cases[] = {
        {"blob", "GGUF", "cut short"},       {"blob", "QMPACKED", "a header"},  {"a.gguf", "GGU", "magic"},
        {"blob", "GGU", "not valid JSON"},   {"x.json", "{}", "model_type"},    {"blob", "", "is empty"},
        {"blob", "PK\3\4", "a zip archive"}, {"x.json", "{\"model_type\": \"qwen2\"}", "vocab_size is missing"},
    };
    char folder[] = "/tmp/qwenmesh-test-XXXXXX";
    assert_non_null(mkdtemp(folder));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Err err = {0};
        ModelConfig c;
        char *path = path_join(folder, cases[i].name, &err);
        FILE *file = fopen(path, "w");
        assert_true(file && fputs(cases[i].bytes, file) >= 0 && fclose(file) == 0);
        assert_false(config_at(&c, path, &err));
        if (!strstr(err.text, cases[i].says)) fail_msg("%s: %s", cases[i].bytes, err.text);
        unlink(path);
        free(path);
    }
    rmdir(folder);
}

typedef struct Asker { Source *source; bool ok; } Asker;

static void *ask(void *owner) {
    Asker *a = owner;
    Err err = {0};
    ModelConfig *c = malloc(sizeof *c);
    Weights *w = NULL;
    a->ok = c && config_load(c, a->source, &err) && (w = model_weights(c, a->source, &err)) && weights_count(w) == 39;
    weights_close(w);
    free(c);
    return NULL;
}

static void threads_ask_together(void **state) {
    (void)state;
    enum { ASKERS = 4 };
    Err err = {0};
    Asker asker[ASKERS];
    pthread_t thread[ASKERS];
    Source *s = source_open(tiny, &err);
    for (int i = 0; i < ASKERS; i++) {
        asker[i] = (Asker){source_keep(s), false};
        assert_int_equal(pthread_create(&thread[i], NULL, ask, &asker[i]), 0);
    }
    source_close(s);
    for (int i = 0; i < ASKERS; i++) {
        pthread_join(thread[i], NULL);
        assert_true(asker[i].ok);
        source_close(asker[i].source);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_again), cmocka_unit_test(outlives_its_opener), cmocka_unit_test(public_door),
        cmocka_unit_test(kinds), cmocka_unit_test(threads_ask_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
