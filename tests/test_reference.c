/* test_reference.c: searches that no golden file covers, beside the plainest way to do the same: every sequence is fed
 * from its first token each time, all continuations are sorted whole, sums are in double. Groups of beams, beams with
 * stop strings, sampled beams, contrastive search; log-probabilities of beams; text and stop strings. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "../src/infer/choice.h"
#include "at_path.h"
#include "drive.h"
#include "fixture.h"

enum { V = 512, D = 64, LAYERS = 16, MOST = 64, BEAMS = 8, PROMPTS = 4 };

static const char *const tiny = "tests/golden/tiny";
static QmEngine *plain, *mesh; /* the reference runs on one device, the search on eight */
static QmTokenizer *bytes_tokenizer;

static int open_models(void **state) {
    (void)state;
    QmErr err = {0};
    QmEngineOptions o = {
        .size = sizeof o, .model = tiny, .mesh = "1x1", .threads = 1, .slots = 1, .context = 64, .hidden = true};
    plain = qm_engine_open(&o, &err);
    o.mesh = "2x4", o.slots = 8, o.rows = 5;
    mesh = qm_engine_open(&o, &err);
    bytes_tokenizer = qm_tokenizer_open("tests/data/bytes", &err);
    if (err.kind) fprintf(stderr, "%s\n", err.text);
    return err.kind || qm_engine_info(plain)->hidden > D || qm_engine_info(plain)->layers > LAYERS ? -1 : 0;
}

static int close_models(void **state) {
    (void)state;
    qm_tokenizer_close(bytes_tokenizer);
    qm_engine_close(mesh);
    qm_engine_close(plain);
    return 0;
}

/* ---- The plainest way -------------------------------------------------------------------------------------------- */

typedef struct Path { int32_t id[MOST]; int count; double sum, score; } Path;

/* log p [V] of what follows the ids, and the last layer's hidden states [count][D] unless NULL. */
static void look(const int32_t *ids, int count, double *logp, double (*last)[D]) {
    Err err = {0};
    static float logits[V], hidden[(LAYERS + 1) * MOST * D];
    int64_t width = qm_engine_info(plain)->hidden, layers = qm_engine_info(plain)->layers;
    QmSession *s = qm_session_new(plain, &err);
    QmAppend a = {.session = s, .tokens = ids, .count = count, .logits_from = 1, .logits = logits, .hidden = hidden};
    if (!s || !qm_forward(plain, &a, 1, &err)) fail_msg("%s", err.text);
    qm_session_free(s);
    double total = 0;
    for (int v = 0; v < V; v++) total += exp((double)logits[v]);
    for (int v = 0; v < V; v++) logp[v] = (double)logits[v] - log(total);
    for (int t = 0; last && t < count; t++)
        for (int64_t i = 0; i < width; i++) last[t][i] = (double)hidden[(layers * count + t) * width + i];
}

typedef struct Way { int beam; int32_t id; double sum, key; } Way; /* key: sum, or what a draw makes of it */

static int by_sum(const void *a, const void *b) {
    const Way *x = a, *y = b;
    return (x->sum < y->sum) - (x->sum > y->sum);
}
static int by_key(const void *a, const void *b) {
    const Way *x = a, *y = b;
    return (x->key < y->key) - (x->key > y->key);
}
static int by_score(const void *a, const void *b) {
    const Path *x = a, *y = b;
    return (x->score < y->score) - (x->score > y->score);
}

typedef struct Task {
    int beams, groups, new_tokens, prompt;
    double diversity, length_penalty;
    int32_t eos;              /* -1: none */
    const char *stop;         /* or NULL  */
    int seed;                 /* 0: not sampled */
    bool early, never;        /* early_stopping: true, "never"; neither: false */
} Task;

