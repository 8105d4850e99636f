/* test_tokenizer_files.c: what tokenizer.json and GGUF metadata may say, and files of every wrong kind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "../src/io/json.h"
#include "../src/model/family.h"
#include "../src/text/tokenizer.h"
#include "../src/text/unicode.h"
#include "fixture.h"

static int64_t encode(const QmTokenizer *t, const char *text, size_t bytes, bool special, int32_t **ids) {
    Err err = {0};
    int64_t count = qm_tokenizer_encode(t, text, bytes, special, ids, &err);
    if (count < 0) fail_msg("%s", err.text);
    return count;
}

/* ---- Small tokenizer files ----------------------------------------------------------------------------------- */

/* The parts of a tokenizer.json; NULL: the usual. */
typedef struct Parts { const char *top, *vocab, *merges, *model, *added, *normalizer, *pre, *post, *decoder; } Parts;

static void add_alphabet(Text *out) { /* "!": 0 and so on: all bytes but 'z', in the order of their characters */
    int id = 0;
    for (int32_t code = 33; code < 324; code++) {
        uint8_t utf8[5] = {0};
        if ((code > 126 && code < 161) || code == 173 || code == 'z') continue;
        utf8_write(code, utf8);
        text_line(out, "%s\"%s%s\": %d", id ? ", " : "", code == '"' || code == '\\' ? "\\" : "", (char *)utf8, id);
        id++;
    }
}

enum { SMALL_BYTES = 255 }; /* ids 0..254 are bytes, then come the tokens of Parts.vocab */

static Text small_json(const Parts *p) {
    Text t = {0};
    text_line(
        &t,
        "{%s\"added_tokens\": %s, \"normalizer\": %s, \"pre_tokenizer\": %s, \"post_processor\": %s, \"decoder\": %s, ",
        p->top ? p->top : "", p->added ? p->added : "[]", p->normalizer ? p->normalizer : "null",
        p->pre ? p->pre : "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"use_regex\": true}",
        p->post ? p->post : "null", p->decoder ? p->decoder : "{\"type\": \"ByteLevel\"}");
    text_line(&t, "\"model\": {\"type\": \"BPE\", %s\"vocab\": {", p->model ? p->model : "");
    add_alphabet(&t);
    text_line(&t, "%s}, \"merges\": %s}}", p->vocab ? p->vocab : ", \"ab\": 255, \"abc\": 256, \"\u0120a\": 257",
              p->merges ? p->merges : "[\"a b\", [\"ab\", \"c\"], \"\u0120 a\"]");
    return t;
}

static QmTokenizer *small_open(const char *json, size_t bytes, Err *err) {
    QmTokenizer *t = tokenizer_new(err);
    assert_non_null(t);
    if (tokenizer_load_json(t, (const uint8_t *)json, bytes, "small.json", err)) return t;
    qm_tokenizer_close(t);
    assert_true(err->kind);
    return NULL;
}

static QmTokenizer *small(const Parts *parts, Err *err) {
    Text json = small_json(parts);
    QmTokenizer *t = small_open(json.data, json.bytes, err);
    text_free(&json);
    return t;
}

/* What the pieces of an encoded text are, joined by "|". */
static void assert_pieces(const Parts *parts, const char *text, bool special, const char *expected) {
    Err err = {0};
    QmTokenizer *t = small(parts, &err);
    if (!t) fail_msg("%s", err.text);
    int32_t *ids;
    int64_t count = encode(t, text, strlen(text), special, &ids);
    Text out = {0};
    text_add(&out, "", 0);
    for (int64_t i = 0; i < count; i++) {
        size_t bytes;
        const char *piece = qm_tokenizer_piece(t, ids[i], &bytes, NULL);
        text_line(&out, "%s%.*s", i ? "|" : "", (int)bytes, piece);
    }
    assert_string_equal(out.data, expected);
    text_free(&out);
    free(ids);
    qm_tokenizer_close(t);
}

