/* test_train_run.c: whole runs, files and all, against transformers' Trainer and run_clm_flax; and a run that is cut
 * short again and again, each time on another mesh, against one that is not: the same log, the same files. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "../src/base/lines.h"
#include "../src/base/output_folder.h"
#include "../src/io/json.h"
#include "../src/io/safetensors.h"
#include "../src/train/train_log.h"
#include "../src/train/train_run.h"
#include "fixture.h"

#define GOLDEN "tests/golden/"

/* ---- Runs -------------------------------------------------------------------------------------------------------- */

enum { MOST_EVENTS = 64 };
static char work[] = "/tmp/train_run.XXXXXX";
static char out[64], log_path[64], data_path[64], gradients[64];
static TrainEvent events[MOST_EVENTS]; /* of the last run */
static int event_count;
static int stop_in; /* after so many steps; -1: never */

static bool keep_event(void *owner, const TrainEvent *event, Err *err) {
    (void)owner, (void)err;
    if (event->kind == TRAIN_STEPPED && stop_in > 0) stop_in--;
    assert_true(event_count < MOST_EVENTS);
    if (event->kind == TRAIN_STEPPED || event->kind == TRAIN_EVALUATED) events[event_count++] = *event;
    return true;
}
static bool stop(void) { return stop_in == 0; }

static void paths(const char *name) {
    snprintf(out, sizeof out, "%s/%s", work, name);
    snprintf(log_path, sizeof log_path, "%s/%s.jsonl", work, name);
    snprintf(data_path, sizeof data_path, "%s/data.jsonl", work);
    snprintf(gradients, sizeof gradients, "%s/%s.safetensors", work, name);
}

static const char *files[1];

static TrainOptions options_new(const char *model) {
    TrainOptions o = train_options_new();
    files[0] = data_path;
    o.model = model, o.data = files, o.data_count = 1, o.out = out, o.log = log_path, o.order = "file", o.seq_len = 64;
    return o;
}

static bool run(TrainOptions o, const char *mesh, int threads, Err *err) {
    event_count = 0;
    if (!train_options_check(&o, err)) return false;
    QmSource *source = qm_source_open(o.model, err);
    TrainJob job = {.options = o,
                    .source = source,
                    .ear = {NULL, keep_event},
                    .stop = stop,
                    .engine = {.size = sizeof(QmEngineOptions), .model = o.model, .mesh = mesh, .threads = threads}};
    TrainRun *r = source ? train_run_open(&job, err) : NULL;
    bool ok = r && train_run_go(r, err);
    train_run_close(r);
    qm_source_close(source);
    return ok;
}

static void run_all(TrainOptions o, const char *mesh, int threads) {
    Err err = {0};
    stop_in = -1;
    if (!run(o, mesh, threads, &err)) fail_msg("%s", err.text);
}

static json_t *golden_of(const char *name) {
    char path[128];
    Err err = {0};
    snprintf(path, sizeof path, GOLDEN "%s/golden.json", name);
    json_t *json = json_file(path, 1 << 24, &err);
    if (!json) fail_msg("%s", err.text);
    return json;
}

static double number(const json_t *object, const char *key) { return json_number_value(json_object_get(object, key)); }

static void near(const char *what, int64_t step, double got, double want, double most) {
    if (!(fabs(got - want) <= most))
        fail_msg("%s of step %lld: expected %.9g, got %.9g", what, (long long)step, want, got);
}

/* Tensors PREFIX.NAME of the golden file beside NAME of ours; most < 0: of the tensor's largest. A softmax hardly sees
 * the bias of keys: its gradients are of the size of roundings, and Adam makes whole steps of them. */