/* Whether the sequence's new text holds the stop string, or its last id is the end. */
static bool ends(const Task *t, const Path *p) {
    Err err = {0};
    size_t bytes;
    if (p->id[p->count - 1] == t->eos || p->count - t->prompt == t->new_tokens) return true;
    if (!t->stop) return false;
    char *text = qm_tokenizer_decode(bytes_tokenizer, p->id + t->prompt, p->count - t->prompt, true, &bytes, &err);
    bool found = text && memmem(text, bytes, t->stop, strlen(t->stop));
    free(text);
    return found;
}

typedef struct Group { Path run[BEAMS], over[2 * BEAMS]; int running, finished; bool hopeful, done; } Group;

static Path extend(const Path *p, int32_t id, double sum) {
    Path next = *p;
    next.id[next.count++] = id;
    next.sum = sum;
    return next;
}

static void finish(const Task *t, Group *g, const Path *path) {
    int size = t->beams / t->groups;
    Path p = *path;
    p.score = p.sum / pow(p.count - t->prompt, t->length_penalty);
    g->over[g->finished++] = p;
    qsort(g->over, (size_t)g->finished, sizeof *g->over, by_score);
    if (g->finished > size) g->finished = size;
}

/* The last token of one of several groups (transformers 4.49): ends by id first; then, unless they filled the list and
 * that is all that was asked for, the best `size` others. */
static void group_last(const Task *t, Group *g, const Way *way, int ways) {
    int size = t->beams / t->groups;
    for (int i = 0; i < size; i++) {
        Path p = extend(&g->run[way[i].beam], way[i].id, way[i].sum);
        if (way[i].id == t->eos) finish(t, g, &p);
    }
    bool full = t->early && g->finished == size;
    for (int i = 0, others = 0; !full && i < ways && others < size; i++) {
        Path p = extend(&g->run[way[i].beam], way[i].id, way[i].sum);
        if (way[i].id != t->eos) others++, finish(t, g, &p);
    }
}

static void group_step(const Task *t, Group *g, const int *chosen, int *mine) {
    static Way way[BEAMS * V];
    double logp[V];
    int size = t->beams / t->groups, ways = 0, going = 0;
    static Path next[BEAMS];
    bool open = g->hopeful && !(t->early && g->finished == size); /* looked at before the step */
    for (int b = 0; b < g->running; b++) {
        look(g->run[b].id, g->run[b].count, logp, NULL);
        for (int v = 0; v < V; v++) {
            Way w = {b, v, g->run[b].sum + logp[v] - t->diversity * chosen[v], 0};
            uint64_t place = (uint64_t)b << 32 | (uint32_t)v; /* Gumbel noise: the largest keys are a draw */
            double u = draw_uniform((uint64_t)t->seed ^ place * 0x9e3779b97f4a7c15u, 0, (uint64_t)g->run[b].count);
            w.key = t->seed ? w.sum - log(-log(u)) : w.sum;
            way[ways++] = w;
        }
    }
    qsort(way, (size_t)ways, sizeof *way, by_key);
    for (int i = 0, told = 0; told < size; i++) /* also what only the length ends */
        if (way[i].id != t->eos) mine[way[i].id]++, told++;
    if (t->groups > 1 && g->run[0].count + 1 - t->prompt == t->new_tokens) {
        if (open) group_last(t, g, way, ways);
        g->done = true;
        return;
    }
    for (int i = 0; i < size; i++) { /* those that end are ranked by key */
        Path p = extend(&g->run[way[i].beam], way[i].id, way[i].sum);
        if (ends(t, &p) && open) finish(t, g, &p);
    }
    qsort(way, (size_t)(2 * size), sizeof *way, by_sum); /* those that go on, by sum */
    for (int i = 0; i < ways && i < 2 * size; i++) {
        Path p = extend(&g->run[way[i].beam], way[i].id, way[i].sum);
        if (going < size && !ends(t, &p)) next[going++] = p;
    }
    memcpy(g->run, next, sizeof next);
    g->running = going;
    if (going == 0) {
        g->done = true;
        return;
    }
    int length = t->never && t->length_penalty > 0 ? t->new_tokens : g->run[0].count - t->prompt;
    double best = g->run[0].sum / pow(length, t->length_penalty);
    if (g->finished == size && !(best > g->over[size - 1].score)) g->hopeful = false;
    g->done = !g->hopeful || (t->early && g->finished == size);
}

