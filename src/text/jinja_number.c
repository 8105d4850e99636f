/* jinja_number.c: Python's arithmetic: integers without bound (beyond 64 bits by OpenSSL's BIGNUM), floats, and what
 * +, * and % mean for text and lists. */
#include <ctype.h>
#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include "chat.h"
#include "jinja_value.h"

enum { MOST_BITS = 1 << 16, MOST_DIGITS = 4300 }; /* of integers; of those written or read, as in Python */

/* ---- Large integers --------------------------------------------------------------------------------------------- */

/* One of three registers that live as long as the rendering: nothing is lost when it ends by an error. */
static BIGNUM *big_register(Jinja *j, int index) {
    if (!j->big_context) j->big_context = BN_CTX_new();
    if (!j->big[index]) j->big[index] = BN_new();
    if (!j->big_context || !j->big[index]) jj_no_memory(j);
    return j->big[index];
}

static void big_check(Jinja *j, int done) {
    if (!done) jj_no_memory(j);
}

static BIGNUM *big_load(Jinja *j, int index, JValue v) {
    BIGNUM *n = big_register(j, index);
    if (v.kind == J_BIG) {
        big_check(j, BN_bin2bn(v.u.big->magnitude, (int)v.u.big->bytes, n) != NULL);
        BN_set_negative(n, v.u.big->negative);
        return n;
    }
    int64_t i = v.kind == J_BOOL ? v.u.b : v.u.i;
    uint64_t u = i < 0 ? 0 - (uint64_t)i : (uint64_t)i;
    uint8_t bytes[8];
    for (int k = 0; k < 8; k++) bytes[k] = (uint8_t)(u >> (56 - 8 * k));
    big_check(j, BN_bin2bn(bytes, 8, n) != NULL);
    BN_set_negative(n, i < 0);
    return n;
}

static JValue big_store(Jinja *j, const BIGNUM *n) {
    size_t bytes = (size_t)BN_num_bytes(n);
    if (BN_num_bits(n) > MOST_BITS) jj_fail(j, "an integer has more than %d bits", MOST_BITS);
    if (BN_num_bits(n) <= 63) {
        uint8_t out[8] = {0};
        uint64_t u = 0;
        BN_bn2bin(n, out + 8 - bytes);
        for (int k = 0; k < 8; k++) u = u << 8 | out[k];
        return jv_int(BN_is_negative(n) ? -(int64_t)u : (int64_t)u);
    }
    JBig *big = jj_new(j, 1, sizeof *big + bytes);
    big->negative = BN_is_negative(n);
    big->bytes = bytes;
    BN_bn2bin(n, big->magnitude);
    jj_work(j, bytes);
    return J_VALUE(J_BIG, big, big);
}

static JValue big_binary(Jinja *j, JOp op, JValue x, JValue y) {
    BIGNUM *a = big_load(j, 0, x), *b = big_load(j, 1, y), *out = big_register(j, 2);
    jj_work(j, 8);
    switch (op) {
    case OP_ADD: big_check(j, BN_add(out, a, b)); break;
    case OP_SUB: big_check(j, BN_sub(out, a, b)); break;
    case OP_MUL: big_check(j, BN_mul(out, a, b, j->big_context)); break;
    case OP_FLOORDIV: case OP_MOD: {
        BIGNUM *rest = BN_new();
        if (!rest) jj_no_memory(j);
        bool unlike = BN_is_negative(a) != BN_is_negative(b); /* the rest has the sign of the divisor */
        int done = BN_div(out, rest, a, b, j->big_context);
        if (done && !BN_is_zero(rest) && unlike) done = BN_sub_word(out, 1) && BN_add(rest, rest, b);
        if (done && op == OP_MOD) done = BN_copy(out, rest) != NULL;
        BN_free(rest);
        big_check(j, done);
        break;
    }
    case OP_POW: {
        int64_t bits = BN_num_bits(a), power = y.kind == J_INT ? y.u.i : y.kind == J_BOOL ? y.u.b : INT64_MAX;
        if (bits > 1 && (power > MOST_BITS || bits * power > 2 * MOST_BITS))
            jj_fail(j, "an integer has more than %d bits", MOST_BITS);
        if (bits <= 1) { /* 0, 1 and -1 */
            bool odd = power == INT64_MAX ? y.u.big->magnitude[y.u.big->bytes - 1] & 1 : power & 1;
            int64_t one = BN_is_zero(a) ? power == 0 : BN_is_negative(a) && odd ? -1 : 1;
            return jv_int(one);
        }
        jj_work(j, (size_t)(bits * power / 64));
        big_check(j, BN_exp(out, a, b, j->big_context));
        break;
    }
    case OP_DIV: break;
    }
    return big_store(j, out);
}

