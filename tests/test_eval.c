/* test_eval.c: Python's draws, the rules that read answers, perplexity against its definition. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "../src/eval/gsm8k.h"
#include "../src/eval/loglik.h"
#include "../src/eval/math_text.h"
#include "../src/eval/python_random.h"
#include "fixture.h"

/* ---- Draws: vectors printed by CPython 3.11 ---------------------------------------------------------------------- */

static void draws(void **state) {
    (void)state;
    Err err = {0};
    PythonRandom r;
    uint32_t got[32];
    python_random_seed(&r, 1234);
    static const uint32_t words[] = {4150886329u, 3342196574u, 1892932127u};
    for (int i = 0; i < 3; i++) assert_int_equal(python_random_word(&r), words[i]);
    /* random.Random(1234).sample(range(7473), 5), three times: lm-eval's examples of the first three questions */
    static const uint32_t want[3][5] = {
        {6374, 3610, 957, 61, 742}, {7462, 6610, 4769, 286, 5501}, {5677, 687, 806, 6279, 2905}};
    uint32_t *shots = fewshot_draws(3, 5, 7473, FEWSHOT_SEED, &err);
    assert_non_null(shots);
    assert_memory_equal(shots, want, sizeof want);
    free(shots);
    /* random.Random(1): sample(range(10), 6), sample(range(3), 3), sample(range(100000), 3): both ways of sample() */
    python_random_seed(&r, 1);
    static const uint32_t six[] = {2, 1, 4, 0, 3, 5}, three[] = {1, 2, 0}, wide[] = {12302, 63944, 3715};
    assert_true(python_random_sample(&r, 10, 6, got, &err));
    assert_memory_equal(got, six, sizeof six);
    assert_true(python_random_sample(&r, 3, 3, got, &err));
    assert_memory_equal(got, three, sizeof three);
    assert_true(python_random_sample(&r, 100000, 3, got, &err));
    assert_memory_equal(got, wide, sizeof wide);
    assert_false(python_random_sample(&r, 3, 4, got, &err));
}

/* ---- Answers ----------------------------------------------------------------------------------------------------- */

typedef struct Case { const AnswerRule *rule; const char *output, *gold, *extracted; bool correct; } Case;

