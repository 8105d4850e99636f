/* jinja_call.c: what can be called: macros, recursive loops, methods, and the global functions; filters and tests by
 * name. */
#include <locale.h>
#include <stdlib.h>
#include <time.h>
#include "jinja_eval.h"

JValue jj_call(Jinja *j, JValue callee, const JArgs *args, const JString *name) {
    const char *called = name ? name_text(name->text, name->bytes).text : NULL;
    JValue v;
    jj_work(j, 1);
    switch (callee.kind) {
    case J_FUNCTION: return callee.u.function->run(j, args);
    case J_METHOD: return callee.u.method->row->run(j, callee.u.method->self, args);
    case J_MACRO: return jj_run_macro(j, callee.u.macro, args);
    case J_LOOP:
        if (!callee.u.loop->node->op) jj_fail(j, "loop can be called where the for is recursive only");
        jj_bind(j, args, "loop", "iterable", 1, &v);
        return jj_loop_again(j, callee.u.loop, v);
    case J_JOINER:
        jj_bind(j, args, "joiner", "", 0, NULL);
        v = callee.u.joiner->used ? callee.u.joiner->separator : jv_text(j, "");
        callee.u.joiner->used = true;
        return v;
    case J_UNDEFINED: jj_fail(j, "%s is undefined: it cannot be called", called ? called : "a value");
    default: jj_fail(j, "%s cannot be called: it is a %s", called ? called : "a value", jv_type(callee));
    }
}

/* ---- Filters and tests ------------------------------------------------------------------------------------------ */

const JFilterRow *jinja_filter(const JString *name) {
    const JFilterRow *const tables[] = {jinja_text_filters, jinja_sequence_filters, jinja_number_filters};
    for (int i = 0; i < 3; i++)
        for (const JFilterRow *row = tables[i]; row->name; row++)
            if (js_is(name, row->name)) return row;
    return NULL;
}

JValue jj_apply_filter(Jinja *j, const JString *name, const void *row, JValue v, const JArgs *args) {
    const JFilterRow *filter = row ? row : jinja_filter(name);
    jj_work(j, 1);
    if (!filter) jj_fail(j, "no filter is named '%s'", name_text(name->text, name->bytes).text);
    return filter->run(j, v, args);
}

bool jj_apply_test(Jinja *j, const JString *name, const void *row, JValue v, const JArgs *args) {
    const JTestRow *test = row ? row : jinja_test(name);
    jj_work(j, 1);
    if (!test) jj_fail(j, "no test is named '%s'", name_text(name->text, name->bytes).text);
    return test->run(j, v, args);
}

/* ---- Global functions ------------------------------------------------------------------------------------------- */

static JValue range_function(Jinja *j, const JArgs *args) {
    enum { MOST_ITEMS = 100000 };
    JRange *r = jj_new(j, 1, sizeof *r);
    int64_t part[3] = {0, 0, 1};
    JValue v[3];
    jj_bind(j, args, "range", "start stop step", 1, v);
    if (args->named_count) jj_fail(j, "range: its arguments have no names");
    for (int i = 0; i < 3; i++)
        if (v[i].kind != J_MISSING) part[i] = jj_index(j, v[i], "range");
    if (v[1].kind == J_MISSING) part[1] = part[0], part[0] = 0;
    if (part[2] == 0) jj_fail(j, "range: the step is zero");
    __int128 count = 0, from = part[0], to = part[1], step = part[2];
    if (step > 0 && from < to) count = (to - from - 1) / step + 1;
    if (step < 0 && from > to) count = (from - to - 1) / -step + 1;
    if (count > MOST_ITEMS) jj_fail(j, "range: more than %d items", MOST_ITEMS);
    *r = (JRange){part[0], part[1], part[2], (int64_t)count};
    return J_VALUE(J_RANGE, range, r);
}

/* dict() and namespace(): a mapping or pairs, then named arguments. */
static JDict *fill(Jinja *j, const JArgs *args, const char *what) {
    JDict *d = jd_new(j);
    if (args->count > 1) jj_fail(j, "%s: expected at most one argument, got %zu", what, args->count);
    if (args->count && args->item[0].kind == J_DICT) {
        const JDict *from = args->item[0].u.dict;
        for (size_t i = 0; i < from->count; i++) jd_set(j, d, from->entry[i].key, from->entry[i].value);
    } else if (args->count) {
        const JList *pairs = jv_items(j, args->item[0]);
        for (size_t i = 0; i < pairs->count; i++) {
            const JList *pair = jv_items(j, pairs->item[i]);
            if (pair->count != 2) jj_fail(j, "%s: expected pairs", what);
            jd_set(j, d, pair->item[0], pair->item[1]);
        }
    }
    for (size_t i = 0; i < args->named_count; i++) jd_set(j, d, jv_string(args->named[i].name), args->named[i].value);
    return d;
}