static void weights_near(const char *golden, const char *prefix, const char *ours, double most) {
    char path[160];
    SafeTensors a, b;
    Err err = {0};
    int compared = 0;
    snprintf(path, sizeof path, GOLDEN "%s/golden.safetensors", golden);
    if (!safetensors_open(&a, path, &err) || !safetensors_open(&b, ours, &err)) fail_msg("%s", err.text);
    for (int64_t i = 0; i < b.count; i++) {
        char name[160];
        snprintf(name, sizeof name, "%s.%s", prefix, b.tensors[i].name);
        const SafeTensor *want = safetensors_find(&a, name);
        if (!want) continue;
        const float *x = (const float *)(const void *)want->data, *y = (const float *)(const void *)b.tensors[i].data;
        double scale = most < 0 ? 0 : 1;
        assert_int_equal(want->bytes, b.tensors[i].bytes);
        for (size_t k = 0; k < want->bytes / 4 && most < 0; k++) scale = fmax(scale, fabs((double)x[k]));
        for (size_t k = 0; k < want->bytes / 4; k++)
            if (fabs((double)x[k] - (double)y[k]) > fabs(most) * scale * (strstr(name, "k_proj.bias") ? 10 : 1))
                fail_msg("%s[%zu]: expected %.9g, got %.9g", name, k, (double)x[k], (double)y[k]);
        compared++;
    }
    assert_true(compared > 20 && compared == b.count);
    safetensors_close(&a), safetensors_close(&b);
}

static char *below(const char *folder, const char *name) {
    Err err = {0};
    char *path = path_join(folder, name, &err);
    assert_non_null(path);
    return path;
}

/* ---- Trainer ----------------------------------------------------------------------------------------------------- */

static void accum_data(const json_t *golden) {
    FILE *f = fopen(data_path, "w");
    size_t i;
    const json_t *row;
    assert_non_null(f);
    json_array_foreach(json_object_get(golden, "data"), i, row) {
        json_t *line =
            json_pack("{s:O,s:O}", "ids", json_object_get(row, "input_ids"), "labels", json_object_get(row, "labels"));
        json_dumpf(line, f, JSON_COMPACT);
        fputc('\n', f);
        json_decref(line);
    }
    fclose(f);
}

static TrainOptions accum_options(void) {
    TrainOptions o = options_new(GOLDEN "train-accum");
    o.device_batch = 2, o.accumulation = 2, o.max_steps = 12, o.learning_rate = 4e-3, o.warmup_steps = 3;
    o.scheduler = "cosine", o.weight_decay = 0.1, o.beta2 = 0.95, o.max_grad_norm = 0.7;
    return o;
}

/* transformers.Trainer: two micro-batches of unequal label counts, clip, warm-up and cosine, decay mask, tied. */
static void trainer_steps(void **state) {
    (void)state;
    paths("accum");
    json_t *golden = golden_of("train-accum"), *steps = json_object_get(golden, "steps");
    accum_data(golden);
    run_all(accum_options(), NULL, 0);
    assert_int_equal(event_count, 12);
    for (int i = 0; i < 12; i++) {
        const json_t *want = json_array_get(steps, (size_t)i);
        assert_int_equal(events[i].step, i + 1);
        near("loss", i + 1, events[i].loss, number(want, "loss"), 1e-5);
        near("norm", i + 1, events[i].grad_norm / number(want, "grad_norm"), 1, 1e-5);
        near("rate", i + 1, events[i].learning_rate, number(want, "lr"), 1e-17);
        assert_int_equal(events[i].labels, (int64_t)number(want, "labels"));
    }
    char *model = below(out, "model.safetensors");
    weights_near("train-accum", "after", model, 1e-4);
    free(model);
    json_decref(golden);
}

/* ---- run_clm_flax ------------------------------------------------------------------------------------------------ */

/* Documents [from, to) in blocks; those of `order`, if any, whole batches only. */
static void write_blocks(FILE *f, const json_t *golden, size_t from, size_t to, const json_t *order) {
    size_t size = (size_t)number(golden, "block_size"), batch = (size_t)number(golden, "batch");
    json_t *ids = json_array(), *documents = json_object_get(golden, "documents");
    for (size_t d = from; d < to; d++) json_array_extend(ids, json_array_get(documents, d));
    size_t blocks = json_array_size(ids) / size, used = order ? blocks / batch * batch : blocks;
    for (size_t i = 0; i < used; i++) {
        size_t block = order ? (size_t)json_integer_value(json_array_get(order, i)) : i;
        for (size_t k = 0; k < size; k++)
            fprintf(f, "%s%d", k ? "," : "{\"ids\":[", (int)json_integer_value(json_array_get(ids, block * size + k)));
        fprintf(f, "]}\n");
    }
    json_decref(ids);
}