/* ---- Reading and writing ---------------------------------------------------------------------------------------- */

int64_t jn_bits(Jinja *j, JValue v) { return BN_num_bits(big_load(j, 0, v)); }

const char *jn_digits(Jinja *j, JValue v, int base, bool *negative) {
    BIGNUM *n = big_load(j, 0, v);
    *negative = BN_is_negative(n);
    BN_set_negative(n, 0);
    size_t bits = (size_t)BN_num_bits(n), used = 0;
    if (base == 10 && bits > MOST_DIGITS * 3322u / 1000) jj_fail(j, "an integer has more than %d digits", MOST_DIGITS);
    char *out = jj_new(j, bits + 2, 1);
    if (bits == 0) return memcpy(out, "0", 1);
    if (base == 10) {
        char *text = BN_bn2dec(n);
        if (!text) jj_no_memory(j);
        strcpy(out, text);
        OPENSSL_free(text);
        return out;
    }
    size_t group = base == 2 ? 1 : base == 8 ? 3 : 4, digits = (bits + group - 1) / group;
    for (size_t d = digits; d-- > 0; used++) {
        int value = 0;
        for (size_t k = group; k-- > 0;) value = 2 * value + BN_is_bit_set(n, (int)(d * group + k));
        out[used] = "0123456789abcdef"[value];
    }
    return out;
}

void jn_text(Jinja *j, JBuilder *b, JValue v, uint32_t mark) {
    if (v.kind != J_BIG) {
        jb_line(b, mark, "%lld", v.kind == J_BOOL ? (long long)v.u.b : (long long)v.u.i);
        return;
    }
    bool negative;
    const char *digits = jn_digits(j, v, 10, &negative);
    if (negative) jb_add(b, "-", 1, mark);
    jb_add(b, digits, strlen(digits), mark);
}

static int digit_value(char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'z' ? c - 'a' + 10
           : c >= 'A' && c <= 'Z' ? c - 'A' + 10
                                  : 99;
}

/* Trims ASCII space and takes a sign. */
static bool take_sign(const char **text, size_t *bytes) {
    while (*bytes && isspace((unsigned char)**text)) ++*text, --*bytes;
    while (*bytes && isspace((unsigned char)(*text)[*bytes - 1])) --*bytes;
    bool negative = *bytes && **text == '-';
    if (*bytes && (**text == '-' || **text == '+')) ++*text, --*bytes;
    return negative;
}

bool jn_parse_int(Jinja *j, const char *text, size_t bytes, int base, JValue *out) {
    bool negative = take_sign(&text, &bytes), digit = false;
    int prefix = bytes > 2 && text[0] == '0'
                     ? strchr("xX", text[1]) ? 16 : strchr("oO", text[1]) ? 8 : strchr("bB", text[1]) ? 2 : 0
                     : 0;
    if (base != 0 && (base < 2 || base > 36)) return false;
    bool free_base = base == 0;
    if (prefix && (free_base || base == prefix)) {
        base = prefix, text += 2, bytes -= 2;
        if (bytes && *text == '_') text++, bytes--;
    }
    if (base == 0) base = 10;
    char *plain = jj_new(j, bytes + 1, 1);
    size_t used = 0;
    for (size_t i = 0; i < bytes; i++) {
        bool before = digit;
        digit = text[i] != '_';
        if (digit ? digit_value(text[i]) >= base : !before) return false;
        if (digit) plain[used++] = text[i];
    }
    if (!digit) return false;
    if (free_base && !prefix && used > 1 && plain[0] == '0' && strspn(plain, "0") != used) return false; /* 012 */
    if (used > MOST_DIGITS) return false;
    errno = 0;
    long long small = strtoll(plain, NULL, base);
    if (errno == 0) return *out = jv_int(negative ? -small : small), true;
    BIGNUM *n = big_register(j, 0);
    BN_zero(n);
    jj_work(j, 8 * used);
    for (size_t i = 0; i < used; i++)
        big_check(j, BN_mul_word(n, (BN_ULONG)base) && BN_add_word(n, (BN_ULONG)digit_value(plain[i])));
    BN_set_negative(n, negative);
    return *out = big_store(j, n), true;
}

