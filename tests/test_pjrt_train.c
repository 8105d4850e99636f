/* test_pjrt_train.c: training on the virtual devices of XLA's CPU plugin: losses, norms, gradients and weights of the CPU
 * engine, on every mesh; the same numbers from run to run; what one backend has learnt goes on with the other. Every case
 * and every mesh is there; with QWENMESH_PJRT_ALL=1 every case on every mesh. Skipped where plugins/ has no plugin
 * (dev/plugins.sh brings it). */
#include <unistd.h>
#include "train_cases.h"

#define PLUGIN "plugins/pjrt_c_api_cpu_plugin.so"
/* XLA keeps a few bytes of each program it compiles. */
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) { return "leak:pjrt_c_api_cpu_plugin.so\n"; }

static const char *act; /* of the trainers on a mesh that are opened */
static TrainerOptions asked; /* of all trainers that are opened */
/* Programs compiled so far: those of a case and mesh that come again are loaded. */
static char programs[] = "/tmp/qwenmesh-programs-XXXXXX";

/* mesh NULL: the CPU engine. head_rows: labelled rows of a replica that pass the head at once; 0: as many as there are. */
static Trainer *open_on(const Case *c, const Data *d, const char *mesh, int64_t micro_batch, int64_t head_rows) {
    Err err = {0};
    QmSource *source = qm_source_open(path_of(c, ""), &err);
    TrainerOptions o = asked;
    o.seq_len = d->longest, o.micro_batch = micro_batch, o.head_rows = head_rows;
    char adapter[sizeof path];
    if (c->adapter && !o.adapter) snprintf(adapter, sizeof adapter, "%s", path_of(c, c->adapter)), o.adapter = adapter;
    o.engine.mesh = mesh ? mesh : "1x1";
    if (mesh) o.engine.backend = "pjrt", o.engine.plugin = PLUGIN, o.engine.program_cache = programs, o.engine.act = act;
    else o.engine.threads = 2;
    Trainer *t = source ? trainer_open(source, &o, &err) : NULL;
    qm_source_close(source);
    if (!t) fail_msg("%s on %s: %s", c->name, o.engine.mesh, err.text);
    return t;
}

static StepResult step_on(Trainer *t, const Case *c, const Data *d, int step) {
    StepResult r;
    Err err = {0};
    StepNumbers n = numbers_of(c, d, step);
    n.ema_decay = asked.ema ? 0.75 : 0;
    const TrainRow *rows = c->same_rows ? d->rows : d->rows + 4 * step;
    if (!trainer_step(t, rows, c->same_rows ? d->count : 4, &n, &r, &err)) fail_msg("%s: %s", c->name, err.text);
    return r;
}

static float *part_of(Trainer *t, int i, TensorPart part, int64_t *n) {
    const TrainTensor *of = trainer_tensor(t, i);
    Err err = {0};
    *n = of->dim[0] * of->dim[1];
    float *values = calloc((size_t)*n, sizeof *values);
    if (!trainer_read(t, i, part, values, &err)) fail_msg("%s: %s", of->name, err.text);
    return values;
}

/* All of a part of two trainers, to `relative` of each tensor's largest. by: numbers whose gradients are rounding are
 * left out where these, of the first step, say so; NULL: none is. */
static void parts_alike(Trainer *want, Trainer *got, TensorPart part, double relative, double absolute, float **by) {
    for (int i = 0; i < trainer_tensors(want); i++) {
        int64_t n;
        if (!trainer_has(want, i, part)) continue;
        float *x = part_of(want, i, part, &n), *y = part_of(got, i, part, &n);
        double most = 0, worst = 0;
        for (int64_t k = 0; k < n; k++) {
            most = fmax(most, fabs((double)x[k]));
            if (by && by[i] && fabs((double)by[i][k]) < 1e-6) continue;
            worst = fmax(worst, fabs((double)x[k] - (double)y[k]));
        }
        if (!(worst <= relative * most + absolute))
            fail_msg("part %d of %s: off by %.3g, the largest is %.3g", (int)part, trainer_tensor(want, i)->name, worst, most);
        free(x), free(y);
    }
}

static float **gradients_of(Trainer *t) {
    float **list = calloc((size_t)trainer_tensors(t), sizeof *list);
    int64_t n;
    for (int i = 0; i < trainer_tensors(t); i++)
        if (trainer_has(t, i, PART_GRADIENT)) list[i] = part_of(t, i, PART_GRADIENT, &n);
    return list;
}