static const Case cases[] = {
    /* openai: the first match, as an exact string */
    {&answer_openai, "so\n#### 18", "x\n#### 18", "18", true},
    {&answer_openai, "#### 18.", "#### 18", "18.", false},
    {&answer_openai, "#### 18.0", "#### 18", "18.0", false},
    {&answer_openai, "#### 1,450", "#### 1,450", "1450", true},
    {&answer_openai, "#### 1450", "#### 1,450", "1450", true},
    {&answer_openai, "#### -5", "#### -5", "-5", true},
    {&answer_openai, "#### 5", "#### -5", "5", false},
    {&answer_openai, "####18", "#### 18", "[invalid]", false},
    {&answer_openai, "#### $18", "#### 18", "[invalid]", false},
    {&answer_openai, "#### 7\n#### 18", "#### 18", "7", false},
    {&answer_openai, "#### x #### 18", "#### 18", "18", true},
    {&answer_openai, "", "#### 18", "[invalid]", false},
    /* lm-eval strict-match and flexible-extract */
    {&answer_strict, "#### 18.", "#### 18", "18.", true},
    {&answer_strict, "#### 18.00", "#### 18", "18.00", false},
    {&answer_strict, "#### 1,450", "so 3\n#### 1450", "1,450", true},
    {&answer_strict, "It is 18", "#### 18", "[invalid]", false},
    {&answer_strict, "#### ..", "#### 18", "..", false},
    {&answer_flexible, "It is $18.", "#### 18", "$18.", true},
    {&answer_flexible, "18 of 20", "#### 18", "20", false},
    {&answer_flexible, "It is 18, I think..", "#### 18", "..", false},
    {&answer_flexible, "a$", "#### 18", "[invalid]", false},
    {&answer_flexible, "-5", "#### -5", "-5", true},
    {&answer_flexible, "10-5", "#### -5", "-5", true},
    {&answer_flexible, "-12,345.6", "#### -12345.6", "-12,345.6", true},
    {&answer_flexible, "--7", "#### -7", "-7", true},
    {&answer_flexible, "no number", "#### 18", "[invalid]", false},
    {&answer_cot_strict, "The answer is 18.", "x #### 18", "18", true},
    {&answer_cot_strict, "The answer is 18", "x #### 18", "1", false},
    {&answer_cot_strict, "The answer is 8", "x #### 8", "[invalid]", false},
    {&answer_cot_strict, "The answer is 18\n", "x #### 18", "1", false},
    {&answer_cot_strict, "The answer is 18 dollars", "x ####  18 ", "18", true},
    {&answer_cot_strict, "The answer is 1,450.", "x #### 1,450", "1,450", true},
    {&answer_cot_strict, "The answer is $18.", "x #### 18", "[invalid]", false},
    {&answer_cot_strict, "The answer is 7. The answer is 18.", "x #### 18", "7.", false},
    {&answer_cot_flexible, "The answer is -3.", "x #### -3", "-3.", true},
    /* tt-xla: digits only */
    {&answer_tt_xla, "\\boxed{18}", "#### 18", "18", true},
    {&answer_tt_xla, "\\boxed{018}", "#### 18", "18", true},
    {&answer_tt_xla, "\\boxed{1,450}", "#### 1,450", NULL, false},
    {&answer_tt_xla, "\\boxed{7} \\boxed{18}", "#### 18", "7", false},
    {&answer_tt_xla, "it is 18.", "#### 18", NULL, false},
    {&answer_tt_xla, "it is 18\n ", "#### 18", "18", true},
    {&answer_tt_xla, "####\t18 and 3", "#### 18", "18", true},
    {&answer_tt_xla, "-5", "#### -5", "5", true},
    {&answer_tt_xla, "", "#### 18", NULL, false},
    /* Qwen2.5-Math */
    {&answer_qwen_math, "\\boxed{7} no, \\boxed{18}", "#### 18", "18", true},
    {&answer_qwen_math, "\\boxed{18.00}", "#### 18", "18", true},
    {&answer_qwen_math, "\\boxed{\\$1,450}", "#### 1450", "1,450", true},
    {&answer_qwen_math, "\\boxed{-5}", "#### -5", "-5", true},
    {&answer_qwen_math, "\\boxed{18 \\text{ dollars}}", "#### 18", "18", true},
    {&answer_qwen_math, "\\boxed{18 miles}", "#### 18", "18", true},
    {&answer_qwen_math, "\\boxed{\\frac{36}{2}}", "#### 18", "\\frac{36}{2}", true},
    {&answer_qwen_math, "\\boxed{x=18}", "#### 18", "18", true},
    {&answer_qwen_math, "\\boxed{{1}8}", "#### 18", "{1}8", true},
    {&answer_qwen_math, "\\boxed{1800\\%}", "#### 18", "1800", true}, /* a hundredfold counts as equal */
    {&answer_qwen_math, "\\boxed{19}", "#### 18", "19", false},
    {&answer_qwen_math, "\\boxed{18", "#### 18", "18", true},
    {&answer_qwen_math, "boxed", "#### 18", "", false},
    {&answer_qwen_math, "The answer is: 18.", "#### 18", "18", true},
    {&answer_qwen_math, "The final answer is $18$. I hope it is right.", "#### 18", "18", true},
    {&answer_qwen_math, "eighteen, the answer is eighteen", "#### 18", "18", true},
    {&answer_qwen_math, "答案是18\n\nnext", "#### 18", "18", true},
    {&answer_qwen_math, "We have 1,450 left", "#### 1450", "1450", true},
    {&answer_qwen_math, "it is .5", "#### 18", "0.5", false},
    {&answer_qwen_math, "", "#### 18", "", false},
    {&answer_qwen_math, "\\boxed{18.0001}", "#### 18", "18.0001", true}, /* within 1e-4 */
};