bool jn_parse_real(const char *text, size_t bytes, double *out) {
    bool negative = take_sign(&text, &bytes);
    char copy[800];
    size_t used = 0;
    static const char *const names[] = {"inf", "infinity", "nan"};
    for (int i = 0; i < 3; i++)
        if (bytes == strlen(names[i]) && !strncasecmp(text, names[i], bytes)) {
            *out = i == 2 ? (double)NAN : negative ? -(double)INFINITY : (double)INFINITY;
            return true;
        }
    for (size_t i = 0; i < bytes; i++) {
        bool digit = isdigit((unsigned char)text[i]);
        if (text[i] == '_') {
            if (!i || i + 1 == bytes || !isdigit((unsigned char)text[i - 1]) || !isdigit((unsigned char)text[i + 1]))
                return false;
            continue;
        }
        if (!digit && !strchr(".eE+-", text[i])) return false;
        if (used + 1 == sizeof copy) return false;
        copy[used++] = text[i];
    }
    copy[used] = 0;
    if (!used || copy[0] == '+' || copy[0] == '-') return false;
    char *end;
    double r = strtod(copy, &end);
    if (*end) return false;
    *out = negative ? -r : r;
    return true;
}

double jn_real(Jinja *j, JValue v) {
    if (v.kind == J_REAL) return v.u.r;
    if (v.kind == J_BOOL) return v.u.b;
    if (v.kind == J_INT) return (double)v.u.i;
    bool negative;
    if (jn_bits(j, v) > 1024) jj_fail(j, "an integer is too large for a float");
    double r = strtod(jn_digits(j, v, 10, &negative), NULL);
    if (isinf(r)) jj_fail(j, "an integer is too large for a float");
    return negative ? -r : r;
}

JValue jn_floor(Jinja *j, double r, bool *ok) {
    *ok = isfinite(r);
    if (!*ok) return jv_int(0);
    if (fabs(r) < 9.2e18) return jv_int((int64_t)r);
    int exponent;
    double fraction = frexp(r, &exponent);
    BIGNUM *n = big_load(j, 0, jv_int((int64_t)ldexp(fraction, 53)));
    big_check(j, BN_lshift(n, n, exponent - 53));
    return big_store(j, n);
}

/* ---- Order ------------------------------------------------------------------------------------------------------ */

int jn_order(Jinja *j, JValue a, JValue b) {
    if (a.kind == J_REAL || b.kind == J_REAL) {
        if ((a.kind == J_REAL && isnan(a.u.r)) || (b.kind == J_REAL && isnan(b.u.r))) return 2;
        if (a.kind == J_REAL && b.kind == J_REAL) return (a.u.r > b.u.r) - (a.u.r < b.u.r);
        /* An integer and a float: exactly, by the float's whole part. */
        JValue whole = a.kind == J_REAL ? b : a;
        double r = a.kind == J_REAL ? a.u.r : b.u.r;
        int sign = a.kind == J_REAL ? -1 : 1;
        if (isinf(r)) return r > 0 ? -sign : sign;
        bool ok;
        int order = jn_order(j, whole, jn_floor(j, r, &ok));
        double fraction = r - trunc(r);
        if (order == 0) order = (fraction < 0) - (fraction > 0);
        return sign * order;
    }
    if (a.kind != J_BIG && b.kind != J_BIG) {
        int64_t x = a.kind == J_BOOL ? a.u.b : a.u.i, y = b.kind == J_BOOL ? b.u.b : b.u.i;
        return (x > y) - (x < y);
    }
    int order = BN_cmp(big_load(j, 0, a), big_load(j, 1, b));
    return (order > 0) - (order < 0);
}

