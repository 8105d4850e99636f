/* jinja_format.c: Python's two ways to put values into a string: "%s" % x and "{}".format(x). What a value gives has
 * its marks; padding and signs count as data where the value does. */
#include <math.h>
#include <stdlib.h>
#include "../io/json_python.h"
#include "jinja_eval.h"

typedef struct Spec {
    int32_t fill;
    char align, sign, type, comma;
    bool alternate, zero, has_precision;
    int64_t width, precision;
} Spec;

enum { MOST_WIDTH = 1 << 20, MOST_PRECISION = 400 };

/* ---- A value in a field ----------------------------------------------------------------------------------------- */

static void add_padded(Jinja *j, JBuilder *b, const Spec *spec, const JString *prefix, const JString *body, char align,
                       uint32_t mark) {
    int64_t more = spec->width - (int64_t)(prefix->chars + body->chars), left = 0, between = 0;
    if (more < 0) more = 0;
    if (align == '>') left = more;
    else if (align == '^') left = more / 2;
    else if (align == '=') between = more;
    JBuilder one = {.j = j};
    jb_char(&one, spec->fill, mark);
    const JString *fill = jb_finish(&one);
    jb_string(b, js_repeat(j, fill, left));
    jb_string(b, prefix);
    jb_string(b, js_repeat(j, fill, between));
    jb_string(b, body);
    jb_string(b, js_repeat(j, fill, more - left - between));
}

/* Groups of three digits (four of other bases), with `comma` between; zeros before them up to `least` characters. */
static const JString *grouped(Jinja *j, const char *digits, size_t whole, char comma, size_t group, size_t least,
                              uint32_t mark) {
    JBuilder b = {.j = j};
    size_t count = whole;
    while (count + (count - 1) / group < least) count++;
    for (size_t i = 0; i < count; i++) {
        if (i && (count - i) % group == 0) jb_add(&b, &comma, 1, mark);
        jb_add(&b, i + whole < count ? "0" : digits + (i + whole - count), 1, mark);
    }
    jb_add(&b, digits + whole, strlen(digits) - whole, mark);
    return jb_finish(&b);
}

static void format_digits(Jinja *j, JBuilder *b, const Spec *spec, bool negative, const char *prefix,
                          const char *digits, size_t group, uint32_t mark) {
    JBuilder head = {.j = j};
    if (negative) jb_add(&head, "-", 1, mark);
    else if (spec->sign == '+' || spec->sign == ' ') jb_add(&head, &spec->sign, 1, mark);
    jb_add(&head, prefix, strlen(prefix), mark);
    const JString *before = jb_finish(&head), *body;
    size_t whole = strspn(digits, "0123456789abcdefABCDEF");
    if (group == 3) whole = strspn(digits, "0123456789");
    char align = spec->align ? spec->align : spec->zero ? '=' : '>';
    if (spec->comma && whole) {
        bool zeros = align == '=' && spec->fill == '0' && spec->width > (int64_t)before->chars;
        size_t rest = strlen(digits) - whole;
        int64_t least = zeros ? spec->width - (int64_t)(before->chars + rest) : 0;
        body = grouped(j, digits, whole, spec->comma, group, least > 0 ? (size_t)least : 0, mark);
    } else body = js_copy(j, digits, strlen(digits), mark);
    add_padded(j, b, spec, before, body, align, mark);
}

static void upper_ascii(char *text) {
    for (; *text; text++) *text = (char)(*text >= 'a' && *text <= 'z' ? *text - 32 : *text);
}

/* The digits of |r| for a type of float; with none, as repr, or %g that keeps a point. */
static char *real_digits(Jinja *j, const Spec *spec, double r) {
    char *text = jj_new(j, 1, 2048);
    int precision = spec->has_precision ? (int)spec->precision : 6;
    char type = spec->type == 'F'                        ? 'f'
                : spec->type == 'E'                      ? 'e'
                : spec->type == 'G' || spec->type == 'n' ? 'g'
                                                         : spec->type;
    r = fabs(r);
    if (isnan(r)) strcpy(text, "nan");
    else if (isinf(r)) strcpy(text, "inf");
    else if (type == '%') snprintf(text, 2048, "%.*f", precision, r * 100);
    else if (type == 'f') snprintf(text, 2048, spec->alternate ? "%#.*f" : "%.*f", precision, r);
    else if (type == 'e') snprintf(text, 2048, spec->alternate ? "%#.*e" : "%.*e", precision, r);
    else if (type == 'g') snprintf(text, 2048, spec->alternate ? "%#.*g" : "%.*g", precision ? precision : 1, r);
    else if (!spec->has_precision) python_float(r, text);
    else { /* without a type: %g, with a digit behind the point, and exponents from the precision on */
        snprintf(text, 2048, "%.*g", precision ? precision : 1, r);
        int exponent = r > 0 ? (int)floor(log10(strtod(text, NULL))) : 0;
        if (!strchr(text, 'e') && exponent >= (precision ? precision : 1) - 1 && exponent > 0 && !strchr(text, '.')) {
            snprintf(text, 2048, "%.*e", precision ? precision - 1 : 0, r);
            char *e = strchr(text, 'e'), *end = e;
            if (memchr(text, '.', (size_t)(e - text))) while (end[-1] == '0') end--;
            if (end[-1] == '.') end--;
            memmove(end, e, strlen(e) + 1);
        } else if (!strpbrk(text, ".e")) strcat(text, ".0");
    }
    if (type == '%') strcat(text, "%");
    if (spec->type == 'F' || spec->type == 'E' || spec->type == 'G') upper_ascii(text);
    return text;
}

