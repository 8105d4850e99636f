/* generate.c: continues a text.   generate MODEL TEXT [NEW_TOKENS]
 *     cc generate.c $(pkg-config --cflags --libs --static qwenmesh) -o generate */
#include <qwenmesh.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool say(void *owner, const char *text, size_t bytes) {
    (void)owner;
    return fwrite(text, 1, bytes, stdout) == bytes && fflush(stdout) == 0;
}

int main(int argc, char **argv) {
    QmErr err = {0};
    if (argc < 3) return fprintf(stderr, "usage: generate MODEL TEXT [NEW_TOKENS]\n"), 2;
    char parameters_json[64];
    int n = snprintf(parameters_json, sizeof parameters_json, "{\"do_sample\": false, \"max_new_tokens\": %d}",
                     argc > 3 ? atoi(argv[3]) : 32);

    QmEngineOptions options;
    qm_engine_options(&options);
    options.model = argv[1];
    options.context = 512;

    QmSource *source = qm_source_open(argv[1], &err);
    QmEngine *engine = source ? qm_engine_open_from(source, &options, &err) : NULL;
    QmTokenizer *tokenizer = engine ? qm_tokenizer_open_from(source, &err) : NULL;
    QmParameters *parameters = tokenizer ? qm_parameters_new(source, &err) : NULL;
    int32_t *ids = NULL;
    int64_t count = -1;
    if (parameters && qm_parameters_set(parameters, parameters_json, (size_t)n, &err))
        count = qm_tokenizer_encode(tokenizer, argv[2], strlen(argv[2]), true, &ids, &err);
    if (count > 0) qm_generate(engine, tokenizer, ids, count, false, parameters, say, NULL, &err);
    printf("\n");
    if (err.kind) fprintf(stderr, "%s\n", err.text);
    free(ids);
    qm_parameters_free(parameters);
    qm_tokenizer_close(tokenizer);
    qm_engine_close(engine);
    qm_source_close(source);
    return err.kind != QM_OK;
}
