/* report.c: tallies over a file of results; the table. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "report.h"

typedef struct Verdict { int64_t index, order; char *extracted[MAX_RULES]; bool correct[MAX_RULES]; } Verdict;
typedef struct Verdicts { Verdict *item; size_t count, room; } Verdicts;

static int by_index(const void *a, const void *b) {
    const Verdict *x = a, *y = b;
    return x->index < y->index ? -1 : x->index > y->index ? 1 : x->order < y->order ? -1 : x->order > y->order;
}

static const json_t *of_rule(const Protocol *p, int rule, const json_t *line, const char *key) {
    const json_t *v = json_object_get(line, key);
    return p->rules > 1 ? json_object_get(v, p->rule[rule]->name) : v;
}

static bool read_verdict(Report *r, Verdicts *all, const json_t *o, const char *where, int64_t questions, Err *err) {
    Verdict v = {.index = (int64_t)all->count, .order = (int64_t)all->count};
    int64_t prompt = 0, new = 0, cut = 0;
    const char *finish = NULL;
    if (!json_get_int(o, "index", where, 0, INT64_MAX, &v.index, err) ||
        !json_get_int(o, "prompt_tokens", where, 0, INT64_MAX, &prompt, err) ||
        !json_get_int(o, "prompt_tokens_cut", where, 0, INT64_MAX, &cut, err) ||
        !json_get_int(o, "new_tokens", where, 0, INT64_MAX, &new, err) ||
        !json_get_text(o, "finish_reason", where, &finish, err))
        return false;
    if (questions && v.index >= questions) return true;
    for (int i = 0; i < r->protocol->rules; i++) {
        const json_t *extracted = of_rule(r->protocol, i, o, "extracted"),
                     *correct = of_rule(r->protocol, i, o, "correct");
        const char *none = r->protocol->rule[i]->none, *text = json_string_value(extracted);
        if (!json_is_boolean(correct) || (!text && !json_is_null(extracted)))
            return err_set(err, "%s: expected \"extracted\" and \"correct\" as %s gives them", where,
                           r->protocol->name);
        if (!text || (none && !strcmp(text, none))) r->rule[i].invalid++;
        v.correct[i] = json_is_true(correct);
        if (!(v.extracted[i] = strdup(text ? text : ""))) return err_as(err, QM_MEMORY, "out of memory: answers");
    }
    if (!mem_grow((void **)&all->item, &all->room, all->count + 1, sizeof v, "answers", err)) return false;
    all->item[all->count++] = v;
    r->outputs++;
    r->prompt_tokens += prompt;
    r->new_tokens += new;
    r->cut += cut > 0;
    r->truncated += finish && !strcmp(finish, "length");
    return true;
}

/* The most frequent answer of a question, the earliest of equals; lm-eval's majority_vote. */
static bool vote(const Verdict *v, int64_t n, int rule) {
    int64_t best = 0, most = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t count = 0;
        for (int64_t j = 0; j < n; j++) {
            if (strcmp(v[i].extracted[rule], v[j].extracted[rule])) continue;
            if (j < i) break; /* counted at its first */
            count++;
        }
        if (count > most) most = count, best = i;
    }
    return v[best].correct[rule];
}

static double standard_error(double sum, double squares, int64_t n) {
    if (n < 2) return 0;
    double mean = sum / (double)n, variance = (squares - (double)n * mean * mean) / (double)(n - 1);
    return sqrt(variance > 0 ? variance / (double)n : 0);
}