static void format_int(Jinja *j, JBuilder *b, const Spec *spec, JValue v, uint32_t mark) {
    bool negative;
    char lower = (char)(spec->type | 32);
    int base = lower == 'x' ? 16 : lower == 'o' ? 8 : lower == 'b' ? 2 : 10;
    const char *digits = jn_digits(j, v, base, &negative), *prefix = "";
    if (spec->type == 'X') {
        char *copy = jj_new(j, strlen(digits) + 1, 1);
        strcpy(copy, digits);
        upper_ascii(copy);
        digits = copy;
    }
    if (spec->alternate)
        prefix = spec->type == 'X' ? "0X" : base == 16 ? "0x" : base == 8 ? "0o" : base == 2 ? "0b" : "";
    if (spec->has_precision && strlen(digits) < (size_t)spec->precision) { /* of % alone: as many digits at least */
        size_t n = strlen(digits), all = (size_t)spec->precision;
        char *copy = jj_new(j, all + 1, 1);
        memset(copy, '0', all - n);
        strcpy(copy + all - n, digits);
        digits = copy;
    }
    format_digits(j, b, spec, negative, prefix, digits, base == 10 ? 3 : 4, mark);
}

static void format_text(Jinja *j, JBuilder *b, const Spec *spec, const JString *s) {
    if (spec->has_precision && spec->precision < (int64_t)s->chars)
        s = js_part(j, s, 0, js_offset(j, s, (size_t)spec->precision));
    add_padded(j, b, spec, js_new(j, "", 0, 0), s, spec->align ? spec->align : '<', js_marks(s));
}

/* ---- "%s" % x --------------------------------------------------------------------------------------------------- */

typedef struct Percent {
    Jinja *j;
    const JString *format;
    size_t at;
    JValue args;
    size_t next; /* of a tuple */
    bool single_used, markup;
} Percent;

static JValue next_value(Percent *p) {
    if (p->args.kind == J_TUPLE) {
        if (p->next >= p->args.u.list->count) jj_fail(p->j, "%%: not enough values");
        return p->args.u.list->item[p->next++];
    }
    if (p->single_used) jj_fail(p->j, "%%: not enough values");
    p->single_used = true;
    return p->args;
}

static char peek(const Percent *p) {
    if (p->at >= p->format->bytes) jj_fail(p->j, "%%: the format ends inside a field");
    return p->format->text[p->at];
}

/* Digits, or * for the next value. */
static bool take_size(Percent *p, int64_t most, int64_t *out) {
    if (peek(p) == '*') {
        p->at++;
        *out = jj_index(p->j, next_value(p), "%: *");
    } else {
        bool any = false;
        for (*out = 0; peek(p) >= '0' && peek(p) <= '9'; p->at++, any = true)
            if (*out <= most) *out = 10 * *out + peek(p) - '0';
        if (!any) return false;
    }
    if (*out > most || *out < -most) jj_fail(p->j, "%%: expected a size of at most %lld", (long long)most);
    return true;
}

static JValue take_key(Percent *p) {
    size_t from = ++p->at, open = 1;
    while (open) {
        char c = peek(p);
        open += c == '(';
        open -= c == ')';
        p->at++;
    }
    if (p->args.kind != J_DICT) jj_fail(p->j, "%%: names need a mapping");
    const JString *key = js_part(p->j, p->format, from, p->at - 1);
    const JValue *found = jd_get(p->j, p->args.u.dict, jv_string(key));
    if (!found) jj_fail(p->j, "%%: the mapping has no %s", name_text(key->text, key->bytes).text);
    p->single_used = true;
    return *found;
}

