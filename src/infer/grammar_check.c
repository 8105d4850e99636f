/* grammar_check.c: what a grammar may not be: one whose rules call themselves before they read a byte, or one whose
 * texts never end. */
#include "grammar_build.h"
#include <stdlib.h>
#include <string.h>

/* ---- Left recursion: a rule that calls itself before it reads a byte would never end ----------------------------- */

/* Whether a rule may be empty: 1; not: 0. By iteration until nothing changes. */
static bool empty_from(const Builder *b, const uint8_t *empty, int32_t from, uint8_t *seen, int32_t *stack) {
    int32_t top = 0;
    bool found = false;
    memset(seen, 0, b->nodes);
    for (stack[top++] = from; top && !found;) {
        int32_t at = stack[--top];
        const GrammarNode *n = &b->node[at];
        if (seen[at]) continue;
        seen[at] = 1;
        if (n->kind == GRAMMAR_RETURN) found = true;
        if (n->kind == GRAMMAR_FORK) stack[top++] = n->next, stack[top++] = n->other;
        if (n->kind == GRAMMAR_CALL && empty[n->other]) stack[top++] = n->next;
    }
    return found;
}

/* The rules that `rule` may call before any byte. */
static int *left_calls(Builder *b, const uint8_t *empty, int rule, int *count) {
    uint8_t *seen = mem_new(b->nodes, 1, "grammar", b->err);
    int32_t *stack = mem_new(2 * b->nodes + 2, sizeof *stack, "grammar", b->err), top = 0;
    int *calls = NULL;
    size_t room = 0;
    bool ok = seen && stack && mem_grow((void **)&calls, &room, 1, sizeof *calls, "grammar", b->err);
    *count = 0;
    if (ok) stack[top++] = b->rule[rule].start;
    while (ok && top) {
        int32_t at = stack[--top];
        const GrammarNode *n = &b->node[at];
        if (seen[at]) continue;
        seen[at] = 1;
        if (n->kind == GRAMMAR_FORK) stack[top++] = n->next, stack[top++] = n->other;
        if (n->kind != GRAMMAR_CALL) continue;
        if (empty[n->other]) stack[top++] = n->next;
        int i = 0;
        while (i < *count && calls[i] != n->other) i++;
        if (i < *count) continue;
        ok = mem_grow((void **)&calls, &room, (size_t)*count + 1, sizeof *calls, "grammar", b->err);
        if (ok) calls[(*count)++] = n->other;
    }
    free(seen);
    free(stack);
    if (ok) return calls;
    free(calls);
    return NULL;
}

/* Depth first over those calls. mark: 1 under way, 2 done. */
static bool left_check(Builder *b, const uint8_t *empty, int rule, int depth) {
    Rule *r = &b->rule[rule];
    if (r->mark == 2 || r->start < 0) return true;
    if (r->mark == 1) return builder_fail(b, "rule '%.100s' calls itself before it reads anything", r->name);
    if (depth > MAX_STACK) return builder_fail(b, "rules call each other %d deep before they read anything", MAX_STACK);
    r->mark = 1;
    int count, *calls = left_calls(b, empty, rule, &count);
    bool ok = calls != NULL;
    for (int i = 0; ok && i < count; i++) ok = left_check(b, empty, calls[i], depth + 1);
    free(calls);
    r->mark = 2;
    return ok;
}

bool grammar_check_left(Builder *b) {
    uint8_t *empty = mem_new(b->rules + 1, 1, "grammar", b->err), *seen = mem_new(b->nodes, 1, "grammar", b->err);
    int32_t *stack = mem_new(2 * b->nodes + 2, sizeof *stack, "grammar", b->err);
    bool ok = empty && seen && stack, more = ok;
    int64_t work = 0;
    while (more && ok) {
        more = false;
        for (size_t i = 0; ok && i < b->rules; i++) {
            if (empty[i] || b->rule[i].start < 0) continue;
            if ((work += (int64_t)b->nodes / 64) > 1 << 26) ok = builder_fail(b, "too many rules for its size");
            else if (empty_from(b, empty, b->rule[i].start, seen, stack)) empty[i] = 1, more = true;
        }
    }
    for (size_t i = 0; ok && i < b->rules; i++) ok = left_check(b, empty, (int)i, 0);
    free(empty);
    free(seen);
    free(stack);
    return ok;
}

/* ---- Ways that never end ----------------------------------------------------------------------------------------- */

/* Whether a text can come to its end from a node, by what is known of others. */
static bool ends(const uint8_t *good, const GrammarNode *n) {
    switch ((GrammarNodeKind)n->kind) {
    case GRAMMAR_RETURN: return true;
    case GRAMMAR_BYTES: return n->low <= n->high && good[n->next];
    case GRAMMAR_FORK: return good[n->next] || good[n->other];
    case GRAMMAR_CALL: return good[n->next] && good[n->other];
    }
    return false;
}

/* The nodes that lead to each: as heads of lists over two slots a node. */
static bool prune_marks(Builder *b, uint8_t *good) {
    int32_t *head = mem_new(b->nodes, sizeof *head, "grammar", b->err);
    int32_t *after = mem_new(2 * b->nodes, sizeof *after, "grammar", b->err);
    int32_t *todo = mem_new(b->nodes, sizeof *todo, "grammar", b->err), top = 0;
    bool ok = head && after && todo;
    for (size_t i = 0; ok && i < b->nodes; i++) head[i] = -1;
    for (size_t i = 0; ok && i < b->nodes; i++) {
        const GrammarNode *n = &b->node[i];
        int32_t slot = 2 * (int32_t)i;
        if (n->kind == GRAMMAR_RETURN) continue;
        after[slot] = head[n->next], head[n->next] = slot;
        if (n->kind != GRAMMAR_BYTES) after[slot + 1] = head[n->other], head[n->other] = slot + 1;
    }
    if (ok) good[0] = 1, todo[top++] = 0; /* node 0 returns, and no other does */
    while (top)
        for (int32_t slot = head[todo[--top]], next; slot >= 0; slot = next) {
            int32_t at = slot / 2;
            next = after[slot];
            if (!good[at] && ends(good, &b->node[at])) good[at] = 1, todo[top++] = at;
        }
    free(head), free(after), free(todo);
    return ok;
}

/* Generation could follow such a way and never come to an end, so a fork into one is no fork. A grammar whose every way
 * is so was meant so: it binds for as long as tokens are asked for. */
bool grammar_prune(Builder *b, int root) {
    uint8_t *good = mem_new(b->nodes, 1, "grammar", b->err);
    bool ok = good && prune_marks(b, good);
    if (ok && !good[root] && b->forward)
        ok = builder_fail(b, "schema: at '#': no value can be valid, or none of those that can be made "
                             "(docs/schemas.md says which cannot)");
    for (size_t i = 0; ok && good[root] && i < b->nodes; i++) {
        GrammarNode *n = &b->node[i];
        if (n->kind != GRAMMAR_FORK || !good[i]) continue;
        if (!good[n->next]) n->next = n->other;
        if (!good[n->other]) n->other = n->next;
    }
    free(good);
    return ok;
}
