/* train_cases.h: golden cases of training: the rows of each step, what torch made of them, and a comparison with it. */
#ifndef TRAIN_CASES_H
#define TRAIN_CASES_H
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "../src/io/json.h"
#include "../src/io/safetensors.h"
#include "../src/train/trainer.h"
#include "fixture.h"

enum { MOST_ROWS = 64, MOST_STEPS = 16 };

typedef struct Case {
    const char *name, *gradient, *after; /* prefixes of golden tensors; NULL: there are none */
    int steps;
    double rate, beta1, beta2, decay, clip;
    bool same_rows;                      /* every step has all rows */
    const char *adapter, *key;           /* of LoRA: the folder it begins with, its results in golden.json */
    const char *results;                 /* the folder of what torch made of it; NULL: the model's         */
    OptimizerKind optimizer;
    double muon_rate;
    bool muon_as_adamw, moments_8bit;
} Case;

#define ADAMW .results = NULL
#define MUON(of) NULL, of, .results = "train-muon", .optimizer = OPTIMIZER_MUON
static const Case cases[] = {
    {"train", "grad.", "after10.", 10, 1e-3, 0.9, 0.95, 0.1, 0, true, NULL, NULL, ADAMW},
    {"train-accum", NULL, "after.", 12, 4e-3, 0.9, 0.95, 0.1, 0.7, false, NULL, NULL, ADAMW},
    {"train-packed", "clipped_grad.", "after.", 5, 2e-3, 0.9, 0.95, 0.1, 1.0, true, NULL, NULL, ADAMW},
    {"train-lora", "grad.", "adapter-lora-10", 10, 5e-3, 0.9, 0.999, 0.01, 0, true, "adapter-lora-0", "lora", ADAMW},
    {"train-lora", NULL, "adapter-zero-2", 2, 5e-3, 0.9, 0.999, 0.01, 0, true, "adapter-zero-0", "zero", ADAMW},
    {"train-lora", NULL, "adapter-dora-5", 5, 5e-3, 0.9, 0.999, 0.01, 0, true, "adapter-dora-0", "dora", ADAMW},
    {"train", NULL, "original.", 6, 1e-3, 0.9, 0.95, 0.1, 0, true, MUON("original"), .muon_rate = 0.02},
    {"train", NULL, "match_rms_adamw.", 6, 4e-3, 0.9, 0.95, 0.1, 0, true, MUON("match_rms_adamw"), .muon_rate = 4e-3,
     .muon_as_adamw = true},
    {"train", NULL, NULL, 10, 1e-3, 0.9, 0.95, 0.1, 0, true, NULL, NULL, ADAMW, .moments_8bit = true},
};
enum { CASES = sizeof cases / sizeof *cases };

typedef struct Data {
    TrainRow rows[MOST_ROWS];
    TrainSegment segments[MOST_ROWS * 8];
    int64_t count, longest;
    double loss[MOST_STEPS], norm[MOST_STEPS], rate[MOST_STEPS];
    int64_t labels[MOST_STEPS];
    json_t *json;
    SafeTensors tensors;
} Data;

static char path[256]; /* of path_of, until its next call */
FIXTURE const char *path_of(const Case *c, const char *file) {
    snprintf(path, sizeof path, "tests/golden/%s%s%s", c->name, *file ? "/" : "", file);
    return path;
}

static int32_t *ids_of(json_t *list) {
    int32_t *ids = calloc(json_array_size(list) + 1, sizeof *ids);
    for (size_t i = 0; i < json_array_size(list); i++) ids[i] = (int32_t)json_integer_value(json_array_get(list, i));
    return ids;
}

static void row_add(Data *d, const TrainSegment *segments, int64_t count) {
    TrainRow *r = &d->rows[d->count++];
    *r = (TrainRow){.segments = segments, .count = count};
    for (int64_t g = 0; g < count; g++) {
        r->tokens += segments[g].count;
        for (int64_t i = 1; i < segments[g].count; i++) r->labels += segments[g].labels[i] != NO_LABEL;
    }
    if (r->tokens > d->longest) d->longest = r->tokens;
}

/* [b][s] of the golden file; of a packed row, runs of one segment. */
static void rows_of_tensors(Data *d) {
    const SafeTensor *ids = safetensors_find(&d->tensors, "input_ids"), *labels = safetensors_find(&d->tensors, "labels"),
                     *places = safetensors_find(&d->tensors, "position_ids");
    int64_t used = 0, s = ids->dim[1];
    for (int64_t b = 0; b < ids->dim[0]; b++) {
        int64_t first = used;
        for (int64_t at = 0, end; at < s; at = end) {
            const int32_t *x = (const int32_t *)(const void *)ids->data + b * s,
                          *y = (const int32_t *)(const void *)labels->data + b * s,
                          *p = places ? (const int32_t *)(const void *)places->data + b * s : NULL;
            for (end = at + 1; end < s && (!p || p[end] != 0);) end++;
            bool padding = p && end == at + 1 && x[at] == 0 && y[at] == NO_LABEL;
            if (!padding) d->segments[used++] = (TrainSegment){x + at, y + at, end - at, NULL};
        }
        row_add(d, &d->segments[first], used - first);
    }
}