static int reference_beams(const Task *t, const int32_t *prompt, Path *out) {
    static Group group[BEAMS];
    int count = 0, open = t->groups;
    for (int k = 0; k < t->groups; k++) {
        group[k] = (Group){.running = 1, .hopeful = true};
        group[k].run[0].count = t->prompt;
        memcpy(group[k].run[0].id, prompt, (size_t)t->prompt * sizeof *prompt);
    }
    while (open) {
        int chosen[V] = {0};
        open = 0;
        for (int k = 0; k < t->groups; k++) {
            int mine[V] = {0};
            if (!group[k].done) group_step(t, &group[k], chosen, mine);
            else if (t->eos >= 0) mine[t->eos] = t->beams / t->groups; /* the padding */
            for (int v = 0; v < V; v++) chosen[v] += mine[v];
            open += !group[k].done;
        }
    }
    for (int k = 0; k < t->groups; k++)
        for (int i = 0; i < group[k].finished; i++) out[count++] = group[k].over[i];
    qsort(out, (size_t)count, sizeof *out, by_score);
    return count;
}

/* ---- Beside the search ------------------------------------------------------------------------------------------- */

static void prompt_of(int number, int32_t *ids, int count) {
    for (int i = 0; i < count; i++) ids[i] = (number * 97 + i * i * 31 + i * 7 + 5) % V;
}

static Sequences search(json_t *request, const int32_t *prompt, int count) {
    Err err = {0};
    Driver s = {.engine = mesh};
    Generation g;
    Sequences found = {0};
    GenerationConfig base = {0}, c;
    if (!defaults_at(&base, tiny, &err)) fail_msg("%s", err.text);
    base.eos_count = 0;
    if (!generation_from_json(&c, &base, request, "test", &err) || !generation_check(&c, V, &err) ||
        !generation_start(&g, &c, bytes_tokenizer, prompt, count, &err) || !drive(&s, &g, &found, &err))
        fail_msg("%s", err.text);
    generation_free(&g);
    generation_config_free(&base), generation_config_free(&c);
    return found;
}

/* The same sequences in the same order, with the same scores; returns how many ended before the last token. */
static int compare_beams(const Task *task, int number, const char *what) {
    int32_t prompt[MOST];
    Path want[BEAMS * 2];
    Task t = *task;
    prompt_of(number, prompt, t.prompt);
    int count = reference_beams(&t, prompt, want), early = 0;
    json_t *request = json_pack("{s:i,s:i,s:i,s:i,s:f,s:f,s:b,s:i}", "num_beams", t.beams, "num_beam_groups", t.groups,
                                "num_return_sequences", t.beams, "max_new_tokens", t.new_tokens, "diversity_penalty",
                                t.diversity, "length_penalty", t.length_penalty, "early_stopping", t.early, "logprobs",
                                1);
    if (t.eos >= 0) json_object_set_new(request, "eos_token_id", json_integer(t.eos));
    if (t.seed)
        json_object_update_new(request, json_pack("{s:b,s:i,s:f,s:i,s:f}", "do_sample", true, "seed", t.seed,
                                                  "temperature", 1.0, "top_k", 0, "top_p", 1.0));
    if (t.never) json_object_set_new(request, "early_stopping", json_string("never"));
    if (t.stop) json_object_set_new(request, "stop_strings", json_string(t.stop));
    Sequences got = search(request, prompt, t.prompt);
    assert_int_equal(got.count, count);
    for (int i = 0; i < count; i++) {
        const Generation *g = &got.list[i];
        const Path *p = &want[i];
        if (g->count != p->count || memcmp(g->ids, p->id, (size_t)p->count * sizeof *p->id))
            fail_msg("%s, prompt %d: sequence %d differs (%lld ids, expected %d)", what, number, i, (long long)g->count,
                     p->count);
        if (!(fabs(g->score - p->score) < 1e-4 * fmax(1, fabs(p->score))))
            fail_msg("%s, prompt %d: score %.7g, expected %.7g", what, number, g->score, p->score);
        early += p->count - t.prompt < t.new_tokens;
        double told = 0;
        for (int64_t k = 0; k < g->count - g->prompt; k++) {
            assert_int_equal(g->logprobs[2 * k].id, g->ids[g->prompt + k]);
            assert_true(g->logprobs[2 * k + 1].logprob >= g->logprobs[2 * k].logprob);
            told += (double)g->logprobs[2 * k].logprob;
        }
        assert_true(fabs(told - g->logprob_sum) < 1e-6 * fabs(told));
        if (t.diversity == 0) assert_true(fabs(told - p->sum) < 1e-4 * fabs(told));
    }
    sequences_free(&got);
    json_decref(request);
    return early;
}

