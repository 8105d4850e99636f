/* test_checkpoint.c: checkpoints of training: exactly what was saved, whole or not there, and clear errors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <math.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <cmocka.h>
#include "../src/train/checkpoints.h"
#include "saved_model.h"

/* ---- A model that is trained by counting ------------------------------------------------------------------------- */

enum { TENSORS = 5, MOST_NUMBERS = 400 };
static const CheckpointTensor tensors[TENSORS] = {
    {"model.embed_tokens.weight", 2, {20, 20}, {true, true, true, true}, false},
    {"model.layers.0.self_attn.q_proj.weight", 2, {7, 13}, {true, true, true, true}, false},
    {"model.layers.0.self_attn.q_proj.bias", 1, {7}, {true, true, true, true}, false},
    {"model.norm.weight", 1, {20}, {true, true, false, false}, false}, /* Muon keeps one moment */
    {"model.frozen.weight", 2, {3, 4}, {true, false, false, false}, false},
};

typedef struct Counting { int64_t step; float got[TENSORS][CHECKPOINT_PARTS][MOST_NUMBERS]; int writes; } Counting;

static int64_t numbers_of(const CheckpointTensor *t) { return t->dim[0] * (t->rank > 1 ? t->dim[1] : 1); }

static float number_at(int64_t step, int64_t tensor, int part, int64_t i) {
    return (float)(step * 1000 + tensor * 100 + part * 10) + (float)i * 1e-3f;
}

static bool count_read(void *owner, int64_t tensor, CheckpointPart part, float *out, Err *err) {
    const Counting *c = owner;
    (void)err;
    for (int64_t i = 0; i < numbers_of(&tensors[tensor]); i++) out[i] = number_at(c->step, tensor, (int)part, i);
    return true;
}

static bool count_write(void *owner, int64_t tensor, CheckpointPart part, const float *in, Err *err) {
    Counting *c = owner;
    (void)err;
    memcpy(c->got[tensor][part], in, (size_t)numbers_of(&tensors[tensor]) * sizeof *in);
    c->writes++;
    return true;
}

static bool small_files(void *owner, const char *folder, Err *err) {
    (void)owner;
    char *path = path_join(folder, "config.json", err);
    FILE *file = path ? fopen(path, "we") : NULL;
    free(path);
    return file && file_put(file, "{}", 2, "config.json", err) && fclose(file) == 0;
}

static CheckpointModel model_of(Counting *c) {
    return (CheckpointModel){tensors, TENSORS, count_read, count_write, small_files, c, NULL, "model", NULL};
}

static bool save_step(const char *dir, Counting *c, int64_t step, Err *err) {
    CheckpointModel m = model_of(c);
    TrainState s = {.step = c->step = step, .epoch = step / 3, .position = step % 3, .seed = 42};
    bool ok = checkpoint_save(dir, &m, &s, err);
    train_state_free(&s);
    return ok;
}

/* Loads and compares every number with that of the step it says. */
static int64_t load_step(const char *folder, Counting *c) {
    CheckpointModel m = model_of(c);
    TrainState s;
    Err err = {0};
    memset(c, 0, sizeof *c);
    if (!checkpoint_load(folder, &m, &s, &err)) fail_msg("%s", err.text);
    for (int t = 0; t < TENSORS; t++)
        for (int p = 0; p < CHECKPOINT_PARTS; p++)
            for (int64_t i = 0; tensors[t].has[p] && i < numbers_of(&tensors[t]); i++)
                assert_true(c->got[t][p][i] == number_at(s.step, t, p, i));
    assert_int_equal(s.epoch, s.step / 3);
    assert_int_equal(s.position, s.step % 3);
    int64_t step = s.step;
    train_state_free(&s);
    return step;
}

/* ---- State ------------------------------------------------------------------------------------------------------- */