FIXTURE void data_open(Data *d, const Case *c) {
    Err err = {0};
    json_error_t error;
    *d = (Data){0};
    const Case results_of = {.name = c->results ? c->results : c->name};
    if (!safetensors_open(&d->tensors, path_of(&results_of, "golden.safetensors"), &err)) fail_msg("%s", err.text);
    d->json = json_load_file(path_of(&results_of, "golden.json"), 0, &error);
    assert_non_null(d->json);
    json_t *results = c->key ? json_object_get(d->json, c->key) : d->json;
    json_t *samples = json_object_get(d->json, "data"), *steps = json_object_get(d->json, "steps"), *item;
    size_t i;
    json_array_foreach(samples, i, item) {
        json_t *ids = json_object_get(item, "input_ids");
        d->segments[i] = (TrainSegment){ids_of(ids), ids_of(json_object_get(item, "labels")),
                                        (int64_t)json_array_size(ids), NULL};
        row_add(d, &d->segments[i], 1);
    }
    if (!samples) rows_of_tensors(d);
    for (int s = 0; s < c->steps; s++) {
        json_t *step = json_array_get(steps, (size_t)s);
        d->rate[s] = step ? json_number_value(json_object_get(step, "lr")) : c->rate;
        d->loss[s] = json_number_value(step ? json_object_get(step, "loss")
                                            : json_array_get(json_object_get(results, "losses"), (size_t)s));
        d->norm[s] = json_number_value(step ? json_object_get(step, "grad_norm")
                                            : json_array_get(json_object_get(results, "grad_norms"), (size_t)s));
        d->labels[s] = step ? json_integer_value(json_object_get(step, "labels")) : 0;
    }
}

FIXTURE void data_close(Data *d) {
    if (json_object_get(d->json, "data"))
        for (int64_t i = 0; i < d->count; i++) {
            free((void *)(uintptr_t)d->segments[i].ids);
            free((void *)(uintptr_t)d->segments[i].labels);
        }
    json_decref(d->json);
    safetensors_close(&d->tensors);
}

FIXTURE StepNumbers numbers_of(const Case *c, const Data *d, int step) {
    return (StepNumbers){.step = step + 1, .learning_rate = d->rate[step], .beta1 = c->beta1, .beta2 = c->beta2,
                         .epsilon = 1e-8, .weight_decay = c->decay, .max_grad_norm = c->clip,
                         .muon_rate = c->muon_rate, .muon_momentum = 0.95, .muon_as_adamw = c->muon_as_adamw};
}

/* The golden name of a tensor: PEFT has the adapter's name within. */
FIXTURE void golden_name(const Case *c, char out[160], const char *prefix, const char *name) {
    size_t bytes = strlen(name);
    if (c->adapter && *prefix && bytes > 7) snprintf(out, 160, "%s%.*s.default.weight", prefix, (int)bytes - 7, name);
    else snprintf(out, 160, "%s%s", prefix, name);
}

FIXTURE void compare(const Case *c, Trainer *t, const SafeTensors *golden, const char *prefix, TensorPart part, double factor,
                    double relative, double absolute) {
    int compared = 0;
    for (int i = 0; i < trainer_tensors(t); i++) {
        const TrainTensor *of = trainer_tensor(t, i);
        char name[160];
        Err err = {0};
        golden_name(c, name, prefix, of->name);
        const SafeTensor *want = safetensors_find(golden, name);
        /* A bias of keys adds about the same to all scores of a row, so that its gradient is rounding. */
        if (!want || (part == PART_VALUE && c->same_rows && c->clip > 0 && strstr(of->name, "k_proj.bias"))) continue;
        int64_t n = of->dim[0] * of->dim[1];
        float *got = calloc((size_t)n, sizeof *got);
        const float *w = (const float *)(const void *)want->data;
        double most = 0, worst = 0;
        /* Where gradients are rounding alone, AdamW makes steps of it. */
        golden_name(c, name, c->gradient ? c->gradient : "", of->name);
        const SafeTensor *first = part == PART_VALUE && c->gradient ? safetensors_find(golden, name) : NULL;
        const float *rounding = first ? (const float *)(const void *)first->data : NULL;
        if (!trainer_read(t, i, part, got, &err)) fail_msg("%s", err.text);
        for (int64_t k = 0; k < n; k++) {
            most = fmax(most, fabs((double)w[k]));
            if (rounding && fabs((double)rounding[k]) < 1e-6) continue;
            worst = fmax(worst, fabs((double)got[k] * factor - (double)w[k]));
        }
        if (!(worst <= relative * most + absolute))
            fail_msg("%s: %s%s: off by %.3g, the largest is %.3g", c->name, prefix, of->name, worst, most);
        free(got);
        compared++;
    }
    assert_true(compared > 5);
}
#endif