static void groups_of_beams(void **state) {
    (void)state;
    static const Task tasks[] = {
        {.beams = 6, .groups = 3, .diversity = 0.7, .length_penalty = 1, .eos = -1},
        {.beams = 6, .groups = 2, .diversity = 2.5, .length_penalty = 1, .eos = -1},
        {.beams = 4, .groups = 4, .diversity = 1.1, .length_penalty = -0.5, .eos = -1},
        {.beams = 8, .groups = 2, .diversity = 0.3, .length_penalty = 2, .eos = 396},
        {.beams = 6, .groups = 3, .diversity = 1.3, .length_penalty = 0.4, .eos = 208, .early = true},
    };
    for (int i = 0; i < 5; i++)
        for (int number = 0; number < PROMPTS; number++) {
            Task t = tasks[i];
            char what[40];
            t.new_tokens = 7, t.prompt = 5 + number;
            snprintf(what, sizeof what, "groups, task %d", i);
            compare_beams(&t, number, what);
        }
}

/* A stop string ends a beam as the end-of-sequence id does, also when it begins and ends inside tokens; what is ranked
 * first may have ended early. */
static void stop_strings_in_beams(void **state) {
    (void)state;
    static const char *const stops[] = {"0 4", " 3", "24", "3"}; /* ids past the bytes read as " 396" */
    static const double penalties[] = {-1, 0.5, 2};
    int early = 0;
    for (int i = 0; i < 36; i++) /* every stop string, penalty and way to stop */
        for (int number = 0; number < PROMPTS; number++) {
            Task t = {.beams = i < 27 ? 4 : 2, .groups = 1, .length_penalty = penalties[i / 3 % 3], .eos = -1,
                      .stop = stops[i / 9], .early = i % 3 == 1, .never = i % 3 == 2, .new_tokens = 12,
                      .prompt = 6 + number};
            early += compare_beams(&t, number, stops[i / 9]);
        }
    assert_true(early > 50);
}

static void sampled_beams(void **state) {
    (void)state;
    for (int i = 0; i < 12; i++)
        for (int number = 0; number < PROMPTS; number++) {
            Task t = {.beams = 2 + i % 4, .groups = 1, .length_penalty = 1, .eos = i % 2 ? 396 : -1, .seed = 11 + i,
                      .new_tokens = 8, .prompt = 6 + number};
            compare_beams(&t, number, "sampled beams");
        }
}

/* Two of three tokens are drawn without putting the first back: how often the likeliest is not among them is known. And
 * top_k 1 leaves two, so that a beam may end and another go on. */
