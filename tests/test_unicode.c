/* test_unicode.c: UTF-8, normalisation form C, and pre-tokenisation by hand against the same patterns in PCRE2. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <utf8proc.h>
#include "../src/text/split.h"
#include "../src/text/unicode.h"
#include "fixture.h"
#include "cpu_time.h"

static void add_code(Text *text, int32_t code) {
    uint8_t utf8[4];
    text_add(text, (char *)utf8, (size_t)utf8_write(code, utf8));
}

static bool is_scalar(int32_t code) { return code < 0xD800 || code > 0xDFFF; }

/* ---- UTF-8 --------------------------------------------------------------------------------------------------- */

/* Every scalar value is written and read back; surrogates and what lies past U+10FFFF are not read. */
static void utf8_round_trip(void **state) {
    (void)state;
    for (int32_t code = 0; code < 0x110100; code++) {
        uint8_t utf8[4] = {0};
        int32_t back = -9;
        int n = utf8_write(code, utf8), m = utf8_read(utf8, utf8 + n, &back);
        if (is_scalar(code) && code < 0x110000) {
            assert_int_equal(m, n);
            assert_int_equal(back, code);
            assert_int_equal(utf8_read_valid(utf8, &back), n);
            assert_int_equal(back, code);
            for (int cut = 1; cut < n; cut++) {
                assert_int_equal(utf8_read(utf8, utf8 + cut, &back), cut);
                assert_int_equal(back, UTF8_CUT);
            }
        } else {
            assert_int_equal(back, UTF8_INVALID);
        }
    }
}