static void percent_value(Percent *p, JBuilder *b, Spec *spec, JValue v) {
    Jinja *j = p->j;
    uint32_t mark = jv_marks(v);
    bool ok;
    switch (spec->type) {
    case 's': case 'r': case 'a': {
        const JString *s = spec->type == 's' ? jv_str(j, v) : jv_repr_of(j, v);
        if (!spec->align) spec->align = '>';
        spec->fill = ' ';
        format_text(j, b, spec, p->markup ? js_markup(j, js_escape(j, s), false) : s);
        return;
    }
    case 'c': {
        JBuilder one = {.j = j};
        if (v.kind == J_STRING && v.u.s->chars == 1) jb_string(&one, v.u.s);
        else {
            int64_t code = jj_index(j, v, "%c");
            if (code < 0 || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) jj_fail(j, "%%c: no such character");
            jb_char(&one, (int32_t)code, mark);
        }
        spec->has_precision = false;
        if (!spec->align) spec->align = '>';
        spec->fill = ' ';
        format_text(j, b, spec, jb_finish(&one));
        return;
    }
    case 'd': case 'i': case 'u':
        if (v.kind == J_REAL) {
            v = jn_floor(j, v.u.r, &ok);
            if (!ok) jj_fail(j, "%%d: expected a finite number");
        }
        /* fall through */
    case 'x': case 'X': case 'o':
        if (!jv_is_int(v)) jj_fail(j, "%%%c: expected a number, got %s", spec->type, jv_type(v));
        if (strchr("diu", spec->type)) spec->type = 'd';
        format_int(j, b, spec, v, mark);
        return;
    case 'e': case 'E': case 'f': case 'F': case 'g': case 'G': {
        if (!jv_is_number(v)) jj_fail(j, "%%%c: expected a number, got %s", spec->type, jv_type(v));
        double r = jn_real(j, v);
        if (!isfinite(r)) spec->fill = ' ', spec->zero = false;
        format_digits(j, b, spec, signbit(r) && !isnan(r), "", real_digits(j, spec, r), 3, mark);
        return;
    }
    default: jj_fail(j, "%%: unknown field %%%c", spec->type);
    }
}

static void percent_field(Percent *p, JBuilder *b) {
    Spec spec = {.fill = ' '};
    JValue v = {.kind = J_MISSING};
    if (peek(p) == '(') v = take_key(p);
    for (; strchr("-+ #0", peek(p)) && peek(p); p->at++) {
        char c = peek(p);
        if (c == '-') spec.align = '<';
        else if (c == '#') spec.alternate = true;
        else if (c == '0') spec.zero = true;
        else if (spec.sign != '+') spec.sign = c;
    }
    if (take_size(p, MOST_WIDTH, &spec.width) && spec.width < 0) spec.align = '<', spec.width = -spec.width;
    if (peek(p) == '.') {
        p->at++;
        spec.has_precision = true;
        if (!take_size(p, MOST_PRECISION, &spec.precision) || spec.precision < 0) spec.precision = 0;
    }
    if (strchr("hlL", peek(p)) && peek(p)) p->at++;
    spec.type = peek(p);
    uint32_t mark = js_mark_at(p->format, p->at++);
    if (spec.type == '%') {
        jb_add(b, "%", 1, mark);
        return;
    }
    if (spec.zero && !spec.align) spec.fill = '0';
    percent_value(p, b, &spec, v.kind == J_MISSING ? next_value(p) : v);
}

const JString *jf_percent(Jinja *j, const JString *format, JValue args) {
    Percent p = {.j = j, .format = format, .args = args, .markup = format->markup};
    JBuilder b = {.j = j};
    while (p.at < format->bytes) {
        const char *sign = memchr(format->text + p.at, '%', format->bytes - p.at);
        size_t to = sign ? (size_t)(sign - format->text) : format->bytes;
        jb_part(&b, format, p.at, to);
        jj_work(j, 1);
        p.at = to + 1;
        if (sign) percent_field(&p, &b);
    }
    bool left_over = args.kind == J_TUPLE
                         ? p.next < args.u.list->count
                         : !p.single_used && args.kind != J_DICT && args.kind != J_LIST && args.kind != J_RANGE &&
                               args.kind != J_UNDEFINED; /* what has items may hold more than is used */
    if (left_over) jj_fail(j, "%%: not all values were used");
    return js_markup(j, jb_finish(&b), format->markup);
}

/* ---- "{}".format(x) --------------------------------------------------------------------------------------------- */

