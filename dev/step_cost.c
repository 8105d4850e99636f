/* step_cost.c: milliseconds of the processor that a step takes by its rows: a table of rows that decode, at position 100 of
 * as many slots, by rows of a prompt. One worker; the least of three.
 *
 *     cc -O2 -Isrc -o build/step_cost dev/step_cost.c libqwenmesh.a $(pkg-config --libs jansson libpcre2-8 libutf8proc \
 *        libcurl libcrypto) -lm -ldl -lpthread
 *     build/step_cost MODEL
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "qwenmesh.h"

enum { SLOTS = 33, AT = 100, MOST = 192 };
static const int decoding[] = {0, 1, 2, 4, 8, 16, 24, 32}, prompt[] = {0, 8, 16, 32, 48, 64, 96, 128, 192};

static QmErr err;
static QmEngine *engine;
static QmSession *session[SLOTS];
static int32_t ids[MOST];

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void forward(QmAppend *entry, int count) {
    if (!qm_forward(engine, entry, count, &err)) fprintf(stderr, "%s\n", err.text), exit(1);
}

static double step(int decode, int rows) {
    QmAppend entry[SLOTS];
    int count = 0;
    for (; count < decode; count++) {
        qm_session_crop(session[count], AT, &err);
        entry[count] = (QmAppend){.session = session[count], .tokens = ids, .count = 1};
    }
    qm_session_crop(session[SLOTS - 1], 0, &err);
    if (rows) entry[count++] = (QmAppend){.session = session[SLOTS - 1], .tokens = ids, .count = rows};
    double from = now();
    forward(entry, count);
    return 1e3 * (now() - from);
}

int main(int argc, char **argv) {
    QmEngineOptions o;
    if (argc < 2) return fprintf(stderr, "usage: step_cost MODEL\n"), 2;
    qm_engine_options(&o);
    o.model = argv[1], o.slots = SLOTS, o.context = 256, o.act = "auto", o.threads = 1, o.rows = MOST + SLOTS;
    if (!(engine = qm_engine_open(&o, &err))) return fprintf(stderr, "%s\n", err.text), 1;
    for (int i = 0; i < MOST; i++) ids[i] = 300 + i * 131 % 20000;
    for (int i = 0; i < SLOTS; i++) {
        session[i] = qm_session_new(engine, &err);
        forward(&(QmAppend){.session = session[i], .tokens = ids, .count = AT}, 1);
    }
    printf("decode\\prompt");
    for (size_t p = 0; p < sizeof prompt / sizeof *prompt; p++) printf("%8d", prompt[p]);
    for (size_t d = 0; d < sizeof decoding / sizeof *decoding; d++) {
        printf("\n%13d", decoding[d]);
        for (size_t p = 0; p < sizeof prompt / sizeof *prompt; p++) {
            double best = 0, one;
            for (int i = 0; i < 3 && decoding[d] + prompt[p]; i++)
                if ((one = step(decoding[d], prompt[p])) < best || !i) best = one;
            printf("%8.1f", best);
            fflush(stdout);
        }
    }
    printf("\n");
    return 0;
}