static void run_clm_flax(void **state) {
    (void)state;
    static char eval_path[64];
    static const char *eval_files[] = {eval_path};
    paths("clm");
    snprintf(eval_path, sizeof eval_path, "%s/eval.jsonl", work);
    json_t *golden = golden_of("train-clm"), *steps = json_object_get(golden, "steps");
    json_t *orders = json_object_get(json_object_get(golden, "order"), "partitionable");
    size_t documents = json_array_size(json_object_get(golden, "documents"));
    FILE *f = fopen(data_path, "w");
    for (size_t epoch = 0; epoch < 2; epoch++)
        write_blocks(f, golden, documents / 10, documents, json_object_get(json_array_get(orders, epoch), "63"));
    fclose(f);
    f = fopen(eval_path, "w");
    write_blocks(f, golden, 0, documents / 10, NULL);
    fclose(f);
    TrainOptions o = options_new(GOLDEN "train-clm");
    o.eval_data = eval_files, o.eval_count = 1, o.eval_on_start = true, o.batch = 8, o.num_train_epochs = 1;
    o.learning_rate = 3e-3, o.warmup_steps = 3, o.weight_decay = number(golden, "weight_decay"), o.max_grad_norm = 0;
    o.beta2 = json_number_value(json_array_get(json_object_get(golden, "betas"), 1));
    run_all(o, NULL, 0);
    assert_int_equal(event_count, 16);
    for (int i = 1; i < 15; i++) {
        near("loss", i, events[i].loss, number(json_array_get(steps, (size_t)i - 1), "loss"), 1e-5);
        near("rate", i, events[i].learning_rate, number(json_array_get(steps, (size_t)i - 1), "learning_rate"), 1e-9);
    }
    for (int last = 0; last < 2; last++) {
        const json_t *want = json_object_get(golden, last ? "after" : "before");
        const TrainEvent *e = &events[last ? 15 : 0];
        assert_int_equal(e->kind, TRAIN_EVALUATED);
        near("evaluation", e->step, e->loss, number(want, "eval_loss"), 1e-5);
        near("perplexity", e->step, e->perplexity / number(want, "eval_perplexity"), 1, 1e-5);
    }
    char *model = below(out, "model.safetensors");
    weights_near("train-clm", "after", model, 1e-4);
    free(model);
    json_decref(golden);
}

/* ---- Gradients --------------------------------------------------------------------------------------------------- */

/* Those of the first step, by their names (torch, golden train). */
static void gradients_of_step_1(void **state) {
    (void)state;
    SafeTensors golden;
    Err err = {0};
    paths("train");
    if (!safetensors_open(&golden, GOLDEN "train/golden.safetensors", &err)) fail_msg("%s", err.text);
    const SafeTensor *ids = safetensors_find(&golden, "input_ids"), *labels = safetensors_find(&golden, "labels");
    FILE *f = fopen(data_path, "w");
    for (int64_t b = 0; b < ids->dim[0]; b++)
        for (int k = 0; k < 2; k++) {
            const SafeTensor *t = k ? labels : ids;
            const int32_t *of_row = (const int32_t *)(const void *)t->data + b * t->dim[1];
            for (int64_t i = 0; i < t->dim[1]; i++)
                fprintf(f, "%s%d", i ? "," : k ? ",\"labels\":[" : "{\"ids\":[", of_row[i]);
            fprintf(f, "]%s", k ? "}\n" : "");
        }
    fclose(f);
    TrainOptions o = options_new(GOLDEN "train");
    o.batch = ids->dim[0], o.max_steps = 1, o.gradients = gradients;
    safetensors_close(&golden);
    run_all(o, NULL, 0);
    weights_near("train", "grad", gradients, -1e-5);
}

/* ---- Going on ---------------------------------------------------------------------------------------------------- */

/* The log without what a clock says. */
static void log_text(Text *text) {
    Lines lines;
    Line line;
    Err err = {0};
    if (!lines_open(&lines, log_path, &err)) fail_msg("%s", err.text);
    while (lines_next(&lines, &line, &err)) {
        TrainEvent e;
        if (!train_log_read(line.data, line.bytes, line.where, &e, &err)) fail_msg("%s", err.text);
        e.seconds = 0;
        assert_true(train_log_line(&e, text));
        text_add(text, "\n", 1);
    }
    lines_close(&lines);
}

