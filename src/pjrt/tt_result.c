/* tt_result.c: see tt_result.h. One pass over the TTNN text, line by line: MLIR prints one operation a line. */
#include <stdlib.h>
#include <string.h>
#include "tt_result.h"

/* ---- The container ----------------------------------------------------------------------------------------------- */

enum { HEAD = 56, PARTS = 3 };

static uint64_t u64(const uint8_t *d) {
    uint64_t v = 0;
    for (int i = 0; i < 8; i++) v |= (uint64_t)d[i] << 8 * i;
    return v;
}

bool tt_result_read(const uint8_t *data, size_t bytes, TtResult *out, Err *err) {
    static const char *const names[PARTS] = {"TTIR text", "TTNN text", "flatbuffer"};
    TtPart *part[PARTS] = {&out->ttir, &out->ttnn, &out->flatbuffer};
    if (bytes < HEAD || memcmp(data, "TTSERv00", 8))
        return err_set(err, "expected a serialised Tenstorrent program (TTSERv00), got %zu bytes of something else",
                       bytes);
    for (int i = 0; i < PARTS; i++) {
        uint64_t offset = u64(data + 8 + 16 * i), size = u64(data + 16 + 16 * i), body = bytes - HEAD;
        if (offset > body || size > body - offset)
            return err_set(err, "serialised Tenstorrent program: %s: expected it inside %llu bytes, got %llu at %llu",
                           names[i], (unsigned long long)body, (unsigned long long)size, (unsigned long long)offset);
        *part[i] = (TtPart){(const char *)data + HEAD + offset, (size_t)size};
    }
    return true;
}

/* ---- Pieces of a line -------------------------------------------------------------------------------------------- */

typedef TtPart Line;

static const char *after(Line l, const char *text) {
    const char *at = l.bytes ? memmem(l.data, l.bytes, text, strlen(text)) : NULL;
    return at ? at + strlen(text) : NULL;
}

static Line rest(Line l, const char *from) { return (Line){from, l.bytes - (size_t)(from - l.data)}; }

static bool starts(Line l, const char *text) {
    size_t n = strlen(text);
    return l.bytes >= n && !memcmp(l.data, text, n);
}

/* A number at the start; saturates. False when there is no digit. */
enum { MOST_BITS = 50 }; /* sizes above a pebibyte are nonsense, and their sums stay far from overflow */
static bool number(Line *l, int64_t *out) {
    int64_t v = 0;
    size_t n = 0;
    for (; n < l->bytes && l->data[n] >= '0' && l->data[n] <= '9'; n++)
        v = v >= (INT64_C(1) << MOST_BITS) / 10 ? INT64_C(1) << MOST_BITS : v * 10 + (l->data[n] - '0');
    *out = v;
    *l = rest(*l, l->data + n);
    return n > 0;
}

static int64_t times(int64_t a, int64_t b) {
    const int64_t most = INT64_C(1) << MOST_BITS;
    return b > 0 && a > most / b ? most : a * b;
}

static int64_t plus(int64_t a, int64_t b) {
    const int64_t most = INT64_C(1) << 60;
    return a > most - b ? most : a + b;
}

/* Letters, digits and _ after an opening text, cut to fit. */
static void name_after(Line l, const char *text, char out[TT_NAME]) {
    const char *at = after(l, text);
    size_t n = 0;
    if (!at) return;
    l = rest(l, at);
    for (; n < l.bytes && n < TT_NAME - 1; n++) {
        char c = l.data[n];
        if (!(c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))) break;
        out[n] = c;
    }
    out[n] = 0;
}

static int64_t number_after(Line l, const char *text) {
    const char *at = after(l, text);
    int64_t v = 0;
    if (at) l = rest(l, at), number(&l, &v);
    return v;
}

/* ---- State of the pass ------------------------------------------------------------------------------------------- */

typedef struct Layout { int64_t bytes; bool dram, host; } Layout;

typedef struct Pass {
    TtReport *report;
    Layout *layout;          /* [1 + n] of #ttnn_layoutN, [0] of #ttnn_layout */
    size_t layouts, layout_capacity;
    int64_t *value;          /* bytes in DRAM of %N */
    size_t values, value_capacity;
    size_t limit;            /* numbers of layouts and values: each stands on a line of its own, so they are fewer than
                                the text's bytes */
    int64_t live;
    bool in_main;
    Err *err;
} Pass;

