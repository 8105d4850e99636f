/* task_head.c: see task_head.h. */
#include <stdlib.h>
#include <string.h>
#include "initial.h"
#include "task_head.h"

/* Draws of a head are those of no tensor that a whole model begins with. */
#define HEAD_TENSOR ((uint64_t)1 << 32)

static const Head heads[] = {[TASK_CLM] = HEAD_CAUSAL, [TASK_SEQCLS] = HEAD_SEQUENCE, [TASK_TOKCLS] = HEAD_TOKEN,
                             [TASK_QA] = HEAD_QUESTION};

Head task_head(TrainTask task) { return heads[task]; }

bool task_head_configure(ModelConfig *c, TrainTask task, int64_t labels, bool *missing, Err *err) {
    Head want = heads[task];
    *missing = false;
    if (c->head == want && (!strcmp(c->problem, "multi_label_classification") ||
                            (!strcmp(c->problem, "regression") && c->labels > 1)))
        return err_set(err, "the model's problem_type is %s of %lld labels: expected one class of each sequence, or "
                            "one number", c->problem, (long long)c->labels);
    if (c->head == want && (want == HEAD_CAUSAL || !labels || labels == c->labels)) return true;
    if (c->head == want)
        return err_set(err, "the model's head '%s' has %lld labels: expected %lld, as many as the data",
                       head_table[want].name, (long long)c->labels, (long long)labels);
    if (want == HEAD_CAUSAL || (c->head != HEAD_CAUSAL && c->head != HEAD_ABSENT))
        return err_set(err, "the model's head is '%s': expected '%s', which the task trains", head_table[c->head].name,
                       head_table[want].name);
    if (labels < 1)
        return err_set(err, "the model has no head '%s': expected the number of its labels, to begin one",
                       head_table[want].name);
    c->head = want;
    c->labels = labels;
    c->problem[0] = 0;
    return *missing = true;
}

static bool range_of(QmSource *source, double *out, Err *err) {
    const json_t *root;
    const char *where;
    *out = 0.02;
    return source_json(source, "config.json", &root, &where, err) &&
           (!root || json_get_float(root, "initializer_range", where, 1e-9, 1e3, out, err));
}

bool task_head_begin(const ModelConfig *c, QmSource *source, uint64_t seed, Weights *weights, float **values,
                     Err *err) {
    const HeadRow *head = &head_table[c->head];
    size_t n = (size_t)c->labels, d = (size_t)c->hidden, all;
    char matrix[64], bias[64];
    double range;
    if (!range_of(source, &range, err)) return false;
    if (!size_mul(n, d + 1, &all)) return err_as(err, QM_LIMIT, "a head of %zu labels: sizes wrap", n);
    float *v = *values = mem_new(all, sizeof *v, "a new head", err);
    if (!v) return false;
    for (size_t i = 0; i < n * d; i++) v[i] = (float)(range * initial_normal(seed, HEAD_TENSOR, i));
    memset(v + n * d, 0, n * sizeof *v);
    snprintf(matrix, sizeof matrix, "%s.weight", head->weight);
    snprintf(bias, sizeof bias, "%s.bias", head->weight);
    const WeightTensor made[] = {
        {.name = matrix, .file = "the new head", .dtype = DTYPE_F32, .rank = 2, .dim = {c->labels, c->hidden},
         .data = (const uint8_t *)v, .bytes = n * d * sizeof *v},
        {.name = bias, .file = "the new head", .dtype = DTYPE_F32, .rank = 1, .dim = {c->labels},
         .data = (const uint8_t *)(v + n * d), .bytes = n * sizeof *v},
    };
    return weights_add(weights, made, head->bias ? 2 : 1, err);
}

/* ---- Names ------------------------------------------------------------------------------------------------------- */

static void plain_name(char out[32], int64_t i) { snprintf(out, 32, "LABEL_%lld", (long long)i); }

bool task_names_read(TaskNames *names, const ModelConfig *c, QmSource *source, TrainTask task, Err *err) {
    const json_t *root, *list;
    const char *where;
    bool own = false;
    *names = (TaskNames){0};
    if (c->head != heads[task] || c->labels < 2 || (task != TASK_SEQCLS && task != TASK_TOKCLS)) return true;
    if (!source_json(source, "config.json", &root, &where, err)) return false;
    list = json_object_get(root, "id2label");
    if (!json_is_object(list)) return true;
    names->root = json_incref((json_t *)(uintptr_t)list);
    names->name = mem_new((size_t)c->labels, sizeof *names->name, "names of classes", err);
    for (int64_t i = 0; names->name && i < c->labels; i++) {
        char key[32], plain[32];
        snprintf(key, sizeof key, "%lld", (long long)i);
        plain_name(plain, i);
        const json_t *name = json_object_get(list, key);
        if (!json_is_text(name) || !json_string_length(name) ||
            strlen(json_string_value(name)) != json_string_length(name)) {
            err_set(err, "%s: id2label: expected the name of a class \"%s\"", where, key);
            break;
        }
        names->name[i] = json_string_value(name);
        own = own || strcmp(plain, names->name[i]);
    }
    if (err->kind) task_names_free(names);
    else if (own) names->count = (int)c->labels;
    return !err->kind;
}

void task_names_free(TaskNames *names) {
    free(names->name);
    json_decref(names->root);
    *names = (TaskNames){0};
}

json_t *task_changes(int64_t labels, const char *const *names, int count, Err *err) {
    json_t *root = json_object(), *by_id = json_object(), *by_name = json_object();
    bool ok = root && by_id && by_name;
    for (int64_t i = 0; ok && i < labels; i++) {
        char key[32], plain[32];
        snprintf(key, sizeof key, "%lld", (long long)i);
        plain_name(plain, i);
        const char *name = i < count ? names[i] : plain;
        ok = json_object_set_new(by_id, key, json_string(name)) == 0 &&
             json_object_set_new(by_name, name, json_integer(i)) == 0;
    }
    ok = ok && json_object_set(root, "id2label", by_id) == 0 && json_object_set(root, "label2id", by_name) == 0;
    json_decref(by_id);
    json_decref(by_name);
    if (ok) return root;
    json_decref(root);
    err_as(err, QM_MEMORY, "out of memory: names of classes");
    return NULL;
}
