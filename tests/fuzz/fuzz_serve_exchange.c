/* fuzz_serve_exchange.c: a saved exchange. What is taken has runs and sequences within the limits, ids that can be ids,
 * and comes back the same when it is written. */
#include <stdlib.h>
#include <string.h>
#include "../../src/serve/exchange_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void check(bool holds) {
    if (!holds) abort();
}

static void check_run(const ExchangeRun *r) {
    check(r->count >= 1 && json_is_object(r->parameters) && r->sequence <= INT64_MAX);
    check(r->sequence_count >= 1 && r->sequence_count <= EXCHANGE_MOST_SEQUENCES);
    for (int64_t i = 0; i < r->count; i++) check(r->ids[i] >= 0);
    for (int64_t i = 0; i < r->sequence_count; i++) {
        const QmSequence *s = &r->sequences[i];
        check(s->finish && s->text && strlen(s->text) <= s->bytes && (!s->proof || strlen(s->proof) == 64));
        for (int64_t k = 0; k < s->count; k++) check(s->ids[k] >= 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    ExchangeFile file, again;
    Err err = {0};
    bool ok = exchange_file_parse(&file, (const char *)data, bytes, "input", &err);
    check(ok == (err.kind == QM_OK));
    if (ok) {
        check(file.id && file.route && file.fingerprint && file.run_count >= 1 && file.run_count <= EXCHANGE_MOST_RUNS);
        for (int64_t i = 0; i < file.run_count; i++) check_run(&file.runs[i]);
        char *text = exchange_file_text(&file, &err);
        check(text && exchange_file_parse(&again, text, strlen(text), "again", &err) &&
              again.run_count == file.run_count);
        char *same = exchange_file_text(&again, &err);
        check(same && !strcmp(text, same));
        free(same);
        free(text);
        exchange_file_free(&again);
    }
    exchange_file_free(&file);
    return 0;
}
