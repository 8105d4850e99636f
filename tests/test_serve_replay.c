/* test_serve_replay.c: exchanges as files, and answered again on other meshes: the same, or what differs; an engine's
 * fingerprint; files that must be refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#include "../src/serve/replay.h"
#include "asking.h"

static char folder[] = "/tmp/qwenmesh-replay-XXXXXX";

static int begin(void **state) {
    return mkdtemp(folder) && setenv("XDG_CACHE_HOME", folder, 1) == 0 ? ask_begin(state) : -1;
}
static int end(void **state) {
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return ask_end(state) | system(command);
}

/* ---- An exchange as the server makes it --------------------------------------------------------------------------- */

enum { RUNS = 4, MOST = 4, IDS = 40 };
typedef struct Saved {
    QmSequence sequence[RUNS][MOST];
    int32_t ids[RUNS][MOST][ASK_MOST_IDS];
    char text[RUNS][MOST][512], proof[RUNS][MOST][65], finish[RUNS][MOST][20];
    int64_t count[RUNS];
    json_t *parameters[RUNS];
    ExchangeRun run[RUNS];
    char fingerprint[QM_FINGERPRINT_BYTES];
    ExchangeFile file;
    int at;
} Saved;
static Saved saved;

static void save_answer(void *owner, const QmAnswer *a) {
    Saved *s = owner;
    int at = s->at;
    if (a->failed) fail_msg("%s", a->failed->text);
    s->count[at] = a->count;
    for (int64_t i = 0; i < a->count; i++) {
        const QmSequence *from = &a->sequences[i];
        memcpy(s->ids[at][i], from->ids, (size_t)from->count * sizeof *from->ids);
        assert_true(from->bytes < 512);
        memcpy(s->text[at][i], from->text, from->bytes);
        snprintf(s->proof[at][i], 65, "%s", from->proof);
        snprintf(s->finish[at][i], 20, "%s", from->finish);
        s->sequence[at][i] = (QmSequence){.ids = s->ids[at][i], .count = from->count, .text = s->text[at][i],
                                          .bytes = from->bytes, .finish = s->finish[at][i], .proof = s->proof[at][i]};
    }
}

static void exchange_make(Saved *s) {
    static const char *const kinds[RUNS] = {
        "{\"max_new_tokens\": 12, \"do_sample\": true, \"seed\": 77, \"eos_token_id\": null}",
        "{\"max_new_tokens\": 9, \"num_beams\": 2, \"num_return_sequences\": 2, \"eos_token_id\": null}",
        "{\"max_new_tokens\": 60, \"eos_token_id\": null, \"prompt_lookup_num_tokens\": 3}",
        "{\"max_new_tokens\": 16, \"regex\": \"[a-z]{6}\", \"do_sample\": true, \"seed\": 4, \"num_return_sequences\": 3}"};
    Err err = {0};
    QmGenerator *g = ask_generator(ask_engine, NULL);
    for (s->at = 0; s->at < RUNS; s->at++) {
        QmParameters *p = qm_parameters_new(ask_source, &err);
        s->parameters[s->at] = json_loads(kinds[s->at], 0, NULL);
        assert_true(p && s->parameters[s->at] && qm_parameters_set(p, kinds[s->at], strlen(kinds[s->at]), &err));
        QmRequest r = {.size = sizeof r, .ids = ask_prompt(s->at), .count = IDS, .parameters = p, .sequence = 7, .proof = true,
                       .sink = {.owner = s, .done = save_answer}};
        int64_t number = qm_generator_add(g, &r, &err);
        assert_true(number > 0);
        s->run[s->at] = (ExchangeRun){.ids = r.ids, .count = IDS, .parameters = s->parameters[s->at], .sequence = 7,
                                      .sequences = s->sequence[s->at]};
        if (s->at == 2) ask_steps(g, 20), qm_generator_cancel(g, number); /* the client has gone */
        ask_all(g);
        s->run[s->at].sequence_count = s->count[s->at];
        qm_parameters_free(p);
    }
    qm_generator_free(g);
    assert_string_equal(s->finish[2][0], "interrupted");
    assert_true(qm_engine_fingerprint(ask_engine, s->fingerprint, &err));
    s->file = (ExchangeFile){.id = "chatcmpl-1_a", .route = "/v1/chat/completions", .model = "tiny", .created = 5,
                             .fingerprint = s->fingerprint, .request = s->parameters[0], .runs = s->run, .run_count = RUNS};
}

static void exchange_unmake(Saved *s) {
    for (int i = 0; i < RUNS; i++) json_decref(s->parameters[i]);
}

/* What replay says of a text on an engine; the text is malloc'ed. */
static char *replayed(const char *text, QmEngine *e, bool *same, Err *err) {
    ExchangeFile file;
    char *said = NULL;
    size_t bytes = 0;
    int64_t slots, context;
    FILE *out = open_memstream(&said, &bytes);
    bool ok = exchange_file_parse(&file, text, strlen(text), "x.json", err);
    Replayed one = {"x.json", &file};
    ok = ok && replay_needs(&one, 1, ask_source, &slots, &context, err) && replay_fits(&one, 1, e, err) &&
         replay_run(&one, 1, e, ask_tokenizer, ask_source, NULL, out, same, err);
    if (ok) assert_true(slots == 2 && context >= IDS + 12);
    if (!ok) *same = false;
    exchange_file_free(&file);
    fclose(out);
    return said;
}