static void rules(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const Case *c = &cases[i];
        Text gold = {0}, got = {0};
        assert_true(c->rule->gold(c->gold, strlen(c->gold), &gold));
        Judged j = answer_judge(c->rule, c->output, strlen(c->output), &gold, &got);
        const char *text = got.data ? got.data : "";
        bool none = !j.found && !c->rule->none;
        if (none != !c->extracted || (c->extracted && strcmp(text, c->extracted)) || j.correct != c->correct)
            fail_msg("%s on '%s': expected %s %d, got %s %d", c->rule->name, c->output,
                     c->extracted ? c->extracted : "none", c->correct, none ? "none" : text, j.correct);
        text_free(&gold);
        text_free(&got);
    }
}

static const AnswerRule *const all_rules[] = {&answer_openai, &answer_strict, &answer_flexible, &answer_cot_strict,
                                              &answer_cot_flexible, &answer_tt_xla, &answer_qwen_math};
enum { RULES = sizeof all_rules / sizeof *all_rules };

/* Every gold answer parses to the number behind its ####; the tt-xla rule reads 16 of them wrong. */
static void golds(void **state) {
    (void)state;
    Err err = {0};
    Problems p;
    int wrong[RULES] = {0};
    if (!problems_read(&p, "tests/data/gsm8k/test.jsonl", &err)) fail_msg("%s", err.text);
    assert_int_equal(p.count, 1319);
    for (int64_t i = 0; i < p.count; i++) {
        const char *answer = p.item[i].answer, *mark = strstr(answer, "#### ");
        char number[32] = "";
        assert_non_null(mark);
        for (const char *c = mark + 5; *c; c++)
            if (*c != ',') strncat(number, c, 1);
        for (int k = 0; k < RULES; k++) {
            Text gold = {0}, got = {0};
            assert_true(all_rules[k]->gold(answer, strlen(answer), &gold));
            Text plain = {0}; /* thousands separators stay in Qwen's form, which compares as numbers */
            for (size_t b = 0; b < gold.bytes; b++)
                if (gold.data[b] != ',') text_add(&plain, &gold.data[b], 1);
            wrong[k] += strcmp(plain.data, number) != 0;
            bool cot = all_rules[k] == &answer_cot_strict;
            Judged j = answer_judge(all_rules[k], answer, strlen(answer), &gold, &got);
            assert_true(j.correct || cot); /* the data set's own answer is right by every rule that looks for #### */
            text_free(&gold), text_free(&got), text_free(&plain);
        }
    }
    for (int k = 0; k < RULES; k++) assert_int_equal(wrong[k], all_rules[k] == &answer_tt_xla ? 16 : 0);
    problems_free(&p);
}

/* Any text: no crash, what is found is free of what the rule removes, and a longer prefix of prose changes no tail
 * rule. */
static void properties(void **state) {
    (void)state;
    static const char *const pieces[] = {
        "18",       "-",       ".",     ",", "$", "#### ",  "The answer is ", "\\boxed{", "}", "{", "\n", " ",
        "eighteen", "hundred", "point", "/", "=", "\\frac", "\\sqrt",         "\\text{",  "%", "é", "π",  "miles",
        "boxed",    "答案是",  "\xff",  "0", "^", "("};
    for (int round = 0; round < 20000; round++) {
        Text t = {0}, gold = {0};
        for (uint32_t n = random_below(12); n > 0; n--) {
            const char *piece = pieces[random_below(sizeof pieces / sizeof *pieces)];
            text_add(&t, piece, strlen(piece));
        }
        text_add(&t, "", 0);
        for (int k = 0; k < RULES; k++) {
            Text got = {0};
            gold.bytes = 0;
            text_add(&gold, "18", 2);
            Judged j = answer_judge(all_rules[k], t.data, t.bytes, &gold, &got);
            assert_true(j.found || !j.correct);
            assert_false(got.failed);
            if (k == 0 && j.found) assert_null(strchr(got.data, ','));
            if (all_rules[k] == &answer_flexible) {
                Text longer = {0}, again = {0};
                text_line(&longer, "words ");
                text_add(&longer, t.data, t.bytes);
                Judged same = answer_judge(all_rules[k], longer.data, longer.bytes, &gold, &again);
                assert_int_equal(same.correct, j.correct);
                assert_string_equal(again.data, got.data);
                text_free(&longer), text_free(&again);
            }
            text_free(&got);
        }
        text_free(&t), text_free(&gold);
    }
}

