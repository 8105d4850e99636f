/* fuzz_request.c: a request of `generate`: its names, its parameters, then a few tokens by whatever search it asks
 * for, on a model of three layers. A request is refused with an error, or it ends with a reason; the same request
 * again ends the same. */
#include <stdlib.h>
#include <string.h>
#include "../../src/infer/parameters.h"
#include "../at_path.h"
#include "../drive.h"

enum { MOST_NEW = 5, MOST_BEAMS = 6, MOST_PROMPT = 12 };

static QmEngine *engine;
static QmTokenizer *tokenizer;
static GenerationConfig base;

static void open_all(void) {
    Err err = {0};
    QmEngineOptions o = {.size = sizeof o, .model = "tests/golden/tiny", .threads = 1, .slots = MOST_BEAMS + 2,
                         .context = 24, .rows = 8,
                         .hidden = true};
    engine = qm_engine_open(&o, &err);
    tokenizer = qm_tokenizer_open("tests/data/bytes", &err);
    if (!engine || !tokenizer || !defaults_at(&base, "tests/golden/tiny", &err)) {
        fprintf(stderr, "%s\n", err.text);
        exit(1); /* the files of the tests are not there: no finding */
    }
}

typedef struct One { Request item; bool given; } One;
static bool next(void *user, Request **item, Err *err) {
    One *one = user;
    (void)err;
    if (!one->given) *item = &one->item;
    return one->given = true;
}
static bool done(void *user, Request *item, Err *err) { return (void)user, (void)err, item->g.finish != NULL; }

/* What came of it, as a number; *ok false: an error. */
static uint64_t answer(const GenerationConfig *c, const int32_t *ids, int64_t n, bool *ok) {
    Err err = {0};
    One one = {0};
    Driver s = {.engine = engine};
    Sequences found = {0};
    uint64_t hash = 14695981039346656037u;
    *ok = generation_start(&one.item.g, c, tokenizer, ids, n, &err);
    if (*ok && search_wanted(c, false)) {
        *ok = drive(&s, &one.item.g, &found, &err);
        for (int64_t i = 0; *ok && i < found.count; i++) {
            if (!found.list[i].finish) abort();
            for (int64_t k = 0; k < found.list[i].count; k++)
                hash = (hash ^ (uint64_t)found.list[i].ids[k]) * 1099511628211u;
        }
        if (*ok && (found.count < 1 || found.count > c->num_return_sequences)) abort();
    } else if (*ok) {
        const DriveCalls calls = {.user = &one, .next = next, .done = done};
        *ok = drive_many(engine, &calls, NULL, &err);
        const Generation *g = &one.item.g;
        if (*ok && (!g->finish || g->count > g->prompt + MOST_NEW)) abort();
        for (int64_t k = 0; k < g->count; k++) hash = (hash ^ (uint64_t)g->ids[k]) * 1099511628211u;
    }
    if (*ok == (err.kind != QM_OK)) abort();
    sequences_free(&found);
    generation_free(&one.item.g);
    return hash;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    static const char *const more[] = {"ids", NULL};
    Err err = {0};
    GenerationConfig c = {0};
    if (!engine) open_all();
    json_t *o = json_text((const char *)data, bytes, "input", &err);
    if (!json_is_object(o)) {
        json_decref(o);
        return 0;
    }
    bool known = parameters_known(o, more, "input", &err);
    if (known == (err.kind != QM_OK)) abort();
    Err ignored = {0}; /* names that are not known must not keep values from being tried */
    bool ok = generation_from_json(&c, &base, o, "input", &ignored) && generation_check(&c, 512, &ignored);
    if (ok == (ignored.kind != QM_OK)) abort();
    int32_t ids[MOST_PROMPT] = {5, 6};
    int64_t n = 0;
    const json_t *list = json_object_get(o, "ids");
    for (; n < MOST_PROMPT && n < (int64_t)json_array_size(list); n++)
        ids[n] = (int32_t)(json_integer_value(json_array_get(list, (size_t)n)) & 511);
    if (n == 0) n = 2;
    if (c.max_new_tokens > MOST_NEW || c.max_length) c.max_new_tokens = MOST_NEW, c.max_length = 0;
    bool small = c.num_beams <= MOST_BEAMS && c.num_return_sequences <= MOST_BEAMS && c.best_of <= MOST_BEAMS &&
                 !(c.penalty_alpha > 0 && c.top_k > MOST_BEAMS) && c.max_time <= 0;
    if (ok && small) {
        bool first, again;
        uint64_t a = answer(&c, ids, n, &first), b = answer(&c, ids, n, &again);
        if (first != again || (first && a != b)) abort();
    }
    generation_config_free(&c);
    json_decref(o);
    return 0;
}