static char *instead(const char *text, const char *from, const char *to) {
    const char *at = strstr(text, from);
    char *out = malloc(strlen(text) + strlen(to) + 1);
    if (!at || !out) fail_msg("no %s in it", from);
    sprintf(out, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    return out;
}

/* ---- Tests -------------------------------------------------------------------------------------------------------- */

static void the_same_elsewhere(void **state) {
    (void)state;
    static const struct { const char *mesh; int slots, rows, threads; } places[] = {{"2x4", 4, 7, 2}, {"dp2,tp2", 9, 64, 1}};
    Err err = {0};
    exchange_make(&saved);
    char *text = exchange_file_text(&saved.file, &err);
    assert_non_null(text);
    for (int i = 0; i < 2; i++) {
        bool same = false;
        QmEngine *e = ask_open(places[i].mesh, places[i].slots, places[i].rows, places[i].threads);
        char *said = replayed(text, e, &same, &err);
        if (!same) fail_msg("%s%s", said, err.text);
        assert_non_null(strstr(said, "7 answers"));
        assert_non_null(strstr(said, "7 with the same logits"));
        free(said);
        qm_engine_close(e);
    }
    free(text);
    exchange_unmake(&saved);
}

static void what_differs(void **state) {
    (void)state;
    Err err = {0};
    char id[64], other_id[64], proof[80];
    exchange_make(&saved);
    char *text = exchange_file_text(&saved.file, &err);
    snprintf(id, sizeof id, "\"sequences\":[{\"ids\":[%d,", saved.ids[0][0][0]);
    snprintf(other_id, sizeof other_id, "\"sequences\":[{\"ids\":[%d,", saved.ids[0][0][0] ^ 1);
    snprintf(proof, sizeof proof, "%s", saved.proof[1][1]);
    char wrong_proof[80];
    snprintf(wrong_proof, sizeof wrong_proof, "%s", proof);
    wrong_proof[63] = proof[63] == 'a' ? 'b' : 'a';
    const struct { const char *from, *to, *says; } changes[] = {
        {id, other_id, "runs[0].sequences[0]: id 0: expected"}, {proof, wrong_proof, "the proof: expected"},
        {"\"seed\":4", "\"seed\":5", "runs[3]"}, {"\"finish\":\"length\"", "\"finish\":\"stop\"", "its end"}};
    for (int i = 0; i < 4; i++) {
        bool same = true;
        char *changed = instead(text, changes[i].from, changes[i].to), *said = replayed(changed, ask_engine, &same, &err);
        if (err.kind || same || !strstr(said, changes[i].says)) fail_msg("expected '%s', got '%s%s'", changes[i].says, said, err.text);
        free(changed);
        free(said);
    }
    char *changed = instead(text, saved.fingerprint, "fp_0123456789abcdef");
    bool same = true;
    free(replayed(changed, ask_engine, &same, &err));
    assert_true(!same && strstr(err.text, "was answered by fp_0123456789abcdef"));
    free(changed);
    free(text);
    exchange_unmake(&saved);
}

/* The same on every mesh; other options or files, another word. */
static void fingerprints(void **state) {
    (void)state;
    char words[6][QM_FINGERPRINT_BYTES], command[256];
    Err err = {0};
    snprintf(command, sizeof command, "cp -r tests/golden/tiny %s/copy && printf ' ' >> %s/copy/config.json", folder, folder);
    assert_int_equal(system(command), 0);
    char copy[64];
    snprintf(copy, sizeof copy, "%s/copy", folder);
    const QmEngineOptions different[6] = {{0}, {.mesh = "2x4", .threads = 2, .rows = 5}, {.weights = "8bit"},
                                          {.kv_cache = "8bit"}, {.random = "bf16"}, {.model = copy}};
    for (int i = 0; i < 6; i++) {
        QmEngineOptions o = different[i];
        o.size = sizeof o;
        if (!o.model) o.model = "tests/golden/tiny";
        QmEngine *e = qm_engine_open(&o, &err);
        if (!e || !qm_engine_fingerprint(e, words[i], &err)) fail_msg("%s", err.text);
        assert_true(strlen(words[i]) == 19 && !strncmp(words[i], "fp_", 3));
        qm_engine_close(e);
        for (int k = 0; k < i; k++) assert_true(!strcmp(words[i], words[k]) == (i == 1 && k == 0));
    }
    /* kept digests are used, until a file changes; a damaged one is no digest */
    snprintf(command, sizeof command, "test $(ls %s/qwenmesh/digests | wc -l) -eq 12", folder);
    assert_int_equal(system(command), 0);
    for (int damage = 0; damage < 2; damage++) {
        snprintf(command, sizeof command, damage ? "for f in %s/qwenmesh/digests/*; do echo x > $f; done"
                                                 : "touch -d 2001-01-01 %s/copy/*.safetensors", folder);
        assert_int_equal(system(command), 0);
        char word[QM_FINGERPRINT_BYTES];
        QmEngineOptions o = {.size = sizeof o, .model = copy};
        QmEngine *e = qm_engine_open(&o, &err);
        assert_true(e && qm_engine_fingerprint(e, word, &err));
        assert_string_equal(word, words[5]);
        qm_engine_close(e);
    }
}

/* A lone file is known by its path, too. */
static void fingerprint_of_a_file(void **state) {
    (void)state;
    char word[QM_FINGERPRINT_BYTES];
    Err err = {0};
    if (access(smollm_path(), R_OK) || brief()) skip();
    QmEngineOptions o = {.size = sizeof o, .model = smollm_path(), .context = 64};
    QmEngine *e = qm_engine_open(&o, &err);
    if (!e || !qm_engine_fingerprint(e, word, &err)) fail_msg("%s", err.text);
    qm_engine_close(e);
}

static void files(void **state) {
    (void)state;
    Err err = {0};
    ExchangeFile back;
    char path[96];
    exchange_make(&saved);
    if (!exchange_file_write(&saved.file, folder, &err)) fail_msg("%s", err.text);
    snprintf(path, sizeof path, "%s/chatcmpl-1_a.json", folder);
    if (!exchange_file_read(&back, path, &err)) fail_msg("%s", err.text);
    assert_true(back.run_count == RUNS && back.created == 5 && back.runs[1].sequence_count == 2 && back.runs[3].sequence == 7);
    assert_string_equal(back.model, "tiny");
    assert_true(back.runs[2].count == IDS && back.runs[2].ids[3] == saved.run[2].ids[3]);
    assert_string_equal(back.runs[1].sequences[1].proof, saved.proof[1][1]);
    assert_true(json_equal((json_t *)(uintptr_t)back.request, saved.parameters[0]));
    exchange_file_free(&back);
    ExchangeFile bad = saved.file;
    bad.id = "../x";
    assert_false(exchange_file_write(&bad, folder, &err));
    exchange_unmake(&saved);
}

#define RUN(x) "{\"format\": \"qwenmesh exchange 1\", \"id\": \"a\", \"route\": \"/\", \"fingerprint\": \"f\", \"runs\": [" x "]}"
static void hostile(void **state) {
    (void)state;
    static const struct { const char *text, *says; } bad[] = {
        {"[", "x.json"}, {"[]", "expected an object"}, {"{}", "format"}, {"{\"format\": \"qwenmesh exchange 2\"}", "expected 'qwenmesh exchange 1'"},
        {"{\"format\": \"qwenmesh exchange 1\"}", "runs: expected"}, {RUN(""), "runs: expected"}, {RUN("3"), "runs[0]: expected an object"},
        {RUN("{\"ids\": [1]}"), "parameters: expected"}, {RUN("{\"ids\": [1], \"parameters\": {}}"), "sequences: expected"},
        {RUN("{\"ids\": [], \"parameters\": {}, \"sequences\": [{\"ids\": [], \"text\": \"\", \"finish\": \"stop\"}]}"), "one at least"},
        {RUN("{\"ids\": [-1], \"parameters\": {}, \"sequences\": [{}]}"), "ids[0]: expected an id"},
        {RUN("{\"ids\": [1], \"parameters\": {}, \"sequences\": [{}]}"), "sequences[0]: text"},
        {RUN("{\"ids\": [1], \"parameters\": {}, \"sequence\": -1, \"sequences\": [{}]}"), "sequence: expected"},
        {RUN("{\"ids\": [1], \"parameters\": {}, \"sequences\": [{\"ids\": [1.5], \"text\": \"\", \"finish\": \"stop\"}]}"), "expected an id"},
        {RUN("{\"ids\": [1], \"parameters\": {}, \"sequences\": [{\"ids\": [], \"text\": \"\"}]}"), "finish"},
        {RUN("{\"ids\": [1], \"parameters\": {}, \"sequences\": [{\"ids\": [], \"text\": \"\", \"finish\": \"s\", \"proof\": \"00\"}]}"), "64 hex"},
        {RUN("{\"ids\": [1], \"parameters\": {\"temprature\": 1}, \"sequences\": [{\"ids\": [], \"text\": \"\", \"finish\": \"s\"}]}"), "temperature"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        Err err = {0};
        bool same;
        free(replayed(bad[i].text, ask_engine, &same, &err));
        if (!err.kind || !strstr(err.text, bad[i].says)) fail_msg("%s: expected '%s', got '%s'", bad[i].text, bad[i].says, err.text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_same_elsewhere), cmocka_unit_test(what_differs),
                                       cmocka_unit_test(fingerprints), cmocka_unit_test(fingerprint_of_a_file), cmocka_unit_test(files), cmocka_unit_test(hostile)};
    return cmocka_run_group_tests(tests, begin, end);
}
