/* scheduler.c: see scheduler.h. Each step takes the rows of those that decode first and fills up with pieces of
 * prompts. */
#include "scheduler.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "engine.h"
#include "matchers.h"
#include "prompt_logprobs.h"
#include "prompt_shares.h"
#include "queue.h"
#include "session.h"
#include "slots.h"

/* Requests of the queue that are looked at in a step: who waits for another's prefix is passed by. */
enum { LOOKED_AT = 64 };

struct Scheduler {
    Search search;
    Slots slots;
    Request **running;     /* [slots] in the order they came                       */
    QmSession **source;    /* [slots]                                              */
    QmAppend *entry;       /* [slots] of the step under way                        */
    PromptShare *share;    /* [slots] likewise                                     */
    PromptRows prompt_rows;
    Matchers matchers;
    int count;
    int drafting, draft_slots;
    int64_t taken;         /* requests so far                                      */
    SchedulerStats stats;
    pthread_mutex_t door;  /* of what other threads touch: */
    pthread_cond_t knock;
    Queue waiting;
    int64_t prefill_rows;  /* below 0: as prompt_shares.h has it */
    bool woken;
};

/* ---- Opening and closing ----------------------------------------------------------------------------------------- */

Scheduler *scheduler_new(QmEngine *e, QmEngine *draft, Err *err) {
    const QmModelInfo *info = qm_engine_info(e);
    size_t n = (size_t)info->slots;
    if (!e->best.id || (draft && !draft->best.id)) {
        err_as(err, QM_USAGE, "generation needs logits over the vocabulary: expected a model with a causal head, got '%s'",
               e->best.id ? qm_engine_info(draft)->head : info->head);
        return NULL;
    }
    if (draft && qm_engine_info(draft)->vocab != info->vocab) {
        err_set(err, "draft model: expected a vocabulary of %lld, as the model's, got %lld", (long long)info->vocab,
                (long long)qm_engine_info(draft)->vocab);
        return NULL;
    }
    Scheduler *s = mem_new(1, sizeof *s, "scheduler", err);
    if (!s) return NULL;
    pthread_condattr_t clock;
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&s->knock, &clock);
    pthread_condattr_destroy(&clock);
    pthread_mutex_init(&s->door, NULL);
    s->search = (Search){.engine = e, .draft = draft};
    s->draft_slots = draft ? (int)qm_engine_info(draft)->slots : 0;
    s->prefill_rows = -1;
    bool ok = sample_work_new(&s->search.work, info->vocab, err) &&
              (s->running = mem_new(n, sizeof *s->running, "slots", err)) &&
              (s->source = mem_new(n, sizeof *s->source, "slots", err)) &&
              (s->entry = mem_new(n, sizeof *s->entry, "entries of a step", err)) &&
              (s->share = mem_new(n, sizeof *s->share, "entries of a step", err));
    if (ok && slots_new(&s->slots, e, err)) return s;
    scheduler_free(s);
    return NULL;
}

static void request_close(Scheduler *s, Request *r) {
    if (r->state && r->row->free) r->row->free(r);
    if (r->session && r->row->drafts && s->search.draft) s->drafting--;
    free(r->state);
    free(r->session);
    slots_leave(&s->slots, r);
    r->state = NULL;
    r->session = NULL;
}

static void drop(Request *r) {
    if (r->sink.drop) r->sink.drop(r->sink.user, r);
}

void scheduler_free(Scheduler *s) {
    if (!s) return;
    for (int i = 0; i < s->count; i++) request_close(s, s->running[i]), drop(s->running[i]);
    for (Request *r; s->waiting.count && (r = queue_at(&s->waiting, 0, 0));) queue_take(&s->waiting, r, true), drop(r);
    queue_free(&s->waiting);
    slots_free(&s->slots);
    matchers_free(&s->matchers);
    free(s->prompt_rows.logits);
    sample_work_free(&s->search.work);
    pthread_mutex_destroy(&s->door);
    pthread_cond_destroy(&s->knock);
    free(s->running);
    free(s->source);
    free(s->entry);
    free(s->share);
    free(s);
}

/* ---- The door ---------------------------------------------------------------------------------------------------- */

