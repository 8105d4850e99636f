/* train_data_files.h: files of training data of a test's own making, and golden ones. */
#ifndef TRAIN_DATA_FILES_H
#define TRAIN_DATA_FILES_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#include "../src/io/json.h"
#include "../src/train/train_data.h"
#include "fixture.h"

FIXTURE char folder[] = "/tmp/qwenmesh-train-XXXXXX";

FIXTURE const char *path_of(const char *name) {
    static char path[16][256];
    static int next;
    char *p = path[next++ % 16];
    snprintf(p, sizeof path[0], "%s/%s", folder, name);
    return p;
}

FIXTURE const char *file_with(const char *name, const char *text, size_t bytes) {
    const char *path = path_of(name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, bytes, f), bytes);
    assert_int_equal(fclose(f), 0);
    return path;
}

FIXTURE const char *file_of(const char *name, const char *text) { return file_with(name, text, strlen(text)); }

FIXTURE const char *one_file[1];

FIXTURE TrainDataOptions options_for(const char *path) {
    one_file[0] = path;
    return (TrainDataOptions){.files = one_file, .file_count = 1, .seq_len = 1024, .order = ORDER_FILE, .threads = 2};
}

FIXTURE TrainData *must_open(const TrainDataOptions *o) {
    Err err = {0};
    TrainData *d = train_data_open(qwen, o, &err);
    if (!d) fail_msg("%s", err.text);
    return d;
}

FIXTURE void must_fail(const TrainDataOptions *o, const QmTokenizer *t, const char *want) {
    Err err = {0};
    TrainData *d = train_data_open(t, o, &err);
    assert_null(d);
    assert_true(err.kind);
    if (!strstr(err.text, want)) fail_msg("expected '%s' in: %s", want, err.text);
}

/* The file of one line cannot be read: the error has `want` in it, and the line. */
FIXTURE void wrong_line(const char *line, const char *want) {
    Text text = {0};
    text_line(&text, "{\"ids\": [1, 2]}\n\n%s\n", line);
    TrainDataOptions o = options_for(file_of("wrong.jsonl", text.data));
    must_fail(&o, qwen, want);
    must_fail(&o, qwen, "wrong.jsonl line 3");
    text_free(&text);
}

FIXTURE json_t *golden(const char *name) {
    char path[128];
    Err err = {0};
    snprintf(path, sizeof path, "tests/golden/%s/golden.json", name);
    json_t *root = json_file(path, 1 << 20, &err);
    if (!root) fail_msg("%s", err.text);
    return root;
}

FIXTURE int64_t number(const json_t *list, size_t i) { return json_integer_value(json_array_get(list, i)); }

/* A list of lists, one "ids" a line. */
FIXTURE const char *file_of_ids(const char *name, const json_t *ids, const json_t *labels) {
    Text text = {0};
    size_t i;
    const json_t *list;
    json_array_foreach(ids, i, list) {
        char *dump = json_dumps(list, 0), *more = labels ? json_dumps(json_array_get(labels, i), 0) : NULL;
        if (more) text_line(&text, "{\"ids\": %s, \"labels\": %s}\n", dump, more);
        else text_line(&text, "{\"ids\": %s}\n", dump);
        free(dump), free(more);
    }
    const char *path = file_of(name, text.data);
    text_free(&text);
    return path;
}

FIXTURE int setup(void **state) { return mkdtemp(folder) ? open_qwen(state) : -1; }

FIXTURE int teardown(void **state) {
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command) || close_qwen(state);
}
#endif