static void state_comes_back(void **state) {
    (void)state;
    Err err = {0};
    TrainState s = {.step = 7, .epoch = 1, .position = 12, .seed = -5, .best_step = 4, .best_value = 0.1}, t;
    s.options = json_pack("{s:f, s:s, s:i}", "learning_rate", 2e-5, "task", "clm", "batch", 8);
    s.more = json_pack("{s:[i, i]}", "norms", 1, 2);
    for (int i = 1; i <= 7; i++) {
        TrainLine l = {i, 100 + i, 200, 1.0 / i, i == 5 ? NAN : 0.1 * i, 1e-5 / 3 * i, 0.25, i == 5};
        assert_true(train_state_line(&s, &l, &err));
        if (i % 3 == 0) assert_true(train_state_score(&s, i, "eval_loss", 1.0 / 7 * i, &err));
    }
    json_t *root = train_state_to_json(&s, NULL, &err);
    char *text = json_dumps(root, JSON_COMPACT);
    json_t *again = json_text(text, strlen(text), "state", &err);
    if (!train_state_from_json(&t, again, "state", &err)) fail_msg("%s", err.text);
    assert_true(t.step == 7 && t.epoch == 1 && t.position == 12 && t.seed == -5 && t.best_step == 4 &&
                t.best_value == 0.1);
    assert_true(json_equal(t.options, s.options) && json_equal(t.more, s.more));
    assert_int_equal(t.line_count, 7);
    for (size_t i = 0; i < 7; i++) {
        const TrainLine *a = &s.lines[i], *b = &t.lines[i];
        assert_true(a->step == b->step && a->labels == b->labels && a->tokens == b->tokens && a->loss == b->loss &&
                    a->learning_rate == b->learning_rate && a->seconds == b->seconds && a->skipped == b->skipped);
        assert_true(i == 4 ? isnan(b->grad_norm) : a->grad_norm == b->grad_norm);
    }
    assert_int_equal(t.score_count, 2);
    assert_true(t.scores[1].step == 6 && t.scores[1].value == 1.0 / 7 * 6 && !strcmp(t.scores[1].name, "eval_loss"));
    train_state_cut(&t, 4);
    assert_true(t.line_count == 4 && t.score_count == 1);
    free(text);
    json_decref(root);
    json_decref(again);
    train_state_free(&s);
    train_state_free(&t);
}

static void options_that_differ_are_told(void **state) {
    (void)state;
    Err err = {0};
    Text out = {0};
    char x[65], y[65];
    json_t *a = json_pack("{s:i, s:s, s:b}", "seed", 1, "task", "clm", "ema", 1),
           *b = json_pack("{s:s, s:i, s:i}", "task", "clm", "seed", 2, "rank", 4),
           *c = json_pack("{s:b, s:s, s:i}", "ema", 1, "task", "clm", "seed", 1);
    train_options_differ(a, b, &out);
    assert_string_equal(out.data, "seed: 1 there, 2 here\nema: true there, not here\nrank: not there, 4 here");
    assert_true(train_options_digest(a, x, &err) && train_options_digest(c, y, &err));
    assert_string_equal(x, y); /* the order of keys is nothing */
    assert_true(train_options_digest(b, y, &err));
    assert_string_not_equal(x, y);
    text_free(&out);
    json_decref(a);
    json_decref(b);
    json_decref(c);
}