/* ---- Beside the CPU engine --------------------------------------------------------------------------------------- */

static void as_cpu(const Case *c, const char *mesh, int64_t micro_batch, int64_t head_rows) {
    Data d;
    data_open(&d, c);
    Trainer *cpu = open_on(c, &d, NULL, 4, 0), *pjrt = open_on(c, &d, mesh, micro_batch, head_rows);
    float **first = NULL;
    for (int step = 0; step < c->steps; step++) {
        StepResult want = step_on(cpu, c, &d, step), got = step_on(pjrt, c, &d, step);
        if (!(fabs(got.loss - want.loss) <= 1e-5 * fabs(want.loss)) ||
            !(fabs(got.grad_norm - want.grad_norm) <= 2e-5 * want.grad_norm) || got.labels != want.labels)
            fail_msg("%s on %s, step %d: loss %.9g, norm %.9g; expected %.9g, %.9g", c->name, mesh, step, got.loss,
                     got.grad_norm, want.loss, want.grad_norm);
        if (step) continue;
        parts_alike(cpu, pjrt, PART_GRADIENT, 1e-5, 1e-9, NULL);
        first = gradients_of(cpu);
    }
    parts_alike(cpu, pjrt, PART_VALUE, 0, 2e-4, first);
    double want, got;
    int64_t labels, same;
    Err err = {0};
    assert_true(trainer_evaluate(cpu, d.rows, d.count, &want, &labels, &err));
    if (!trainer_evaluate(pjrt, d.rows, d.count, &got, &same, &err)) fail_msg("%s", err.text);
    assert_true(labels == same && fabs(got - want) <= 1e-5 * want);
    for (int i = 0; i < trainer_tensors(cpu); i++) free(first[i]);
    free(first);
    trainer_close(cpu), trainer_close(pjrt);
    data_close(&d);
}

/* Each case with the meshes it has by default, and how many rows pass at once there, and the head at once. */
typedef struct Run { int of; const char *mesh; int64_t micro_batch, head_rows; } Run;
static const Run runs[] = {
    {0, "1x1", 4, 0}, {0, "dp2,tp4", 4, 7}, {1, "2x4", 4, 0}, {1, "1x8", 2, 5}, {2, "dp2,tp4", 2, 11}, {3, "8x4", 4, 0},
    {3, "1x32", 3, 9}, {5, "dp2,tp4", 4, 0},
};
static const char *const meshes[] = {"1x1", "2x4", "dp2,tp4", "1x8", "8x4", "1x32"};

static void like_the_cpu_engine(void **state) {
    (void)state;
    if (access(PLUGIN, R_OK)) skip();
    if (getenv("QWENMESH_PJRT_ALL")) {
        for (int i = 0; i < CASES && cases[i].optimizer != OPTIMIZER_MUON; i++)
            for (size_t m = 0; m < sizeof meshes / sizeof *meshes; m++) as_cpu(&cases[i], meshes[m], 4 - (int)m % 2, (i + (int)m) % 2 ? 5 : 0);
        return;
    }
    const char *one = getenv("QWENMESH_PJRT_RUN"); /* for whoever looks into one of them */
    for (size_t i = brief() ? 1 : 0; i < (brief() ? 2 : sizeof runs / sizeof *runs); i++)
        if (!one || (size_t)atoi(one) == i) as_cpu(&cases[runs[i].of], runs[i].mesh, runs[i].micro_batch, runs[i].head_rows);
}

/* ---- The same again, and with the other backend ------------------------------------------------------------------ */

static void again(void **state) {
    (void)state;
    if (access(PLUGIN, R_OK)) skip();
    if (brief()) { /* bits are the plain build's work */
        print_message("looked at in the plain build\n");
        skip();
    }
    Data d;
    const Case *c = &cases[1];
    data_open(&d, c);
    Trainer *a = open_on(c, &d, "dp2,tp4", 2, 7), *b = open_on(c, &d, "dp2,tp4", 2, 7);
    for (int step = 0; step < 3; step++) {
        StepResult x = step_on(a, c, &d, step), y = step_on(b, c, &d, step);
        assert_memory_equal(&x.loss, &y.loss, sizeof x.loss);
        assert_memory_equal(&x.grad_norm, &y.grad_norm, sizeof x.grad_norm);
    }
    parts_alike(a, b, PART_VALUE, 0, 0, NULL);
    parts_alike(a, b, PART_SECOND, 0, 0, NULL);
    trainer_close(a), trainer_close(b);
    data_close(&d);
}

