/* jinja_heap.c: the memory of one parsing or rendering, and the budgets of memory, steps and depth. */
#include <stdlib.h>
#include "jinja_value.h"

enum { BLOCK_BYTES = 64 << 10 };

typedef struct JBlock {
    struct JBlock *next;
    size_t used, bytes;
    _Alignas(16) uint8_t data[];
} JBlock;

_Noreturn void jj_fail(Jinja *j, const char *format, ...) {
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    err_set(j->err, "chat template, line %d: %s", j->line, text);
    longjmp(j->fail, 1);
}

static _Noreturn void over_budget(Jinja *j) {
    err_as(j->err, QM_LIMIT, "chat template, line %d: the template takes more than %zu MiB of memory", j->line,
           j->heap.limit >> 20);
    longjmp(j->fail, 1);
}

_Noreturn void jj_no_memory(Jinja *j) {
    err_as(j->err, QM_MEMORY, "out of memory: chat template");
    longjmp(j->fail, 1);
}

void jj_work(Jinja *j, size_t n) {
    if (j->steps < 0 || n > (size_t)j->steps) {
        err_as(j->err, QM_LIMIT, "chat template, line %d: the template takes too many steps", j->line);
        longjmp(j->fail, 1);
    }
    j->steps -= (int64_t)n;
}

void jj_deeper(Jinja *j) {
    if (++j->depth > JINJA_MOST_DEPTH) jj_fail(j, "nested deeper than %d levels", JINJA_MOST_DEPTH);
}

void *jj_new(Jinja *j, size_t count, size_t size) {
    size_t need, whole;
    JHeap *h = &j->heap;
    if (!size_mul(count, size, &need) || !size_add(need, 15, &need) || need > h->limit)
        over_budget(j);
    need &= ~(size_t)15;
    JBlock *b = h->block;
    if (b && b->bytes - b->used >= need) {
        void *p = b->data + b->used;
        b->used += need;
        return p;
    }
    size_t bytes = need > BLOCK_BYTES / 4 ? need : BLOCK_BYTES;
    if (bytes > h->limit - h->bytes) over_budget(j);
    JBlock *fresh = size_add(bytes, sizeof *fresh, &whole) ? calloc(1, whole) : NULL;
    if (!fresh) jj_no_memory(j);
    h->bytes += bytes;
    fresh->bytes = bytes;
    fresh->used = need;
    if (b && bytes == need && b->bytes - b->used > 0) { /* a large one goes behind the block that is being filled */
        fresh->next = b->next;
        b->next = fresh;
    } else {
        fresh->next = b;
        h->block = fresh;
    }
    return fresh->data;
}

void jj_heap_free(JHeap *heap) {
    for (JBlock *b = heap->block, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    *heap = (JHeap){0};
}

/* ---- Arguments -------------------------------------------------------------------------------------------------- */

void jj_bind(Jinja *j, const JArgs *args, const char *what, const char *names, size_t least, JValue *out) {
    size_t count = 0;
    for (const char *p = names; *p; p += *p == ' ') {
        size_t n = strcspn(p, " ");
        out[count] = (JValue){.kind = J_MISSING};
        if (count < args->count) out[count] = args->item[count];
        for (size_t i = 0; i < args->named_count; i++) {
            const JString *name = args->named[i].name;
            if (name->bytes != n || memcmp(name->text, p, n) != 0) continue;
            if (out[count].kind != J_MISSING) jj_fail(j, "%s: %.*s is given twice", what, (int)n, p);
            out[count] = args->named[i].value;
        }
        if (count < least && out[count].kind == J_MISSING) jj_fail(j, "%s: %.*s is missing", what, (int)n, p);
        count++;
        p += n;
    }
    if (args->count > count)
        jj_fail(j, "%s: expected at most %zu arguments, got %zu", what, count, args->count);
    for (size_t i = 0; i < args->named_count; i++) {
        const JString *name = args->named[i].name;
        bool known = false;
        for (const char *p = names; *p; p += *p == ' ') {
            size_t n = strcspn(p, " ");
            known = known || (name->bytes == n && !memcmp(name->text, p, n));
            p += n;
        }
        if (!known) jj_fail(j, "%s: no argument is named %s", what, name_text(name->text, name->bytes).text);
    }
}

bool jj_flag(Jinja *j, JValue v, bool otherwise) { return v.kind == J_MISSING ? otherwise : jv_true(j, v); }

int64_t jj_index(Jinja *j, JValue v, const char *what) {
    if (v.kind == J_BOOL) return v.u.b;
    if (v.kind == J_BIG) return v.u.big->negative ? INT64_MIN : INT64_MAX;
    if (v.kind != J_INT) jj_fail(j, "%s: expected an integer, got %s", what, jv_type(v));
    return v.u.i;
}

int64_t jj_index_or(Jinja *j, JValue v, const char *what, int64_t otherwise) {
    return v.kind == J_MISSING || v.kind == J_NONE ? otherwise : jj_index(j, v, what);
}

const JString *jj_string(Jinja *j, JValue v, const char *what) {
    if (v.kind != J_STRING) jj_fail(j, "%s: expected a string, got %s", what, jv_type(v));
    return v.u.s;
}
