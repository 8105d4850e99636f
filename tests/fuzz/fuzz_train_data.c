/* fuzz_train_data.c: two bytes that choose the task, the mask and the template, then a line of a file of samples. What
 * is taken has a label for every token, which is that token or none, and tokens that the tokenizer has. */
#include <stdlib.h>
#include <string.h>
#include "../../src/io/json.h"
#include "../../src/train/train_format.h"

static QmTokenizer *tokenizers[2];

static void open_all(void) {
    Err err = {0};
    for (int i = 0; i < 2; i++) tokenizers[i] = qm_tokenizer_open("tests/data/bytes", &err);
    if (tokenizers[0] && tokenizers[1] && qm_tokenizer_set_chat(tokenizers[1], "chatml", &err)) return;
    fprintf(stderr, "%s\n", err.text);
    exit(1); /* the files of the tests are not there: no finding */
}

static void check(bool holds) {
    if (!holds) abort();
}

static void check_sample(const Sample *s, TrainTask task, int64_t vocab, const TrainNames *names) {
    check(s->labels.count == s->ids.count);
    for (size_t i = 0; i < s->ids.count; i++) {
        check(s->ids.data[i] >= 0 && s->ids.data[i] < vocab);
        int32_t label = s->labels.data[i];
        if (task == TASK_CLM) check(label == NO_LABEL || label == s->ids.data[i]);
        else if (task == TASK_TOKCLS) check(label == NO_LABEL || (label >= 0 && label < NAMES_MOST));
        else check(label == NO_LABEL);
    }
    const TrainTarget *t = &s->target;
    if (task == TASK_QA) check(t->start >= 0 && t->start <= t->end && t->end < (int64_t)s->ids.count);
    if (task == TASK_SEQCLS) check(t->label >= 0 || names->reals);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    if (!tokenizers[0]) open_all();
    if (bytes < 2) return 0;
    TrainDataOptions o = {.task = (TrainTask)(data[0] % 4), .mask = (TrainMask)(data[1] % 3),
                          .control_tokens = data[1] / 8 % 2};
    const QmTokenizer *t = tokenizers[data[1] / 4 % 2];
    Err err = {0};
    TrainNames names;
    Sample sample = {0};
    int32_t *order = NULL;
    check(names_open(&names, NULL, 0, &err));
    TrainReader r = {.tokenizer = t, .options = &o, .names = &names, .vocab = qm_tokenizer_vocab(t),
                     .end = qm_tokenizer_eos(t)};
    json_t *value = json_text((const char *)data + 2, bytes - 2, "JSON", &err);
    for (int round = 0; value && round < 2; round++) { /* again: a sample is reused */
        Err why = {0};
        bool ok = format_read(&r, value, &sample, &why);
        check(ok == !why.kind);
        if (ok) check_sample(&sample, o.task, r.vocab, &names);
    }
    check(names_finish(&names, &order, &err) || err.kind);
    free(order);
    json_decref(value);
    sample_free(&sample);
    names_close(&names);
    return 0;
}