/* As a checkpoint is read: all that is trained, and its moments. */
static void state_move(Trainer *from, Trainer *to) {
    static const TensorPart parts[] = {PART_VALUE, PART_FIRST, PART_SECOND};
    Err err = {0};
    for (int i = 0; i < trainer_tensors(from); i++)
        for (size_t k = 0; k < 3; k++) {
            int64_t n;
            if (!trainer_tensor(from, i)->trained) continue;
            float *values = part_of(from, i, parts[k], &n);
            if (!trainer_write(to, i, parts[k], values, &err)) fail_msg("%s", err.text);
            float *back = part_of(to, i, parts[k], &n);
            assert_memory_equal(values, back, (size_t)n * sizeof *values);
            free(values), free(back);
        }
}

static void goes_on_with_the_other(void **state) {
    (void)state;
    if (access(PLUGIN, R_OK)) skip();
    static const int of[] = {1, 3};
    for (int i = 0; i < (brief() ? 1 : 2); i++) {
        Data d;
        const Case *c = &cases[of[i]];
        data_open(&d, c);
        Trainer *cpu = open_on(c, &d, NULL, 4, 0), *pjrt = open_on(c, &d, i ? "1x8" : "dp2,tp4", 4, 0);
        for (int step = 0; step < 6; step++) { /* they take turns */
            Trainer *at = step % 4 < 2 ? pjrt : cpu, *other = at == cpu ? pjrt : cpu;
            StepResult r = step_on(at, c, &d, step);
            if (!(fabs(r.loss - d.loss[step]) <= 1e-5 * fabs(d.loss[step])))
                fail_msg("%s, step %d: loss %.9g, expected %.9g", c->name, step, r.loss, d.loss[step]);
            if (step % 2) state_move(at, other);
        }
        trainer_close(cpu), trainer_close(pjrt);
        data_close(&d);
    }
}

/* ---- What a run may ask for -------------------------------------------------------------------------------------- */

/* An adapter of the golden case with dropout, in the folder of programs. */
static const char *dropout_new(char *out, size_t size) {
    char command[512];
    snprintf(out, size, "%s/dropout", programs);
    snprintf(command, sizeof command, "cp -r tests/golden/train-lora/adapter-lora-0 %s && sed -i 's/\"lora_dropout\": 0.0/"
             "\"lora_dropout\": 0.25/' %s/adapter_config.json", out, out);
    assert_int_equal(system(command), 0);
    return out;
}

/* Rows at once are those of a run above, whose programs are then there but for those that differ. */
static void variant_like_the_cpu_engine(const Run *r, const char *what) {
    const Case *c = &cases[r->of];
    Data d;
    data_open(&d, c);
    Trainer *cpu = open_on(c, &d, NULL, 4, 0), *pjrt = open_on(c, &d, r->mesh, r->micro_batch, r->head_rows);
    for (int step = 0; step < 3; step++) {
        StepResult want = step_on(cpu, c, &d, step), got = step_on(pjrt, c, &d, step);
        if (!(fabs(got.loss - want.loss) <= 1e-5 * want.loss) || !(fabs(got.grad_norm - want.grad_norm) <= 2e-5 * want.grad_norm))
            fail_msg("%s, step %d: loss %.9g, norm %.9g; expected %.9g, %.9g", what, step, got.loss, got.grad_norm,
                     want.loss, want.grad_norm);
        if (asked.adapter && !step) assert_true(fabs(want.loss - d.loss[0]) > 1e-4 * d.loss[0]); /* some was dropped */
        if (!step) parts_alike(cpu, pjrt, PART_GRADIENT, 1e-5, 1e-9, NULL);
    }
    if (asked.optimizer == OPTIMIZER_SGD) { /* no moment is divided by: all stay near */
        parts_alike(cpu, pjrt, PART_VALUE, 1e-5, 1e-7, NULL);
        parts_alike(cpu, pjrt, PART_FIRST, 1e-5, 1e-7, NULL);
    }
    for (int i = 0; i < trainer_tensors(cpu); i++)
        assert_true(trainer_has(pjrt, i, PART_EMA) == (asked.ema && trainer_tensor(cpu, i)->trained));
    parts_alike(cpu, pjrt, PART_EMA, 0, 2e-4, NULL);
    double want, got;
    int64_t labels, same;
    Err err = {0};
    assert_true(trainer_evaluate(cpu, d.rows, 3, &want, &labels, &err));
    assert_true(trainer_evaluate(pjrt, d.rows, 3, &got, &same, &err));
    assert_true(labels == same && fabs(got - want) <= 1e-5 * want);
    trainer_close(cpu), trainer_close(pjrt);
    data_close(&d);
}

