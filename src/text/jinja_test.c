/* jinja_test.c: tests: what stands behind `is`. */
#include "jinja_eval.h"

#define TEST(name) static bool name(Jinja *j, JValue v, const JArgs *args)
/* Tests without arguments. */
#define PLAIN(name, text, holds)                                                                                       \
    TEST(name) {                                                                                                       \
        jj_bind(j, args, text, "", 0, NULL);                                                                           \
        return holds;                                                                                                  \
    }

static JValue other(Jinja *j, const JArgs *args) {
    JValue v;
    jj_bind(j, args, "a test", "other", 1, &v);
    return v;
}

static bool divides(Jinja *j, JValue v, JValue by, int64_t rest) {
    return jv_equal(j, jn_binary(j, OP_MOD, v, by), jv_int(rest));
}

PLAIN(is_defined, "defined", v.kind != J_UNDEFINED)
PLAIN(is_undefined, "undefined", v.kind == J_UNDEFINED)
PLAIN(is_none, "none", v.kind == J_NONE)
PLAIN(is_boolean, "boolean", v.kind == J_BOOL)
PLAIN(is_true, "true", v.kind == J_BOOL && v.u.b)
PLAIN(is_false, "false", v.kind == J_BOOL && !v.u.b)
PLAIN(is_integer, "integer", v.kind == J_INT || v.kind == J_BIG)
PLAIN(is_float, "float", v.kind == J_REAL)
PLAIN(is_number, "number", jv_is_number(v))
PLAIN(is_string, "string", v.kind == J_STRING)
PLAIN(is_mapping, "mapping", v.kind == J_DICT)
PLAIN(is_sequence, "sequence",
      v.kind == J_UNDEFINED || v.kind == J_STRING || v.kind == J_LIST || v.kind == J_TUPLE || v.kind == J_DICT ||
          v.kind == J_RANGE)
PLAIN(is_iterable, "iterable",
      v.kind == J_UNDEFINED || v.kind == J_STRING || v.kind == J_LIST || v.kind == J_TUPLE || v.kind == J_DICT ||
          v.kind == J_RANGE || v.kind == J_VIEW || v.kind == J_ITERATOR || v.kind == J_LOOP)
PLAIN(is_callable, "callable",
      v.kind == J_UNDEFINED || v.kind == J_MACRO || v.kind == J_FUNCTION || v.kind == J_METHOD || v.kind == J_JOINER ||
          v.kind == J_LOOP)
PLAIN(is_escaped, "escaped", v.kind == J_STRING && v.u.s->markup)
PLAIN(is_odd, "odd", divides(j, v, jv_int(2), 1))
PLAIN(is_even, "even", divides(j, v, jv_int(2), 0))

/* str.islower, str.isupper: something has a case, and all that has one has this. */
static bool has_case(Jinja *j, JValue v, bool upper) {
    const JString *s = jv_str(j, v);
    JChar c = {0};
    bool any = false;
    jj_work(j, s->bytes);
    while (js_next(s, &c)) {
        if (upper ? jc_lower(c.code) || jc_title(c.code) : jc_upper(c.code) || jc_title(c.code)) return false;
        any = any || (upper ? jc_upper(c.code) : jc_lower(c.code));
    }
    return any;
}
PLAIN(is_lower, "lower", has_case(j, v, false))
PLAIN(is_upper, "upper", has_case(j, v, true))

TEST(is_divisible) { return divides(j, v, other(j, args), 0); }
TEST(is_same) { return jv_same(v, other(j, args)); }
TEST(is_in) { return jv_contains(j, other(j, args), v); }
TEST(is_equal) { return jv_equal(j, v, other(j, args)); }
TEST(is_unequal) { return !jv_equal(j, v, other(j, args)); }
TEST(is_less) { return jv_order(j, v, other(j, args)) == -1; }
TEST(is_greater) { return jv_order(j, v, other(j, args)) == 1; }
TEST(is_at_most) {
    int order = jv_order(j, v, other(j, args));
    return order == -1 || order == 0;
}
TEST(is_at_least) {
    int order = jv_order(j, v, other(j, args));
    return order == 1 || order == 0;
}

static const JString *row_name(Jinja *j, JValue v) {
    if (!jv_hashable(j, v)) jj_fail(j, "a %s is no name", jv_type(v));
    return v.kind == J_STRING ? v.u.s : js_new(j, "", 0, 0);
}
PLAIN(is_filter, "filter", jinja_filter(row_name(j, v)) != NULL)
PLAIN(is_test, "test", jinja_test(row_name(j, v)) != NULL)

static const JTestRow tests[] = {
    {"defined", is_defined},   {"undefined", is_undefined}, {"none", is_none},       {"boolean", is_boolean},
    {"true", is_true},         {"false", is_false},         {"integer", is_integer}, {"float", is_float},
    {"number", is_number},     {"string", is_string},       {"mapping", is_mapping}, {"sequence", is_sequence},
    {"iterable", is_iterable}, {"callable", is_callable},   {"escaped", is_escaped}, {"odd", is_odd},
    {"even", is_even},         {"lower", is_lower},         {"upper", is_upper},     {"divisibleby", is_divisible},
    {"sameas", is_same},       {"in", is_in},               {"==", is_equal},        {"eq", is_equal},
    {"equalto", is_equal},     {"!=", is_unequal},          {"ne", is_unequal},      {"<", is_less},
    {"lt", is_less},           {"lessthan", is_less},       {">", is_greater},       {"gt", is_greater},
    {"greaterthan", is_greater}, {"<=", is_at_most},        {"le", is_at_most},      {">=", is_at_least},
    {"ge", is_at_least},       {"filter", is_filter},       {"test", is_test},       {NULL, NULL},
};

const JTestRow *jinja_test(const JString *name) {
    for (const JTestRow *row = tests; row->name; row++)
        if (js_is(name, row->name)) return row;
    return NULL;
}
