/* fuzz_train_log.c: arbitrary text as a line of a training's log, and as where a run stands. What is taken is written
 * and read back as the same text. */
#include <stdlib.h>
#include <string.h>
#include "../../src/io/json.h"
#include "../../src/train/train_log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void line(const char *data, size_t bytes) {
    Err err = {0};
    TrainEvent e;
    Text once = {0}, again = {0};
    bool ok = train_log_read(data, bytes, "input", &e, &err);
    if (ok == (err.kind != QM_OK)) abort();
    if (!ok) return;
    if (!train_log_line(&e, &once) || !train_log_read(once.data, once.bytes, "again", &e, &err) ||
        !train_log_line(&e, &again) || strcmp(once.data, again.data))
        abort();
    text_free(&once), text_free(&again);
}

static void stand(const char *data, size_t bytes) {
    Err err = {0};
    LoopState s, t;
    json_t *root = json_text(data, bytes, "input", &err);
    bool ok = root && loop_state_read(&s, root, "input", &err);
    json_decref(root);
    if (ok == (err.kind != QM_OK)) abort();
    if (!ok) return;
    json_t *once = loop_state_json(&s, &err);
    if (!once || !loop_state_read(&t, once, "again", &err)) abort();
    json_t *again = loop_state_json(&t, &err);
    if (!again || !json_equal(once, again)) abort();
    json_decref(once), json_decref(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    line((const char *)data, bytes);
    stand((const char *)data, bytes);
    return 0;
}