static void variants_like_the_cpu_engine(void **state) {
    char adapter[128];
    (void)state;
    if (access(PLUGIN, R_OK)) skip();
    asked = (TrainerOptions){.optimizer = OPTIMIZER_SGD, .ema = true};
    variant_like_the_cpu_engine(&(Run){0, "dp2,tp4", 4, 7}, "sgd with averages");
    if (!brief()) {
        asked = (TrainerOptions){.recompute = true, .ema = true};
        variant_like_the_cpu_engine(&(Run){1, "1x8", 2, 5}, "recompute with averages");
        asked = (TrainerOptions){.adapter = dropout_new(adapter, sizeof adapter), .seed = 11};
        variant_like_the_cpu_engine(&(Run){3, "dp2,tp2", 4, 0}, "dropout of an adapter");
    }
    asked = (TrainerOptions){0};
}

/* ---- In bf16 ----------------------------------------------------------------------------------------------------- */

/* Values in bf16, masters in f32: near the CPU engine in f32, by what 8 bits of a number say, and not the same. */
static void in_bf16(void **state) {
    (void)state;
    if (access(PLUGIN, R_OK)) skip();
    if (brief()) return; /* on this side only the type of the inputs is another */
    const Case *c = &cases[1];
    Data d;
    data_open(&d, c);
    act = "bf16";
    Trainer *pjrt = open_on(c, &d, "dp2,tp4", 2, 7);
    act = NULL;
    Trainer *cpu = open_on(c, &d, NULL, 4, 0);
    bool far = false;
    for (int step = 0; step < 4; step++) {
        StepResult want = step_on(cpu, c, &d, step), got = step_on(pjrt, c, &d, step);
        if (!(fabs(got.loss - want.loss) <= 2e-3 * want.loss) || !(fabs(got.grad_norm - want.grad_norm) <= 2e-2 * want.grad_norm))
            fail_msg("step %d in bf16: loss %.9g, norm %.9g; in f32 %.9g, %.9g", step, got.loss, got.grad_norm, want.loss,
                     want.grad_norm);
        far |= fabs(got.grad_norm - want.grad_norm) > 1e-4 * want.grad_norm; /* in f32 they are 2e-5 apart at most */
        if (!step) parts_alike(cpu, pjrt, PART_GRADIENT, 5e-2, 1e-9, NULL);
    }
    assert_true(far);
    int moved = 0; /* masters take steps that bf16 cannot */
    for (int i = 0; i < trainer_tensors(pjrt); i++) {
        int64_t n;
        float *x = part_of(pjrt, i, PART_VALUE, &n);
        for (int64_t k = 0; k < n; k++) moved += bf16_to_f32(f32_to_bf16(x[k])) != x[k];
        free(x);
    }
    assert_true(moved > 1000);
    trainer_close(cpu), trainer_close(pjrt);
    data_close(&d);
}

/* ---- Tasks ------------------------------------------------------------------------------------------------------- */

enum { SEQUENCES = 6, TASK_IDS = 11 };

/* Two packed sequences in the first row; lengths differ. */
static void task_rows(TrainTask task, TrainRow *rows, TrainSegment *segments, TrainTarget *targets, int32_t *ids,
                      int32_t *labels) {
    for (int i = 0; i < SEQUENCES; i++) {
        int count = TASK_IDS - i % 3;
        for (int k = 0; k < TASK_IDS; k++) {
            ids[i * TASK_IDS + k] = (i * 31 + k * 7 + 5) % 64;
            labels[i * TASK_IDS + k] = task == TASK_TOKCLS && k % 3 ? (i + k) % 2 : NO_LABEL;
        }
        targets[i] = (TrainTarget){.label = i % 2, .start = 2 + i % 3, .end = 4 + i % 3, .context = 1};
        segments[i] = (TrainSegment){ids + i * TASK_IDS, labels + i * TASK_IDS, count, &targets[i]};
    }
    for (int r = 0; r < SEQUENCES - 1; r++)
        rows[r] = (TrainRow){.segments = r ? &segments[r + 1] : segments, .count = r ? 1 : 2};
}

