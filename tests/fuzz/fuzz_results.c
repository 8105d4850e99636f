/* fuzz_results.c: files of results as arbitrary bytes, to be gone on with, sorted and scored. What is refused stays
 * as it was, to the byte; what is taken can be taken again, with as many outputs in it. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "../../src/eval/report.h"
#include "../../src/eval/results.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void put(const char *path, const uint8_t *data, size_t bytes) {
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, bytes, f) != bytes || fclose(f) != 0) abort();
}

static void is(const char *path, const uint8_t *data, size_t bytes) {
    size_t n = 0;
    char *now = file_read(path, SIZE_MAX - 1, &n, NULL);
    if (!now || n != bytes || (bytes && memcmp(now, data, bytes) != 0)) abort();
    free(now);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    static char path[64], scored[80];
    if (!path[0]) snprintf(path, sizeof path, "/tmp/qwenmesh-fuzz-%d", (int)getpid());
    snprintf(scored, sizeof scored, "%s.scored", path);
    json_t *run = json_pack("{s:s,s:i}", "model", "m", "shots", 5);
    const Protocol *p = protocol_find("lm-eval", NULL);
    Results r;
    Err err = {0};
    put(path, data, bytes);
    if (results_open(&r, path, true, run, 4, 2, &err)) {
        int64_t found = r.found;
        if (!results_sort(&r, &err) || !results_close(&r, &err)) abort();
        if (!results_open(&r, path, true, run, 4, 2, &err) || r.found != found || found > 8) abort();
        results_close(&r, &err);
    } else {
        if (!err.kind) abort();
        results_close(&r, NULL);
        is(path, data, bytes);
    }
    put(path, data, bytes);
    err = (Err){0};
    unlink(scored);
    if (results_rescore(p, path, scored, &err)) {
        Lines lines;
        Report report;
        if (!lines_open(&lines, scored, &err) || !report_read(&report, p, &lines, 0, &err)) abort();
        lines_close(&lines);
    } else if (file_exists(scored)) {
        abort();
    }
    is(path, data, bytes);
    json_decref(run);
    unlink(path);
    return 0;
}
