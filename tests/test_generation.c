/* test_generation.c: one sequence from ids to text: stop strings, ends of turns, ids without text; the names of
 * parameters; repeats in linear time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>
#include "../src/infer/parameters.h"
#include "../src/infer/processors.h"
#include "../src/infer/repeats.h"
#include "at_path.h"
#include "fixture.h"

enum { IM_END = 258 };

static QmTokenizer *bytes_tokenizer;

static int open_bytes(void **state) {
    (void)state;
    Err err = {0};
    return (bytes_tokenizer = qm_tokenizer_open("tests/data/bytes", &err)) ? 0 : -1;
}
static int close_bytes(void **state) {
    (void)state;
    qm_tokenizer_close(bytes_tokenizer);
    return 0;
}

static int32_t byte_id(char c) {
    for (int32_t id = 0; id < 512; id++) {
        size_t n;
        const char *piece = qm_tokenizer_piece(bytes_tokenizer, id, &n, NULL);
        if (piece && n == 1 && *piece == c) return id;
    }
    fail_msg("no token for byte %d", c);
    return -1;
}

/* A generation of a request, after a prompt of one token. */
static Generation begin(const char *request) {
    Err err = {0};
    Generation g;
    GenerationConfig base = {0}, c;
    json_t *o = json_text(request, strlen(request), "test", &err);
    if (!o || !defaults_at(&base, "tests/golden/tiny", &err) || !parameters_known(o, NULL, "test", &err) ||
        !generation_from_json(&c, &base, o, "test", &err) ||
        !generation_start(&g, &c, bytes_tokenizer, &(int32_t){65}, 1, &err))
        fail_msg("%s", err.text);
    json_decref(o);
    generation_config_free(&base), generation_config_free(&c);
    return g;
}

/* Pushes ids, characters as their bytes, until the sequence ends; what was released must be the text. Returns how many
 * were pushed. */
static int push_all(Generation *g, const int32_t *ids, int count) {
    Err err = {0};
    Text told = {0};
    int n = 0;
    while (n < count && !g->finish) {
        const char *text;
        size_t bytes;
        int ends = generation_ends_with(g, ids[n], &err);
        if (!generation_push(g, ids[n++], &text, &bytes, &err)) fail_msg("%s", err.text);
        assert_int_equal(ends, g->finish != NULL);
        text_add(&told, text, bytes);
    }
    if (g->finish) {
        assert_int_equal(told.bytes, g->raw.bytes);
        if (told.bytes) assert_memory_equal(told.data, g->raw.data, told.bytes);
    }
    text_free(&told);
    return n;
}

static void expect(const char *request, const int32_t *ids, int count, int pushed, const char *finish, const char *text,
                   size_t bytes) {
    Generation g = begin(request);
    assert_int_equal(push_all(&g, ids, count), pushed);
    assert_string_equal(g.finish, finish);
    assert_int_equal(g.raw.bytes, bytes);
    if (bytes) assert_memory_equal(g.raw.data, text, bytes);
    generation_free(&g);
}

/* Stop strings see special tokens, alone and across their edges; the text shows none of them. */
static void stops_see_special_tokens(void **state) {
    (void)state;
    int32_t a = byte_id('a'), b = byte_id('b'), c = byte_id('c'), t = byte_id('<'), bar = byte_id('|');
    int32_t ids[] = {a, b, IM_END, c, b, a, c, c};
    expect("{\"stop\":\"<|im_end|>\",\"max_new_tokens\":8}", ids, 8, 3, "stop", "ab", 2);
    expect("{\"stop\":\"b<|im_end|>\",\"max_new_tokens\":8}", ids, 8, 3, "stop", "a", 1);
    expect("{\"stop\":\"<|im_end|>c\",\"max_new_tokens\":8}", ids, 8, 4, "stop", "ab", 2);
    expect("{\"stop\":\"end|>cb\",\"max_new_tokens\":8}", ids, 8, 5, "stop", "ab", 2);
    expect("{\"stop\":\"bc\",\"max_new_tokens\":8}", ids, 8, 8, "length", "abcbacc", 7); /* the token is between */
    expect("{\"stop\":[\"zz\",\"ba\"],\"max_new_tokens\":8}", ids, 8, 6, "stop", "abc", 3);
    int32_t spelt[] = {a, t, bar, byte_id('i'), byte_id('m'), a};
    expect("{\"stop\":\"<|im\",\"max_new_tokens\":8}", spelt, 6, 5, "stop", "a", 1);
    expect("{\"stop\":\"<|in\",\"max_new_tokens\":6}", spelt, 6, 6, "length", "a<|ima", 6);
}