/* ---- Layouts ----------------------------------------------------------------------------------------------------- */
/* "#ttnn_layout3 = #ttnn.ttnn_layout<(..) -> (..), <1x1>, memref<2x4x!ttcore.tile<32x32, bf16>, #dram>, ..>" */

static bool element_bytes(Line *l, int64_t *out) {
    static const struct { const char *name; int64_t bytes; } types[] = {{"f32", 4},  {"bf16", 2}, {"f16", 2},
        {"si32", 4}, {"u32", 4}, {"ui32", 4}, {"i32", 4}, {"u16", 2}, {"ui16", 2}, {"u8", 1}, {"ui8", 1}, {"si8", 1},
        {"bfp_bf8", 1}, {"bfp_f8", 1}, {"bfp_bf4", 1}, {"bfp_f4", 1}, {"bfp_bf2", 1}, {"bfp_f2", 1}, {"i1", 1}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (starts(*l, types[i].name)) {
            *out = types[i].bytes;
            *l = rest(*l, l->data + strlen(types[i].name));
            return true;
        }
    return false;
}

/* "2x4x": the product, and what follows. */
static int64_t dimensions(Line *l) {
    int64_t product = 1, n;
    for (;;) {
        Line at = *l;
        if (!number(&at, &n) || !starts(at, "x")) return product;
        product = times(product, n);
        *l = rest(at, at.data + 1);
    }
}

static bool layout_line(Pass *p, Line l) {
    int64_t id = -1, cell = 0, grid = 1, n;
    Line at = rest(l, after(l, "#ttnn_layout"));
    const char *memref = after(l, ", memref<"), *cores = after(l, "), <");
    if (!number(&at, &id)) id = -1;
    else if ((uint64_t)id >= p->limit)
        return err_set(p->err, "TTNN text: expected fewer layouts than its %zu bytes, got #ttnn_layout%lld", p->limit,
                       (long long)id);
    if (!memref) return true;
    if (cores) {
        at = rest(l, cores);
        grid = dimensions(&at);
        if (number(&at, &n)) grid = times(grid, n);
    }
    at = rest(l, memref);
    int64_t bytes = times(grid, dimensions(&at));
    if (starts(at, "!ttcore.tile<")) {
        at = rest(at, at.data + strlen("!ttcore.tile<"));
        bytes = times(bytes, dimensions(&at));
        if (number(&at, &n)) bytes = times(bytes, n);
        if (starts(at, ", ")) at = rest(at, at.data + 2);
    }
    if (!element_bytes(&at, &cell)) return true; /* a type of no known size counts nothing */
    size_t need = (size_t)(id + 2);
    if (!mem_grow((void **)&p->layout, &p->layout_capacity, need, sizeof *p->layout, "layouts", p->err)) return false;
    while (p->layouts < need) p->layout[p->layouts++] = (Layout){0};
    p->layout[id + 1] = (Layout){.bytes = times(bytes, cell), .dram = after(at, "#dram") != NULL,
                                 .host = after(at, "#system_memory") != NULL};
    return true;
}

/* The first layout named in a piece of text; *l moves behind it. NULL at the end. */
static const Layout *layout_next(const Pass *p, Line *l) {
    static const Layout none;
    const char *at = after(*l, "#ttnn_layout");
    int64_t id = -1;
    if (!at) return NULL;
    *l = rest(*l, at);
    if (!number(l, &id)) id = -1;
    return (uint64_t)(id + 1) < p->layouts ? &p->layout[id + 1] : &none;
}

/* ---- The chip ---------------------------------------------------------------------------------------------------- */

static void chip_line(TtReport *r, Line l) {
    int64_t channels = number_after(l, "num_dram_channels = "), base = number_after(l, "dram_unreserved_base = ");
    int64_t end = number_after(l, "dram_unreserved_end = ");
    name_after(l, "arch = <", r->arch);
    r->dram_bytes = times(channels, number_after(l, "dram_channel_size = "));
    r->dram_usable = end > base ? times(channels, end - base) : r->dram_bytes;
    for (const char *at; (at = after(l, "{arch = <")); l = rest(l, at)) r->chips++;
}

/* ---- Functions --------------------------------------------------------------------------------------------------- */

/* "%arg3: tensor<4x8xbf16, #ttnn_layout2> {ttcore.argument_type = #ttcore.argument_type<parameter>, ..}, %arg4: .." */
static void main_line(Pass *p, Line l) {
    TtReport *r = p->report;
    const char *end = after(l, ") -> ");
    if (end) l.bytes = (size_t)(end - l.data);
    for (const char *at; (at = after(l, "%arg"));) {
        l = rest(l, at);
        Line one = l;
        const char *next = after(l, "%arg");
        if (next) one.bytes = (size_t)(next - l.data);
        bool parameter = after(one, "argument_type<parameter>") != NULL;
        const Layout *layout = layout_next(p, &one);
        *(parameter ? &r->parameters : &r->inputs) += 1;
        if (!layout) continue;
        if (parameter) r->parameter_bytes = plus(r->parameter_bytes, layout->bytes);
        if (parameter && layout->host) r->parameters_on_host = true;
        if (layout->dram) r->argument_bytes = plus(r->argument_bytes, layout->bytes);
    }
}

static void function_line(Pass *p, Line l) {
    TtReport *r = p->report;
    bool hoisted = after(l, "@cpu_hoisted") || after(l, "cpu_hoisted_call");
    p->in_main = !hoisted && after(l, " public @") && !after(l, "tt.function_type = \"const_eval\"");
    if (after(l, "tt.function_type = \"const_eval\"")) r->const_evals++;
    if (p->in_main) main_line(p, l);
}

/* ---- Operations of a step ---------------------------------------------------------------------------------------- */

static bool op_count(TtReport *r, const char *name, Err *err) {
    for (int i = 0; i < r->ops; i++)
        if (!strcmp(r->op[i].name, name)) return r->op[i].count++, true;
    if (!mem_grow((void **)&r->op, &r->op_capacity, (size_t)r->ops + 1, sizeof *r->op, "operations", err)) return false;
    TtOp *op = &r->op[r->ops++];
    *op = (TtOp){.count = 1};
    memcpy(op->name, name, TT_NAME);
    return r->ops <= 4096 || err_as(err, QM_LIMIT, "TTNN text: expected at most 4096 kinds of operations");
}

const char *tt_collective_name(TtCollective c) {
    static const char *const names[] = {"all_reduce", "all_gather", "reduce_scatter", "other"};
    return names[c];
}

static void collective_count(TtReport *r, const char *name, Line l) {
    static const char *const others[] = {"all_to_all", "collective_permute", "collective_broadcast",
                                         "mesh_partition", "point_to_point"};
    int kind = -1;
    for (int c = TT_ALL_REDUCE; c < TT_OTHER_COLLECTIVE; c++)
        if (!strncmp(name, tt_collective_name((TtCollective)c), strlen(tt_collective_name((TtCollective)c)))) kind = c;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (!strncmp(name, others[i], strlen(others[i]))) kind = TT_OTHER_COLLECTIVE;
    if (kind >= 0) r->collective[kind][number_after(l, "cluster_axis = ") == 1]++;
}

/* What the results of a line take in DRAM: the layouts after the last arrow. */
static int64_t result_bytes(const Pass *p, Line l) {
    int64_t bytes = 0;
    const char *arrow = NULL;
    for (const char *at; (at = after(arrow ? rest(l, arrow) : l, " -> "));) arrow = at;
    if (!arrow) return 0;
    l = rest(l, arrow);
    for (const Layout *layout; (layout = layout_next(p, &l));)
        if (layout->dram) bytes = plus(bytes, layout->bytes);
    return bytes;
}

/* The number of "%12 = .." or "(%12)"; false for arguments and parts of results. */
static bool value_id(const Pass *p, Line l, const char *opening, size_t *out) {
    const char *at = after(l, opening);
    int64_t id;
    if (!at) return false;
    l = rest(l, at);
    if (!number(&l, &id) || starts(l, "#") || (uint64_t)id >= p->limit) return false;
    *out = (size_t)id;
    return true;
}

static bool value_new(Pass *p, Line l, int64_t bytes) {
    size_t id;
    if (!starts(l, "%") || !value_id(p, l, "%", &id)) return true;
    if (!mem_grow((void **)&p->value, &p->value_capacity, id + 1, sizeof *p->value, "values", p->err)) return false;
    while (p->values <= id) p->value[p->values++] = 0;
    p->value[id] = bytes;
    p->live = plus(p->live, bytes);
    if (p->live > p->report->temporary_bytes) p->report->temporary_bytes = p->live;
    return true;
}

static void value_end(Pass *p, Line l) {
    size_t id;
    if (!value_id(p, l, "(%", &id) || id >= p->values) return;
    p->live -= p->value[id];
    p->value[id] = 0;
}

static void host_note(TtReport *r, const char *name) {
    if (!r->host_op[0]) memcpy(r->host_op, name, TT_NAME);
}

static bool step_line(Pass *p, Line l) {
    TtReport *r = p->report;
    char name[TT_NAME] = "";
    if (starts(l, "return ")) return p->in_main = false, true;
    if (after(l, "ttcore.load_cached(")) {
        r->prepared_bytes = plus(r->prepared_bytes, result_bytes(p, l));
        return true;
    }
    if (after(l, "call @")) {
        name_after(l, "call @", name);
        host_note(r, name);
        r->host_ops++;
        return value_new(p, l, result_bytes(p, l));
    }
    name_after(l, "\"ttnn.", name);
    if (!name[0]) return true;
    if (!strcmp(name, "deallocate")) return value_end(p, l), true;
    if (!strcmp(name, "from_device") || !strcmp(name, "to_device")) host_note(r, name), r->host_moves++;
    int64_t bytes = result_bytes(p, l);
    if (!strcmp(name, "to_layout")) r->relayout_bytes = plus(r->relayout_bytes, bytes);
    collective_count(r, name, l);
    return op_count(r, name, p->err) && value_new(p, l, bytes);
}

static bool line(Pass *p, Line l) {
    while (l.bytes && *l.data == ' ') l = rest(l, l.data + 1);
    if (starts(l, "#ttnn_layout")) return layout_line(p, l);
    if (starts(l, "#system_desc")) return chip_line(p->report, l), true;
    if (starts(l, "func.func ")) return function_line(p, l), true;
    if (p->in_main) return step_line(p, l);
    if (after(l, "call @cpu_hoisted")) p->report->const_eval_host++;
    return true;
}

/* ---- The whole --------------------------------------------------------------------------------------------------- */

static int more_often(const void *a, const void *b) {
    const TtOp *x = a, *y = b;
    return x->count != y->count ? (x->count < y->count) - (x->count > y->count) : strcmp(x->name, y->name);
}

static int64_t count_of(TtPart text, const char *what) {
    int64_t count = 0;
    for (const char *at; (at = after(text, what)); text = rest(text, at)) count++;
    return count;
}

bool tt_report_read(const TtResult *result, TtReport *out, Err *err) {
    *out = (TtReport){0};
    Pass p = {.report = out, .limit = result->ttnn.bytes, .err = err};
    bool ok = true;
    for (Line left = result->ttnn; ok && left.bytes;) {
        const char *end = memchr(left.data, '\n', left.bytes);
        size_t n = end ? (size_t)(end - left.data) : left.bytes;
        ok = line(&p, (Line){left.data, n});
        left = rest(left, left.data + n + (end != NULL));
    }
    out->attention = count_of(result->ttir, "\"ttir.scaled_dot_product_attention\"(");
    if (ok && !out->ops && !out->const_evals)
        ok = err_set(err, "serialised Tenstorrent program: expected TTNN operations in %zu bytes of text, got none",
                     result->ttnn.bytes);
    if (ok && out->ops) qsort(out->op, (size_t)out->ops, sizeof *out->op, more_often);
    free(p.layout);
    free(p.value);
    if (!ok) tt_report_free(out);
    return ok;
}

void tt_report_free(TtReport *report) {
    free(report->op);
    *report = (TtReport){0};
}
