/* jinja_char.c: classes and cases of characters as Python's str has them. Classes are utf8proc's; where one character
 * becomes several (SpecialCasing.txt), the Latin, Armenian and Turkish ones are here, of Greek the two without
 * subscript. */
#include <utf8proc.h>
#include "jinja_value.h"

static utf8proc_category_t category(int32_t c) { return utf8proc_category(c); }

bool jc_space(int32_t c) {
    return (c >= 9 && c <= 13) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

bool jc_line_end(int32_t c) {
    return (c >= 10 && c <= 13) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 || c == 0x2029;
}

bool jc_alpha(int32_t c) {
    switch (category(c)) {
    case UTF8PROC_CATEGORY_LU: case UTF8PROC_CATEGORY_LL: case UTF8PROC_CATEGORY_LT: case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO: return true;
    default: return false;
    }
}

bool jc_decimal(int32_t c) { return category(c) == UTF8PROC_CATEGORY_ND; }

bool jc_digit(int32_t c) {
    static const int32_t ranges[][2] = {
        {0xB2, 0xB3}, {0xB9, 0xB9}, {0x1369, 0x1371}, {0x19DA, 0x19DA}, {0x2070, 0x2070}, {0x2074, 0x2079},
        {0x2080, 0x2089}, {0x2460, 0x2468}, {0x2474, 0x247C}, {0x2488, 0x2490}, {0x24EA, 0x24EA}, {0x24F5, 0x24FD},
        {0x24FF, 0x24FF}, {0x2776, 0x277E}, {0x2780, 0x2788}, {0x278A, 0x2792}, {0x10A40, 0x10A43},
        {0x10E60, 0x10E68}, {0x11052, 0x1105A}, {0x1F100, 0x1F10A},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (c >= ranges[i][0] && c <= ranges[i][1]) return true;
    return jc_decimal(c);
}

bool jc_numeric(int32_t c) {
    utf8proc_category_t k = category(c);
    return k == UTF8PROC_CATEGORY_ND || k == UTF8PROC_CATEGORY_NL || k == UTF8PROC_CATEGORY_NO;
}

bool jc_word(int32_t c) { return c == '_' || jc_alpha(c) || jc_numeric(c); }

bool jc_printable(int32_t c) {
    switch (category(c)) {
    case UTF8PROC_CATEGORY_CC: case UTF8PROC_CATEGORY_CF: case UTF8PROC_CATEGORY_CS: case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN: case UTF8PROC_CATEGORY_ZL: case UTF8PROC_CATEGORY_ZP: return false;
    case UTF8PROC_CATEGORY_ZS: return c == ' ';
    default: return true;
    }
}

static bool among(int32_t c, const int32_t (*range)[2], size_t count) {
    for (size_t i = 0; i < count; i++)
        if (c >= range[i][0] && c <= range[i][1]) return true;
    return false;
}

/* Upper and lower case count what Unicode's Other_Uppercase and Other_Lowercase add. */
bool jc_upper(int32_t c) {
    static const int32_t other[][2] = {{0x2160, 0x216F}, {0x24B6, 0x24CF}, {0x1F130, 0x1F149}, {0x1F150, 0x1F169},
                                       {0x1F170, 0x1F189}};
    return category(c) == UTF8PROC_CATEGORY_LU || among(c, other, sizeof other / sizeof *other);
}

bool jc_lower(int32_t c) {
    static const int32_t other[][2] = {
        {0xAA, 0xAA}, {0xBA, 0xBA}, {0x2B0, 0x2B8}, {0x2C0, 0x2C1}, {0x2E0, 0x2E4}, {0x345, 0x345}, {0x37A, 0x37A},
        {0x1D2C, 0x1D6A}, {0x1D78, 0x1D78}, {0x1D9B, 0x1DBF}, {0x2071, 0x2071}, {0x207F, 0x207F}, {0x2090, 0x209C},
        {0x2170, 0x217F}, {0x24D0, 0x24E9}, {0x2C7C, 0x2C7D}, {0xA69C, 0xA69D}, {0xA770, 0xA770}, {0xA7F8, 0xA7F9},
        {0xAB5C, 0xAB5F}};
    return category(c) == UTF8PROC_CATEGORY_LL || among(c, other, sizeof other / sizeof *other);
}

bool jc_title(int32_t c) { return category(c) == UTF8PROC_CATEGORY_LT; }

/* ---- Cases ------------------------------------------------------------------------------------------------------ */

/* What becomes several characters, upper case and at the head of a word. */
static const struct { int32_t code; const char *upper, *title; } special[] = {
    {0xDF, "SS", "Ss"}, {0x149, "\u02BCN", "\u02BCN"}, {0x1F0, "J\u030C", "J\u030C"},
    {0x390, "\u0399\u0308\u0301", "\u0399\u0308\u0301"}, {0x3B0, "\u03A5\u0308\u0301", "\u03A5\u0308\u0301"},
    {0x587, "\u0535\u0552", "\u0535\u0582"}, {0x1E96, "H\u0331", "H\u0331"}, {0x1E97, "T\u0308", "T\u0308"},
    {0x1E98, "W\u030A", "W\u030A"}, {0x1E99, "Y\u030A", "Y\u030A"}, {0x1E9A, "A\u02BE", "A\u02BE"},
    {0xFB00, "FF", "Ff"}, {0xFB01, "FI", "Fi"}, {0xFB02, "FL", "Fl"}, {0xFB03, "FFI", "Ffi"}, {0xFB04, "FFL", "Ffl"},
    {0xFB05, "ST", "St"}, {0xFB06, "ST", "St"}, {0xFB13, "\u0544\u0546", "\u0544\u0576"},
    {0xFB14, "\u0544\u0535", "\u0544\u0565"}, {0xFB15, "\u0544\u053B", "\u0544\u056B"},
    {0xFB16, "\u054E\u0546", "\u054E\u0576"}, {0xFB17, "\u0544\u053D", "\u0544\u056D"},
};

static void add_upper(JBuilder *b, int32_t c, uint32_t mark, bool title) {
    for (size_t i = 0; c >= 0xDF && i < sizeof special / sizeof *special; i++)
        if (special[i].code == c) {
            const char *text = title ? special[i].title : special[i].upper;
            jb_add(b, text, strlen(text), mark);
            return;
        }
    jb_char(b, title ? utf8proc_totitle(c) : utf8proc_toupper(c), mark);
}

static bool is_cased(int32_t c) { return jc_upper(c) || jc_lower(c) || jc_title(c); }

/* Marks and signs that do not part a word where the last sigma is looked for (Case_Ignorable). */
static bool is_ignored(int32_t c) {
    switch (category(c)) {
    case UTF8PROC_CATEGORY_MN: case UTF8PROC_CATEGORY_ME: case UTF8PROC_CATEGORY_CF: case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK: return true;
    default: return c == '\'' || c == '.' || c == ':' || c == 0xB7 || c == 0x2019;
    }
}

/* Whether the sigma at `at` ends its word: a cased character before it, none after it. */
static bool is_final(const JString *s, size_t at, bool cased_before) {
    JChar c = {.at = at, .bytes = 2};
    if (!cased_before) return false;
    while (js_next(s, &c))
        if (!is_ignored(c.code)) return !is_cased(c.code);
    return true;
}

static void add_lower(JBuilder *b, const JString *s, const JChar *c, bool cased_before) {
    if (c->code == 0x130) jb_add(b, "i\u0307", 3, c->mark);
    else if (c->code == 0x3A3) jb_char(b, is_final(s, c->at, cased_before) ? 0x3C2 : 0x3C3, c->mark);
    else jb_char(b, utf8proc_tolower(c->code), c->mark);
}

static void add_folded(JBuilder *b, int32_t c, uint32_t mark) {
    utf8proc_int32_t out[8];
    utf8proc_ssize_t n = utf8proc_decompose_char(c, out, 8, UTF8PROC_CASEFOLD, NULL);
    for (utf8proc_ssize_t i = 0; i < n && i < 8; i++) jb_char(b, out[i], mark);
}

const JString *jc_case(Jinja *j, const JString *s, JCase kind) {
    JBuilder b = {.j = j};
    JChar c = {0};
    bool cased = false, cased_before = false; /* the one before; the one before but for those that are ignored */
    jj_work(j, s->bytes);
    while (js_next(s, &c)) {
        if (kind == CASE_UPPER) add_upper(&b, c.code, c.mark, false);
        else if (kind == CASE_FOLD) add_folded(&b, c.code, c.mark);
        else if (kind == CASE_SWAP && jc_lower(c.code)) add_upper(&b, c.code, c.mark, false);
        else if (kind == CASE_SWAP && !jc_upper(c.code)) jb_char(&b, c.code, c.mark);
        else if ((kind == CASE_CAPITAL && c.at == 0) || (kind == CASE_TITLE && !cased))
            add_upper(&b, c.code, c.mark, true);
        else add_lower(&b, s, &c, cased_before);
        cased = is_cased(c.code);
        if (!is_ignored(c.code)) cased_before = cased;
    }
    return js_markup(j, jb_finish(&b), s->markup);
}