/* What Python's bytes.decode("utf-8", "replace") makes of ill-formed input. */
static void utf8_repairs_as_python(void **state) {
    (void)state;
    static const struct { const char *in, *out; } cases[] = {
        {"plain", "plain"},
        {"a\x80z", "a\uFFFDz"},
        {"\xC0\x80", "\uFFFD\uFFFD"},
        {"\xE2\x82", "\uFFFD"},
        {"\xE2\x82z", "\uFFFDz"},
        {"\xE2\x28\xA1", "\uFFFD(\uFFFD"},
        {"\xE0\x80\x80", "\uFFFD\uFFFD\uFFFD"},
        {"\xED\xA0\x80", "\uFFFD\uFFFD\uFFFD"},
        {"\xF0\x9F\x99", "\uFFFD"},
        {"\xF0\x9F\x99\x82\xF0\x9F", "\U0001F642\uFFFD"},
        {"\xF4\x90\x80\x80", "\uFFFD\uFFFD\uFFFD\uFFFD"},
        {"\xF0\x80\x80\x80", "\uFFFD\uFFFD\uFFFD\uFFFD"},
        {"\xF1\x80\x80\xE1\x80\xC2\x62", "\uFFFD\uFFFD\uFFFD\x62"}, /* Unicode 3.9, table 3-8 */
        {"12345678\xFF""12345678", "12345678\uFFFD12345678"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Text out = {0};
        utf8_repair((const uint8_t *)cases[i].in, strlen(cases[i].in), &out);
        assert_string_equal(out.data, cases[i].out);
        assert_true(utf8_valid((const uint8_t *)out.data, out.bytes));
        assert_int_equal(utf8_valid((const uint8_t *)cases[i].in, strlen(cases[i].in)),
                         !strcmp(cases[i].in, cases[i].out));
        text_free(&out);
    }
}

/* ---- Normalisation ------------------------------------------------------------------------------------------- */

static void assert_nfc(const char *text, size_t bytes) {
    Text out = {0};
    Err err = {0};
    uint8_t *expected = NULL;
    text_add(&out, "", 0);
    assert_true(nfc_add((const uint8_t *)text, bytes, &out, &err));
    utf8proc_ssize_t n =
        utf8proc_map((const uint8_t *)text, (utf8proc_ssize_t)bytes, &expected, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    assert_true(n >= 0);
    assert_int_equal(out.bytes, n);
    assert_memory_equal(out.data, expected, (size_t)n);
    if (!nfc_needed((const uint8_t *)text, bytes)) assert_memory_equal(text, expected, bytes);
    free(expected);
    text_free(&out);
}

/* Known compositions, exclusions and orders of marks. */
static void nfc_known(void **state) {
    (void)state;
    static const struct { const char *in, *out;
    } cases[] = {
        {"cafe\u0301", "caf\u00E9"},
        {"\u212B", "\u00C5"},
        {"\u1112\u1161\u11AB", "\uD55C"},
        {"\u304B\u3099", "\u304C"},
        {"a\u0301\u0327", "\u00E1\u0327"},
        {"a\u0327\u0301", "\u00E1\u0327"},
        {"q\u0307\u0323", "q\u0323\u0307"},
        {"\u0958", "\u0915\u093C"},
        {"\u0344", "\u0308\u0301"},
        {"\uFB01", "\uFB01"},
        /* marks that came after Unicode 9 stand still, and nothing passes them, as in tokenizers 0.23 */
        {"a\u0899\u0301", "a\u0899\u0301"},
        {"a\u0898\u0323", "a\u0898\u0323"},
        {"\u1DF9\u0334\u0301", "\u1DF9\u0334\u0301"},
        {"a\u0301\u0899\u0323\u0334", "\u00E1\u0899\u0334\u0323"},
        {"\U00011935\U00011930", "\U00011935\U00011930"},
        {"\U00011938", "\U00011938"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Text out = {0};
        Err err = {0};
        assert_true(nfc_add((const uint8_t *)cases[i].in, strlen(cases[i].in), &out, &err));
        assert_string_equal(out.data, cases[i].out);
        text_free(&out);
    }
}

/* Every character by itself and between letters is as utf8proc has it. */
static void nfc_every_character(void **state) {
    (void)state;
    for (int32_t code = 1; code < 0x110000; code++) {
        if (!is_scalar(code) || nfc_late(code)) continue;
        Text text = {0};
        add_code(&text, 'e');
        add_code(&text, code);
        add_code(&text, 0x0301);
        assert_nfc(text.data, text.bytes);
        text_free(&text);
    }
}

/* Random mixtures of bases, marks, jamo and compositions. */
static void nfc_random(void **state) {
    (void)state;
    static const struct { int32_t first, count; } pools[] = {
        {0x20, 95}, {0xC0, 0x240}, {0x300, 0x70}, {0x300, 0x70}, {0x1100, 0x100}, {0xAC00, 100}, {0x900, 0x180},
        {0x3040, 0x70}, {0x1F00, 0x100}, {0x2F800, 0x200}, {0x1D150, 0x60}, {0x590, 0x100}, {0xF900, 0x100},
    };
    for (int turn = 0; turn < 20000; turn++) {
        Text text = {0};
        for (uint32_t n = 1 + random_below(30); n > 0; n--) {
            uint32_t p = random_below(sizeof pools / sizeof *pools);
            int32_t code = pools[p].first + (int32_t)random_below((uint32_t)pools[p].count);
            if (!nfc_late(code)) add_code(&text, code);
        }
        assert_nfc(text.data, text.bytes);
        text_free(&text);
    }
}

/* Inert characters: no marks, unchanged by form C, and never the second of a composition. */
static void nfc_inert_is_inert(void **state) {
    (void)state;
    bool *second = calloc(0x110000, 1);
    assert_non_null(second);
    for (int32_t code = 0; code < 0x110000; code++) {
        int32_t parts[8];
        int class = 0;
        if (!is_scalar(code)) continue;
        utf8proc_ssize_t n = utf8proc_decompose_char(code, parts, 8, UTF8PROC_STABLE | UTF8PROC_DECOMPOSE, &class);
        assert_in_range(n, 1, 8);
        for (utf8proc_ssize_t i = 1; i < n; i++) second[parts[i]] = true;
    }
    int count = 0;
    for (int32_t code = 0; code < 0x110000; code++) {
        if (!is_scalar(code) || !nfc_inert(code) || nfc_late(code)) continue;
        count++;
        assert_false(second[code]);
        assert_int_equal(utf8proc_get_property(code)->combining_class, 0);
        Text text = {0}, out = {0};
        Err err = {0};
        add_code(&text, 0x0300); /* makes the rest go the long way */
        add_code(&text, code);
        assert_true(nfc_add((const uint8_t *)text.data, text.bytes, &out, &err));
        assert_string_equal(out.data, text.data);
        text_free(&text);
        text_free(&out);
    }
    assert_true(count > 80000); /* the fast way must be the common way */
    free(second);
}

/* A million combining marks out of order take no longer than a million letters would let one expect. */
static void nfc_many_marks(void **state) {
    (void)state;
    Text text = {0}, out = {0};
    Err err = {0};
    text_add(&text, "a", 1);
    for (int i = 0; i < 1000000; i++) add_code(&text, i % 2 ? 0x0316 : 0x0301);
    double start = cpu_seconds();
    assert_true(nfc_add((const uint8_t *)text.data, text.bytes, &out, &err));
    assert_true(cpu_seconds() - start < 5);
    /* á, the graves below in order, and the other acutes. */
    text.bytes = 0;
    text_line(&text, "\u00E1");
    for (int i = 0; i < 999999; i++) add_code(&text, i < 500000 ? 0x0316 : 0x0301);
    assert_int_equal(out.bytes, text.bytes);
    assert_memory_equal(out.data, text.data, text.bytes);
    text_free(&text);
    text_free(&out);
}

/* ---- Splitting ----------------------------------------------------------------------------------------------- */

/* Words joined by U+0001, for comparison. */
static bool join(void *context, const uint8_t *word, size_t bytes, Err *err) {
    (void)err;
    text_add(context, (const char *)word, bytes);
    text_add(context, "\1", 1);
    return bytes > 0;
}

static Text split(const Splitter *splitter, const char *text, size_t bytes) {
    Text out = {0};
    Err err = {0};
    text_add(&out, "", 0);
    if (!splitter_run(splitter, (const uint8_t *)text, bytes, split_deadline(bytes), join, &out, &err))
        fail_msg("%s", err.text);
    return out;
}

static void add_pattern(Splitter *splitter, const char *pattern, bool by_hand) {
    Err err = {0};
    if (!splitter_add_pattern(splitter, pattern, strlen(pattern), by_hand, &err)) fail_msg("%s", err.text);
}

/* The class PCRE2 gives a character, by where the pattern cuts. */
static CharClass pcre2_class(const Splitter *by_class, int32_t code) {
    Text text = {0};
    add_code(&text, code);
    text_add(&text, "\1", 1);
    for (int class = CLASS_LETTER; class <= CLASS_SPACE; class++) {
        Text words = split(&by_class[class], text.data, text.bytes);
        bool cut = words.bytes > text.bytes + 1;
        text_free(&words);
        if (cut) return text_free(&text), (CharClass)class;
    }
    return text_free(&text), CLASS_OTHER;
}

enum { CODES = 0x20000 };

/* [CODES]: whether both libraries give a character the same class, which unassigned ones of one may not have in the
 * other. */
static bool *same_class;

static int classes_compare(void **state) {
    (void)state;
    Splitter by_class[4] = {0};
    add_pattern(&by_class[CLASS_LETTER], "\\p{L}", false);
    add_pattern(&by_class[CLASS_NUMBER], "\\p{N}", false);
    add_pattern(&by_class[CLASS_SPACE], "\\s", false);
    same_class = calloc(CODES, 1);
    for (int32_t code = 0; same_class && code < CODES; code++)
        same_class[code] = is_scalar(code) && code != 1 && char_class(code) == pcre2_class(by_class, code);
    for (int class = CLASS_LETTER; class <= CLASS_SPACE; class++) splitter_free(&by_class[class]);
    return same_class ? 0 : -1;
}

static int classes_free(void **state) {
    (void)state;
    free(same_class);
    return 0;
}

/* Classes agree with PCRE2, but for what one library's Unicode version knows and the other's does not. */
static void classes_match(void **state) {
    (void)state;
    int different = 0;
    for (int32_t code = 0; code < CODES; code++) different += is_scalar(code) && !same_class[code];
    assert_true(different < 2500); /* the letters and digits that two neighbouring versions of Unicode add */
    for (int32_t code = 2; code < 0x0870; code++) assert_true(same_class[code]); /* nothing was added here lately */
    for (int32_t code = 0x1E00; code < 0xA7C0; code++) assert_true(same_class[code]);
}

/* A random character; many that patterns care about. */
static int32_t random_code(void) {
    static const int32_t chosen[] = {
        ' ',     ' ',    ' ',    '\n',   '\r',   '\t',    '\v',   '\f',   '\'',   '\'',    's',  'S',    't',    'T',
        'r',     'e',    'R',    'E',    'v',    'V',     'm',    'M',    'l',    'L',     'd',  'D',    'a',    'Z',
        '0',     '9',    '1',    '.',    ',',    '!',     '-',    '<',    '|',    0x17F,   0x85, 0xA0,   0x1680, 0x180E,
        0x2003,  0x2028, 0x2029, 0x202F, 0x205F, 0x3000,  0x200B, 0x200D, 0xFEFF, 0x301,   0xE9, 0x4F60, 0x3042, 0xAC00,
        0x1F642, 0xB2,   0xBD,   0x2167, 0x661,  0x1D7D8, 0x212A, 0x130,  0xFB06, 0x10400, 0,    0x1C,
    };
    if (random_below(8)) return chosen[random_below(sizeof chosen / sizeof *chosen)];
    int32_t code;
    do code = (int32_t)random_below(CODES);
    while (!same_class[code]);
    return code;
}

/* Each matcher by hand cuts random text as its pattern does in PCRE2. */
static void matchers_match(void **state) {
    (void)state;
    for (SplitKind kind = SPLIT_QWEN2; kind <= SPLIT_GPT2; kind++) {
        Splitter hand = {0}, pcre2 = {0};
        add_pattern(&hand, split_pattern(kind), true);
        add_pattern(&pcre2, split_pattern(kind), false);
        assert_int_equal(hand.step[0], kind);
        assert_int_equal(pcre2.step[0], SPLIT_REGEX);
        for (int turn = 0; turn < 60000; turn++) {
            Text text = {0};
            for (uint32_t n = 1 + random_below(turn % 100 ? 14 : 200); n > 0; n--) add_code(&text, random_code());
            Text a = split(&hand, text.data, text.bytes), b = split(&pcre2, text.data, text.bytes);
            if (a.bytes != b.bytes || memcmp(a.data, b.data, a.bytes))
                fail_msg("pattern %d on '%s':\n%s\n%s", (int)kind, text.data, a.data, b.data);
            text_free(&text);
            text_free(&a);
            text_free(&b);
        }
        splitter_free(&hand);
        splitter_free(&pcre2);
    }
}

static void assert_split(const Splitter *splitter, const char *text, const char *expected) {
    Text out = split(splitter, text, strlen(text));
    for (size_t i = 0; i < out.bytes; i++)
        if (out.data[i] == 1) out.data[i] = '_';
    assert_string_equal(out.data, expected);
    text_free(&out);
}

/* Steps one after another: digits, a space in front, empty matches that still cut. */
static void steps(void **state) {
    (void)state;
    Err err = {0};
    Splitter smollm = {0}, prefix = {0}, empty = {0}, none = {0};
    assert_true(splitter_add(&smollm, SPLIT_DIGITS, &err) && splitter_add(&smollm, SPLIT_GPT2, &err));
    assert_split(&smollm, "a  12b \u00BD\u00BD", "a_  _1_2_b_ _\u00BD_\u00BD_");
    assert_true(splitter_add(&prefix, SPLIT_PREFIX_SPACE, &err) && splitter_add(&prefix, SPLIT_GPT2, &err));
    assert_split(&prefix, "ab c", " ab_ c_");
    assert_split(&prefix, " ab", " ab_");
    assert_split(&prefix, "", "");
    add_pattern(&empty, "(?=\\d)|x+", true);
    assert_split(&empty, "ab1cxx2", "ab_1c_xx_2_");
    assert_split(&none, "one piece", "one piece_");
    for (int i = 0; i < SPLIT_STEPS; i++) assert_true(splitter_add(&none, SPLIT_DIGITS, &err));
    assert_false(splitter_add(&none, SPLIT_DIGITS, &err));
    splitter_free(&smollm);
    splitter_free(&prefix);
    splitter_free(&empty);
    splitter_free(&none);
}

/* Patterns that are wrong, or that PCRE2 would understand otherwise than Oniguruma, are refused by name. */
static void patterns_refused(void **state) {
    (void)state;
    static const struct { const char *pattern, *says;
    } cases[] = {
        {"(", "at byte"},
        {"[a", "at byte"},
        {"\\w+", "\\w"},
        {"\\bx", "\\b"},
        {"[a&&b]", "&&"},
        {"[[:alpha:]]", "[:"},
        {"a\\", "at byte"},
        {"\\h", "\\h"},
        {"\\C", "at byte"},
        {"a{99999}", "at byte"},
        {"\\p{Nonsense}", "at byte"},
        {"a{3,1}", "at byte"},
        {"a**", "a quantifier of a quantifier"},
        {"a+{2}", "a quantifier of a quantifier"},
        {"(?s).", "this kind of group"},
        {"(?x)a b", "this kind of group"},
        {"(?#a)b", "this kind of group"},
        {"(?P<n>a)", "this kind of group"},
        {"(?|a|b)", "this kind of group"},
        {"(*FAIL)", "(*"},
        {"(a)\\1", "\\1"},
        {"\\pL", "\\p"},
        {"\\p{Xan}", "at byte"},
        {"\\p{L&}", "this name of a property"},
        {"\\xe9", "\\x"},
        {"\\Qa", "\\Q"},
        {"\\N", "\\N"},
        {"\\cA", "\\c"},
        {"\\07", "\\0"},
        {"[a[b]]", "a class in a class"},
        {"[a-\\d]", "ends with a class"},
        {"[\\d-z]", "starts with a class"},
        {"(?=a)+", "repeated anchor"},
        {"^*a", "repeated anchor"},
        {"+a", "nothing to repeat"},
        {"(?:a?)+", "may be empty"},
        {"(?:a|b*)*", "may be empty"},
        {"a{,2}+", "may be empty"},
        {"a)", ") without ("},
        {"(?i)ss", "any case"},
        {"(?i:f)(?i:i)", "any case"},
        {"(?i)\u00DF", "any case"},
        {"(?i)[a-\u00FF]", "any case"},
        {"(?i)\\p{Lu}", "any case"},
        {"(?i:\\x{FB01})", "any case"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Err err = {0};
        Splitter s = {0};
        assert_false(splitter_add_pattern(&s, cases[i].pattern, strlen(cases[i].pattern), true, &err));
        if (!strstr(err.text, cases[i].says)) fail_msg("%s: %s", cases[i].pattern, err.text);
        splitter_free(&s);
    }
    char *deep = calloc(1, 10002);
    assert_non_null(deep);
    memset(deep, '(', 9000);
    Err err = {0};
    Splitter s = {0};
    assert_false(splitter_add_pattern(&s, deep, 9000, true, &err));
    splitter_free(&s);
    memset(deep, 'a', 10001);
    err = (Err){0};
    assert_false(splitter_add_pattern(&s, deep, 10001, true, &err));
    assert_non_null(strstr(err.text, "too long"));
    splitter_free(&s);
    free(deep);
}

/* Constructs that PCRE2 reads otherwise; the words are those of tokenizers 0.23 (Oniguruma, Ruby syntax). */
static void patterns_translated(void **state) {
    (void)state;
    static const struct {
        const char *pattern, *text, *words;
    } cases[] = {
        {"\\p{N}{1,3}+", "a1234567b", "a_1234567_b_"},
        {"\\p{N}{2}+", "a1234567b", "a_123456_7b_"},
        {"\\p{N}{2,}+", "a1234567b", "a_1234567_b_"},
        {"a{2}?b", "aab ab b", "aab_ a_b_ _b_"},
        {"\\p{N}{,2}", "a12345b", "a_12_34_5_b_"},
        {"x{,}", "x{,}xx", "x{,}_xx_"},
        {"x{", "x{x", "x{_x_"},
        {"a{1,3}{2}", "aaaaaaa", "aaaaaa_a_"},
        {"(?:ab){2}+", "ababab", "abab_ab_"},
        {"[ab]{2}+c", "ababac", "a_babac_"},
        {"a{1,2}?b", "aab", "aab_"},
        {"a++a", "aaa", "aaa_"},
        {"(?m)a.", "a\nb", "a\n_b_"},
        {"(?m:a.)", "a\nb", "a\n_b_"},
        {"(?-m)a.", "a\nb", "a\nb_"},
        {"a(?i)b|c", "aB C c", "aB_ C c_"},
        {"(?:a(?i)b|c)d", "acd aCd cd", "acd_ _aCd_ cd_"},
        {"\\v", "a\vb\fc", "a_\v_b\fc_"},
        {"\\p{Han}", "\u4E00\u3001a\u3005", "\u4E00_\u3001a_\u3005_"},
        {"\\u4e00", "a\u4E00", "a_\u4E00_"},
        {"\\p{^L}", "a1", "a_1_"},
        {".", "a\r\u2028", "a_\r_\u2028_"},
        {"a&&b", "a&&b", "a&&b_"},
        {"[]a]", "a]", "a_]_"},
        {"[a-c-e]", "b-e", "b_-_e_"},
        {"a$", "a\na", "a_\n_a_"},
        {"\\p{Lu}*(a|b)?+\\p{L}", "\u00E9'B ", "\u00E9_'_B_ _"},
        {"(?=a)(?:a.)*+a", "bxx Aba", "bxx Ab_a_"},
        {"(?i:'s|'ll)", "a'S b'LL 'LX", "a_'S_ b_'LL_ 'LX_"},
        {"(?i)[sdmt]", "S\u017F", "S_\u017F_"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Splitter s = {0};
        add_pattern(&s, cases[i].pattern, false);
        assert_split(&s, cases[i].text, cases[i].words);
        splitter_free(&s);
    }
}

/* Many short pieces and empty matches do not hide from the clock, and time is that of the whole text. */
static void deadline_holds(void **state) {
    (void)state;
    Splitter s = {0};
    Err err = {0};
    Text out = {0};
    add_pattern(&s, "(?=a)|x", false);
    assert_false(splitter_run(&s, (const uint8_t *)"aaa", 3, clock_seconds() - 1, join, &out, &err));
    assert_non_null(strstr(err.text, "too slow"));
    splitter_free(&s);
    text_free(&out);
}

/* Catastrophic backtracking ends in an error. */
static void pattern_too_slow(void **state) {
    (void)state;
    Splitter s = {0};
    Text out = {0};
    Err err = {0};
    char text[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-b"; /* with the b that every
                                                                                                   match needs */
    add_pattern(&s, "(a|a|aa)+b", true);
    double start = cpu_seconds();
    assert_false(splitter_run(&s, (const uint8_t *)text, strlen(text), split_deadline(0), join, &out, &err));
    assert_true(cpu_seconds() - start < 20);
    assert_non_null(strstr(err.text, "match limit"));
    splitter_free(&s);
    text_free(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(utf8_round_trip),  cmocka_unit_test(utf8_repairs_as_python),
        cmocka_unit_test(nfc_known),        cmocka_unit_test(nfc_every_character),
        cmocka_unit_test(nfc_random),       cmocka_unit_test(nfc_inert_is_inert),
        cmocka_unit_test(nfc_many_marks),   cmocka_unit_test(classes_match),
        cmocka_unit_test(matchers_match),   cmocka_unit_test(steps),
        cmocka_unit_test(patterns_refused), cmocka_unit_test(patterns_translated),
        cmocka_unit_test(deadline_holds),   cmocka_unit_test(pattern_too_slow),
    };
    return cmocka_run_group_tests(tests, classes_compare, classes_free);
}