static void beams_drawn(void **state) {
    (void)state;
    enum { DRAWS = 1500, N = 9 };
    int32_t prompt[N];
    double logp[V], p[3] = {0}, total = 0;
    int best[3] = {-1, -1, -1}, without = 0;
    prompt_of(1, prompt, N);
    look(prompt, N, logp, NULL);
    for (int k = 0; k < 3; k++)
        for (int v = 0; v < V; v++)
            if (v != best[0] && v != best[1] && (best[k] < 0 || logp[v] > logp[best[k]])) best[k] = v;
    for (int k = 0; k < 3; k++) total += p[k] = exp(logp[best[k]]);
    for (int k = 0; k < 3; k++) p[k] /= total;
    for (int i = 0; i <= DRAWS; i++) {
        json_t *request = json_pack("{s:i,s:i,s:b,s:i,s:i,s:i,s:f,s:f}", "num_beams", 2, "num_return_sequences", 2,
                                    "do_sample", true, "top_k", i < DRAWS ? 3 : 1, "seed", i + 1, "max_new_tokens", 1,
                                    "temperature", 1.0, "top_p", 1.0);
        Sequences got = search(request, prompt, N);
        assert_int_equal(got.count, 2);
        without += got.list[0].ids[N] != best[0] && got.list[1].ids[N] != best[0];
        sequences_free(&got);
        json_decref(request);
    }
    double want = DRAWS * (p[1] * p[2] / (1 - p[1]) + p[2] * p[1] / (1 - p[2]));
    if (fabs(without - want) > 4 * sqrt(want)) fail_msg("%d draws without the likeliest, expected %g", without, want);
}

/* The best of several samples is that of the largest mean log-probability, whatever their lengths. */
static void best_by_mean(void **state) {
    (void)state;
    int32_t prompt[9], lengths = 0;
    prompt_of(2, prompt, 9);
    json_t *request = json_pack("{s:b,s:i,s:i,s:i,s:s,s:i,s:f}", "do_sample", true, "num_return_sequences", 6,
                                "best_of", 12, "max_new_tokens", 12, "stop_strings", " 3", "logprobs", 0,
                                "temperature", 1.0);
    Sequences got = search(request, prompt, 9);
    assert_int_equal(got.count, 6);
    for (int i = 0; i < 6; i++) {
        const Generation *g = &got.list[i];
        double sum = 0;
        for (int64_t t = 0; t < g->count - g->prompt; t++) sum += (double)g->logprobs[t].logprob;
        assert_true(fabs(g->score - sum / (double)(g->count - g->prompt)) < 1e-9);
        if (i) assert_true(g->score <= g[-1].score);
        lengths += i && g->count != g[-1].count;
    }
    assert_true(lengths > 0);
    sequences_free(&got);
    json_decref(request);
}

/* ---- Text of one sequence ---------------------------------------------------------------------------------------- */

/* Pushes ids and returns the text that was shown, piece by piece with | between. */
static void shown(const char *request_text, const int32_t *ids, int count, char *out, size_t room) {
    Err err = {0};
    Generation g;
    int32_t prompt[] = {1, 2, 3};
    GenerationConfig base = {0}, c;
    json_t *request = json_loads(request_text, 0, NULL);
    assert_true(defaults_at(&base, tiny, &err) && generation_from_json(&c, &base, request, "test", &err) &&
                generation_start(&g, &c, bytes_tokenizer, prompt, 3, &err));
    out[0] = 0;
    for (int i = 0; i < count && !g.finish; i++) {
        const char *text;
        size_t bytes, n = strlen(out);
        assert_true(generation_push(&g, ids[i], &text, &bytes, &err));
        snprintf(out + n, room - n, "%.*s|", (int)bytes, text);
    }
    size_t n = strlen(out);
    snprintf(out + n, room - n, "%s", g.finish ? g.finish : "");
    generation_free(&g);
    generation_config_free(&base), generation_config_free(&c);
    json_decref(request);
}

static void text_held_back(void **state) {
    (void)state;
    static const struct { const char *request, *want; int32_t ids[6]; int count; } cases[] = {
        {"{\"stop_strings\":\"abc\"}", "x|||abx|", {'x', 'a', 'b', 'x'}, 4},
        {"{\"stop_strings\":\"abc\"}", "x||||stop", {'x', 'a', 'b', 'c'}, 4},
        {"{\"stop_strings\":[\"96\",\"39\"]}", "x| |stop", {'x', 396}, 2}, /* both in one token: the first to begin */
        {"{\"stop_strings\":\"x 3\"}", "||stop", {'x', 396}, 2},               /* ends inside a token */
        {"{\"max_length\":5}", "a|b|length", {'a', 'b', 'c'}, 3},             /* three are the prompt's */
        {"{\"max_new_tokens\":1}", "a|length", {'a', 'b', 'c'}, 3},
        {"{\"eos_token_id\":[7,9]}", "a||stop", {'a', 9}, 2},
        {"{\"stop_strings\":\"abc\",\"max_new_tokens\":2}", "|ab|length", {'a', 'b', 'c'}, 3},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char out[200];
        shown(cases[i].request, cases[i].ids, cases[i].count, out, sizeof out);
        assert_string_equal(out, cases[i].want);
    }
}