typedef struct Fields { Jinja *j; const JArgs *args; size_t next; bool numbered, automatic, markup; int level; } Fields;

static void format_string(Fields *f, JBuilder *b, const JString *s);

static JValue field_value(Fields *f, const JString *name) {
    Jinja *j = f->j;
    size_t at = 0;
    JValue v, index;
    while (at < name->bytes && name->text[at] != '.' && name->text[at] != '[') at++;
    const JString *first = js_part(j, name, 0, at);
    bool digits = first->bytes == strspn(first->text, "0123456789") || strspn(first->text, "0123456789") > first->bytes;
    if (digits) {
        bool automatic = first->bytes == 0;
        if (automatic ? f->numbered : f->automatic) jj_fail(j, "format: fields are numbered, or not, all of them");
        *(automatic ? &f->automatic : &f->numbered) = true;
        size_t i = f->next;
        if (automatic) f->next++;
        else if (!jn_parse_int(j, first->text, first->bytes, 10, &index) || index.kind != J_INT) i = SIZE_MAX;
        else i = (size_t)index.u.i;
        if (i >= f->args->count) jj_fail(j, "format: not enough values");
        v = f->args->item[i];
    } else {
        const JNamedValue *found = NULL;
        for (size_t i = 0; i < f->args->named_count; i++)
            if (js_equal(f->args->named[i].name, first)) found = &f->args->named[i];
        if (!found) jj_fail(j, "format: no value is named %s", name_text(first->text, first->bytes).text);
        v = found->value;
    }
    while (at < name->bytes) {
        bool attribute = name->text[at] == '.';
        size_t from = ++at;
        while (at < name->bytes && (attribute ? name->text[at] != '.' && name->text[at] != '[' : name->text[at] != ']'))
            at++;
        if (at == from || (!attribute && at == name->bytes)) jj_fail(j, "format: a field's name is not whole");
        const JString *part = js_part(j, name, from, at);
        if (attribute) v = jj_attribute(j, v, part);
        else {
            JValue key = jv_string(part);
            if (strspn(part->text, "0123456789") >= part->bytes && jn_parse_int(j, part->text, part->bytes, 10, &index))
                key = index;
            v = jj_item(j, v, key);
            at++;
            if (at < name->bytes && name->text[at] != '.' && name->text[at] != '[')
                jj_fail(j, "format: expected . or [ behind ]");
        }
    }
    return v;
}

static Spec spec_of(Jinja *j, const JString *s) {
    Spec spec = {.fill = ' '};
    JChar c = {0}, after;
    bool has_fill = false;
    size_t at = 0;
    if (js_next(s, &c)) {
        after = c;
        if (js_next(s, &after) && after.code < 128 && after.code && strchr("<>=^", (char)after.code))
            spec.fill = c.code, spec.align = (char)after.code, at = after.at + 1, has_fill = true;
        else if (c.code < 128 && c.code && strchr("<>=^", (char)c.code)) spec.align = (char)c.code, at = 1;
    }
#define NEXT (at < s->bytes ? s->text[at] : 0)
    if (NEXT == '+' || NEXT == '-' || NEXT == ' ') spec.sign = s->text[at++];
    if (NEXT == '#') spec.alternate = true, at++;
    if (NEXT == '0') {
        spec.zero = true, at++;
        if (!has_fill) spec.fill = '0';
    }
    for (; NEXT >= '0' && NEXT <= '9'; at++) {
        spec.width = 10 * spec.width + NEXT - '0';
        if (spec.width > MOST_WIDTH) jj_fail(j, "format: expected a width of at most %d", MOST_WIDTH);
    }
    if (NEXT == ',' || NEXT == '_') spec.comma = s->text[at++];
    if (NEXT == '.') {
        spec.has_precision = true;
        size_t from = ++at;
        for (; NEXT >= '0' && NEXT <= '9'; at++) {
            spec.precision = 10 * spec.precision + NEXT - '0';
            if (spec.precision > MOST_PRECISION)
                jj_fail(j, "format: expected a precision of at most %d", MOST_PRECISION);
        }
        if (at == from) jj_fail(j, "format: a precision is missing");
    }
    if (at < s->bytes) spec.type = s->text[at++];
#undef NEXT
    if (at < s->bytes) jj_fail(j, "format: not a format: %s", name_text(s->text, s->bytes).text);
    return spec;
}