/* Components of tokenizer.json that change ids. */
static void components(void **state) {
    (void)state;
    const Parts usual = {0};
    assert_pieces(&usual, "abcab c aabc", true, "abc|ab| |c| a|abc");
    assert_pieces(&usual, "xzzy", true, "x|y"); /* z has no token: dropped, as Hugging Face does */
    const Parts unknown = {.model = "\"unk_token\": \"!\", "};
    assert_pieces(&unknown, "xzzy", true, "x|!|!|y");
    const Parts whole = {
        .vocab = ", \"ab\": 255, \"xyx\": 256", .merges = "[\"a b\"]", .model = "\"ignore_merges\": true, "};
    assert_pieces(&whole, "xyx xyxy", true, "xyx| |x|y|x|y");
    const Parts merges_only = {.vocab = ", \"ab\": 255, \"xyx\": 256", .merges = "[\"a b\"]"};
    assert_pieces(&merges_only, "xyx", true, "x|y|x");
    const Parts prefix = {.pre = "{\"type\": \"ByteLevel\", \"add_prefix_space\": true, \"use_regex\": true}"};
    assert_pieces(&prefix, "abc", true, " |abc");
    assert_pieces(&prefix, " abc", true, " |abc");
    const Parts no_regex = {
        .pre = "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Split\", \"pattern\": {\"Regex\": \"b\"}, "
               "\"behavior\": \"Isolated\", \"invert\": false}, {\"type\": \"ByteLevel\", \"add_prefix_space\": false, "
               "\"use_regex\": false}]}"};
    assert_pieces(&no_regex, "abc", true, "a|b|c");
    const Parts nfc = {.normalizer = "{\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"NFC\"}]}",
                       .vocab = ", \"\u00C3\u00A9\": 255",
                       .merges = "[\"\u00C3 \u00A9\"]"};
    assert_pieces(&nfc, "e\u0301", true, "\u00E9");
    const Parts bos = {
        .added = "[{\"id\": 258, \"content\": \"<s>\", \"single_word\": false, \"lstrip\": false, \"rstrip\": false, "
                 "\"normalized\": false, \"special\": true}]",
        .post =
            "{\"type\": \"Sequence\", \"processors\": [{\"type\": \"ByteLevel\"}, {\"type\": \"TemplateProcessing\", "
            "\"single\": "
            "[{\"SpecialToken\": {\"id\": \"<s>\", \"type_id\": 0}}, {\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}], "
            "\"special_tokens\": {\"<s>\": {\"id\": \"<s>\", \"ids\": [258], \"tokens\": [\"<s>\"]}}}]}"};
    assert_pieces(&bos, "abc", true, "<s>|abc");
    assert_pieces(&bos, "", true, "<s>");
}

#define TOKEN(id, text, word, left, right, normal, special)                                                            \
    "{\"id\": " #id ", \"content\": \"" text "\", \"single_word\": " #word ", \"lstrip\": " #left                      \
    ", \"rstrip\": " #right ", \"normalized\": " #normal ", \"special\": " #special "}"

/* Flags of added tokens. */
static void added_flags(void **state) {
    (void)state;
    const Parts p = {
        .normalizer = "{\"type\": \"NFC\"}",
        .added = "[" TOKEN(258, "<l>", false, true, false, false, false) ", " TOKEN(
            259, "<r>", false, false, true, false,
            false) ", " TOKEN(260, "word", true, false, false, false,
                              false) ", " TOKEN(261, "<long>", false, false, false, false,
                                                true) ", " TOKEN(262, "<lon", false, false, false, false,
                                                                 true) ", " TOKEN(263, "e\u0301", false, false, false,
                                                                                  true, false) ", " TOKEN(264, "ab",
                                                                                                          false, false,
                                                                                                          false, false,
                                                                                                          true) "]",
        .vocab = ", \"xy\": 255, \"abc\": 256, \"\u0120a\": 257",
        .merges = "[\"x y\"]"};
    const char *merge = "[\"a b\"]"; /* below: an added token that merges make */
    assert_pieces(&p, "x \n<l> y", true, "x|<l>| |y");
    assert_pieces(&p, "x <r> \n y", true, "x| |<r>|y");
    assert_pieces(&p, "word sword word", true, "word| |s|w|o|r|d| |word");
    assert_pieces(&p, "<long><lonx", true, "<long>|<lon|x");
    assert_pieces(&p, "<long>", false, "<|l|o|n|g|>");
    assert_pieces(&p, "x\u00E9y", true, "x|e\u0301|y");
    assert_pieces(&p, "xe\u0301y", true, "x|e\u0301|y");
    assert_pieces(&p, "abab", true, "ab|ab");
    assert_pieces(&p, "abab", false, "a|b|a|b");
    Err err = {0};
    Ids out = {0};
    QmTokenizer *t = small(&p, &err); /* in a prompt: \u00E9 counts where the template wrote it, and there only */
    static const char text[] = "\u00E9<lon\u00E9";
    const Span open[] = {{0, 6}};
    assert_true(t && tokenizer_encode(t, (const uint8_t *)text, strlen(text), open, 1, &out, &err));
    assert_int_equal(out.count, 4); /* \u00E9 as a token, <lon, two bytes */
    assert_int_equal(out.data[0], 263);
    assert_int_equal(out.data[1], 262);
    out.count = 0;
    const Span later[] = {{2, 8}};
    assert_true(tokenizer_encode(t, (const uint8_t *)text, strlen(text), later, 1, &out, &err));
    assert_int_equal(out.count, 4); /* the other way round */
    assert_int_equal(out.data[2], 262);
    assert_int_equal(out.data[3], 263);
    free(out.data);
    qm_tokenizer_close(t);
    const Parts merged = {.added = "[" TOKEN(255, "ab", true, false, false, false,
                                             true) ", " TOKEN(0, "!", false, false, false, false, true) "]",
                          .merges = merge};
    assert_pieces(&merged, "ab", true, "ab");
    assert_pieces(&merged, "ab", false, "ab"); /* what the model's own merges make is the model's */
    assert_pieces(&merged, "abx!", true, "ab|x|!");
    assert_pieces(&merged, "a!b", false, "a|!|b"); /* nothing of the text is lost */
    const Parts whole = {.added = "[" TOKEN(255, "ab", true, false, false, false, false) "]",
                         .merges = merge,
                         .model = "\"ignore_merges\": true, "};
    assert_pieces(&whole, "ab abx", false, "ab| |ab|x");
}

