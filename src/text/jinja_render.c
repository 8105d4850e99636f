/* jinja_render.c: one rendering: variables in, prompt out. */
#include <stdlib.h>
#include "jinja_eval.h"

const JinjaLimits jinja_limits = {100 << 20, (size_t)256 << 20};

void prompt_free(Prompt *prompt) {
    text_free(&prompt->text);
    free(prompt->open);
    free(prompt->generation);
    *prompt = (Prompt){0};
}

/* Bytes of the strings in a value, about: what the memory limit grows by. jansson has limited its depth. */
static size_t json_bytes(const json_t *v) {
    const char *key;
    const json_t *item;
    size_t i, bytes = 16 + (json_is_string(v) ? json_string_length(v) : 0);
    json_array_foreach(v, i, item) bytes += json_bytes(item);
    json_object_foreach((json_t *)(uintptr_t)v, key, item) bytes += strlen(key) + json_bytes(item);
    return bytes;
}

static void bind_context(Jinja *j, const JinjaVariable *variables, size_t count) {
    JRender *r = j->render;
    r->context = jj_new(j, r->t->names->count, sizeof *r->context); /* all J_MISSING */
    for (const JFunctionRow *row = jinja_functions; row->name; row++) {
        const JValue *id = jd_text(j, r->t->names, row->name);
        if (id) r->context[id->u.i] = J_VALUE(J_FUNCTION, function, row);
    }
    for (size_t i = 0; i < count; i++) {
        const JValue *id = jd_text(j, r->t->names, variables[i].name);
        if (id) r->context[id->u.i] = jv_from_json(j, variables[i].value, variables[i].data);
    }
}

static size_t chars_to(const JString *s, size_t from, size_t to) {
    size_t chars = 0;
    for (size_t i = from; i < to; i++) chars += ((uint8_t)s->text[i] & 0xC0) != 0x80;
    return chars;
}

static int by_start(const void *a, const void *b) {
    const Span *x = a, *y = b;
    return x->start != y->start ? (x->start > y->start) - (x->start < y->start) : (x->end > y->end) - (x->end < y->end);
}

/* The text and its spans; everything that is asked for has been rendered by now. */
static bool deliver(const JRender *r, const JString *s, Prompt *out, Err *err) {
    JRun alone = {s->bytes, s->mark};
    const JRun *runs = s->runs ? s->runs : &alone;
    size_t count = s->runs ? s->run_count : s->bytes > 0, numbered = 0;
    text_add(&out->text, s->text, s->bytes);
    for (size_t i = 0; i < count; i++) numbered += runs[i].mark >= MARK_GENERATION;
    out->open = mem_new(count + 1, sizeof *out->open, "prompt", err);
    out->generation = mem_new(r->direct_count + numbered + 1, sizeof *out->generation, "prompt", err);
    if (!out->open || !out->generation || !text_ok(&out->text, "prompt", err)) return false;
    size_t start = 0, chars = 0;
    uint32_t last = 0;
    for (size_t i = 0; i < count; start = runs[i++].end) {
        Span *open = out->open_count ? &out->open[out->open_count - 1] : NULL;
        if (!(runs[i].mark & MARK_DATA)) {
            if (open && open->end == start) open->end = runs[i].end;
            else out->open[out->open_count++] = (Span){start, runs[i].end};
        }
        size_t length = chars_to(s, start, runs[i].end);
        uint32_t number = runs[i].mark / MARK_GENERATION;
        Span *g = out->generation_count ? &out->generation[out->generation_count - 1] : NULL;
        if (number && g && number == last && g->end == chars) g->end += length;
        else if (number) out->generation[out->generation_count++] = (Span){chars, chars + length};
        last = number;
        chars += length;
    }
    size_t at = 0;
    chars = 0;
    if (r->direct_count) qsort(r->direct, r->direct_count, sizeof *r->direct, by_start); /* the outer ones came last */
    for (size_t i = 0; i < r->direct_count; i++) {
        size_t from = r->direct[i].start;
        chars += chars_to(s, at, from);
        out->generation[out->generation_count++] = (Span){chars, chars + chars_to(s, from, r->direct[i].end)};
        at = from;
    }
    if (out->generation_count) qsort(out->generation, out->generation_count, sizeof *out->generation, by_start);
    return true;
}

static const JString *render(Jinja *j, const JinjaVariable *variables, size_t count) {
    JRender *r = j->render;
    bind_context(j, variables, count);
    jj_scope_enter(j, NULL);
    r->outermost = r->scope;
    r->outermost->kept = true;
    jj_hide(j, &r->t->body);
    jj_run_body(j, &r->t->body);
    return jb_finish(r->whole);
}

bool jinja_render(const JinjaTemplate *t, const JinjaVariable *variables, size_t count, const JinjaLimits *limits,
                  Prompt *out, Err *err) {
    if (!limits) limits = &jinja_limits;
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) bytes += json_bytes(variables[i].value);
    Jinja j = {.heap = {.limit = limits->bytes + 16 * bytes}, .err = err, .steps = limits->steps, .line = 1};
    JBuilder whole = {.j = &j};
    JRender r = {.t = t, .out = &whole, .whole = &whole};
    j.render = &r;
    bool ok = setjmp(j.fail) == 0;
    if (ok) ok = deliver(&r, render(&j, variables, count), out, err);
    else ok = false;
    jj_heap_free(&j.heap);
    for (int i = 0; i < 3; i++) BN_free(j.big[i]);
    BN_CTX_free(j.big_context);
    if (!ok) prompt_free(out);
    return ok;
}