/* A character of several tokens is held back whole, and a cut never leaves half of one. */
static void stops_and_characters(void **state) {
    (void)state;
    int32_t e1 = byte_id('\xC3'), e2 = byte_id('\xA9'), a = byte_id('a');
    int32_t ids[] = {a, e1, e2, IM_END, a, a};
    expect("{\"stop\":\"\\u00e9<|im_end|>\",\"max_new_tokens\":6}", ids, 6, 4, "stop", "a", 1);
    int32_t broken[] = {a, e1, IM_END, e2, a, a}; /* what waits for its rest at a stop is left out */
    expect("{\"stop\":\"<|im_end|>\",\"max_new_tokens\":6}", broken, 6, 3, "stop", "a", 1);
    expect("{\"stop\":\"aa\",\"max_new_tokens\":6}", broken, 6, 6, "stop", "a\xC3\xA9", 3);
}

static void stops_with_nul(void **state) {
    (void)state;
    int32_t a = byte_id('a'), nul = byte_id('\0'), ids[] = {a, nul, a, a, nul, nul};
    expect("{\"stop\":\"a\\u0000\\u0000\",\"max_new_tokens\":6}", ids, 6, 6, "stop", "a\0a", 3);
    expect("{\"stop\":[\"\\u0000\"],\"max_new_tokens\":6}", ids, 6, 2, "stop", "a", 1);
}

/* An id that no token has adds nothing and ends nothing; it may be the end of a sequence as any other. */
static void ids_without_text(void **state) {
    (void)state;
    int32_t a = byte_id('a'), ids[] = {a, 100000, a, 100001};
    expect("{\"max_new_tokens\":4}", ids, 4, 4, "length", "aa", 2);
    expect("{\"max_new_tokens\":4,\"stop\":\"aa\"}", ids, 4, 3, "stop", "", 0);
    expect("{\"max_new_tokens\":4,\"eos_token_id\":100000}", ids, 4, 2, "stop", "a", 1);
}

static bool ends_by(const GenerationConfig *c, int32_t id) {
    for (int i = 0; i < c->eos_count; i++)
        if (c->eos[i] == id) return true;
    return false;
}

/* The template's end of a turn and the tokenizer's end of text end an answer, whatever generation_config.json says. */
static void turn_ends(void **state) {
    (void)state;
    Err err = {0};
    assert_true(qm_tokenizer_set_chat(bytes_tokenizer, "chatml", &err));
    Generation g = begin("{}");
    assert_false(ends_by(&g.config, IM_END));
    generation_turn_ends(&g.config, bytes_tokenizer);
    generation_turn_ends(&g.config, bytes_tokenizer);
    assert_true(ends_by(&g.config, IM_END) && ends_by(&g.config, 2));
    assert_int_equal(g.config.eos_count, 2 + (qm_tokenizer_eos(bytes_tokenizer) >= 0 &&
                                              qm_tokenizer_eos(bytes_tokenizer) != IM_END));
    generation_free(&g);
    g = begin("{\"eos_token_id\":[7]}"); /* asked for: nothing is added */
    generation_turn_ends(&g.config, bytes_tokenizer);
    assert_int_equal(g.config.eos_count, 1);
    generation_free(&g);
}

/* ---- Names ------------------------------------------------------------------------------------------------------- */

static void refused(const char *request, const char *says) {
    static const char *const more[] = {"prompt", "ids", NULL};
    Err err = {0};
    GenerationConfig base = {0}, c = {0};
    json_t *o = json_text(request, strlen(request), "line 1", &err);
    assert_true(o && defaults_at(&base, "tests/golden/tiny", &err));
    bool ok = parameters_known(o, more, "line 1", &err) && generation_from_json(&c, &base, o, "line 1", &err);
    if (says ? ok || !strstr(err.text, says) || !strstr(err.text, "line 1") : !ok)
        fail_msg("%s: expected '%s', got '%s'", request, says ? says : "no error", err.text);
    json_decref(o);
    generation_config_free(&base), generation_config_free(&c);
}

static void unknown_members(void **state) {
    (void)state;
    refused("{\"max_new_token\":3}", "did you mean \"max_new_tokens\"?");
    refused("{\"num_beam\":4}", "did you mean \"num_beams\"?");
    refused("{\"temprature\":4}", "did you mean \"temperature\"?");
    refused("{\"promt\":\"x\"}", "did you mean \"prompt\"?");
    refused("{\"max_tokens\":4}", "expected \"max_new_tokens\"");
    refused("{\"n\":4}", "expected \"num_return_sequences\"");
    refused("{\"ignore_eos\":true}", "expected \"eos_token_id\": null");
    refused("{\"zzzzzzzz\":1}", "unknown member \"zzzzzzzz\"");
    refused("{\"a\\u0007b\":1}", "unknown member \"a?b\"");
    refused("{\"guidance_scale\":3.0}", "\"guidance_scale\" is not supported");
    refused("{\"guidance_scale\":1}", NULL);
    refused("{\"watermarking_config\":{\"bias\":5.0}}", "\"watermarking_config\" is not supported");
    refused("{\"top_h\":0.4}", "\"top_h\" is not supported");
    refused("{\"dola_layers\":\"low\"}", "\"dola_layers\" is not supported");
    refused("{\"force_words_ids\":[[7]]}", "\"force_words_ids\" is not supported");
    refused("{\"force_words_ids\":null,\"use_cache\":true,\"output_scores\":false,\"pad_token_id\":0}", NULL);
    refused("{\"top_logprobs\":2}", "top_logprobs");
    refused("{\"logprobs\":true,\"top_logprobs\":2}", NULL);
    refused("{\"stop\":\"a\",\"stop_strings\":\"b\"}", "one of stop_strings and stop");
    refused("{\"stop\":[1]}", "stop string");
}

