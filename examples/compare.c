/* compare.c: the logits of the same ids on two meshes, bit by bit.   compare MODEL MESH MESH [ID...]
 *     cc compare.c $(pkg-config --cflags --libs --static qwenmesh) -o compare */
#include <qwenmesh.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 64 };

/* All rows of logits, malloc'ed; NULL on error. */
static float *logits_on(const char *model, const char *mesh, const int32_t *ids, int64_t count, size_t *bytes,
                        QmErr *err) {
    QmEngineOptions options;
    qm_engine_options(&options);
    options.model = model;
    options.mesh = mesh;
    options.context = MOST;
    QmEngine *engine = qm_engine_open(&options, err);
    QmSession *session = engine ? qm_session_new(engine, err) : NULL;
    float *logits = NULL;
    if (session) {
        const QmModelInfo *info = qm_engine_info(engine);
        *bytes = (size_t)(count * info->vocab) * sizeof(float);
        logits = malloc(*bytes);
        QmAppend all = {.session = session, .tokens = ids, .count = count, .logits_from = count, .logits = logits};
        bool ok = logits && qm_forward(engine, &all, 1, err);
        printf("%-8s %d devices, %d workers, %s: %s\n", info->mesh, info->devices, info->workers, info->isa,
               ok ? "done" : "failed");
        if (!ok) free(logits), logits = NULL;
    }
    qm_session_free(session);
    qm_engine_close(engine);
    return logits;
}

int main(int argc, char **argv) {
    QmErr err = {0};
    int32_t ids[MOST] = {1, 2, 3, 4, 5, 6, 7};
    size_t bytes[2] = {0};
    if (argc < 4 || argc > 4 + MOST) return fprintf(stderr, "usage: compare MODEL MESH MESH [ID...]\n"), 2;
    for (int i = 4; i < argc; i++) ids[i - 4] = atoi(argv[i]);
    int64_t count = argc > 4 ? argc - 4 : 7;
    float *a = logits_on(argv[1], argv[2], ids, count, &bytes[0], &err);
    float *b = a ? logits_on(argv[1], argv[3], ids, count, &bytes[1], &err) : NULL;
    bool same = a && b && bytes[0] == bytes[1] && !memcmp(a, b, bytes[0]);
    if (err.kind) fprintf(stderr, "%s\n", err.text);
    else printf("%zu logits: %s\n", bytes[0] / sizeof(float), same ? "the same bits" : "they differ");
    free(a);
    free(b);
    return !same;
}
