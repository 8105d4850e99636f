/* test_proof.c: what is told beside an answer so that it can be trusted: the hash of its logits, the same on every mesh
 * and however it is found; and log-probabilities of a prompt's own tokens. */
#include <math.h>
#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include "asking.h"

#define GREEDY "{\"max_new_tokens\": 12}"
#define DRAWN "{\"max_new_tokens\": 12, \"do_sample\": true, \"seed\": 8, \"top_k\": 20}"
#define LOOKUP "{\"max_new_tokens\": 12, \"prompt_lookup_num_tokens\": 4}"
#define THREE "{\"max_new_tokens\": 12, \"do_sample\": true, \"seed\": 8, \"top_k\": 20, \"num_return_sequences\": 3}"
#define BEAMS "{\"max_new_tokens\": 12, \"num_beams\": 3}"

/* ---- The proof --------------------------------------------------------------------------------------------------- */

static EVP_MD_CTX *own;

static void own_logits(void *owner, int64_t request, const float *row, int64_t vocab) {
    (void)owner, (void)request;
    assert_int_equal(EVP_DigestUpdate(own, row, (size_t)vocab * sizeof *row), 1);
}

/* An answer to the repeating prompt; alone. */
static Heard asked_with(QmEngine *e, QmEngine *draft, const char *json, QmRequest r) {
    static Heard h;
    static int32_t ids[30];
    QmGenerator *g = ask_generator(e, draft);
    for (int i = 0; i < 30; i++) ids[i] = i % 6 * 11;
    r.ids = ids, r.count = 30, r.proof = true;
    ask(g, json, r, &h);
    ask_all(g);
    qm_generator_free(g);
    assert_true(h.done == 1 && !h.failed.kind && strlen(h.proof[0]) == 64);
    return h;
}

static Heard asked(QmEngine *e, QmEngine *draft, const char *json, uint64_t sequence) {
    return asked_with(e, draft, json, (QmRequest){.sequence = sequence});
}

/* It is the SHA-256 of the rows that the sink sees. */
static void of_the_logits(void **state) {
    (void)state;
    static const char *const kinds[] = {GREEDY, DRAWN, LOOKUP};
    for (int i = 0; i < 3; i++) {
        unsigned char sum[32];
        char hex[65];
        own = EVP_MD_CTX_new();
        assert_int_equal(EVP_DigestInit_ex(own, EVP_sha256(), NULL), 1);
        Heard h = asked_with(ask_engine, NULL, kinds[i], (QmRequest){.sink.logits = own_logits});
        assert_int_equal(EVP_DigestFinal_ex(own, sum, NULL), 1);
        EVP_MD_CTX_free(own);
        for (int k = 0; k < 32; k++) snprintf(hex + 2 * k, 3, "%02x", sum[k]);
        assert_string_equal(h.proof[0], hex);
    }
}

/* One answer has one proof: whatever guesses, mesh, threads, rows and neighbours. */
static void same_everywhere(void **state) {
    (void)state;
    static const struct { const char *mesh; int slots, rows, threads; } places[] = {
        {"2x4", 4, 5, 2}, {"dp2,tp3", 6, 64, 1}, {"1x3", 4, 1, 3}};
    Heard greedy = asked(ask_engine, NULL, GREEDY, 0), drawn = asked(ask_engine, NULL, DRAWN, 0),
          beams = asked(ask_engine, NULL, BEAMS, 0), lookup = asked(ask_engine, NULL, LOOKUP, 0);
    assert_string_equal(lookup.proof[0], greedy.proof[0]);
    assert_true(lookup.drafted > 0);
    assert_string_not_equal(drawn.proof[0], greedy.proof[0]);
    QmEngine *draft = ask_open("1x1", 1, 16, 1); /* itself: all guesses are right */
    Heard guessed = asked(ask_engine, draft, DRAWN, 0);
    qm_engine_close(draft);
    assert_true(guessed.drafted > 0);
    assert_string_equal(guessed.proof[0], drawn.proof[0]);
    for (int i = 0; i < 3; i++) {
        QmEngine *e = ask_open(places[i].mesh, places[i].slots, places[i].rows, places[i].threads);
        assert_string_equal(asked(e, NULL, GREEDY, 0).proof[0], greedy.proof[0]);
        assert_string_equal(asked(e, NULL, DRAWN, 0).proof[0], drawn.proof[0]);
        assert_string_equal(asked(e, NULL, BEAMS, 0).proof[0], beams.proof[0]);
        qm_engine_close(e);
    }
}

/* Sample i is what a request of its own draws; their proofs are its. */
static void of_samples(void **state) {
    (void)state;
    Heard all = asked(ask_engine, NULL, THREE, 5);
    assert_int_equal(all.sequences, 3);
    for (int i = 0; i < 3; i++) {
        Heard one = asked(ask_engine, NULL, DRAWN, 5 + ((uint64_t)i << 40));
        int found = 0;
        for (int k = 0; k < 3; k++)
            found += !strcmp(one.proof[0], all.proof[k]) && !memcmp(one.ids[0], all.ids[k], sizeof one.ids[0]);
        assert_int_equal(found, 1);
    }
}

/* ---- Prompts ----------------------------------------------------------------------------------------------------- */

enum { PROMPT = 45, V = 512 };