/* ---- Contrastive search ------------------------------------------------------------------------------------------ */

static double cosine(const double *a, const double *b) {
    double ab = 0, aa = 0, bb = 0;
    for (int i = 0; i < qm_engine_info(plain)->hidden; i++) ab += a[i] * b[i], aa += a[i] * a[i], bb += b[i] * b[i];
    return ab / sqrt(aa * bb);
}

static void reference_contrastive(int32_t *ids, int count, int new_tokens, double alpha, int k) {
    static double before[MOST][D], after[MOST][D], logp[V], unused[V];
    static Way way[V];
    for (int n = 0; n < new_tokens; n++, count++) {
        double best = -INFINITY;
        int32_t chosen = -1;
        look(ids, count, logp, before);
        for (int v = 0; v < V; v++) way[v] = (Way){0, v, logp[v], 0};
        qsort(way, V, sizeof *way, by_sum);
        for (int i = 0; i < k; i++) {
            double most = -1;
            ids[count] = way[i].id;
            look(ids, count + 1, unused, after);
            for (int j = 0; j < count; j++) most = fmax(most, cosine(after[count], before[j]));
            double score = (1 - alpha) * exp(way[i].sum) - alpha * most;
            if (score > best) best = score, chosen = way[i].id;
        }
        ids[count] = chosen;
    }
}

static void contrastive(void **state) {
    (void)state;
    static const struct { double alpha; int k; } tasks[] = {{0.6, 4}, {0.2, 6}, {0.9, 3}, {0.05, 8}};
    int like_greedy = 0;
    for (int i = 0; i < 4; i++)
        for (int number = 0; number < PROMPTS; number++) {
            int32_t want[MOST], prompt = 4 + 12 * number;
            enum { NEW = 9 };
            prompt_of(number, want, prompt);
            json_t *request = json_pack("{s:f,s:i,s:i,s:i}", "penalty_alpha", tasks[i].alpha, "top_k", tasks[i].k,
                                        "max_new_tokens", NEW, "logprobs", 0);
            Sequences got = search(request, want, prompt);
            double logp[V];
            reference_contrastive(want, prompt, NEW, tasks[i].alpha, tasks[i].k);
            assert_int_equal(got.list->count, prompt + NEW);
            for (int t = prompt; t < prompt + NEW; t++) {
                if (got.list->ids[t] != want[t])
                    fail_msg("alpha %g, k %d, prompt %d: id %d is %d, expected %d", tasks[i].alpha, tasks[i].k, number,
                             t, got.list->ids[t], want[t]);
                look(want, t, logp, NULL);
                assert_true(fabs((double)got.list->logprobs[t - prompt].logprob - logp[want[t]]) < 1e-4);
                int best = 0;
                for (int v = 0; v < V; v++) best = logp[v] > logp[best] ? v : best;
                like_greedy += best == want[t];
            }
            sequences_free(&got);
            json_decref(request);
        }
    assert_true(like_greedy < 4 * PROMPTS * 9); /* the penalty mattered somewhere */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(groups_of_beams),
        cmocka_unit_test(stop_strings_in_beams),
        cmocka_unit_test(sampled_beams),
        cmocka_unit_test(beams_drawn),
        cmocka_unit_test(best_by_mean),
        cmocka_unit_test(text_held_back),
        cmocka_unit_test(contrastive),
    };
    return cmocka_run_group_tests_name("reference", tests, open_models, close_models);
}
