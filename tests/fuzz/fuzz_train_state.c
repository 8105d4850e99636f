/* fuzz_train_state.c: arbitrary text as trainer_state.json. What is taken is written and read back as the same text. */
#include <stdlib.h>
#include <string.h>
#include "../../src/train/train_state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static char *written(const TrainState *s) {
    Err err = {0};
    json_t *root = train_state_to_json(s, NULL, &err);
    char *text = root ? json_dump(root, JSON_COMPACT, "state", &err) : NULL;
    json_decref(root);
    return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    Err err = {0};
    TrainState s, t;
    json_t *root = json_text((const char *)data, bytes, "input", &err);
    bool ok = root && train_state_from_json(&s, root, "input", &err);
    json_decref(root);
    if (ok == (err.kind != QM_OK)) abort();
    if (!ok) return 0;
    char *text = written(&s);
    if (!text || !(root = json_text(text, strlen(text), "again", &err)) ||
        !train_state_from_json(&t, root, "again", &err))
        abort();
    char *again = written(&t);
    if (!again || strcmp(text, again)) abort();
    free(text);
    free(again);
    json_decref(root);
    train_state_free(&s);
    train_state_free(&t);
    return 0;
}