/* What the model says of a prompt, by qm_forward. */
static void logits_of_prompt(const int32_t *ids, float *out) {
    QmErr err = {0};
    QmSession *s = qm_session_new(ask_engine, &err);
    assert_non_null(s);
    assert_true(qm_forward(ask_engine, &(QmAppend){.session = s, .tokens = ids, .count = PROMPT, .logits_from = PROMPT,
                                                   .logits = out}, 1, &err));
    qm_session_free(s);
}

static void prompt_is(const Heard *h, const int32_t *ids, const float *logits, int64_t top) {
    assert_true(h->told && h->prompt_alternatives == top && h->reused == 0);
    for (int64_t k = 0; k <= top; k++) assert_int_equal(h->prompt[k].id, -1);
    for (int64_t t = 1; t < PROMPT; t++) {
        const QmLogprob *row = h->prompt + t * (1 + top);
        const float *l = logits + (t - 1) * V;
        double sum = 0;
        int best = 0;
        for (int v = 0; v < V; v++) sum += exp((double)l[v]), best = l[v] > l[best] ? v : best;
        assert_int_equal(row->id, ids[t]);
        assert_true(fabs((double)row->logprob - ((double)l[ids[t]] - log(sum))) < 1e-5);
        if (!top) continue;
        assert_int_equal(row[1].id, best);
        for (int64_t k = 1; k <= top; k++) {
            if (row[k].id == ids[t]) assert_memory_equal(&row[k].logprob, &row->logprob, sizeof row->logprob);
            assert_true(k == 1 || row[k].logprob <= row[k - 1].logprob);
        }
        assert_true(row->logprob <= row[1].logprob);
    }
}

static void prompts(void **state) {
    (void)state;
    static const struct { const char *json; int64_t top, new; } kinds[] = {
        {"{\"prompt_logprobs\": 3, \"max_new_tokens\": 0}", 3, 0},
        {"{\"prompt_logprobs\": 0, \"max_new_tokens\": 4}", 0, 4},
        {"{\"prompt_logprobs\": 2, \"max_new_tokens\": 4, \"num_beams\": 2}", 2, 4},
        {"{\"prompt_logprobs\": 1, \"max_new_tokens\": 4, \"num_return_sequences\": 2, \"do_sample\": true}", 1, 4},
        {"{\"prompt_logprobs\": 5, \"max_new_tokens\": 4, \"prompt_lookup_num_tokens\": 3}", 5, 4},
        {"{\"prompt_logprobs\": 1, \"max_new_tokens\": 0, \"num_beams\": 2}", 1, 0}};
    enum { KINDS = sizeof kinds / sizeof *kinds };
    static float logits[PROMPT * V];
    static Heard h[KINDS], plain, like, again;
    const int32_t *ids = ask_prompt(2);
    assert_int_equal(qm_engine_output(ask_engine, "logits"), V);
    logits_of_prompt(ids, logits);
    for (int beside = 0; beside < 2; beside++) { /* alone, then all at once, beside one that wants none */
        QmGenerator *g = ask_generator(ask_engine, NULL);
        for (int i = 0; i < KINDS; i++) {
            ask(g, kinds[i].json, (QmRequest){.ids = ids, .count = PROMPT}, &h[i]);
            if (beside && !i) ask(g, GREEDY, (QmRequest){.ids = ids, .count = PROMPT}, &like);
            if (!beside) ask_all(g);
        }
        ask_all(g);
        for (int i = 0; i < KINDS; i++) {
            if (h[i].failed.kind) fail_msg("%s: %s", kinds[i].json, h[i].failed.text);
            if (h[i].done != 1 || h[i].sequences < 1 || h[i].count[0] != kinds[i].new)
                fail_msg("%s: %lld sequences, %lld ids", kinds[i].json, (long long)h[i].sequences,
                         (long long)h[i].count[0]);
            prompt_is(&h[i], ids, logits, kinds[i].top);
        }
        if (beside) assert_false(like.told);
        /* what it leaves in its slot is the prompt: others go on from it */
        ask(g, GREEDY, (QmRequest){.ids = ids, .count = PROMPT}, &again);
        ask_all(g);
        assert_true(again.reused >= PROMPT - 1);
        qm_generator_free(g);
    }
    QmGenerator *g = ask_generator(ask_engine, NULL); /* the answer does not change */
    ask(g, GREEDY, (QmRequest){.ids = ids, .count = PROMPT}, &plain);
    ask_all(g);
    assert_memory_equal(plain.ids[0], h[4].ids[0], 4 * sizeof(int32_t));
    /* of one token nothing is foretold; cancelled half way it is not told */
    ask(g, kinds[0].json, (QmRequest){.ids = ids, .count = 1}, &like);
    ask_all(g);
    assert_true(like.done == 1 && like.told && like.prompt->id == -1);
    ask(g, "{\"prompt_logprobs\": 0, \"max_new_tokens\": 4}", (QmRequest){.ids = ids, .count = 140}, &like);
    ask_steps(g, 3);
    qm_generator_cancel(g, like.number);
    ask_all(g);
    assert_true(like.done == 1 && !like.told);
    qm_generator_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_the_logits), cmocka_unit_test(same_everywhere), cmocka_unit_test(of_samples),
        cmocka_unit_test(prompts),
    };
    return cmocka_run_group_tests(tests, ask_begin, ask_end);
}
