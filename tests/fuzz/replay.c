/* replay.c: runs one fuzz target over files and folders without a fuzzer: every file whole, and cut short at 32 places.
 * Linked with one fuzz_<noun>.c. Prints one TAP test; the input at work is named before it runs, so a crash names
 * it. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include "../../src/base/base.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

enum { CUTS = 32, INPUT_LIMIT = 64 << 20 };

/* A copy of exactly `bytes`, so that an address sanitizer sees the first byte read past the end. */
static bool run_copy(const char *data, size_t bytes, Err *err) {
    uint8_t *copy = malloc(bytes ? bytes : 1);
    if (!copy) return err_set(err, "out of memory: input of %zu bytes", bytes);
    if (bytes) memcpy(copy, data, bytes);
    LLVMFuzzerTestOneInput(copy, bytes);
    free(copy);
    return true;
}

static bool run_file(const char *path, int64_t *inputs, Err *err) {
    size_t bytes;
    char *data = file_read(path, INPUT_LIMIT, &bytes, err);
    if (!data) return false;
    printf("# %s\n", path);
    fflush(stdout);
    bool ok = run_copy(data, bytes, err);
    size_t last = bytes;
    for (size_t i = 1; ok && i <= CUTS; i++) {
        size_t cut = bytes * i / (CUTS + 1);
        if (cut == last) continue;
        last = cut;
        ok = run_copy(data, cut, err);
    }
    free(data);
    *inputs += ok;
    return ok;
}

static bool run_folder(const char *path, int64_t *inputs, Err *err) {
    struct dirent **names;
    int count = scandir(path, &names, NULL, alphasort);
    if (count < 0) return err_set(err, "cannot read folder %s", path);
    bool ok = true;
    for (int i = 0; i < count; i++) {
        if (ok && names[i]->d_name[0] != '.') {
            char *file = path_join(path, names[i]->d_name, err);
            ok = file && run_file(file, inputs, err);
            free(file);
        }
        free(names[i]);
    }
    free(names);
    return ok;
}

int main(int argc, char **argv) {
    Err err = {0};
    int64_t inputs = 0;
    bool ok = true;
    printf("1..1\n");
    for (int i = 1; ok && i < argc; i++)
        ok = folder_exists(argv[i]) ? run_folder(argv[i], &inputs, &err) : run_file(argv[i], &inputs, &err);
    if (ok && !inputs) ok = err_set(&err, "no inputs: expected files or folders that hold some");
    if (!ok) printf("# %s\n", err.text);
    printf("%sok 1 - %lld inputs of %s\n", ok ? "" : "not ", (long long)inputs, argc > 1 ? argv[1] : "nothing");
    return !ok;
}