static void formulas(void **state) {
    (void)state;
    static const struct { const char *text; double value; } good[] = {
        {"18", 18}, {"3*6", 18}, {"-(2+3)^2", -25}, {"\\frac{36}{2}", 18}, {"2^3^2", 512}, {"\\sqrt{9}\\times6", 18},
        {"1,450", 1450}, {"72/4/1", 18}, {"{1+2}*[6]", 18}, {"--18", 18}, {"36\\div2", 18}};
    static const char *const bad[] = {"", "x", "1+", "(1", "1/0", "\\frac{1}", "1 2", "..", "\\sqrt{-1}", "1)"};
    double v;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        Text t = {0};
        text_line(&t, "%s", good[i].text);
        if (!arithmetic(&t, &v) || fabs(v - good[i].value) > 1e-9) fail_msg("%s", good[i].text);
        text_free(&t);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        Text t = {0};
        text_line(&t, "%s", bad[i]);
        if (arithmetic(&t, &v)) fail_msg("'%s' has the value %g", bad[i], v);
        text_free(&t);
    }
    Text deep = {0};
    for (int i = 0; i < 100000; i++) text_add(&deep, i % 2 ? "(" : "-", 1);
    assert_false(arithmetic(&deep, &v));
    text_free(&deep);
    static const char *const words[][2] = {{"eighteen dollars", "18"},
                                           {"two hundred and five", "205"},
                                           {"007", "7"},
                                           {"0", "0"},
                                           {"twenty-one", "21"},
                                           {"three point five", "3.5"},
                                           {"one million two thousand", "1003002"} /* as the package has it */,
                                           {"thousand thousand", "thousand thousand"},
                                           {"-5", "-5"},
                                           {"none", "none"},
                                           {"thousand million", "thousand million"}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        Text t = {0};
        text_line(&t, "%s", words[i][0]);
        number_words(&t);
        assert_string_equal(t.data, words[i][1]);
        text_free(&t);
    }
}

static void prompts(void **state) {
    (void)state;
    Err err = {0};
    bool chat;
    Problems train = {0};
    Problem two[] = {{"q1", "a1\n#### 1"}, {"q2", "a2\n#### 2"}};
    train.item = two, train.count = 2;
    static const uint32_t draw[] = {1, 0};
    static const struct { const char *protocol; int64_t shots; const char *want; bool chat;
    } cases_of[] = {
        {"openai", 0, "why?\n", false},
        {"lm-eval", 2,
         "Question: q2\nAnswer: a2\n#### 2\n\nQuestion: q1\nAnswer: a1\n#### 1\n\nQuestion: why?\nAnswer:", false},
        {"lm-eval-cot", 0, "Q: why?\nA:", false},
        {"qwen-math", 0,
         "[{\"role\":\"system\",\"content\":\"Please reason step by step, and put your final answer within "
         "\\\\boxed{}.\"},{\"role\":\"user\",\"content\":\"why?\"}]",
         true},
        {"tt-xla", 0,
         "[{\"role\":\"system\",\"content\":\"You are Qwen, created by Alibaba Cloud. You are a helpful "
         "assistant.\"},{\"role\":\"user\",\"content\":\"why?\"}]",
         true},
    };
    for (size_t i = 0; i < sizeof cases_of / sizeof *cases_of; i++) {
        Text t = {0};
        const Protocol *p = protocol_find(cases_of[i].protocol, &err);
        assert_non_null(p);
        assert_true(gsm8k_prompt(p, &train, draw, cases_of[i].shots, "why?", FORM_PLAIN, &t, &chat, &err));
        assert_string_equal(t.data, cases_of[i].want);
        assert_int_equal(chat, cases_of[i].chat);
        text_free(&t);
    }
    Text t = {0};
    assert_true(gsm8k_prompt(protocol_find("lm-eval-cot", &err), NULL, NULL, 8, "why?", FORM_PLAIN, &t, &chat, &err));
    assert_int_equal(strncmp(t.data, "Q: There are 15 trees in the grove.", 35), 0);
    assert_non_null(strstr(t.data, " The answer is 8.\n\nQ: why?\nA:"));
    text_free(&t);
    static const struct { PromptForm form; const char *protocol; int shots; const char *want; } chats[] = {
        {FORM_CHAT, "lm-eval", 2,
         "[{\"role\":\"user\",\"content\":\"Question: q2\\nAnswer: a2\\n#### 2\\n\\nQuestion: q1\\nAnswer: a1\\n#### "
         "1\\n\\nQuestion: why?\\nAnswer:\"}]"},
        {FORM_TURNS, "lm-eval", 2,
         "[{\"role\":\"user\",\"content\":\"Question: q2\\nAnswer:\"},{\"role\":\"assistant\",\"content\":\"a2\\n#### "
         "2\"},"
         "{\"role\":\"user\",\"content\":\"Question: q1\\nAnswer:\"},{\"role\":\"assistant\",\"content\":\"a1\\n#### "
         "1\"},"
         "{\"role\":\"user\",\"content\":\"Question: why?\\nAnswer:\"}]"},
        {FORM_TURNS, "lm-eval", 0, "[{\"role\":\"user\",\"content\":\"Question: why?\\nAnswer:\"}]"},
        {FORM_CHAT, "lm-eval", 0, "[{\"role\":\"user\",\"content\":\"Question: why?\\nAnswer:\"}]"},
    };
    for (int i = 0; i < 4; i++) {
        assert_true(gsm8k_prompt(protocol_find(chats[i].protocol, &err), &train, draw, chats[i].shots, "why?",
                                 chats[i].form, &t, &chat, &err));
        assert_true(chat);
        assert_string_equal(t.data, chats[i].want);
        text_free(&t);
    }
    assert_null(protocol_find("none", &err));
}