/* No new token may stand past the end of the cache. */
static void fit(Generation *g, const QmModelInfo *info) {
    int64_t room = info->context - g->prompt + 1;
    if (g->config.max_new_tokens > room) g->config.max_new_tokens = room;
}

bool scheduler_add(Scheduler *s, Request *r, Err *err) {
    const QmModelInfo *info = qm_engine_info(s->search.engine);
    Generation *g = &r->g;
    r->row = search_of(&g->config, s->search.draft != NULL);
    int64_t need = r->row->slots(&g->config);
    for (int64_t t = 0; t < g->prompt; t++)
        if (g->ids[t] < 0 || g->ids[t] >= info->vocab)
            return err_set(err, "id %d is outside the vocabulary of %lld", g->ids[t], (long long)info->vocab);
    if (g->prompt > info->context)
        return err_as(err, QM_LIMIT, "%lld prompt tokens do not fit the context of %lld", (long long)g->prompt,
                      (long long)info->context);
    if (need > s->slots.count)
        return err_as(err, QM_LIMIT, "this search runs %lld sequences at once: expected --slots of as many, got %d",
                      (long long)need, s->slots.count);
    if (r->row->hidden && !s->search.engine->hidden_count)
        return err_as(err, QM_USAGE, "this search needs hidden states, which were not asked for at open");
    fit(g, info);
    r->search = &s->search;
    if (!prompt_logprobs_begin(r, err)) return false;
    pthread_mutex_lock(&s->door);
    bool added = queue_add(&s->waiting, r, err);
    pthread_cond_signal(&s->knock);
    pthread_mutex_unlock(&s->door);
    return added;
}

void request_cancel(Request *r) { atomic_store(&r->cancelled, true); }

void scheduler_prefill_rows(Scheduler *s, int64_t rows) {
    pthread_mutex_lock(&s->door);
    s->prefill_rows = rows;
    pthread_mutex_unlock(&s->door);
}

int64_t scheduler_waiting(Scheduler *s) {
    pthread_mutex_lock(&s->door);
    int64_t count = s->waiting.count;
    pthread_mutex_unlock(&s->door);
    return count;
}

int64_t scheduler_place(Scheduler *s, const Request *r) {
    pthread_mutex_lock(&s->door);
    int64_t place = queue_place(&s->waiting, r);
    pthread_mutex_unlock(&s->door);
    return place;
}

bool scheduler_busy(Scheduler *s) { return s->count || scheduler_waiting(s); }

void scheduler_wait(Scheduler *s, double seconds) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t nanoseconds = until.tv_nsec + (int64_t)(seconds * 1e9);
    until.tv_sec += nanoseconds / 1000000000;
    until.tv_nsec = nanoseconds % 1000000000;
    if (scheduler_busy(s)) return;
    pthread_mutex_lock(&s->door);
    while (!s->waiting.count && !s->woken && pthread_cond_timedwait(&s->knock, &s->door, &until) == 0) continue;
    s->woken = false;
    pthread_mutex_unlock(&s->door);
}

void scheduler_wake(Scheduler *s) {
    pthread_mutex_lock(&s->door);
    s->woken = true;
    pthread_cond_signal(&s->knock);
    pthread_mutex_unlock(&s->door);
}

const SchedulerStats *scheduler_stats(const Scheduler *s) { return &s->stats; }

/* ---- The end of a request ---------------------------------------------------------------------------------------- */

/* Asked for nothing new: as many empty ends as sequences were asked for. */
static bool found_nothing(Request *r, Err *err) {
    int64_t n = r->g.config.num_return_sequences;
    if (!r->row->end) return true;
    if (!(r->found.list = mem_new((size_t)n, sizeof *r->found.list, "sequences", err))) return false;
    while (r->found.count < n)
        if (!generation_copy(&r->found.list[r->found.count++], &r->g, err)) return false;
    return true;
}