static void same_file(const char *a, const char *b, const char *name) {
    char *path[2] = {below(a, name), below(b, name)}, *text[2];
    size_t bytes[2];
    Err err = {0};
    for (int i = 0; i < 2; i++)
        if (!(text[i] = file_read(path[i], 1 << 26, &bytes[i], &err))) fail_msg("%s", err.text);
    if (bytes[0] != bytes[1] || memcmp(text[0], text[1], bytes[0])) fail_msg("%s differs from %s", path[1], path[0]);
    for (int i = 0; i < 2; i++) free(path[i]), free(text[i]);
}

/* Shuffled, evaluated, with averages and a last step of fewer rows. */
static TrainOptions whole_options(void) {
    TrainOptions o = accum_options();
    o.order = "shuffle", o.eval_split = 0.1, o.eval_steps = 4, o.save_steps = 5, o.max_steps = -1,
    o.num_train_epochs = 1.2;
    o.device_batch = o.accumulation = 0, o.batch = 5, o.ema = 0.9, o.skip_outliers = 3, o.keep = 1;
    return o;
}

static void goes_on(void **state) {
    (void)state;
    static const struct {
        const char *mesh;
        int64_t micro;
        int threads, steps;
    } pieces[] = {
        {"2x2", 1, 2, 1}, {"dp2,tp3", 3, 1, 2}, {NULL, 5, 2, 3}, {"dp3", 2, 2, 1}, {"1x8", 4, 1, -1},
    };
    static char first_out[64];
    Text whole = {0}, pieced = {0};
    paths("whole");
    json_t *golden = golden_of("train-accum");
    accum_data(golden);
    json_decref(golden);
    run_all(whole_options(), NULL, 1);
    log_text(&whole);
    strcpy(first_out, out);
    paths("pieces");
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        TrainOptions o = whole_options();
        Err err = {0};
        o.micro_batch = pieces[i].micro;
        o.resume = i ? out : NULL;
        stop_in = pieces[i].steps;
        bool ok = run(o, pieces[i].mesh, pieces[i].threads, &err);
        if (ok != (pieces[i].steps < 0) || (!ok && err.kind != QM_INTERRUPTED)) fail_msg("piece %zu: %s", i, err.text);
    }
    log_text(&pieced);
    assert_string_equal(whole.data, pieced.data);
    static const char *const names[] = {"model.safetensors", "ema/model.safetensors", "config.json",
                                        "checkpoint-11/model.safetensors", "checkpoint-11/optimizer.safetensors"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) same_file(first_out, out, names[i]);
    char *gone = below(out, "checkpoint-5");
    assert_false(folder_exists(gone)); /* keep: 1, and the best is the last */
    free(gone);
    text_free(&whole), text_free(&pieced);
}

/* ---- What is refused --------------------------------------------------------------------------------------------- */

static void refused(void **state) {
    (void)state;
    Err err = {0};
    TrainOptions o = whole_options();
    paths("pieces"); /* a run that is there */
    stop_in = -1;
    assert_false(run(o, NULL, 1, &err));
    assert_non_null(strstr(err.text, "is there already: expected --resume"));
    err = (Err){0};
    o = whole_options(), o.resume = work;
    assert_false(run(o, NULL, 1, &err));
    assert_non_null(strstr(err.text, "holds no checkpoint"));
    err = (Err){0};
    o = whole_options(), o.resume = out, o.model = GOLDEN "train", o.seq_len = 64;
    assert_false(run(o, NULL, 1, &err));
    assert_non_null(strstr(err.text, "the checkpoint is of another model"));
    err = (Err){0};
    o = whole_options(), o.out = GOLDEN "train-accum";
    assert_false(run(o, NULL, 1, &err));
    assert_non_null(strstr(err.text, "expected another folder to write"));
}

static int setup(void **state) {
    (void)state;
    return mkdtemp(work) ? 0 : -1;
}
static int teardown(void **state) {
    (void)state;
    Err err = {0};
    return output_folder_remove(work, &err) ? 0 : -1;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trainer_steps), cmocka_unit_test(run_clm_flax), cmocka_unit_test(gradients_of_step_1),
        cmocka_unit_test(goes_on),       cmocka_unit_test(refused),
    };
    return cmocka_run_group_tests_name("train run", tests, setup, teardown);
}