static void wrong_states_are_refused(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"[]", "expected an object"},
        {"{\"format\":\"x\"}", "format: expected 'qwenmesh checkpoint 1', got 'x'"},
        {"{\"global_step\":3}", "format"},
        {"{F}", "global_step is missing"},
        {"{F,\"global_step\":-1}", "global_step: expected an integer from 0"},
        {"{F,\"global_step\":3,\"epoch\":0,\"epoch_position\":0,\"seed\":\"a\"}", "seed: expected an integer"},
        {"{H,\"best_global_step\":9}", "best_global_step"},
        {"{H,\"best_global_step\":2}", "best_metric is missing"},
        {"{H,\"options\":[]}", "options: expected an object"},
        {"{H,\"options\":{\"a\":1},\"options_sha256\":\"00\"}", "SHA-256"},
        {"{H,O}", "log_history"},
        {"{H,O,\"log_history\":[{\"step\":4,\"labels\":1,\"tokens\":1}]}", "log_history[0]: step: expected"},
        {"{H,O,\"log_history\":[{\"step\":1,\"labels\":1,\"tokens\":1},{\"step\":1,\"labels\":1,\"tokens\":1}]}",
         "log_history[1]: step: expected one after"},
        {"{H,O,\"log_history\":[{\"step\":1,\"loss\":\"x\",\"labels\":1,\"tokens\":1}]}", "loss: expected a number"},
        {"{H,O,\"log_history\":[{\"step\":1}]}", "one number of a short name"},
        {"{H,O,\"log_history\":[3]}", "expected an object"},
    };
    char digest[65];
    Err err = {0};
    assert_true(train_options_digest(NULL, digest, &err));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Text text = {0};
        for (const char *c = cases[i][0]; *c; c++) {
            bool word = c[-(c > cases[i][0])] == '{' || c[-(c > cases[i][0])] == ',';
            if (word && *c == 'F') text_line(&text, "\"format\":\"qwenmesh checkpoint 1\"");
            else if (word && *c == 'H')
                text_line(&text,
                          "\"format\":\"qwenmesh checkpoint 1\",\"global_step\":3,\"epoch\":0,\"epoch_position\":0,"
                          "\"seed\":1");
            else if (word && *c == 'O') text_line(&text, "\"options_sha256\":\"%s\"", digest);
            else text_add(&text, c, 1);
        }
        Err why = {0};
        TrainState s;
        json_t *root = json_text(text.data, text.bytes, "state", &err);
        if (!root) fail_msg("%s: %s", text.data, err.text);
        if (train_state_from_json(&s, root, "state", &why)) fail_msg("%s was taken", text.data);
        if (!strstr(why.text, cases[i][1])) fail_msg("%s: expected '%s' in: %s", text.data, cases[i][1], why.text);
        json_decref(root);
        text_free(&text);
    }
}

/* ---- Saving and loading ------------------------------------------------------------------------------------------ */

static void numbers_come_back(void **state) {
    (void)state;
    Counting *c = calloc(1, sizeof *c);
    char dir[64], path[128];
    Err err = {0};
    folder_new(dir, "ck");
    for (int64_t step = 1; step <= 12; step++)
        if (!save_step(dir, c, step, &err)) fail_msg("%s", err.text);
    snprintf(path, sizeof path, "%s/checkpoint-3", dir);
    assert_int_equal(load_step(path, c), 3);
    assert_int_equal(c->writes, 5 + 4 + 3 + 3);
    assert_int_equal(folder_entries(path), 4); /* config.json, model, optimizer, state */
    char *last = checkpoint_find(dir, &err), *same = checkpoint_find(path, &err);
    assert_int_equal(load_step(last, c), 12);
    assert_string_equal(same, path);
    free(last);
    free(same);
    if (!save_step(dir, c, 12, &err)) fail_msg("%s", err.text); /* over itself */
    if (!checkpoint_keep(dir, 3, 11, 4, &err)) fail_msg("%s", err.text);
    for (int step = 1; step <= 12; step++) {
        snprintf(path, sizeof path, "%s/checkpoint-%d", dir, step);
        assert_int_equal(folder_exists(path), step == 4 || step >= 9);
    }
    assert_true(checkpoint_keep(dir, 0, 12, 0, &err) && checkpoint_keep(dir, 1, 12, 0, &err));
    assert_int_equal(folder_entries(dir), 5);
    folder_clear(dir);
    free(c);
}

/* Loads by `m`, expects an error with these words and that nothing was written. */
static void expect_error(const char *folder, CheckpointModel m, const char *words, const char *more) {
    Err err = {0};
    TrainState s;
    ((Counting *)m.owner)->writes = 0;
    if (checkpoint_load(folder, &m, &s, &err)) fail_msg("loaded, expected: %s", words);
    if (!strstr(err.text, words) || !strstr(err.text, more))
        fail_msg("expected '%s' and '%s' in: %s", words, more, err.text);
    assert_int_equal(((Counting *)m.owner)->writes, 0);
}

