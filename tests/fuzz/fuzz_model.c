/* fuzz_model.c: whole models, opened and run: a GGUF file, a packed file whose digest is made right, or a config.json
 * before a NUL with model.safetensors after it. Two bytes before that choose mesh, threads, types and rows. Whatever
 * opens gives the same bits on one device, and greedy ids that are in the vocabulary. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "../../src/base/base.h"
#include "../pack_write.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

enum { INPUT_MOST = 1 << 17, TOKENS = 7, MOST_VOCAB = 4096 };

static const char *const meshes[] = {"1x2", "3", "dp2,tp2", "8x4"}, *const acts[] = {NULL, "f32", "int8", "bf16"},
                         *const caches[] = {NULL, "bf16", "8bit", "f32"},
                         *const weights[] = {NULL, "bf16", "8bit", "4bit"};

/* A file in memory; its path. Closed by the caller. */
static int memory_file(const void *data, size_t bytes, char path[64]) {
    int fd = memfd_create("model", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, bytes) != (ssize_t)bytes) abort();
    snprintf(path, 64, "/proc/self/fd/%d", fd);
    return fd;
}

/* The folder of this process, with a name for each of two files. */
static const char *folder_of(const char *config, const char *tensors) {
    static char folder[] = "/tmp/fuzz-model-XXXXXX", name[2][64];
    if (!name[0][0]) {
        if (!mkdtemp(folder)) abort();
        snprintf(name[0], sizeof name[0], "%s/config.json", folder);
        snprintf(name[1], sizeof name[1], "%s/model.safetensors", folder);
    }
    for (int i = 0; i < 2; i++) {
        unlink(name[i]);
        if (symlink(i ? tensors : config, name[i])) abort();
    }
    return folder;
}

/* Logits of all tokens in one call, then a greedy step; false where a step fails, which is then said. */
static bool run(QmEngine *e, float *logits, int32_t best[TOKENS + 1]) {
    QmErr err = {0};
    const QmModelInfo *info = qm_engine_info(e);
    int32_t ids[TOKENS];
    for (int i = 0; i < TOKENS; i++) ids[i] = (int32_t)(i * 5 % info->vocab);
    QmSession *s = qm_session_new(e, &err), *other = qm_session_new(e, &err);
    if (!s || !other) abort();
    QmAppend a[2] = {{.session = s, .tokens = ids, .count = TOKENS, .logits_from = TOKENS, .logits = logits,
                      .argmax = best},
                     {.session = other, .tokens = ids, .count = 3}};
    bool ok = qm_forward(e, a, 2, &err);
    for (int i = 0; ok && i < TOKENS; i++)
        if (best[i] < -1 || best[i] >= info->vocab) abort();
    a[0] = (QmAppend){.session = s, .tokens = ids + 1, .count = 1, .logits_from = 1, .argmax = best + TOKENS};
    a[1] = (QmAppend){.session = other, .tokens = ids, .count = 2};
    ok = ok && qm_forward(e, a, 2, &err);
    if (!ok && !err.kind) abort();
    qm_session_free(s);
    qm_session_free(other);
    return ok;
}

/* Opens and runs; *logits is malloc'ed. False if it does not open or is too large to run. */
static bool open_run(const QmEngineOptions *o, float **logits, int32_t best[TOKENS + 1]) {
    QmErr err = {0};
    QmEngine *e = qm_engine_open(o, &err);
    if (!e && !err.kind) abort();
    bool ok = e && qm_engine_info(e)->vocab <= MOST_VOCAB;
    if (ok) {
        *logits = calloc((size_t)qm_engine_info(e)->vocab * TOKENS, sizeof **logits);
        ok = *logits && run(e, *logits, best);
    }
    qm_engine_close(e);
    return ok;
}

/* NaN may have any payload. */
static bool same(const float *a, const float *b, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (memcmp(&a[i], &b[i], sizeof *a) && (a[i] == a[i] || b[i] == b[i])) return false;
    return true;
}

static void check(const char *path, uint8_t types, uint8_t way) {
    float *want = NULL, *got = NULL;
    int32_t best[2][TOKENS + 1];
    QmEngineOptions o = {.size = sizeof o, .model = path, .threads = 1, .slots = 2, .context = 70, .rows = 64,
                         .act = acts[types & 3], .kv_cache = caches[types >> 2 & 3], .weights = weights[types >> 4 & 3],
                         .hidden = types >> 6 & 1};
    bool ok = open_run(&o, &want, best[0]);
    o.mesh = meshes[way & 3];
    o.threads = 1 + (way >> 2 & 1);
    o.rows = way >> 3 & 1 ? 3 : 64;
    o.isa = way >> 4 & 1 ? "reference" : NULL;
    if (ok && (!open_run(&o, &got, best[1]) || memcmp(best[0], best[1], sizeof best[0]))) abort();
    if (ok) {
        QmErr err = {0};
        QmEngine *e = qm_engine_open(&o, &err);
        if (!e || !same(want, got, qm_engine_info(e)->vocab * TOKENS)) abort();
        qm_engine_close(e);
    }
    free(want);
    free(got);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    char path[2][64];
    if (bytes < 8 || bytes > INPUT_MOST) return 0;
    uint8_t types = data[0], way = data[1];
    data += 2, bytes -= 2;
    if (data[0] == '{') {
        const uint8_t *end = memchr(data, 0, bytes);
        size_t n = end ? (size_t)(end - data) : bytes, rest = end ? bytes - n - 1 : 0;
        int config = memory_file(data, n, path[0]), tensors = memory_file(end ? end + 1 : data, rest, path[1]);
        check(folder_of(path[0], path[1]), types, way);
        close(config);
        close(tensors);
        return 0;
    }
    uint8_t *copy = malloc(bytes);
    if (!copy) abort();
    memcpy(copy, data, bytes);
    if (bytes > PACKED_HEADER && !memcmp(copy, "QMPACKED", 8)) {
        uint64_t json;
        memcpy(&json, copy + 16, sizeof json);
        if (json <= bytes - PACKED_HEADER) pack_seal(copy, (size_t)json, bytes);
    }
    int fd = memory_file(copy, bytes, path[0]);
    free(copy);
    check(path[0], types, way);
    close(fd);
    return 0;
}