static void tally(Report *r, const Verdicts *all) {
    for (int rule = 0; rule < r->protocol->rules; rule++) {
        double sum = 0, squares = 0, voted = 0;
        r->questions = 0;
        for (size_t i = 0; i < all->count;) {
            size_t n = 0, right = 0;
            for (; i + n < all->count && all->item[i + n].index == all->item[i].index; n++)
                right += all->item[i + n].correct[rule];
            double part = (double)right / (double)n;
            sum += part;
            squares += part * part;
            voted += vote(&all->item[i], (int64_t)n, rule);
            if ((int64_t)n > r->samples) r->samples = (int64_t)n;
            r->questions++;
            i += n;
        }
        RuleTally *t = &r->rule[rule];
        int64_t q = r->questions;
        t->mean = q ? sum / (double)q : 0;
        t->voted = q ? voted / (double)q : 0;
        t->deviation = standard_error(sum, squares, q);
        t->voted_deviation = standard_error(voted, voted, q);
    }
}

bool report_read(Report *r, const Protocol *p, Lines *lines, int64_t questions, Err *err) {
    Verdicts all = {0};
    Line line;
    *r = (Report){.protocol = p, .shots = -1};
    while (!err->kind && lines_next(lines, &line, err)) {
        json_t *o = json_text(line.data, line.bytes, line.where, err);
        const json_t *run = json_object_get(o, "run");
        const char *model = json_string_value(json_object_get(run, "model"));
        if (o && json_is_object(run) && !json_object_get(o, "output")) {
            const char *generation = json_string_value(json_object_get(run, "generation"));
            if (model) snprintf(r->model, sizeof r->model, "%s", model);
            if (generation) snprintf(r->generation, sizeof r->generation, "%s", generation);
            for (char *c = r->generation; *c; c++)
                if ((unsigned char)*c < ' ' || *c == 127) *c = '?'; /* the file may be anyone's */
            json_get_int(run, "shots", line.where, 0, MAX_SHOTS, &r->shots, err);
        } else if (o) read_verdict(r, &all, o, line.where, questions, err);
        json_decref(o);
    }
    if (all.count) qsort(all.item, all.count, sizeof *all.item, by_index);
    tally(r, &all);
    for (size_t i = 0; i < all.count; i++)
        for (int k = 0; k < MAX_RULES; k++) free(all.item[i].extracted[k]);
    free(all.item);
    return !err->kind;
}

static void row(const Report *r, int rule, bool first, const char *metric, double value, double deviation, FILE *out) {
    char shots[24] = "?";
    if (r->shots >= 0) snprintf(shots, sizeof shots, "%lld", (long long)r->shots);
    fprintf(out, "|%-15s|%7s|%-16s|%6s|%-11s|↑  |%.4f|±  |%.4f|\n", first ? r->protocol->task : "",
            first ? r->protocol->version : "", r->protocol->rule[rule]->name, shots, metric, value, deviation);
}

void report_print(const Report *r, FILE *out) {
    fprintf(out, "|     Tasks     |Version|     Filter     |n-shot|  Metric   |   |Value |   |Stderr|\n"
                 "|---------------|------:|----------------|-----:|-----------|---|-----:|---|-----:|\n");
    for (int i = 0; i < r->protocol->rules; i++) {
        char name[32];
        row(r, i, i == 0, "exact_match", r->rule[i].mean, r->rule[i].deviation, out);
        snprintf(name, sizeof name, "maj@%lld", (long long)r->samples);
        if (r->samples > 1) row(r, i, false, name, r->rule[i].voted, r->rule[i].voted_deviation, out);
    }
    fprintf(out, "\n%lld questions, %lld outputs, %lld cut off at the token limit; without an answer:",
            (long long)r->questions, (long long)r->outputs, (long long)r->truncated);
    for (int i = 0; i < r->protocol->rules; i++)
        fprintf(out, "%s %s %lld", i ? "," : "", r->protocol->rule[i]->name, (long long)r->rule[i].invalid);
    fprintf(out, "\n");
    if (r->generation[0]) fprintf(out, "generation: %s\n", r->generation);
    if (r->cut)
        fprintf(out, "%lld prompts were too long for the context and lost their beginning\n", (long long)r->cut);
    if (r->new_tokens)
        fprintf(out, "%lld prompt tokens, %lld new tokens\n", (long long)r->prompt_tokens, (long long)r->new_tokens);
}