/* Files that are wrong, each with an error that names the fault. */
static void bad_files(void **state) {
    (void)state;
#define MORE ", \"ab\": 255"
    static const struct { Parts parts; const char *says;
    } cases[] = {
        {{.vocab = MORE ", \"ac\": 255"}, "given twice"},
        {{.vocab = MORE ", \"ab\": 256"}, "same text"},
        {{.vocab = MORE ", \"ac\": -1"}, "expected an integer from 0"},
        {{.vocab = MORE ", \"ac\": 4194304"}, "expected an integer from 0"},
        {{.vocab = MORE ", \"ac\": 99999999999999999999"}, "expected an integer from 0"},
        {{.vocab = MORE ", \"ac\": 1.0"}, "expected an integer from 0"},
        {{.vocab = MORE ", \"ac\": \"1\""}, "expected an integer"},
        {{.vocab = MORE ", \"ac\": null"}, "expected an integer"},
        {{.vocab = MORE ", \"\": 256"}, "is empty"},
        {{.vocab = MORE ", \"\\ud800\": 256"}, "lone surrogate"},
        {{.vocab = MORE ", \"\\q\": 256"}, "invalid escape"},
        {{.vocab = MORE ", \"\xFF\": 256"}, "invalid UTF-8"},
        {{.vocab = MORE ", \"a\nb\": 256"}, "end of a string"},
        {{.merges = "[\"a c\"]"}, "merged token is not in the vocabulary"},
        {{.merges = "[\"a q\"]"}, "merged token is not in the vocabulary"},
        {{.merges = "[\"xx a\"]"}, "left side is not in the vocabulary"},
        {{.merges = "[\"a xx\"]"}, "right side is not in the vocabulary"},
        {{.merges = "[\"ab\"]"}, "one space between"},
        {{.merges = "[\"a  b\"]"}, "one space between"},
        {{.merges = "[\" ab\"]"}, "left side is not a token"},
        {{.merges = "[\"ab \"]"}, "right side is not a token"},
        {{.merges = "[\"\u4F60 b\"]"}, "left side is not a token"},
        {{.merges = "[[\"a\"]]"}, "expected two strings"},
        {{.merges = "[[]]"}, "expected two strings"},
        {{.merges = "[[\"a\", \"b\", \"c\"]]"}, "expected two strings"},
        {{.merges = "[[\"a\", 1]]"}, "expected a string"},
        {{.merges = "[1]"}, "expected a string"},
        {{.merges = "[\"a b\", \"a b\"]"}, "are the same"},
        {{.merges = "{}"}, "expected an array"},
        {{.merges = "null"}, "expected an array"},
        {{.model = "\"type\": \"Unigram\", "}, "got Unigram"},
        {{.model = "\"vocab\": {\"a\": 0}, "}, "given twice"},
        {{.model = "\"merges\": [], "}, "given twice"},
        {{.model = "\"dropout\": 0.1, "}, "dropout"},
        {{.model = "\"byte_fallback\": true, "}, "byte_fallback"},
        {{.model = "\"unk_token\": \"nope\", "}, "unk_token"},
        {{.model = "\"unk_token\": \"!\", \"fuse_unk\": true, "}, "fuse_unk"},
        {{.model = "\"end_of_word_suffix\": \"</w>\", "}, "end_of_word_suffix"},
        {{.model = "\"continuing_subword_prefix\": \"##\", "}, "continuing_subword_prefix"},
        {{.model = "\"new_thing\": 1, "}, "new_thing"},
        {{.model = "\"ignore_merges\": 1, "}, "ignore_merges"},
        {{.top = "\"model\": 3, "}, "expected an object"},
        {{.top = "\"decoder\": {\"type\": \"ByteLevel\"}, "}, "decoder is given twice"},
        {{.added = "{}"}, "added_tokens: expected an array"},
        {{.added = "[3]"}, "added_tokens[0]"},
        {{.added = "[{\"id\": 300}]"}, "single_word is missing"},
        {{.added = "[" TOKEN(258, "", false, false, false, false, false) "]"}, "is empty"},
        {{.added = "[" TOKEN(-1, "x1", false, false, false, false, false) "]"}, "expected an integer from 0"},
        {{.added = "[" TOKEN(null, "x1", false, false, false, false, false) "]"}, "expected an integer id"},
        {{.added = "[" TOKEN(258, "x1", 1, false, false, false, false) "]"}, "expected true or false"},
        {{.added = "[" TOKEN(3, "x1", false, false, false, false, false) "]"}, "has another token there"},
        {{.added = "[" TOKEN(300, "abc", false, false, false, false, false) "]"}, "under another id"},
        {{.added = "[" TOKEN(300, "x1", false, false, false, false, false) ", " TOKEN(300, "x2", false, false, false,
                                                                                      false, false) "]"},
         "given twice"},
        {{.added = "[" TOKEN(300, "x1", false, false, false, false, false) ", " TOKEN(301, "x1", false, false, false,
                                                                                      false, false) "]"},
         "given twice"},
        {{.normalizer = "{\"type\": \"NFKC\"}"}, "NFKC"},
        {{.normalizer = "{\"type\": \"\\u001b[2JX\"}"}, "normalizer ?[2JX"},
        {{.model = "\"\\u009b2J\": 1, "}, "unknown member '??2J'"},
        {{.normalizer = "{\"type\": \"Sequence\"}"}, "normalizers"},
        {{.normalizer = "3"}, "without a type"},
        {{.pre = "null"}, "pre_tokenizer is missing"},
        {{.pre = "{\"type\": \"Whitespace\"}"}, "Whitespace"},
        {{.pre = "{\"type\": \"Metaspace\"}"}, "Metaspace"},
        {{.pre = "{\"type\": \"Digits\", \"individual_digits\": false}"}, "individual_digits"},
        {{.pre = "{\"type\": \"Digits\", \"individual_digits\": true}"}, "no ByteLevel"},
        {{.pre = "{\"type\": \"ByteLevel\"}"}, "add_prefix_space is missing"},
        {{.pre = "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"ByteLevel\", \"add_prefix_space\": false}, "
                 "{\"type\": \"Digits\", \"individual_digits\": true}]}"},
         "after ByteLevel"},
        {{.pre = "{\"type\": \"Split\", \"pattern\": {\"String\": \" \"}, \"behavior\": \"Isolated\"}"}, "Regex"},
        {{.pre = "{\"type\": \"Split\", \"pattern\": {\"Regex\": \" \"}, \"behavior\": \"Removed\"}"}, "Removed"},
        {{.pre = "{\"type\": \"Split\", \"pattern\": {\"Regex\": \"(\"}, \"behavior\": \"Isolated\"}"}, "at byte"},
        {{.post = "{\"type\": \"BertProcessing\"}"}, "BertProcessing"},
        {{.post = "{\"type\": \"TemplateProcessing\", \"single\": []}"}, "TemplateProcessing"},
        {{.post = "{\"type\": \"TemplateProcessing\", \"single\": [{\"Sequence\": {}}, {\"SpecialToken\": {\"id\": "
                  "\"!\"}}]}"},
         "expected one id below 258 for '!'"},
        {{.post = "{\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": {\"id\": \"!\"}}, "
                  "{\"SpecialToken\": {\"id\": \"!\"}}, {\"Sequence\": {}}]}"},
         "at most one token before"},
        {{.post = "{\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": {\"id\": \"!\"}}, {\"Sequence\": "
                  "{}}], "
                  "\"special_tokens\": {\"!\": {\"ids\": [9999]}}}"},
         "expected one id below 258"},
        {{.decoder = "null"}, "decoder null"},
        {{.decoder = "{\"type\": \"WordPiece\"}"}, "WordPiece"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Err err = {0};
        QmTokenizer *t = small(&cases[i].parts, &err);
        if (t) fail_msg("case %zu was taken, expected '%s'", i, cases[i].says);
        if (!strstr(err.text, cases[i].says)) fail_msg("case %zu: expected '%s', got: %s", i, cases[i].says, err.text);
        if (!strstr(err.text, "small.json")) fail_msg("case %zu does not say where: %s", i, err.text);
    }
}

/* Texts that are no tokenizer.json at all. */
static void bad_json(void **state) {
    (void)state;
    static const char *const cases[] = {
        "",
        "{",
        "[",
        "3",
        "null",
        "{}",
        "{\"model\"}",
        "{\"model\": {}}",
        "{\"model\": {\"type\": \"BPE\"}}",
        "{\"a\": 01}",
        "{\"a\": 1.}",
        "{\"a\": 1e}",
        "{\"a\": -}",
        "{\"a\": tru}",
        "{\"a\": \"\\u12\"}",
        "{\"a\": \"\\ud800\\u0041\"}",
        "{\"a\" 1}",
        "{\"a\": 1,}",
        "{,}",
        "{\"a\": [1 2]}",
        "{\"a\": \"",
        "{\"a\": \"\\",
        "{\"a\": \"\\u",
        "{} x",
        "{\"model\": {\"vocab\": {}, \"merges\": []}}",
        "\xEF\xBB\xBF{}",
        "{\"model\": {\"vocab\": {\"a\": 4194303}, \"merges\": []}}",
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Err err = {0};
        if (small_open(cases[i], strlen(cases[i]), &err)) fail_msg("taken: %s", cases[i]);
        if (cases[i][0] == '{' && cases[i][1] == '"' && cases[i][2] == 'a' && strstr(err.text, "model is missing"))
            fail_msg("the fault was not seen: %s", cases[i]);
    }
    Text deep = {0};
    text_add(&deep, "{\"a\": ", 6);
    for (int i = 0; i < 1000000; i++) text_add(&deep, "[", 1);
    Err err = {0};
    assert_null(small_open(deep.data, deep.bytes, &err));
    assert_non_null(strstr(err.text, "nested deeper"));
    text_free(&deep);
}

/* A file cut short anywhere is an error; with any byte changed it is an error or a tokenizer, never a crash. */
static void cut_and_changed(void **state) {
    (void)state;
    const Parts parts = {.added = "[" TOKEN(258, "<s>", false, true, false, true, true) "]",
                         .normalizer = "{\"type\": \"NFC\"}"};
    Text json = small_json(&parts);
    for (size_t cut = 0; cut < json.bytes; cut += 1 + cut / 400) {
        char *copy = malloc(cut ? cut : 1); /* its end is where a sanitizer looks */
        assert_non_null(copy);
        memcpy(copy, json.data, cut);
        Err err = {0};
        assert_null(small_open(copy, cut, &err));
        free(copy);
    }
    for (int turn = 0; turn < 3000; turn++) {
        size_t at = random_below((uint32_t)json.bytes);
        char old = json.data[at];
        json.data[at] = random_below(2) ? "{}[]\",:0\\ 9"[random_below(11)] : (char)random_below(256);
        Err err = {0};
        QmTokenizer *t = small_open(json.data, json.bytes, &err);
        if (t) {
            int32_t *ids;
            int64_t count = encode(t, "abc <s>\u00E9\xFF 12", 13, true, &ids);
            assert_true(count >= 0);
            free(ids);
            qm_tokenizer_close(t);
        }
        json.data[at] = old;
    }
    text_free(&json);
}

static bool load_config(QmTokenizer *t, const char *text, size_t bytes, const char *family, Err *err) {
    json_t *root = json_text(text, bytes, "config", err);
    const Family *row = family ? family_find(family, strlen(family), false) : NULL;
    bool ok = root && tokenizer_load_config(t, root, row ? &row->tokenizer : NULL, "config", err);
    json_decref(root);
    return ok;
}

/* tokenizer_config.json: what it may say, and errors. */
static void config_files(void **state) {
    (void)state;
    static const struct { const char *json, *says;
    } cases[] = {
        {"{}", NULL},
        {"{\"bos_token\": \"!\", \"add_bos_token\": true}", NULL},
        {"{\"bos_token\": \"new\"}", NULL}, /* becomes a token, as in transformers */
        {"{\"tokenizer_class\": \"LlamaTokenizerFast\", \"bos_token\": \"!\", \"add_bos_token\": true}", NULL},
        {"{\"bos_token\": {\"content\": \"!\"}, \"eos_token\": \"abc\"}", NULL},
        {"{\"chat_template\": [{\"name\": \"default\", \"template\": \"x\"}]}", NULL},
        {"{\"tokenizer_class\": \"LlamaTokenizer\", \"add_bos_token\": true}", "there is no bos_token"},
        {"{\"split_special_tokens\": true}", "split_special_tokens"},
        {"{\"added_tokens_decoder\": []}", "added_tokens_decoder: expected an object"},
        {"{\"added_tokens_decoder\": {\"258\": \"x\"}}", "expected an object"},
        {"{\"added_tokens_decoder\": {\"258\": {}}}", "with content"},
        {"{\"added_tokens_decoder\": {\"x\": {\"content\": \"<x>\"}}}", "expected an id"},
        {"{\"added_tokens_decoder\": {\"300\": {\"content\": \"<x>\"}}}", "the two files disagree"},
        {"{\"added_tokens_decoder\": {\"258\": {\"content\": \"\\u001b[2J\", \"lstrip\": 3}}}",
         "expected true or false"},
        {"{\"extra_special_tokens\": 3}", "extra_special_tokens: expected"},
        {"{\"additional_special_tokens\": [3]}", "additional_special_tokens: expected"},
        {"{\"bos_token\": 3}", "bos_token: expected"},
        {"{\"add_prefix_space\": 3}", "expected true or false"},
        {"{\"chat_template\": 3}", "chat_template: expected a string"},
        {"[]", "expected an object"},
        {"{", "not valid JSON"},
        {"{\"bos_token\": \"!\", \"bos_token\": \"!\"}", "duplicate"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Err err = {0};
        const Parts usual = {0};
        QmTokenizer *t = small(&usual, &err);
        assert_non_null(t);
        bool ok = load_config(t, cases[i].json, strlen(cases[i].json), NULL, &err);
        if (ok != !cases[i].says || (!ok && !strstr(err.text, cases[i].says)))
            fail_msg("%s: %s", cases[i].json, err.text);
        qm_tokenizer_close(t);
    }
}

/* Ids by both files, as AutoTokenizer of transformers 5.24 gives them. */
static void config_counts(void **state) {
    (void)state;
    static const char with_bos[] =
        "{\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": {\"id\": \"!\"}}, {\"Sequence\": {}}], "
        "\"special_tokens\": {\"!\": {\"ids\": [0]}}}";
    static const char with_space[] = "{\"type\": \"ByteLevel\", \"add_prefix_space\": true, \"use_regex\": true}";
    static const char ends[] = "[" TOKEN(258, "<e>", false, false, false, false, false) "]";
    static const struct {
        Parts parts;
        const char *config, *family, *text, *ids, *plain;
    } cases[] = {
        {{.added = ends},
         "{\"added_tokens_decoder\": {\"260\": {\"content\": \"<c2>\"}, \"259\": {\"content\": "
         "\"<c1>\", \"special\": true}}}",
         NULL,
         "a<c1>b<c2>",
         "64 259 65 260",
         "ab<c2>"},
        {{.added = ends},
         "{\"added_tokens_decoder\": {\"258\": {\"content\": \"<e>\", \"rstrip\": true}}}",
         NULL,
         "a<e>  b",
         "64 258 65",
         "a<e>b"},
        {{.added = ends}, "{\"added_tokens_decoder\": {\"300\": {\"content\": \"<e>\"}}}", NULL, "<e>", "258", "<e>"},
        {{.added = ends}, "{\"eos_token\": \"<e>\"}", NULL, "a<e>", "64 258", "a"},
        {{.added = ends, .normalizer = "{\"type\": \"NFC\"}"},
         "{\"added_tokens_decoder\": {\"258\": {\"content\": \"<e>\", \"normalized\": true}, \"259\": {\"content\": "
         "\"<e\u0301>\", \"normalized\": true}}}",
         NULL,
         "<e><\u00E9>",
         "258 259",
         "<e><e\u0301>"},
        {{0},
         "{\"extra_special_tokens\": [\"<x1>\", {\"content\": \"<x2>\", \"rstrip\": true}]}",
         NULL,
         "a<x1> <x2>  b",
         "64 258 219 259 65",
         "a b"},
        {{0}, "{\"additional_special_tokens\": [\"<x1>\"]}", NULL, "<x1>", "258", ""},
        {{0},
         "{\"extra_special_tokens\": {\"image_token\": \"<x1>\"}, \"video_token\": \"<v>\"}",
         NULL,
         "<x1><v>",
         "258 259",
         ""},
        {{0}, "{\"pad_token\": \"!\"}", NULL, "a!b", "64 0 65", "ab"},
        {{0}, "{\"pad_token\": \"ab\"}", NULL, "xab abc", "87 255 219 255 66", "x c"},
        {{0},
         "{\"bos_token\": \"<s>\", \"mask_token\": \"<m>\", \"sep_token\": \"<p>\"}",
         NULL,
         "<m><s><p>",
         "260 258 259",
         ""},
        {{0}, "{\"bos_token\": \"!\", \"add_bos_token\": true}", NULL, "x", "87", "x"},
        {{.post = with_bos}, "{\"bos_token\": \"a\", \"add_bos_token\": false}", NULL, "x", "0 87", "!x"},
        {{0},
         "{\"tokenizer_class\": \"LlamaTokenizerFast\", \"bos_token\": \"a\", \"add_bos_token\": true}",
         NULL,
         "x",
         "64 87",
         "x"},
        {{.post = with_bos},
         "{\"tokenizer_class\": \"LlamaTokenizer\", \"bos_token\": \"!\", \"add_bos_token\": false}",
         NULL,
         "x",
         "87",
         "x"},
        {{0}, "{\"tokenizer_class\": \"GPT2Tokenizer\", \"add_prefix_space\": true}", NULL, "x", "219 87", " x"},
        {{.pre = with_space}, "{\"tokenizer_class\": \"GPT2Tokenizer\"}", NULL, "x", "87", "x"},
        {{.pre = with_space},
         "{\"tokenizer_class\": \"Qwen2TokenizerFast\", \"add_prefix_space\": false}",
         NULL,
         "x",
         "87",
         "x"},
        {{.pre = with_space},
         "{\"tokenizer_class\": \"PreTrainedTokenizerFast\", \"add_prefix_space\": false}",
         NULL,
         "x",
         "219 87",
         " x"},
        {{0},
         "{\"tokenizer_class\": \"PreTrainedTokenizerFast\", \"add_prefix_space\": true}",
         "llama",
         "x",
         "87",
         "x"},
        {{0},
         "{\"tokenizer_class\": \"PreTrainedTokenizerFast\", \"add_prefix_space\": true}",
         "qwen2",
         "x",
         "219 87",
         " x"},
        {{0}, "{\"tokenizer_class\": \"GPT2Tokenizer\", \"add_prefix_space\": true}", "mistral", "x", "87", "x"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Err err = {0};
        QmTokenizer *t = small(&cases[i].parts, &err);
        if (!t || !load_config(t, cases[i].config, strlen(cases[i].config), cases[i].family, &err))
            fail_msg("%s: %s", cases[i].config, err.text);
        int32_t *ids;
        int64_t count = encode(t, cases[i].text, strlen(cases[i].text), true, &ids);
        Text got = {0};
        text_add(&got, "", 0);
        for (int64_t k = 0; k < count; k++) text_line(&got, "%s%d", k ? " " : "", (int)ids[k]);
        char *plain = qm_tokenizer_decode(t, ids, count, true, NULL, &err);
        if (strcmp(got.data, cases[i].ids) || !plain || strcmp(plain, cases[i].plain))
            fail_msg("%s: '%s' gives %s, '%s'", cases[i].config, cases[i].text, got.data, plain ? plain : err.text);
        free(plain);
        free(ids);
        text_free(&got);
        qm_tokenizer_close(t);
    }
}

/* Paths that hold no tokenizer. */
static void bad_paths(void **state) {
    (void)state;
    static const char *const cases[] = {"tests/data/nowhere", "tests/data", "tests/data/README.md", "/dev/null", ""};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Err err = {0};
        assert_null(qm_tokenizer_open(cases[i], &err));
        assert_true(err.kind);
    }
}

/* ---- GGUF ---------------------------------------------------------------------------------------------------- */

typedef struct Gg { Text bytes; int values; } Gg;

static void put(Gg *g, const void *data, size_t bytes) { text_add(&g->bytes, data, bytes); }
static void put_u32(Gg *g, uint32_t v) { put(g, &v, 4); }
static void put_u64(Gg *g, uint64_t v) { put(g, &v, 8); }
static void put_text(Gg *g, const char *text) { put_u64(g, strlen(text)), put(g, text, strlen(text)); }
static void put_key(Gg *g, const char *key, GgufType type) { put_text(g, key), put_u32(g, type), g->values++; }

/* What a case of bad_ggufs leaves out or puts in. */
typedef struct GgParts {
    const char *model, *pre, *extra_token, *merge, *architecture;
    int extra_type;
    bool no_tokens, no_merges, no_types, short_types, text_types, add_bos, add_eos, bad_eos, space;
} GgParts;

static void put_tokens(Gg *g, const GgParts *p) {
    put_key(g, "tokenizer.ggml.tokens", GGUF_ARRAY);
    put_u32(g, GGUF_STRING);
    put_u64(g, 8);
    static const char *const tokens[] = {"a", "b", "\u0120", "ab", "\u0120a", "<|x|>", "1"};
    for (int i = 0; i < 7; i++) put_text(g, tokens[i]);
    put_text(g, p->extra_token ? p->extra_token : "2");
    if (p->no_types) return;
    put_key(g, "tokenizer.ggml.token_type", p->text_types ? GGUF_U32 : GGUF_ARRAY);
    if (!p->text_types) put_u32(g, GGUF_I32), put_u64(g, p->short_types ? 7 : 8);
    for (int i = 0; i < (p->text_types ? 1 : p->short_types ? 7 : 8); i++)
        put_u32(g, (uint32_t)(i == 5 ? 3 : i == 7 && p->extra_type ? p->extra_type : 1));
}

static Text small_gguf(const GgParts *p) {
    Gg g = {0};
    if (p->architecture) put_key(&g, "general.architecture", GGUF_STRING), put_text(&g, p->architecture);
    put_key(&g, "tokenizer.ggml.model", GGUF_STRING), put_text(&g, p->model ? p->model : "gpt2");
    if (p->pre) put_key(&g, "tokenizer.ggml.pre", GGUF_STRING), put_text(&g, p->pre);
    if (!p->no_tokens) put_tokens(&g, p);
    if (!p->no_merges) {
        put_key(&g, "tokenizer.ggml.merges", GGUF_ARRAY), put_u32(&g, GGUF_STRING), put_u64(&g, 2);
        put_text(&g, "a b"), put_text(&g, p->merge ? p->merge : "\u0120 a");
    }
    put_key(&g, "tokenizer.ggml.eos_token_id", GGUF_U32), put_u32(&g, p->bad_eos ? 77 : 5);
    if (p->add_bos) put_key(&g, "tokenizer.ggml.add_bos_token", GGUF_BOOL), put(&g, "\1", 1);
    if (p->add_eos) put_key(&g, "tokenizer.ggml.add_eos_token", GGUF_BOOL), put(&g, "\1", 1);
    if (p->space) put_key(&g, "tokenizer.ggml.add_space_prefix", GGUF_BOOL), put(&g, "\1", 1);
    Gg file = {0};
    put(&file, "GGUF", 4), put_u32(&file, 3), put_u64(&file, 0), put_u64(&file, (uint64_t)g.values);
    put(&file, g.bytes.data, g.bytes.bytes);
    text_free(&g.bytes);
    return file.bytes;
}

static QmTokenizer *gguf_tokenizer(const Text *file, Err *err) {
    Gguf gguf;
    if (!gguf_parse(&gguf, (const uint8_t *)file->data, file->bytes, "small.gguf", err)) return NULL;
    QmTokenizer *t = tokenizer_new(err);
    assert_non_null(t);
    GgufText name = {"", 0};
    Err ignored = {0};
    const Family *row = gguf_text(&gguf, "general.architecture", &name, &ignored)
                            ? family_find(name.data, name.bytes, true) : NULL;
    if (!tokenizer_load_gguf(t, &gguf, row ? &row->tokenizer : NULL, err)) {
        qm_tokenizer_close(t);
        t = NULL;
    }
    gguf_close(&gguf);
    return t;
}

/* The pre-tokenizers by name cut differently. */
static void gguf_pre(void **state) {
    (void)state;
    static const struct {
        const char *pre;
        int64_t ids;
        const char *architecture;
    } cases[] = {{NULL, 4, NULL},    {"gpt-2", 4, "qwen2"},  {"default", 4, NULL}, {"smollm", 5, NULL},
                 {"qwen2", 5, NULL}, {"llama-bpe", 4, NULL}, {NULL, 5, "qwen2"},   {NULL, 4, "llama"},
                 {"default", 5, "qwen2"}, {"default", 4, "llama"}};
    for (size_t i = 0; i < 2 * (sizeof cases / sizeof *cases); i++) { /* with types of tokens, and without */
        Err err = {0};
        size_t n = i / 2;
        Text file = small_gguf(&(GgParts){.pre = cases[n].pre, .architecture = cases[n].architecture,
                                          .extra_token = "11", .merge = "1 1", .no_types = i % 2});
        QmTokenizer *t = gguf_tokenizer(&file, &err);
        if (!t && n != 5) fail_msg("%s", err.text);
        if (t) {
            int32_t *ids;
            assert_int_equal(encode(t, "ab<|x|> 11", 10, true, &ids), cases[n].ids);
            assert_int_equal(ids[0], 3);
            assert_int_equal(ids[1], 5);
            free(ids);
        } else assert_non_null(strstr(err.text, "no bos_token_id")); /* this pre-tokenizer implies one */
        qm_tokenizer_close(t);
        text_free(&file);
    }
}

/* A control token that is a byte, or that merges make, stays a token of the text. */
static void gguf_control_words(void **state) {
    (void)state;
    static const char *const tokens[][2] = {{"c", "\u0120 a"}, {"bb", "b b"}};
    for (int i = 0; i < 2; i++) {
        Err err = {0};
        Text file =
            small_gguf(&(GgParts){.pre = "gpt-2", .extra_type = 3, .extra_token = tokens[i][0], .merge = tokens[i][1]});
        QmTokenizer *t = gguf_tokenizer(&file, &err);
        if (!t) fail_msg("%s", err.text);
        int32_t *ids;
        for (int special = 0; special < 2; special++) {
            assert_int_equal(encode(t, i ? "bb" : "c", i ? 2 : 1, special, &ids), 1);
            assert_int_equal(ids[0], 7);
            free(ids);
        }
        qm_tokenizer_close(t);
        text_free(&file);
    }
}

/* Metadata that is wrong, each with an error that names the fault. */
static void bad_ggufs(void **state) {
    (void)state;
    static const struct { GgParts parts; const char *says; } cases[] = {
        {{.model = "llama"}, "expected gpt2"},
        {{.pre = "tekken"}, "tekken"},
        {{.no_tokens = true}, "tokens is missing"},
        {{.no_merges = true}, "merges is missing"},
        {{.short_types = true}, "expected 8 items"},
        {{.text_types = true}, "expected an array"},
        {{.extra_token = "a"}, "same text"},
        {{.extra_token = ""}, "is empty"},
        {{.extra_token = "\xFF"}, "not valid UTF-8"},
        {{.extra_type = 6}, "type 6"},
        {{.extra_type = 99}, "type 99"},
        {{.merge = "a"}, "one space"},
        {{.merge = "a q"}, "right side is not in the vocabulary"},
        {{.merge = "a b"}, "are the same"},
        {{.merge = "\xFF b"}, "not valid UTF-8"},
        {{.bad_eos = true}, "no token has id 77"},
        {{.add_bos = true}, "no bos_token_id"},
        {{.add_eos = true}, "add_eos_token"},
        {{.space = true}, "add_space_prefix"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Err err = {0};
        Text file = small_gguf(&cases[i].parts);
        QmTokenizer *t = gguf_tokenizer(&file, &err);
        if (t) fail_msg("case %zu was taken, expected '%s'", i, cases[i].says);
        if (!strstr(err.text, cases[i].says)) fail_msg("case %zu: expected '%s', got: %s", i, cases[i].says, err.text);
        text_free(&file);
    }
    Err err = {0};
    Text file = small_gguf(&(GgParts){.extra_type = 5, .extra_token = "a"}); /* unused: padding, no token */
    QmTokenizer *t = gguf_tokenizer(&file, &err);
    if (!t) fail_msg("%s", err.text);
    assert_null(qm_tokenizer_piece(t, 7, NULL, NULL));
    qm_tokenizer_close(t);
    text_free(&file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(components),         cmocka_unit_test(added_flags),     cmocka_unit_test(bad_files),
        cmocka_unit_test(bad_json),           cmocka_unit_test(cut_and_changed), cmocka_unit_test(config_files),
        cmocka_unit_test(config_counts),      cmocka_unit_test(bad_paths),       cmocka_unit_test(gguf_pre),
        cmocka_unit_test(gguf_control_words), cmocka_unit_test(bad_ggufs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