/* A schema is understood wherever it stands, or refused; never dropped. */
static void response_formats(void **state) {
    (void)state;
#define SCHEMA "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"}},\"required\":[\"a\"]}"
    static const char *const bound[] = {
        "{\"type\":\"json_object\",\"schema\":" SCHEMA "}",
        "{\"type\":\"json_schema\",\"schema\":" SCHEMA "}",
        "{\"type\":\"json_schema\",\"json_schema\":" SCHEMA "}",
        "{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"x\",\"strict\":true,\"schema\":" SCHEMA "}}",
        "{\"type\":\"json_object\"}",
        "{\"type\":\"grammar\",\"grammar\":\"root ::= \\\"{a\\\"\"}",
        "{\"type\":\"regex\",\"pattern\":\"[{]a\"}",
    };
    for (size_t i = 0; i < sizeof bound / sizeof *bound; i++) {
        char request[400];
        Err err = {0};
        snprintf(request, sizeof request, "{\"response_format\":%s}", bound[i]);
        Generation g = begin(request);
        assert_non_null(g.matcher);
        assert_true(matcher_read(g.matcher, 0, (const uint8_t *)"{", 1, &err) >= 0);
        assert_int_equal(matcher_read(g.matcher, 0, (const uint8_t *)"[", 1, &err), MATCH_DEAD);
        generation_free(&g);
    }
    Generation wrapped = begin("{\"json_schema\":{\"name\":\"x\",\"schema\":" SCHEMA "}}"), free_text = begin(
        "{\"response_format\":{\"type\":\"text\"}}");
    Err err = {0};
    assert_int_equal(matcher_read(wrapped.matcher, 0, (const uint8_t *)"7", 1, &err), MATCH_DEAD);
    assert_null(free_text.matcher);
    generation_free(&wrapped), generation_free(&free_text);
    refused("{\"response_format\":{\"type\":\"json_schema\"}}", "expected a schema");
    refused("{\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"x\"}}}", "expected \"schema\"");
    refused("{\"response_format\":\"yaml\"}", "response_format");
    refused("{\"response_format\":\"json\"}", "expected an object with \"type\"");
    refused("{\"response_format\":\"json_object\"}", "{\"type\": \"json_object\"}");
    refused("{\"response_format\":[1]}", "response_format");
    refused("{\"response_format\":{\"type\":\"jsn_object\"}}", "got jsn_object");
    refused("{\"response_format\":{\"type\":\"json_object\",\"shema\":{}}}", "did you mean \"schema\"?");
    refused("{\"response_format\":{\"type\":\"json_object\"},\"json_schema\":{\"type\":\"integer\"}}", "one of");
    refused("{\"regex\":\"a\",\"grammar\":\"root ::= \\\"a\\\"\"}", "one of");
}

/* ---- Repeats ----------------------------------------------------------------------------------------------------- */

static void repeats(void **state) {
    (void)state;
    enum { N = 200 };
    for (int round = 0; round < 300; round++) {
        int32_t ids[N], length[N];
        int64_t n = 1 + random_below(N);
        for (int64_t i = 0; i < n; i++) ids[i] = (int32_t)(round % 3 == 0 ? 4 : random_below(round % 3 == 1 ? 2 : 5));
        repeats_of_end(ids, n, length);
        assert_int_equal(length[0], 0);
        for (int64_t j = 1; j < n; j++) {
            int64_t same = 0;
            while (same < j && ids[j - 1 - same] == ids[n - 1 - same]) same++;
            assert_int_equal(length[j], same);
        }
    }
}

/* All the same id: work that would be quadratic if each place were looked at from its start. */
static void repeats_are_linear(void **state) {
    (void)state;
    enum { N = 1 << 20 };
    int32_t *ids = calloc(N, sizeof *ids), *length = malloc(N * sizeof *length);
    double start = (double)clock() / CLOCKS_PER_SEC;
    repeats_of_end(ids, N, length);
    assert_int_equal(length[N - 1], N - 1);
    assert_true((double)clock() / CLOCKS_PER_SEC - start < 5); /* quadratic: 2^39 steps */
    free(ids), free(length);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stops_see_special_tokens), cmocka_unit_test(stops_and_characters),
        cmocka_unit_test(stops_with_nul),           cmocka_unit_test(ids_without_text),
        cmocka_unit_test(turn_ends),                cmocka_unit_test(unknown_members),
        cmocka_unit_test(response_formats),
        cmocka_unit_test(repeats),                  cmocka_unit_test(repeats_are_linear),
    };
    return cmocka_run_group_tests(tests, open_bytes, close_bytes);
}
