/* schema_number.c: bounds and multiples of numbers, exactly: as decimal digits, never as floating point. A number with
 * bounds is spelled without an exponent. */
#include <stdlib.h>
#include <string.h>
#include "../text/chat.h"
#include "schema.h"

/* 0.DIGITS times ten to the point; no zeros at either end. Zero: no digits. */
enum { MAX_DIGITS = 40, MAX_WHOLE = 16, MAX_MULTIPLE = 4096 };
typedef struct Decimal { bool negative, huge; int count; int64_t point; char digit[MAX_DIGITS + 1]; } Decimal;

void scalar_text(const json_t *value, Text *out) {
    const char *wide = json_number_spelling(value);
    if (wide) text_line(out, "%s", wide);
    else python_json(value, out);
}

/* Digits beyond MAX_DIGITS are cut off: number_bounded says whether there are any. */
static Decimal decimal_of(const json_t *value) {
    Text text = {0};
    Decimal d = {0};
    bool fraction = false;
    int64_t power = 0;
    scalar_text(value, &text);
    const char *p = text.data ? text.data : "0";
    if (*p == '-') d.negative = true, p++;
    for (; *p && *p != 'e' && *p != 'E'; p++) {
        if (*p == '.') fraction = true;
        else if (d.count || *p != '0') {
            if (d.count < MAX_DIGITS) d.digit[d.count++] = *p;
            else if (*p != '0') d.huge = true;
            if (!fraction) d.point++;
        } else if (fraction) d.point--;
    }
    if (*p && (!parse_int(p[1] == '+' ? p + 2 : p + 1, -1000000, 1000000, &power))) d.huge = true;
    while (d.count && d.digit[d.count - 1] == '0') d.count--;
    d.digit[d.count] = 0;
    d.point = d.count ? d.point + power : 0;
    if (d.count == 0) d.negative = false;
    text_free(&text);
    return d;
}

bool number_bounded(const json_t *value) {
    Decimal d = decimal_of(value);
    return !d.huge && d.point <= MAX_DIGITS && d.point - d.count >= -MAX_DIGITS;
}
bool number_is_integer(const json_t *value) {
    Decimal d = decimal_of(value);
    return d.point >= d.count;
}

int number_order(const json_t *x, const json_t *y) {
    Decimal a = decimal_of(x), b = decimal_of(y);
    int sign = a.negative ? -1 : 1;
    if (a.negative != b.negative) return sign;
    if (a.count == 0 || b.count == 0) return sign * ((a.count > 0) - (b.count > 0));
    if (a.point != b.point) return a.point > b.point ? sign : -sign;
    int order = strcmp(a.digit, b.digit);
    return sign * ((order > 0) - (order < 0));
}

/* The multiple as a whole number over ten to the places; 0 when it is too large. */
static int64_t multiple_of(const json_t *of, int64_t *places) {
    Decimal d = decimal_of(of);
    int64_t whole = d.point > d.count ? d.point : d.count, number = 0;
    *places = d.point < d.count ? d.count - d.point : 0;
    if (d.huge || whole > 12 || *places > 12) return 0;
    for (int64_t i = 0; i < whole; i++) number = number * 10 + (i < d.count ? d.digit[i] - '0' : 0);
    return number;
}

bool number_is_multiple(const json_t *value, const json_t *of) {
    Decimal d = decimal_of(value);
    int64_t places, multiple = multiple_of(of, &places), rest = 0;
    if (multiple == 0 || d.huge || d.point + places > 400) return d.count == 0;
    if (d.count - d.point > places) return false;
    for (int64_t i = 0; i < d.point + places; i++) rest = (rest * 10 + (i < d.count ? d.digit[i] - '0' : 0)) % multiple;
    return rest == 0;
}

/* ---- Bounds as patterns ------------------------------------------------------------------------------------------ */

/* A magnitude as its digits before and after the point; "0" before it where there are none. */
typedef struct Magnitude { char whole[MAX_DIGITS + 2], rest[2 * MAX_DIGITS + 2]; } Magnitude;

