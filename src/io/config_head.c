/* config_head.c: which head a checkpoint has, by `architectures` of its config.json. Source: the classes Qwen2For... of
 * transformers 5 (modeling_layers.py: GenericForSequenceClassification and its siblings). */
#include <string.h>
#include "config_check.h"
#include "json.h"

/* `weight`: the name of its matrix in the file, of those with labels. `below`: base_model_prefix of the classes. */
const HeadRow head_table[HEAD_COUNT] = {
    [HEAD_CAUSAL] = {"causal", "ForCausalLM", NULL, false, GRAPH_BELOW},
    [HEAD_SEQUENCE] = {"sequence", "ForSequenceClassification", "score", false, GRAPH_BELOW},
    [HEAD_TOKEN] = {"token", "ForTokenClassification", "score", true, GRAPH_BELOW},
    [HEAD_QUESTION] = {"question", "ForQuestionAnswering", "qa_outputs", true, "transformer."},
    [HEAD_ABSENT] = {"none", "Model", NULL, false, ""},
};

enum { MAX_LABELS = 1 << 16 };

const char *name_below(const char *name) {
    size_t n = sizeof GRAPH_BELOW - 1;
    return strncmp(name, GRAPH_BELOW, n) ? NULL : name + n;
}

Head head_named(const char *name) {
    Head h = 0;
    while (h < HEAD_COUNT && strcmp(head_table[h].name, name)) h++;
    return h;
}

static Head head_of_class(const char *name) {
    size_t n = strlen(name);
    for (Head h = 0; h < HEAD_COUNT; h++) {
        size_t s = strlen(head_table[h].suffix);
        bool other = h == HEAD_ABSENT && strstr(name, "For"); /* Qwen2ForRewardModel has a head of its own */
        if (n > s && !strcmp(name + n - s, head_table[h].suffix) && !other) return h;
    }
    return HEAD_COUNT;
}

/* A file without `architectures`, which only loading by class needs, is a causal model. */
static bool read_head(ModelConfig *c, const json_t *root, const char *where, Err *err) {
    const json_t *list = json_object_get(root, "architectures");
    c->head = HEAD_CAUSAL;
    if (!list || json_is_null(list) || (json_is_array(list) && json_array_size(list) == 0)) return true;
    const char *name = json_string_value(json_array_get(list, 0));
    if (!name) return err_set(err, "%s: architectures: expected a list of names", where);
    c->head = head_of_class(name);
    if (c->head < HEAD_COUNT) return true;
    return err_set(err, "%s: architectures: expected a class that ends in ForCausalLM, ForSequenceClassification, "
                   "ForTokenClassification, ForQuestionAnswering or Model, got %s", where,
                   name_text(name, strlen(name)).text);
}

bool head_from_json(ModelConfig *c, const json_t *root, const char *where, Err *err) {
    if (!read_head(c, root, where, err)) return false;
    if (!head_table[c->head].weight) return true;
    const json_t *names = json_object_get(root, "id2label");
    const char *problem = "";
    c->labels = json_is_object(names) && json_object_size(names) ? (int64_t)json_object_size(names) : 2;
    if (!json_is_object(names) && !json_get_int(root, "num_labels", where, 1, MAX_LABELS, &c->labels, err))
        return false;
    if (c->head == HEAD_QUESTION) c->labels = 2; /* begins here, ends here */
    if (c->labels > MAX_LABELS)
        return err_as(err, QM_LIMIT, "%s: id2label: expected at most %d labels, got %lld", where, MAX_LABELS,
                      (long long)c->labels);
    if (!json_get_text(root, "problem_type", where, &problem, err)) return false;
    static const char *const problems[] = {"", "regression", "single_label_classification",
                                           "multi_label_classification"};
    for (int i = 0; i < 4; i++)
        if (!strcmp(problem, problems[i])) {
            snprintf(c->problem, sizeof c->problem, "%s", problem);
            return true;
        }
    return err_set(err, "%s: problem_type: expected regression, single_label_classification or "
                   "multi_label_classification, got %s", where, name_text(problem, strlen(problem)).text);
}
