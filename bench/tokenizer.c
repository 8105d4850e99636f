/* tokenizer.c: how fast text becomes ids. Usage: tokenizer MODEL FILE.jsonl ROUNDS
 * Texts are the strings of every line's "question" and "answer". Prints one line: seconds to load, then MB/s of each
 * round over all texts, one thread, one text a call. The ids are freed again: this is encoding and nothing else. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "../src/qwenmesh.h"

typedef struct Texts { char **text; size_t count, room, bytes; } Texts;

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static bool texts_add(Texts *t, const json_t *line, const char *key) {
    const char *text = json_string_value(json_object_get(line, key));
    if (t->count == t->room) {
        t->room = t->room ? 2 * t->room : 1024;
        char **more = realloc(t->text, t->room * sizeof *more);
        if (!more) return false;
        t->text = more;
    }
    if (!text || !(t->text[t->count] = strdup(text))) return false;
    t->bytes += strlen(t->text[t->count++]);
    return true;
}

static bool texts_read(Texts *t, const char *path) {
    FILE *file = fopen(path, "r");
    bool ok = file != NULL;
    json_t *line;
    while (ok && (line = json_loadf(file, JSON_DISABLE_EOF_CHECK, NULL))) {
        ok = texts_add(t, line, "question") && texts_add(t, line, "answer");
        json_decref(line);
    }
    if (file) fclose(file);
    return ok && t->count > 0;
}

static bool round_of(const QmTokenizer *tokenizer, const Texts *t, QmErr *err) {
    double start = seconds();
    for (size_t i = 0; i < t->count; i++) {
        int32_t *ids;
        if (qm_tokenizer_encode(tokenizer, t->text[i], strlen(t->text[i]), true, &ids, err) < 0) return false;
        free(ids);
    }
    printf(" %.2f", (double)t->bytes / 1e6 / (seconds() - start));
    return true;
}

int main(int argc, char **argv) {
    QmErr err = {0};
    Texts texts = {0};
    int rounds = argc == 4 ? atoi(argv[3]) : 0;
    if (rounds < 1) {
        fprintf(stderr, "usage: %s MODEL FILE.jsonl ROUNDS\n", argv[0]);
        return 2;
    }
    double start = seconds();
    QmTokenizer *tokenizer = qm_tokenizer_open(argv[1], &err);
    printf("%.4f", seconds() - start);
    bool ok = tokenizer && texts_read(&texts, argv[2]);
    for (int i = 0; ok && i < rounds; i++) ok = round_of(tokenizer, &texts, &err);
    putchar('\n');
    if (!ok) fprintf(stderr, "error: %s\n", err.kind ? err.text : "cannot read the texts");
    for (size_t i = 0; i < texts.count; i++) free(texts.text[i]);
    free(texts.text);
    qm_tokenizer_close(tokenizer);
    return !ok;
}