static void other_models_are_refused(void **state) {
    (void)state;
    Counting *c = calloc(1, sizeof *c);
    char dir[64], folder[96];
    Err err = {0};
    folder_new(dir, "other");
    if (!save_step(dir, c, 5, &err)) fail_msg("%s", err.text);
    snprintf(folder, sizeof folder, "%s/checkpoint-5", dir);
    CheckpointTensor list[TENSORS + 1];
    CheckpointModel m = model_of(c);
    m.tensors = list;
    memcpy(list, tensors, sizeof tensors);
    list[1].dim[1] = 14;
    expect_error(
        folder, m,
        "model.safetensors: tensor model.layers.0.self_attn.q_proj.weight: expected f32 [7,14], got f32 [7,13]",
        "another model");
    memcpy(list, tensors, sizeof tensors);
    list[2].rank = 2, list[2].dim[1] = 1;
    expect_error(folder, m, "expected f32 [7,1], got f32 [7]", "q_proj.bias");
    memcpy(list, tensors, sizeof tensors);
    list[3].has[CHECKPOINT_SECOND] = true;
    expect_error(folder, m, "optimizer.safetensors: tensor model.norm.weight.exp_avg_sq is missing: expected f32 [20]",
                 "optimizer");
    memcpy(list, tensors, sizeof tensors);
    list[0].has[CHECKPOINT_EMA] = false;
    expect_error(folder, m, "optimizer.safetensors: tensor model.embed_tokens.weight.ema is none of this run's", "");
    memcpy(list, tensors, sizeof tensors);
    list[TENSORS] = (CheckpointTensor){"lm_head.weight", 2, {20, 20}, {true, false, false, false}, false};
    m.count = TENSORS + 1;
    expect_error(folder, m, "model.safetensors: tensor lm_head.weight is missing: expected f32 [20,20]",
                 "another model");
    m.count = TENSORS - 1;
    expect_error(folder, m, "tensor model.frozen.weight is none of this run's", "");
    m.count = TENSORS;
    m.prefix = "transformer."; /* the class of another head */
    expect_error(folder, m, "tensor transformer.embed_tokens.weight is missing", "another model");
    m.prefix = "model.";
    TrainState s;
    if (!checkpoint_load(folder, &m, &s, &err)) fail_msg("%s", err.text);
    train_state_free(&s);
    m.prefix = NULL;
    m.weights = "adapter_model";
    expect_error(folder, m, "adapter_model.safetensors", "cannot open");
    folder_clear(dir);
    free(c);
}

/* Every file cut off at several places, taken away, or made longer: an error with its name, and DIR's last is the one
 * before. */
static void damaged_files_are_told(void **state) {
    (void)state;
    static const char *const files[] = {"model.safetensors", "optimizer.safetensors", "trainer_state.json",
                                        "config.json"};
    Counting *c = calloc(1, sizeof *c);
    char dir[64], folder[96], path[160];
    Err err = {0};
    for (int f = 0; f < 4; f++) {
        for (int cut = 0; cut < 7; cut++) {
            folder_new(dir, "cut");
            if (!save_step(dir, c, 5, &err) || !save_step(dir, c, 6, &err)) fail_msg("%s", err.text);
            snprintf(folder, sizeof folder, "%s/checkpoint-6", dir);
            snprintf(path, sizeof path, "%s/%s", folder, files[f]);
            struct stat st;
            assert_int_equal(stat(path, &st), 0);
            off_t size = cut == 0 ? 0 : cut == 5 ? st.st_size + 1 : st.st_size * cut / 5;
            if (cut == 6) unlink(path);
            else if (size == st.st_size || truncate(path, size) != 0) abort();
            if (f != 2 || cut != 5) { /* a NUL behind JSON is refused by its reader, in other words */
                expect_error(folder, model_of(c), files[f], "");
                char *last = checkpoint_find(dir, &err);
                if (!last) fail_msg("%s", err.text);
                assert_int_equal(load_step(last, c), 5);
                free(last);
            }
            folder_clear(dir);
        }
    }
    folder_new(dir, "cut");
    assert_null(checkpoint_find(dir, &err));
    assert_non_null(strstr(err.text, "holds no checkpoint"));
    folder_clear(dir);
    free(c);
}

/* ---- Nothing that was reported saved is lost --------------------------------------------------------------------- */