static void format_value(Fields *f, JBuilder *b, JValue v, const JString *spec_text) {
    Jinja *j = f->j;
    uint32_t mark = jv_marks(v);
    if (!spec_text->bytes) {
        const JString *s = jv_str(j, v);
        jb_string(b, f->markup ? js_markup(j, js_escape(j, s), false) : s);
        return;
    }
    Spec spec = spec_of(j, spec_text);
    if (v.kind == J_STRING) {
        if ((spec.type && spec.type != 's') || spec.sign || spec.alternate || spec.comma || spec.align == '=')
            jj_fail(j, "format: not a format of strings: %s", name_text(spec_text->text, spec_text->bytes).text);
        format_text(j, b, &spec, f->markup ? js_markup(j, js_escape(j, v.u.s), false) : v.u.s);
        return;
    }
    if (!jv_is_number(v)) jj_fail(j, "format: a %s has no format", jv_type(v));
    bool real = v.kind == J_REAL || (spec.type && strchr("eEfFgG%", spec.type));
    if (!real) {
        if (spec.type == 'c') {
            JBuilder one = {.j = j};
            int64_t code = jj_index(j, v, "format");
            if (code < 0 || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000) || spec.sign)
                jj_fail(j, "format: no such character");
            jb_char(&one, (int32_t)code, mark);
            if (!spec.align) spec.align = spec.zero ? '=' : '<';
            add_padded(j, b, &spec, js_new(j, "", 0, 0), jb_finish(&one), spec.align, mark);
            return;
        }
        if ((spec.type && !strchr("bdnoxX", spec.type)) || spec.has_precision ||
            (spec.comma == ',' && spec.type && strchr("boxXn", spec.type)) || (spec.comma && spec.type == 'n'))
            jj_fail(j, "format: not a format of integers: %s", name_text(spec_text->text, spec_text->bytes).text);
        if (!spec.type || spec.type == 'n') spec.type = 'd';
        format_int(j, b, &spec, v, mark);
        return;
    }
    if (spec.type && !strchr("eEfFgGn%", spec.type))
        jj_fail(j, "format: not a format of floats: %s", name_text(spec_text->text, spec_text->bytes).text);
    double r = jn_real(j, v);
    format_digits(j, b, &spec, signbit(r) && !isnan(r), "", real_digits(j, &spec, r), 3, mark);
}

/* A field: name, !conversion, :format, which may hold fields itself. */
static void format_field(Fields *f, JBuilder *b, const JString *field) {
    Jinja *j = f->j;
    size_t end = 0, depth = 0;
    for (; end < field->bytes; end++) {
        char c = field->text[end];
        depth += c == '[';
        depth -= c == ']' && depth;
        if (!depth && (c == '!' || c == ':')) break;
    }
    JValue v = field_value(f, js_part(j, field, 0, end));
    if (end < field->bytes && field->text[end] == '!') {
        char how = end + 1 < field->bytes ? field->text[end + 1] : 0;
        end += 2;
        if (how == 's') v = jv_string(jv_str(j, v));
        else if (how == 'r' || how == 'a') v = jv_string(jv_repr_of(j, v));
        else jj_fail(j, "format: expected !s, !r or !a");
        if (end < field->bytes && field->text[end] != ':') jj_fail(j, "format: expected : behind a conversion");
    }
    JBuilder spec = {.j = j};
    if (end < field->bytes) {
        if (f->level == 2) jj_fail(j, "format: fields are nested too deeply");
        f->level++;
        format_string(f, &spec, js_part(j, field, end + 1, field->bytes));
        f->level--;
    }
    format_value(f, b, v, jb_finish(&spec));
}

static void format_string(Fields *f, JBuilder *b, const JString *s) {
    Jinja *j = f->j;
    for (size_t at = 0; at < s->bytes;) {
        size_t from = at;
        while (at < s->bytes && s->text[at] != '{' && s->text[at] != '}') at++;
        jb_part(b, s, from, at);
        jj_work(j, 1);
        if (at == s->bytes) break;
        char c = s->text[at];
        if (at + 1 < s->bytes && s->text[at + 1] == c && f->level == 1) {
            jb_part(b, s, at, at + 1);
            at += 2;
            continue;
        }
        if (c == '}') jj_fail(j, "format: a } stands alone");
        size_t open = 1, end = at + 1;
        for (; end < s->bytes && open; end++) open += s->text[end] == '{', open -= s->text[end] == '}';
        if (open) jj_fail(j, "format: a { has no end");
        format_field(f, b, js_part(j, s, at + 1, end - 1));
        at = end;
    }
}

const JString *jf_format(Jinja *j, const JString *format, const JArgs *args) {
    Fields f = {.j = j, .args = args, .markup = format->markup, .level = 1};
    JBuilder b = {.j = j};
    format_string(&f, &b, format);
    return js_markup(j, jb_finish(&b), format->markup);
}
