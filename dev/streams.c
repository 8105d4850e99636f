/* streams.c: closed streams over one generator: how fast all of them are, and how long each waits between two tokens.
 *
 *     cc -O2 -Isrc -o build/streams dev/streams.c libqwenmesh.a $(pkg-config --libs jansson libpcre2-8 libutf8proc \
 *        libcurl libcrypto) -lm -ldl -lpthread
 *     build/streams MODEL STREAMS PROMPT NEW REQUESTS PREFILL_ROWS [THREADS]
 *
 * With STREAMS_CPU=1 and one thread time is the processor's, so that a busy machine changes little.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "qwenmesh.h"

enum { MOST = 64, MOST_GAPS = 1 << 20 };
typedef struct Stream { int left, number; double asked, last; } Stream;

static QmGenerator *generator;
static QmParameters *parameters;
static Stream stream[MOST];
static double gap[MOST_GAPS], first[1 << 14];
static int gaps, firsts, prompt, asked;
static long tokens;

static double now(void) {
    struct timespec t;
    clock_gettime(getenv("STREAMS_CPU") ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void ask(Stream *s);

static bool on_token(void *owner, int64_t request, int32_t id, const char *text, size_t bytes) {
    Stream *s = owner;
    double t = now();
    (void)request, (void)text, (void)bytes;
    if (id < 0) return true;
    tokens++;
    if (s->last > 0 && gaps < MOST_GAPS) gap[gaps++] = t - s->last;
    else if (firsts < 1 << 14) first[firsts++] = t - s->asked;
    s->last = t;
    return true;
}

static void on_done(void *owner, const QmAnswer *a) {
    if (a->failed) fprintf(stderr, "%s\n", a->failed->text), exit(1);
    ask(owner);
}

static void ask(Stream *s) {
    int32_t ids[8192];
    QmErr err = {0};
    if (!s->left--) return;
    for (int i = 0; i < prompt; i++) ids[i] = 300 + (asked * 131 + i * 17 + i * i % 97) % 20000;
    asked++;
    s->asked = now();
    s->last = 0;
    QmRequest r = {.size = sizeof r, .ids = ids, .count = prompt, .parameters = parameters, .group = (uint64_t)s->number,
                   .sink = {.owner = s, .token = on_token, .done = on_done}};
    if (!qm_generator_add(generator, &r, &err)) fprintf(stderr, "%s\n", err.text), exit(1);
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void tell(const char *what, double *list, int n) {
    qsort(list, (size_t)n, sizeof *list, by_size);
    if (n) printf(", %s p50 %.0f p99 %.0f most %.0f ms", what, 1e3 * list[n / 2], 1e3 * list[n * 99 / 100], 1e3 * list[n - 1]);
}

int main(int argc, char **argv) {
    QmErr err = {0};
    QmEngineOptions o;
    char json[96];
    if (argc < 7) return fprintf(stderr, "usage: see the head of streams.c\n"), 2;
    int streams = atoi(argv[2]), requests = atoi(argv[5]);
    prompt = atoi(argv[3]);
    qm_engine_options(&o);
    o.model = argv[1], o.slots = streams, o.context = 2048, o.act = "auto", o.threads = argc > 7 ? atoi(argv[7]) : 2;
    QmSource *source = qm_source_open(argv[1], &err);
    QmEngine *e = source ? qm_engine_open_from(source, &o, &err) : NULL;
    generator = e ? qm_generator_new(e, NULL, NULL, &err) : NULL;
    parameters = generator ? qm_parameters_new(source, &err) : NULL;
    snprintf(json, sizeof json, "{\"max_new_tokens\": %d, \"eos_token_id\": null}", atoi(argv[4]));
    if (!parameters || !qm_parameters_set(parameters, json, strlen(json), &err)) return fprintf(stderr, "%s\n", err.text), 1;
    qm_generator_prefill_rows(generator, atoi(argv[6]));
    prompt /= 2; /* warm: caches and scratch are touched, and cleared by the kernel, once */
    stream[0] = (Stream){.left = 1}, ask(&stream[0]);
    while (qm_generator_busy(generator))
        if (!qm_generator_step(generator, &err)) return fprintf(stderr, "%s\n", err.text), 1;
    prompt = atoi(argv[3]), tokens = 0, gaps = firsts = 0;
    double start = now();
    for (int i = 0; i < streams; i++) stream[i] = (Stream){.left = requests, .number = i}, ask(&stream[i]);
    while (qm_generator_busy(generator))
        if (!qm_generator_step(generator, &err)) return fprintf(stderr, "%s\n", err.text), 1;
    printf("%d streams, prefill_rows %s: %.0f tokens/s", streams, argv[6], (double)tokens / (now() - start));
    tell("gap", gap, gaps);
    tell("first", first, firsts);
    printf("\n");
    return 0;
}