/* ---- Arithmetic ------------------------------------------------------------------------------------------------- */

static int64_t small(JValue v) { return v.kind == J_BOOL ? v.u.b : v.u.i; }

static JValue real_power(Jinja *j, double a, double b) {
    if (a == 0 && b < 0) jj_fail(j, "0.0 cannot be raised to a negative power");
    if (a < 0 && isfinite(a) && isfinite(b) && b != floor(b)) jj_fail(j, "complex numbers are not supported");
    double r = pow(a, b);
    if (isinf(r) && isfinite(a) && isfinite(b)) jj_fail(j, "a float is too large");
    return jv_real(r);
}

static JValue real_binary(Jinja *j, JOp op, double a, double b) {
    double rest;
    if (b == 0 && (op == OP_DIV || op == OP_FLOORDIV || op == OP_MOD)) jj_fail(j, "division by zero");
    switch (op) {
    case OP_ADD: return jv_real(a + b);
    case OP_SUB: return jv_real(a - b);
    case OP_MUL: return jv_real(a * b);
    case OP_DIV: return jv_real(a / b);
    case OP_POW: return real_power(j, a, b);
    case OP_FLOORDIV: case OP_MOD: break;
    }
    rest = fmod(a, b);
    double quotient = (a - rest) / b;
    if (rest != 0 && (b < 0) != (rest < 0)) rest += b, quotient -= 1;
    if (rest == 0) rest = copysign(0, b);
    if (op == OP_MOD) return jv_real(rest);
    if (quotient == 0) return jv_real(copysign(0, a / b));
    double whole = floor(quotient);
    return jv_real(quotient - whole > 0.5 ? whole + 1 : whole);
}

/* a / b of integers, rounded once where both fit a long double's 64 bits. */
static JValue divide(Jinja *j, JValue a, JValue b) {
    if (a.kind != J_BIG && b.kind != J_BIG) return jv_real((double)((long double)small(a) / (long double)small(b)));
    return jv_real(jn_real(j, a) / jn_real(j, b));
}

static JValue int_binary(Jinja *j, JOp op, JValue a, JValue b) {
    bool zero = b.kind != J_BIG && small(b) == 0;
    if (zero && (op == OP_DIV || op == OP_FLOORDIV || op == OP_MOD)) jj_fail(j, "division by zero");
    if (op == OP_DIV) return divide(j, a, b);
    if (op == OP_POW && jn_order(j, b, jv_int(0)) < 0) return real_power(j, jn_real(j, a), jn_real(j, b));
    if (op == OP_POW || a.kind == J_BIG || b.kind == J_BIG) return big_binary(j, op, a, b);
    int64_t x = small(a), y = small(b), out = 0;
    bool over = op == OP_ADD   ? __builtin_add_overflow(x, y, &out)
                : op == OP_SUB ? __builtin_sub_overflow(x, y, &out)
                : op == OP_MUL ? __builtin_mul_overflow(x, y, &out)
                               : x == INT64_MIN && y == -1;
    if (over) return big_binary(j, op, a, b);
    if (op == OP_FLOORDIV) out = x / y - (x % y != 0 && (x < 0) != (y < 0));
    if (op == OP_MOD) out = x % y + (x % y != 0 && (x < 0) != (y < 0) ? y : 0);
    return jv_int(out);
}

static JValue repeat(Jinja *j, JValue v, JValue times) {
    int64_t n = jj_index(j, times, "*");
    if (v.kind == J_STRING) return jv_string(js_repeat(j, v.u.s, n));
    JList *list = jl_new(j, 0);
    if (n > 0 && v.u.list->count > 0 && (size_t)n > j->heap.limit / sizeof(JValue) / v.u.list->count)
        jj_fail(j, "a list is too long");
    for (int64_t i = 0; i < n && v.u.list->count; i++) {
        jj_work(j, v.u.list->count);
        for (size_t k = 0; k < v.u.list->count; k++) jl_add(j, list, v.u.list->item[k]);
    }
    return v.kind == J_LIST ? jv_list(list) : jv_tuple(list);
}