static Trainer *open_task(TrainTask task, const char *mesh) {
    Err err = {0};
    QmSource *source = qm_source_open("tests/golden/train", &err);
    TrainerOptions o = {.seq_len = 2 * TASK_IDS, .micro_batch = 3, .task = task, .labels = 2, .seed = 5};
    if (mesh) o.head_rows = 4;
    o.engine.mesh = mesh ? mesh : "1x1";
    if (mesh) o.engine.backend = "pjrt", o.engine.plugin = PLUGIN, o.engine.program_cache = programs;
    Trainer *t = source ? trainer_open(source, &o, &err) : NULL;
    qm_source_close(source);
    if (!t) fail_msg("%s", err.text);
    return t;
}

static void tasks_like_the_cpu_engine(void **state) {
    (void)state;
    if (access(PLUGIN, R_OK)) skip();
    for (TrainTask task = brief() ? TASK_QA : TASK_SEQCLS; task <= TASK_QA; task++) {
        TrainRow rows[SEQUENCES];
        TrainSegment segments[SEQUENCES];
        TrainTarget targets[SEQUENCES];
        int32_t ids[SEQUENCES * TASK_IDS], labels[SEQUENCES * TASK_IDS];
        task_rows(task, rows, segments, targets, ids, labels);
        Trainer *cpu = open_task(task, NULL), *pjrt = open_task(task, "dp2,tp4");
        Err err = {0};
        for (int step = 1; step <= 3; step++) {
            StepNumbers n = {.step = step, .learning_rate = 1e-3, .beta1 = 0.9, .beta2 = 0.99, .epsilon = 1e-8,
                             .max_grad_norm = 1, .weight_decay = 0.01};
            StepResult x, y;
            if (!trainer_step(cpu, rows, SEQUENCES - 1, &n, &x, &err) ||
                !trainer_step(pjrt, rows, SEQUENCES - 1, &n, &y, &err))
                fail_msg("%s", err.text);
            if (!(fabs(x.loss - y.loss) <= 1e-5 * x.loss) || !(fabs(x.grad_norm - y.grad_norm) <= 2e-5 * x.grad_norm))
                fail_msg("task %d, step %d: loss %.9g, norm %.9g; expected %.9g, %.9g", (int)task, step, y.loss,
                         y.grad_norm, x.loss, x.grad_norm);
            if (step == 1) parts_alike(cpu, pjrt, PART_GRADIENT, 1e-5, 1e-7, NULL); /* a bias's may be rounding alone */
        }
        double x, y;
        int64_t n, same;
        assert_true(trainer_evaluate(cpu, rows, SEQUENCES - 1, &x, &n, &err));
        assert_true(trainer_evaluate(pjrt, rows, SEQUENCES - 1, &y, &same, &err));
        assert_true(n == same && fabs(x - y) <= 1e-5 * x);
        TaskScores want = trainer_scores(cpu), got = trainer_scores(pjrt);
        assert_true(want.rows == got.rows && want.columns == got.columns && want.rows > 0);
        for (int64_t i = 0; i < want.rows * want.columns; i++) { /* no loss sees the biases of an answer's ends */
            int64_t of = task == TASK_QA ? i % want.columns : -1;
            double x0 = of < 0 ? 0 : (double)want.values[of], y0 = of < 0 ? 0 : (double)got.values[of];
            assert_true(fabs((double)want.values[i] - x0 - ((double)got.values[i] - y0)) <= 2e-4);
        }
        trainer_close(cpu), trainer_close(pjrt);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(like_the_cpu_engine), cmocka_unit_test(again),
                                       cmocka_unit_test(goes_on_with_the_other), cmocka_unit_test(in_bf16),
                                       cmocka_unit_test(variants_like_the_cpu_engine),
                                       cmocka_unit_test(tasks_like_the_cpu_engine)};
    if (!mkdtemp(programs)) return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    char command[sizeof programs + 8];
    snprintf(command, sizeof command, "rm -rf %s", programs);
    return system(command) ? 1 : failed;
}