static Magnitude magnitude_of(const Decimal *d) {
    Magnitude m = {{0}, {0}};
    int64_t n = 0, k = 0;
    for (int64_t i = 0; i < d->point; i++) m.whole[n++] = i < d->count ? d->digit[i] : '0';
    if (n == 0) m.whole[0] = '0';
    for (int64_t i = d->point; i < 0; i++) m.rest[k++] = '0';
    for (int64_t i = d->point > 0 ? d->point : 0; i < d->count; i++) m.rest[k++] = d->digit[i];
    return m;
}

/* Of n digits: the first `at` as they are, then one above or below, then any. `least`: for a digit that may not be 0.
 * */
static void digits_beside(Text *out, const char *digits, int at, bool above, int least, const char *after) {
    int low = above ? digits[at] + 1 : '0' + least, high = above ? '9' : digits[at] - 1;
    if (low > high) return;
    text_line(out, "|%.*s[%c-%c]%s", at, digits, low, high, after);
}

/* Magnitudes above (or below) m, and m itself unless strict; each alternative begins with '|'. */
static void magnitudes_above(Text *out, const Magnitude *m, bool strict, int most) {
    int n = (int)strlen(m->whole), k = (int)strlen(m->rest);
    char after[64];
    text_line(out, "|[1-9][0-9]{%d,%d}(\\.[0-9]+)?", n, most);
    for (int i = 0; i < n; i++) {
        snprintf(after, sizeof after, "[0-9]{%d}(\\.[0-9]+)?", n - i - 1);
        digits_beside(out, m->whole, i, true, 0, after);
    }
    for (int i = 0; i < k; i++) {
        Text rest = {0};
        digits_beside(&rest, m->rest, i, true, 0, "[0-9]*");
        if (rest.bytes) text_line(out, "|%s\\.%s", m->whole, rest.data + 1);
        text_free(&rest);
    }
    if (strict) text_line(out, "|%s\\.%s0*[1-9][0-9]*", m->whole, m->rest);
    else if (k) text_line(out, "|%s\\.%s[0-9]*", m->whole, m->rest);
    else text_line(out, "|%s(\\.[0-9]+)?", m->whole);
}
static void magnitudes_below(Text *out, const Magnitude *m, bool strict) {
    int n = (int)strlen(m->whole), k = (int)strlen(m->rest);
    char after[64];
    if (n > 1) text_line(out, "|(0|[1-9][0-9]{0,%d})(\\.[0-9]+)?", n - 2);
    for (int i = 0; i < n; i++) {
        snprintf(after, sizeof after, "[0-9]{%d}(\\.[0-9]+)?", n - i - 1);
        digits_beside(out, m->whole, i, false, i == 0 && n > 1, after);
    }
    for (int i = 0; i < k; i++) {
        Text rest = {0};
        digits_beside(&rest, m->rest, i, false, 0, "[0-9]*");
        if (rest.bytes) text_line(out, "|%s\\.%s", m->whole, rest.data + 1);
        if (i == 0) text_line(out, "|%s", m->whole);
        else text_line(out, "|%s\\.%.*s", m->whole, i, m->rest);
        text_free(&rest);
    }
    if (!strict && k) text_line(out, "|%s\\.%s0*", m->whole, m->rest);
    else if (!strict) text_line(out, "|%s(\\.0+)?", m->whole);
}

/* Numbers from (up to) a bound, as a pattern. The other sign's side is there whole, or not at all. */
static const Automaton *bound_automaton(Schema *s, const Atom *a, int most) {
    Decimal d = decimal_of(a->value);
    Magnitude m = magnitude_of(&d);
    bool low = a->kind == ATOM_LOW, zero = d.count == 0;
    Text same = {0}, all = {0}; /* same: of the side where the bound is */
    if (zero || d.negative == !low) magnitudes_above(&same, &m, a->strict, most);
    else magnitudes_below(&same, &m, a->strict);
    const char *own = zero ? (low ? "" : "-") : d.negative ? "-" : "", *other = own[0] ? "" : "-";
    text_line(&all, "^(?:%s(?:%s)", own, same.data ? same.data + 1 : "");
    if (zero && !a->strict) text_line(&all, "|%s0(\\.0+)?", other);
    if (!zero && d.negative == low) text_line(&all, "|%s(0|[1-9][0-9]{0,%d})(\\.[0-9]+)?", other, most);
    text_line(&all, ")$");
    bool ok = text_ok(&same, "bound", s->b->err) && text_ok(&all, "bound", s->b->err);
    const Automaton *made = ok ? automaton_pattern(&s->shop, all.data, all.bytes) : NULL;
    text_free(&same), text_free(&all);
    return made;
}