/* ---- Perplexity -------------------------------------------------------------------------------------------------- */

enum { TOKENS = 61, WINDOW = 16 };

/* The recipe as its guide defines it: every window whole, the mean of its scored tokens weighted by one fewer than it
 * claims. */
static double recipe(QmEngine *e, const int32_t *ids, int64_t stride) {
    Err err = {0};
    int64_t vocab = qm_engine_info(e)->vocab, before = 0, tokens = 0;
    float *logits = malloc((size_t)(WINDOW * vocab) * sizeof *logits);
    double sum = 0;
    for (int64_t begin = 0; begin < TOKENS; begin += stride) {
        int64_t stop = begin + WINDOW < TOKENS ? begin + WINDOW : TOKENS, n = stop - begin, target = stop - before,
                count = 0;
        QmSession *s = qm_session_new(e, &err);
        QmAppend a = {.session = s, .tokens = ids + begin, .count = n, .logits_from = n, .logits = logits};
        if (!qm_forward(e, &a, 1, &err)) fail_msg("%s", err.text);
        double nll = 0;
        for (int64_t t = 1; t < n; t++) {
            if (t < n - target) continue;
            double z = 0;
            for (int64_t v = 0; v < vocab; v++) z += exp((double)logits[(t - 1) * vocab + v]);
            nll += log(z) - (double)logits[(t - 1) * vocab + ids[begin + t]];
            count++;
        }
        sum += nll / (double)count * (double)(target - 1);
        tokens += target - 1;
        qm_session_free(s);
        before = stop;
        if (stop == TOKENS) break;
    }
    free(logits);
    return exp(sum / (double)tokens);
}

static void perplexities(void **state) {
    (void)state;
    Err err = {0};
    int32_t ids[TOKENS];
    for (int i = 0; i < TOKENS; i++) ids[i] = (i * 7919 + 13) % 512;
    QmEngineOptions o = {.size = sizeof o, .model = "tests/golden/tiny", .context = 64, .slots = 2};
    QmEngine *e = qm_engine_open(&o, &err);
    assert_non_null(e);
    static const int64_t strides[] = {WINDOW, 7, 15, 2};
    for (size_t i = 0; i < 4; i++) {
        Perplexity p;
        if (!perplexity(e, ids, TOKENS, WINDOW, strides[i], 100, NULL, &p, &err)) fail_msg("%s", err.text);
        double want = recipe(e, ids, strides[i]);
        if (!(fabs(p.recipe / want - 1) < 1e-6))
            fail_msg("stride %lld: %.9f, expected %.9f", (long long)strides[i], p.recipe, want);
        assert_int_equal(p.scored, strides[i] == WINDOW ? TOKENS - p.windows : TOKENS - 1);
    }
    Perplexity p;
    assert_false(perplexity(e, ids, TOKENS, 65, 65, 0, NULL, &p, &err));
    Err second = {0};
    assert_false(perplexity(e, ids, 1, WINDOW, WINDOW, 0, NULL, &p, &second));
    qm_engine_close(e);
}