/* A child saves step after step, keeps three, and tells each step when it is saved; it is killed at a random moment. */
static void killed_runs_lose_nothing(void **state) {
    (void)state;
    Counting *c = calloc(1, sizeof *c);
    char dir[64];
    Err err = {0};
    int64_t reported = 0, found = 0;
    int rounds = brief() ? 8 : 25;
    folder_new(dir, "kill");
    double start = clock_seconds();
    if (!save_step(dir, c, 0, &err)) fail_msg("%s", err.text);
    double took = clock_seconds() - start;
    for (int round = 0; round < rounds || (reported <= 3 && round < 20 * rounds); round++) { /* disks are not even */
        int pipes[2];
        if (pipe(pipes) != 0) abort();
        pid_t child = fork();
        if (child == 0) {
            for (int64_t step = found + 1;; step++) {
                if (!save_step(dir, c, step, &(Err){0})) _exit(1);
                if (write(pipes[1], &step, sizeof step) != sizeof step) _exit(2);
                if (!checkpoint_keep(dir, 3, step, 0, &(Err){0})) _exit(3);
            }
        }
        close(pipes[1]);
        usleep(random_below((uint32_t)(took * 4e6 * (1 + round / 4)) + 2));
        kill(child, SIGKILL);
        int status;
        waitpid(child, &status, 0);
        assert_true(WIFSIGNALED(status));
        for (int64_t step; read(pipes[0], &step, sizeof step) == sizeof step;) reported = step;
        close(pipes[0]);
        char *last = checkpoint_find(dir, &err);
        if (!last) fail_msg("%s", err.text);
        found = load_step(last, c);
        if (found < reported) fail_msg("step %d was reported saved, the last is %d", (int)reported, (int)found);
        free(last);
    }
    assert_true(reported > 3);
    if (!save_step(dir, c, found + 1, &err) || !checkpoint_keep(dir, 3, found + 1, 0, &err)) fail_msg("%s", err.text);
    int kept = 0;
    for (int64_t step = 0; step <= found + 1; step++) {
        char path[128];
        snprintf(path, sizeof path, "%s/checkpoint-%lld", dir, (long long)step);
        kept += folder_exists(path);
    }
    assert_int_equal(kept, 3);
    assert_int_equal(folder_entries(dir), 15); /* three folders of four files: no remains */
    folder_clear(dir);
    free(c);
}

/* Wherever the disk is full: the error says which file, the checkpoints before stay, nothing is left of the new one. */
static void full_disk_loses_nothing(void **state) {
    (void)state;
    Counting *c = calloc(1, sizeof *c);
    char dir[64], path[128];
    Err err = {0};
    folder_new(dir, "full");
    if (!save_step(dir, c, 1, &err)) fail_msg("%s", err.text);
    int failed = 0;
    for (rlim_t limit = 0; limit < 20000; limit += 500) {
        pid_t child = fork();
        if (child == 0) {
            signal(SIGXFSZ, SIG_IGN);
            setrlimit(RLIMIT_FSIZE, &(struct rlimit){limit, limit});
            Err why = {0};
            bool ok = save_step(dir, c, 2, &why);
            _exit(ok ? 0 : why.kind == QM_IO && strstr(why.text, "checkpoint-2 was not saved") ? 1 : 2);
        }
        int status;
        waitpid(child, &status, 0);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) < 2);
        snprintf(path, sizeof path, "%s/checkpoint-2", dir);
        assert_int_equal(folder_exists(path), WEXITSTATUS(status) == 0);
        char *last = checkpoint_find(dir, &err);
        assert_int_equal(load_step(last, c), WEXITSTATUS(status) == 0 ? 2 : 1);
        free(last);
        failed += WEXITSTATUS(status);
        if (WEXITSTATUS(status)) assert_int_equal(folder_entries(dir), 5);
        else break;
    }
    assert_true(failed > 5);
    folder_clear(dir);
    free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(state_comes_back),          cmocka_unit_test(options_that_differ_are_told),
        cmocka_unit_test(wrong_states_are_refused),  cmocka_unit_test(numbers_come_back),
        cmocka_unit_test(other_models_are_refused),  cmocka_unit_test(damaged_files_are_told),
        cmocka_unit_test(killed_runs_lose_nothing),  cmocka_unit_test(full_disk_loses_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