/* Spellings of one value. */
static const Automaton *value_automaton(Schema *s, const json_t *value) {
    Decimal d = decimal_of(value);
    Magnitude m = magnitude_of(&d);
    char pattern[4 * MAX_DIGITS + 32];
    const char *sign = d.count == 0 ? "-?" : d.negative ? "-" : "";
    if (m.rest[0]) snprintf(pattern, sizeof pattern, "^%s%s\\.%s0*$", sign, m.whole, m.rest);
    else snprintf(pattern, sizeof pattern, "^%s%s(\\.0+)?$", sign, m.whole);
    return automaton_pattern(&s->shop, pattern, strlen(pattern));
}

/* ---- Multiples --------------------------------------------------------------------------------------------------- */

/* States by what is left of the digits so far, and how many of them are behind the point. */
typedef struct Multiples {
    AutomatonShop *shop;
    AutomatonDraft draft;
    int64_t multiple, places;
    int32_t whole, behind;
} Multiples;

static int64_t scaled(const Multiples *m, int64_t rest, int64_t places) {
    for (; places > 0; places--) rest = rest * 10 % m->multiple;
    return rest;
}
static bool digits(Multiples *m, int32_t from, int64_t rest, int low, int32_t base) {
    for (int d = low; d < 10; d++)
        if (!draft_edge(m->shop, &m->draft, from, '0' + d, '0' + d, base + (int32_t)((rest * 10 + d) % m->multiple)))
            return false;
    return true;
}

/* 0 start, 1 after a minus, 2 a zero before the point; then `whole`: digits before it; then by places behind it: first
 * right after the point, where a digit must follow. */
static const Automaton *multiple_automaton(Schema *s, const json_t *of) {
    Multiples m = {.shop = &s->shop};
    m.multiple = multiple_of(of, &m.places);
    int64_t n = m.multiple, places = m.places > 0 ? m.places : 0;
    if (n < 1 || n > MAX_MULTIPLE || n * (places + 3) > MAX_AUTOMATON_STATES / 2) return NULL;
    m.whole = 3;
    m.behind = m.whole + (int32_t)n; /* [places + 2][n]: 0: the point only; the last: zeros only */
    draft_state(&s->shop, &m.draft, false), draft_state(&s->shop, &m.draft, false),
        draft_state(&s->shop, &m.draft, true);
    for (int64_t r = 0; r < n; r++) draft_state(&s->shop, &m.draft, scaled(&m, r, places) == 0);
    for (int64_t k = 0; k <= places + 1; k++)
        for (int64_t r = 0; r < n; r++)
            draft_state(&s->shop, &m.draft, k > 0 && scaled(&m, r, k > places ? 0 : places - k) == 0);
    bool ok = !s->b->err->kind && draft_edge(&s->shop, &m.draft, 0, '-', '-', 1);
    for (int32_t from = 0; ok && from < 2; from++)
        ok = draft_edge(&s->shop, &m.draft, from, '0', '0', 2) && digits(&m, from, 0, 1, m.whole);
    ok = ok && draft_edge(&s->shop, &m.draft, 2, '.', '.', m.behind);
    for (int64_t r = 0; ok && r < n; r++)
        ok = draft_edge(&s->shop, &m.draft, m.whole + (int32_t)r, '.', '.', m.behind + (int32_t)r) &&
             digits(&m, m.whole + (int32_t)r, r, 0, m.whole);
    for (int64_t k = 0; ok && k <= places + 1; k++)
        for (int64_t r = 0; ok && r < n; r++) {
            int32_t from = m.behind + (int32_t)(k * n + r), next = m.behind + (int32_t)((k + 1) * n);
            if (k < places) ok = digits(&m, from, r, 0, next);
            else ok = draft_edge(&s->shop, &m.draft, from, '0', '0', m.behind + (int32_t)((places + 1) * n + r));
        }
    return draft_finish(&s->shop, &m.draft);
}

