/* train_layouts.h: trainers of golden cases, and what they leave after some steps on meshes, threads, micro-batches and
 * instruction sets. */
#ifndef TRAIN_LAYOUTS_H
#define TRAIN_LAYOUTS_H
#include "../src/cpu/kernels_select.h"
#include "../src/eval/head_loss.h"
#include "train_cases.h"

/* leave: each step is begun once more before, and left when the trainer asks for the so manieth time; 0: never. */
typedef struct Layout {
    const char *mesh;
    int threads;
    int64_t micro_batch;
    const char *isa;
    bool recompute;
    int leave;
} Layout;

static int asked, leave_when;
FIXTURE bool leaves(void) { return ++asked == leave_when; }

/* act: of the engine; NULL: f32. */
FIXTURE Trainer *open_trainer(const Case *c, const Data *d, const Layout *l, const char *act) {
    Err err = {0};
    QmSource *source = qm_source_open(path_of(c, ""), &err);
    TrainerOptions o = {.seq_len = d->longest, .micro_batch = l->micro_batch, .recompute = l->recompute,
                        .stop = leaves, .optimizer = c->optimizer, .moments_8bit = c->moments_8bit};
    char adapter[sizeof path];
    if (c->adapter) snprintf(adapter, sizeof adapter, "%s", path_of(c, c->adapter)), o.adapter = adapter;
    o.engine.mesh = l->mesh;
    o.engine.threads = l->threads;
    o.engine.isa = l->isa;
    o.engine.act = act;
    Trainer *t = source ? trainer_open(source, &o, &err) : NULL;
    qm_source_close(source);
    if (!t) fail_msg("%s on %s: %s", c->name, l->mesh, err.text);
    return t;
}

enum { BIT_STEPS = 3 };

/* Everything that some steps leave, one number after the other. */
FIXTURE size_t trained(const Case *c, const Data *d, const Layout *l, const char *act, float **out) {
    Trainer *t = open_trainer(c, d, l, act);
    Err err = {0};
    size_t count = 0, capacity = 0;
    *out = NULL;
    for (int step = 0; step < BIT_STEPS; step++) {
        StepResult r;
        StepNumbers n = numbers_of(c, d, step + 1);
        n.label_smoothing = 0.1, n.z_loss = 1e-3;
        const TrainRow *rows = c->same_rows ? d->rows : d->rows + 4 * step;
        int64_t count_of_rows = c->same_rows ? d->count : 4;
        if (l->leave) {
            Err left = {0};
            asked = 0, leave_when = l->leave;
            assert_false(trainer_step(t, rows, count_of_rows, &n, &r, &left));
            if (left.kind != QM_INTERRUPTED) fail_msg("%s: expected a step to be left, got %s", l->mesh, left.text);
            leave_when = 0;
        }
        if (!trainer_step(t, rows, count_of_rows, &n, &r, &err)) fail_msg("%s: %s", l->mesh, err.text);
        assert_true(mem_grow((void **)out, &capacity, count + 4, sizeof **out, "test", &err));
        memcpy(*out + count, (double[]){r.loss, r.grad_norm}, 2 * sizeof(double));
        count += 4;
    }
    for (int i = 0; i < trainer_tensors(t); i++) {
        size_t n = (size_t)(trainer_tensor(t, i)->dim[0] * trainer_tensor(t, i)->dim[1]);
        for (TensorPart part = PART_VALUE; part <= (trainer_tensor(t, i)->trained ? PART_SECOND : PART_VALUE); part++) {
            if (!trainer_has(t, i, part) && part != PART_VALUE) continue;
            assert_true(mem_grow((void **)out, &capacity, count + n, sizeof **out, "test", &err));
            if (!trainer_read(t, i, part, *out + count, &err)) fail_msg("%s", err.text);
            count += n;
        }
    }
    trainer_close(t);
    return count;
}

/* The same numbers on all layouts as on layouts[1]; under sanitizers on every `few`th of them. */
FIXTURE void same_on(const Case *c, const Layout *layouts, int count, int few, const char *act) {
    Data d;
    float *first, *other;
    data_open(&d, c);
    size_t numbers = trained(c, &d, &layouts[1], act, &first);
    for (int i = 0; i < count; i++) {
        const Layout *l = &layouts[i];
        if ((brief() && i % few) || (l->isa && !kernels_select(l->isa, NULL))) continue;
        assert_int_equal(trained(c, &d, l, act, &other), numbers);
        for (size_t k = 0; k < numbers; k++)
            if (memcmp(&first[k], &other[k], sizeof *first))
                fail_msg("%s on %s, %d threads, %lld rows at a time: number %zu of %zu is %.9g, not %.9g", c->name,
                         l->mesh, l->threads, (long long)l->micro_batch, k, numbers, (double)other[k],
                         (double)first[k]);
        free(other);
    }
    free(first);
    data_close(&d);
}
/* The loss of a step and of an evaluation is that of forward, to the bit; act: of both, and of its weights. */
FIXTURE void same_as_forward(const Case *c, const char *act) {
    Data d;
    Err err = {0};
    data_open(&d, c);
    Trainer *t = open_trainer(c, &d, &(Layout){"2x4", 2, 3, NULL, false, 0}, act);
    QmEngineOptions o;
    qm_engine_options(&o);
    char model[sizeof path], adapter[sizeof path];
    snprintf(model, sizeof model, "%s", path_of(c, ""));
    o.model = model;
    if (c->adapter) snprintf(adapter, sizeof adapter, "%s", path_of(c, c->adapter)), o.lora = adapter;
    o.mesh = "1x3";
    o.act = o.weights = act;
    QmEngine *e = qm_engine_open(&o, &err);
    if (!e) fail_msg("%s", err.text);
    int64_t vocab = qm_engine_info(e)->vocab, s = d.longest, b = d.count, labels;
    float *logits = calloc((size_t)(b * s * vocab), sizeof *logits);
    int32_t *wanted = calloc((size_t)(b * s), sizeof *wanted);
    for (int64_t i = 0; i < b; i++) {
        const TrainSegment *g = d.rows[i].segments;
        QmSession *session = qm_session_new(e, &err);
        QmAppend a = {.session = session, .tokens = g->ids, .count = s, .logits_from = s, .logits = logits + i * s * vocab};
        assert_true(d.rows[i].count == 1 && g->count == s && qm_forward(e, &a, 1, &err));
        memcpy(wanted + i * s, g->labels, (size_t)s * sizeof *wanted);
        qm_session_free(session);
    }
    const HeadRows rows = {.b = b, .s = s, .columns = vocab, .values = logits};
    double loss, sum;
    StepResult r;
    StepNumbers n = numbers_of(c, &d, 0);
    assert_true(loss_tokens(&rows, wanted, true, &loss, &err));
    assert_true(trainer_evaluate(t, d.rows, b, &sum, &labels, &err) && trainer_step(t, d.rows, b, &n, &r, &err));
    sum /= (double)labels;
    if (memcmp(&loss, &sum, sizeof loss) || memcmp(&loss, &r.loss, sizeof loss))
        fail_msg("loss of forward %.17g, of an evaluation %.17g, of a step %.17g", loss, sum, r.loss);
    free(logits);
    free(wanted);
    qm_engine_close(e);
    trainer_close(t);
    data_close(&d);
}
#endif