static JValue join_lists(Jinja *j, JValue a, JValue b) {
    JList *list = jl_new(j, a.u.list->count + b.u.list->count);
    jj_work(j, a.u.list->count + b.u.list->count);
    for (size_t i = 0; i < a.u.list->count; i++) jl_add(j, list, a.u.list->item[i]);
    for (size_t i = 0; i < b.u.list->count; i++) jl_add(j, list, b.u.list->item[i]);
    return a.kind == J_LIST ? jv_list(list) : jv_tuple(list);
}

static bool is_sequence(JValue v) { return v.kind == J_STRING || v.kind == J_LIST || v.kind == J_TUPLE; }

JValue jn_binary(Jinja *j, JOp op, JValue a, JValue b) {
    static const char *const signs[] = {"+", "-", "*", "/", "//", "%", "**"};
    if (jv_is_number(a) && jv_is_number(b)) {
        JValue v = a.kind == J_REAL || b.kind == J_REAL ? real_binary(j, op, jn_real(j, a), jn_real(j, b))
                                                        : int_binary(j, op, a, b);
        v.data = a.data || b.data;
        return v;
    }
    if (op == OP_MOD && a.kind == J_STRING) return jv_string(jf_percent(j, a.u.s, b));
    if (a.kind == J_UNDEFINED || b.kind == J_UNDEFINED) {
        const JString *name = a.kind == J_UNDEFINED ? a.u.s : b.u.s;
        jj_fail(j, "%s: %s is undefined", signs[op], name ? name_text(name->text, name->bytes).text : "a value");
    }
    if (op == OP_ADD && a.kind == J_STRING && b.kind == J_STRING) return jv_string(js_concat(j, a.u.s, b.u.s));
    if (op == OP_ADD && a.kind == b.kind && is_sequence(a)) return join_lists(j, a, b);
    if (op == OP_MUL && is_sequence(a) && jv_is_int(b)) return repeat(j, a, b);
    if (op == OP_MUL && is_sequence(b) && jv_is_int(a)) return repeat(j, b, a);
    jj_fail(j, "%s: not for %s and %s", signs[op], jv_type(a), jv_type(b));
}

JValue jn_negate(Jinja *j, JValue v) {
    if (!jv_is_number(v)) jj_fail(j, "-: expected a number, got %s", jv_type(v));
    JValue out = v.kind == J_REAL ? jv_real(-v.u.r) : int_binary(j, OP_SUB, jv_int(0), v);
    out.data = v.data;
    return out;
}

JValue jn_abs(Jinja *j, JValue v) {
    if (!jv_is_number(v)) jj_fail(j, "abs: expected a number, got %s", jv_type(v));
    if (v.kind == J_REAL) return v.u.r = fabs(v.u.r), v;
    return jn_order(j, v, jv_int(0)) < 0 ? jn_negate(j, v) : int_binary(j, OP_ADD, jv_int(0), v);
}

JValue jn_round(Jinja *j, JValue v, int64_t precision) {
    if (!jv_is_number(v)) jj_fail(j, "round: expected a number, got %s", jv_type(v));
    if (v.kind == J_REAL) {
        char text[400];
        if (!isfinite(v.u.r) || precision > 300) return v;
        if (precision >= 0) {
            snprintf(text, sizeof text, "%.*f", (int)precision, v.u.r);
            return jv_real(strtod(text, NULL));
        }
        if (precision < -308) return jv_real(copysign(0, v.u.r));
        double scale = pow(10, (double)-precision);
        return jv_real(nearbyint(v.u.r / scale) * scale);
    }
    if (precision >= 0) return int_binary(j, OP_ADD, jv_int(0), v);
    if (precision < -MOST_DIGITS) return jv_int(0);
    JValue scale = int_binary(j, OP_POW, jv_int(10), jv_int(-precision));
    JValue rest = int_binary(j, OP_MOD, v, scale), below = int_binary(j, OP_SUB, v, rest);
    int order = jn_order(j, int_binary(j, OP_MUL, rest, jv_int(2)), scale);
    JValue odd = int_binary(j, OP_MOD, int_binary(j, OP_FLOORDIV, below, scale), jv_int(2));
    bool up = order > 0 || (order == 0 && jv_true(j, odd));
    return up ? int_binary(j, OP_ADD, below, scale) : below;
}