static JValue dict_function(Jinja *j, const JArgs *args) { return jv_dict(fill(j, args, "dict")); }
static JValue namespace_function(Jinja *j, const JArgs *args) {
    return J_VALUE(J_NAMESPACE, dict, fill(j, args, "namespace"));
}

static JValue cycler_function(Jinja *j, const JArgs *args) {
    JCycler *c = jj_new(j, 1, sizeof *c);
    if (!args->count || args->named_count) jj_fail(j, "cycler: expected items");
    c->list = jl_new(j, args->count);
    for (size_t i = 0; i < args->count; i++) jl_add(j, c->list, args->item[i]);
    return J_VALUE(J_CYCLER, cycler, c);
}

static JValue joiner_function(Jinja *j, const JArgs *args) {
    JJoiner *joiner = jj_new(j, 1, sizeof *joiner);
    jj_bind(j, args, "joiner", "sep", 0, &joiner->separator);
    if (joiner->separator.kind == J_MISSING) joiner->separator = jv_text(j, ", ");
    return J_VALUE(J_JOINER, joiner, joiner);
}

static JValue raise_function(Jinja *j, const JArgs *args) {
    JValue v;
    jj_bind(j, args, "raise_exception", "message", 1, &v);
    const JString *text = jv_str(j, v);
    jj_fail(j, "%.*s", text->bytes < 400 ? (int)text->bytes : 400, text->text);
}

/* SOURCE_DATE_EPOCH in UTC, else the clock's local time. */
static struct tm now(Jinja *j) {
    const char *given = getenv("SOURCE_DATE_EPOCH");
    struct tm t = {0};
    int64_t seconds = 0;
    if (given && *given && !parse_int(given, 0, 253402300799, &seconds))
        jj_fail(j, "SOURCE_DATE_EPOCH: expected seconds since 1970, got '%.40s'", given);
    time_t at = given && *given ? (time_t)seconds : time(NULL);
    if (!(given && *given ? gmtime_r(&at, &t) : localtime_r(&at, &t)))
        jj_fail(j, "strftime_now: the clock has no date");
    return t;
}

/* strftime in the C locale; %f, microseconds, is zero, and %z and %Z are empty, as Python's are of a time without
 * zone. */
static JValue strftime_function(Jinja *j, const JArgs *args) {
    JValue v;
    JBuilder plain = {.j = j};
    jj_bind(j, args, "strftime_now", "format", 1, &v);
    const JString *format = jj_string(j, v, "strftime_now");
    if (memchr(format->text, 0, format->bytes)) jj_fail(j, "strftime_now: the format holds a NUL character");
    struct tm t = now(j);
    size_t done = 0;
    for (size_t i = 0; i + 1 < format->bytes; i++) {
        if (format->text[i] != '%') continue;
        char letter = format->text[++i];
        if (letter != 'f' && letter != 'z' && letter != 'Z') continue;
        jb_part(&plain, format, done, i - 1);
        if (letter == 'f') jb_add(&plain, "000000", 6, 0);
        done = i + 1;
    }
    jb_part(&plain, format, done, format->bytes);
    jb_add(&plain, ".", 1, 0); /* so that nothing is an answer too */
    jb_add(&plain, "", 1, 0);
    if (plain.bytes > 1000) jj_fail(j, "strftime_now: the format is too long");
    char out[16384];
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    size_t bytes = c ? strftime_l(out, sizeof out, plain.text, &t, c) : 0;
    if (c) freelocale(c);
    if (!bytes) jj_fail(j, "strftime_now: the result is too long");
    return jv_string(js_copy(j, out, bytes - 1, js_marks(format)));
}

static JValue lipsum_function(Jinja *j, const JArgs *args) {
    (void)args;
    jj_fail(j, "lipsum is not supported");
}

const JFunctionRow jinja_functions[] = {
    {"range", range_function},           {"dict", dict_function},
    {"namespace", namespace_function},   {"cycler", cycler_function},
    {"joiner", joiner_function},         {"raise_exception", raise_function},
    {"strftime_now", strftime_function}, {"lipsum", lipsum_function},
    {NULL, NULL},
};