/* Hands a request back. */
static bool give_back(Scheduler *s, Request *r, Err *err) {
    Err why = {0};
    r->ended = clock_seconds();
    if (!r->taken) r->taken = r->first = r->ended;
    if (!r->first) r->first = r->ended;
    if (!r->failed.kind && !r->g.finish && r->row->end) r->row->end(r, &r->failed);
    request_close(s, r);
    for (int64_t i = 0; !r->failed.kind && i < (r->row->end ? r->found.count : 1); i++)
        if (!generation_sound(r->row->end ? &r->found.list[i] : &r->g, &why)) r->invalid = true;
    if (!r->failed.kind) r->failed = why;
    if (r->failed.kind) sequences_free(&r->found);
    matchers_give(&s->matchers, r->g.matcher);
    r->g.matcher = NULL;
    return !r->sink.done || r->sink.done(r->sink.user, r, err);
}

/* Why a request ends early; NULL: it does not. */
static const char *early(const Request *r, double now) {
    return atomic_load(&r->cancelled) ? "interrupted" : r->deadline > 0 && now >= r->deadline ? "time" : NULL;
}

/* The answer so far stands; a search that compares whole sequences has none. */
static bool end_early(Scheduler *s, Request *r, const char *why, Err *err) {
    const char *text = "";
    size_t bytes = 0;
    generation_end(&r->g, why, &text, &bytes);
    bool ok = !bytes || !r->sink.token || r->sink.token(r->sink.user, r, -1, text, bytes, err);
    if (!r->row->partial) sequences_free(&r->found);
    for (int64_t i = 0; i < r->found.count; i++)
        if (!r->found.list[i].finish) generation_end(&r->found.list[i], why, &text, &bytes);
    if (r->found.count && !r->row->end(r, &r->failed)) sequences_free(&r->found);
    return give_back(s, r, err) && ok;
}

/* Hands back those that are over. */
static bool sweep(Scheduler *s, Err *err) {
    double now = clock_seconds();
    for (int i = 0; i < s->count;) {
        Request *r = s->running[i];
        const char *why = r->over ? NULL : early(r, now);
        if (!why && !r->over) {
            i++;
            continue;
        }
        s->count--;
        memmove(s->running + i, s->running + i + 1, (size_t)(s->count - i) * sizeof *s->running);
        if (why ? !end_early(s, r, why, err) : !give_back(s, r, err)) return false;
    }
    return true;
}

/* The next that waits and ends early, taken out of the queue. */
static Request *waits_in_vain(Scheduler *s, double now) {
    Request *found = NULL;
    pthread_mutex_lock(&s->door);
    for (int at = 0; at < s->waiting.groups && !found; at++)
        for (found = queue_at(&s->waiting, at, 0); found && !early(found, now);) found = found->next;
    if (found) queue_take(&s->waiting, found, false);
    pthread_mutex_unlock(&s->door);
    return found;
}

static bool sweep_queue(Scheduler *s, Err *err) {
    double now = clock_seconds();
    for (Request *r; (r = waits_in_vain(s, now));)
        if (!end_early(s, r, early(r, now), err)) return false;
    return true;
}

/* ---- Admission --------------------------------------------------------------------------------------------------- */

/* Ids at the start of a prompt that requests which run have fed, or are about to: two prompts have them alike. */
static int64_t running_share(const Scheduler *s, const Request *wanted, bool fed) {
    const Generation *g = &wanted->g;
    int64_t most = 0;
    for (int i = 0; i < s->count; i++) {
        const Request *r = s->running[i];
        int64_t n = 0, limit = r->g.prompt < g->prompt - 1 ? r->g.prompt : g->prompt - 1;
        if (r->salt != wanted->salt || r->adapter != wanted->adapter) continue;
        if (fed) n = slot_holds(r->session[0], wanted);
        else while (n < limit && r->g.ids[n] == g->ids[n]) n++;
        if (n > most) most = n;
    }
    return most;
}

/* Whether to wait for one that runs to feed a beginning that no slot has yet. */
static bool worth_waiting(const Scheduler *s, const Request *r) {
    if (!s->count || r->row->hidden || r->g.config.prompt_logprobs >= 0 || !session_shares(s->slots.slot->session) ||
        !s->search.engine->backend->copy)
        return false;
    int64_t fed = running_share(s, r, true), held = slots_hold(&s->slots, r);
    if (fed < SHARED_LEAST) fed = 0;
    return running_share(s, r, false) >= (fed > held ? fed : held) + SHARED_LEAST;
}