static void compared(void **state) {
    (void)state;
    Err err = {0};
    int32_t ids[TOKENS];
    for (int i = 0; i < TOKENS; i++) ids[i] = (i * 7919 + 13) % 512;
    QmEngineOptions o = {.size = sizeof o, .model = "tests/golden/tiny", .context = 64};
    QmEngine *a = qm_engine_open(&o, &err);
    o.mesh = "2x4";
    QmEngine *mesh = qm_engine_open(&o, &err);
    o.kv_cache = "bf16";
    QmEngine *cache = qm_engine_open(&o, &err);
    assert_true(a && mesh && cache);
    Comparison c;
    if (!compare_engines(a, mesh, ids, TOKENS, WINDOW, 1, NULL, &c, &err)) fail_msg("%s", err.text);
    assert_int_equal(c.tokens, TOKENS - 4); /* four windows, the first token of each unpredicted */
    assert_int_equal(c.same_bits, c.tokens);
    assert_int_equal(c.same_top, c.tokens);
    assert_true(c.first_bits == -1 && c.first_top == -1 && c.difference == 0 && fabs(c.kl_mean) < 1e-12);
    assert_true(c.perplexity_a == c.perplexity_b);
    if (!compare_engines(a, cache, ids, TOKENS, WINDOW, 1, NULL, &c, &err)) fail_msg("%s", err.text);
    assert_true(c.same_bits < c.tokens && c.first_bits >= 1);
    assert_true(c.kl_mean > 0 && c.kl_most >= c.kl_mean && c.kl_mean < 1e-2 && c.difference > 0 && c.difference < 0.5);
    /* the last window ends before the token from which its rows count */
    assert_true(compare_engines(a, cache, ids, 2 * WINDOW + 5, WINDOW, 7, NULL, &c, &err));
    assert_true(c.tokens == 2 * (WINDOW - 7) && c.first_bits >= 7);
    assert_true(compare_engines(a, cache, ids, TOKENS, WINDOW, WINDOW - 1, NULL, &c, &err) && c.tokens > 0);
    assert_false(compare_engines(a, cache, ids, TOKENS, WINDOW, WINDOW, NULL, &c, &err));
    err = (Err){0};
    o = (QmEngineOptions){.size = sizeof(QmEngineOptions), .model = "tests/golden/sliding", .context = 64};
    QmEngine *other = qm_engine_open(&o, &err);
    assert_true(other && compare_engines(a, other, ids, TOKENS, TOKENS, 1, NULL, &c, &err));
    assert_true(c.first_top >= 1 && c.same_top < c.tokens && c.top_a != c.top_b);
    int64_t first = c.first_top; /* before it the two agree; with it they do not */
    if (first > 1) {
        assert_true(compare_engines(a, other, ids, first, TOKENS, 1, NULL, &c, &err));
        assert_int_equal(c.first_top, -1);
    }
    assert_true(compare_engines(a, other, ids, first + 1, TOKENS, 1, NULL, &c, &err));
    assert_int_equal(c.first_top, first);
    qm_engine_close(a), qm_engine_close(mesh), qm_engine_close(cache), qm_engine_close(other);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(draws),        cmocka_unit_test(rules),    cmocka_unit_test(golds),
        cmocka_unit_test(properties),   cmocka_unit_test(formulas), cmocka_unit_test(prompts),
        cmocka_unit_test(perplexities), cmocka_unit_test(compared),
    };
    return cmocka_run_group_tests_name("eval", tests, NULL, NULL);
}