/* ---- Forms ------------------------------------------------------------------------------------------------------- */

static bool is_number(const json_t *value) { return json_is_number(value) || json_number_spelling(value); }

static const Automaton *without_number(Schema *s, const Automaton *all, const json_t *value) {
    if (!is_number(value) || !all) return all;
    if (!number_bounded(value)) return all; /* more digits than are ever written */
    return automaton_without(&s->shop, all, value_automaton(s, value));
}

static const Automaton *atom_automaton(Schema *s, const Automaton *all, const Atom *a, int most) {
    if (a->kind == ATOM_LOW || a->kind == ATOM_HIGH) return automaton_both(&s->shop, all, bound_automaton(s, a, most));
    if (a->kind == ATOM_NOT_CONST) return without_number(s, all, a->value);
    for (size_t i = 0; a->kind == ATOM_NOT_ENUM && i < json_array_size(a->value); i++)
        all = without_number(s, all, json_array_get(a->value, i));
    if (a->kind != ATOM_MULTIPLE) return all;
    const Automaton *multiples = multiple_automaton(s, a->value);
    if (!multiples && !s->b->err->kind)
        schema_refuse(s, a->holder->schema, "multipleOf", "expected at most %d, and few digits after the point",
                      MAX_MULTIPLE);
    return automaton_both(&s->shop, all, multiples);
}

const Automaton *number_automaton(Schema *s, const Form *form, int types, bool *plain) {
    int most = MAX_WHOLE - 1; /* digits after the first one, before the point */
    *plain = types != TYPE_FRACTION;
    for (const Atom *a = form->atoms; a; a = a->next) {
        if (a->kind == ATOM_LOW || a->kind == ATOM_HIGH) {
            Decimal d = decimal_of(a->value);
            if (d.point > most) most = (int)d.point;
        }
        if (a->kind == ATOM_LOW || a->kind == ATOM_HIGH || a->kind == ATOM_MULTIPLE) *plain = false;
        if (a->kind == ATOM_NOT_CONST && is_number(a->value)) *plain = false;
        for (size_t i = 0; a->kind == ATOM_NOT_ENUM && i < json_array_size(a->value); i++)
            if (is_number(json_array_get(a->value, i))) *plain = false;
    }
    if (*plain) return NULL;
    char pattern[96];
    snprintf(pattern, sizeof pattern, "^-?(0|[1-9][0-9]{0,%d})%s$", most,
             types == TYPE_INTEGER ? "" : types == TYPE_FRACTION ? "\\.[0-9]*[1-9][0-9]*" : "(\\.[0-9]+)?");
    const Automaton *all = automaton_pattern(&s->shop, pattern, strlen(pattern));
    for (const Atom *a = form->atoms; a && all && !s->b->err->kind; a = a->next) all = atom_automaton(s, all, a, most);
    return s->b->err->kind ? NULL : all;
}

int number_expr(Schema *s, const Form *form) {
    bool plain;
    int types = form->types & TYPE_NUMBER;
    const Automaton *a = number_automaton(s, form, types, &plain);
    if (plain) return types == TYPE_INTEGER ? s->rule.integer : s->rule.number;
    for (const Atom *atom = form->atoms; s->b->err->kind && atom; atom = atom->next)
        if (atom->kind == ATOM_LOW || atom->kind == ATOM_HIGH)
            return schema_refused(s, atom->holder->schema, atom->kind == ATOM_LOW ? "minimum" : "maximum"), -1;
    return builder_automaton(s->b, a, false);
}