/* With the matcher of its grammar, of an earlier request if there is one. */
static bool wake(Scheduler *s, Request *r, Err *err) {
    if (r->g.config.grammar && !r->g.matcher) r->g.matcher = matchers_take(&s->matchers, r->g.config.grammar);
    return generation_wake(&r->g, err);
}

/* Gives a request its slots, the first with as much of the prompt as can be had. */
static bool take(Scheduler *s, Request *r, Err *err) {
    const Generation *g = &r->g;
    int64_t need = r->row->slots(&g->config), most = r->row->most ? r->row->most(&g->config) : need, kept = 0, held;
    int sources = 0;
    if (most > s->slots.free) most = s->slots.free;
    r->session = mem_new((size_t)most, sizeof *r->session, "slots", err);
    if (!r->session) return false;
    s->drafting += r->row->drafts && s->search.draft;
    if (!(r->state = mem_new(1, r->row->bytes, r->row->name, err)) || !wake(s, r, err)) return false;
    r->sessions = (int)most;
    for (int i = 0; i < most; i++) {
        if (!(r->session[i] = slots_take(&s->slots, r, i == 0, &held, err))) return false;
        if (i == 0) kept = held;
    }
    for (int i = 0; i < s->count; i++)
        if (slot_holds(s->running[i]->session[0], r)) s->source[sources++] = s->running[i]->session[0];
    if (!session_borrow(r->session[0], g->ids, g->prompt, s->source, sources, err)) return false;
    r->reused = qm_session_length(r->session[0]);
    if (r->reused > kept) s->stats.copied += r->reused;
    s->stats.reused += r->reused;
    r->order = s->taken++;
    r->taken = clock_seconds();
    return true;
}

/* Whether it has ended before it begins: nothing was asked for. */
static bool is_over(const Request *r) { return r->g.finish && !prompt_logprobs_left(r); }

static bool fits(const Scheduler *s, const Request *r) {
    return r->row->slots(&r->g.config) <= s->slots.free &&
           (!r->row->drafts || !s->search.draft || s->drafting < s->draft_slots);
}

/* Who comes next, taken out of the queue; NULL: nobody can. One that needs more slots than are free holds up the others,
 * or it would wait for ever. One that waits for a prefix lets as many go before it as there are slots. */
static Request *next_of_queue(Scheduler *s) {
    Request *passed[LOOKED_AT], *r = NULL;
    const Queue *q = &s->waiting;
    int looked = 0;
    bool more = true, found = false;
    for (int64_t round = 0; more && !found; round++) {
        more = false;
        for (int at = 0; at < q->groups && !found && looked < LOOKED_AT; at++) {
            if (!(r = queue_at(q, at, round))) continue;
            more = true;
            if (!is_over(r) && !fits(s, r)) return NULL;
            found = is_over(r) || !worth_waiting(s, r);
            if (!found && r->passed >= s->slots.count) return NULL;
            if (!found) passed[looked++] = r;
        }
    }
    if (!found) return NULL;
    for (int i = 0; i < looked; i++) passed[i]->passed++;
    queue_take(&s->waiting, r, true);
    return r;
}

static bool admit(Scheduler *s, Err *err) {
    for (;;) {
        pthread_mutex_lock(&s->door);
        Request *r = next_of_queue(s);
        pthread_mutex_unlock(&s->door);
        if (!r) return true;
        if (is_over(r)) {
            if (!found_nothing(r, &r->failed)) sequences_free(&r->found);
            if (!give_back(s, r, err)) return false;
        } else if (take(s, r, &r->failed)) s->running[s->count++] = r;
        else if (!give_back(s, r, err)) return false;
    }
}

/* ---- A step ------------------------------------------------------------------------------------------------------ */

static void count_fed(Scheduler *s, const Request *r, const QmAppend *entry, int count) {
    for (int i = 0; i < count; i++)
        if (qm_session_length(entry[i].session) < r->g.prompt) s->stats.prompt += entry[i].count;
        else s->stats.decoded += entry[i].count;
}

/* What one request feeds: as its policy says, or a piece of a prompt that is longer than there are rows. A request whose
 * policy fails is over. False: its owner failed. */
static bool plan_one(Scheduler *s, Request *r, StepPlan *p, Err *err) {
    int64_t fed = qm_session_length(r->session[0]), left = r->g.prompt - fed, rows = p->rows > 0 ? p->rows : 1;
    int before = p->count;
    if (prompt_logprobs_left(r)) {
        if (!prompt_logprobs_plan(r, p, &s->prompt_rows, &r->failed)) r->over = true;
    } else if (!r->row->hidden && left > rows) {
        plan_add(p, (QmAppend){.session = r->session[0], .tokens = r->g.ids + fed, .count = rows,
                               .rope_length = r->g.prompt});
        r->planned = false;
    } else {
        r->planned = r->row->plan(r, p, &r->failed);
        if (!r->planned) r->over = true, p->count = before;
        if (r->owner_failed) return err_from(err, &r->failed);
    }
    count_fed(s, r, p->entry + before, p->count - before);
    return true;
}

/* Rows of prompts in a step of which `decoding` rows and `entries` of requests are planned, of `room` left. */
static int64_t rows_of_prompts(Scheduler *s, int entries, int64_t decoding, int64_t room) {
    pthread_mutex_lock(&s->door);
    int64_t most = s->prefill_rows;
    pthread_mutex_unlock(&s->door);
    if (most < 0) most = prefill_rows(decoding);
    return entries && most && room > most ? most : room;
}

static int64_t prompt_left(const Request *r) { return r->g.prompt - qm_session_length(r->session[0]); }

/* The rows that are left go to prompts; what one cannot use is the next one's. */
static bool plan_prompts(Scheduler *s, StepPlan *p, Err *err) {
    int count = 0, at = 0;
    int64_t spare = 0;
    for (int i = 0; i < s->count; i++)
        if (prompt_left(s->running[i]) > 0) s->share[count++] = (PromptShare){.left = prompt_left(s->running[i])};
    prompt_shares(s->share, count, p->rows);
    for (int i = 0; i < s->count; i++) {
        Request *r = s->running[i];
        if (prompt_left(r) <= 0) continue;
        p->rows = s->share[at++].rows + spare;
        if (p->rows > 0 && !plan_one(s, r, p, err)) return false;
        spare = p->rows > 0 ? p->rows : 0;
    }
    return true;
}

/* Requests past their prompt first. */
static bool plan_step(Scheduler *s, StepPlan *p, Err *err) {
    int64_t rows = s->search.engine->info.rows;
    s->prompt_rows.used = 0;
    *p = (StepPlan){.entry = s->entry, .rows = rows};
    for (int i = 0; i < s->count; i++) {
        Request *r = s->running[i];
        r->planned = false;
        r->told.rows = 0;
        if (prompt_left(r) <= 0 && !plan_one(s, r, p, err)) return false;
    }
    p->rows = rows_of_prompts(s, p->count, rows - p->rows, p->rows);
    return plan_prompts(s, p, err);
}

bool scheduler_step(Scheduler *s, Err *err) {
    StepPlan p;
    SchedulerStats before = s->stats;
    if (!sweep(s, err) || !sweep_queue(s, err) || !admit(s, err) || !plan_step(s, &p, err)) return false;
    if (p.count && !qm_forward(s->search.engine, s->entry, p.count, err)) {
        s->stats.prompt = before.prompt, s->stats.decoded = before.decoded;
        return false;
    }
    s->stats.steps += p.count > 0;
    for (int i = 0; i < s->count; i++) {
        Request *r = s->running[i];
        if (r->over) continue;
        if (r->told.rows) {
            if (!prompt_logprobs_advance(r, &r->failed)) r->over = true;
            else if (r->over && !found_nothing(r, &r->failed)) sequences_free(&r->found);
            continue;
        }
        if (!r->planned) continue;
        if (!r->row->advance(r, &r->failed)) r->over = true;
        if (r->owner_failed) return err_from(err, &r->failed);
    }
    return sweep(s, err);
}

bool scheduler_run(Scheduler *s, bool (*stop)(void), Err *err) {
    while (scheduler_busy(s)) {
        if (stop && stop()) return err_as(err, QM_INTERRUPTED, "interrupted");
        if (!scheduler_step(s, err)) return false;
    }
    return true;
}
