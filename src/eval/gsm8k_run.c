/* gsm8k_run.c: questions into a batch, outputs into results. */
#include <stdlib.h>
#include <string.h>
#include "gsm8k_run.h"

/* One output on its way. */
typedef struct Asked { Request request; int64_t index, sample, cut; Text prompt; } Asked; /* cut: tokens left out */

/* The prompt's ids, -1 on error; its text is appended to `shown`. */
static int64_t prompt_ids(const Gsm8kRun *run, int64_t index, Text *shown, int32_t **ids, Err *err) {
    const Gsm8kOptions *o = &run->options;
    Text text = {0};
    bool chat;
    char *rendered = NULL;
    int64_t n = -1;
    if (gsm8k_prompt(o->protocol, &run->train, run->draws ? run->draws + index * o->shots : NULL, o->shots,
                     run->test.item[index].question, o->form, &text, &chat, err)) {
        if (chat) n = qm_tokenizer_chat(run->tokenizer, text.data, text.bytes, true, ids, &rendered, err);
        else n = qm_tokenizer_encode(run->tokenizer, text.data, text.bytes, false, ids, err);
        if (chat && rendered) text_line(shown, "%s", rendered);
        else text_add(shown, text.data, text.bytes);
    }
    free(rendered);
    text_free(&text);
    if (n >= 0 && !text_ok(shown, "prompt", err)) n = -1;
    if (n < 0) err_prefix(err, "question %lld", (long long)index);
    return n;
}

static bool config_of(Gsm8kRun *run, QmSource *source, Err *err) {
    const Gsm8kOptions *o = &run->options;
    GenerationConfig *c = &run->config;
    if (!generation_defaults(c, source, err)) return false;
    if (!o->protocol->model_config) generation_plain(c);
    c->do_sample = o->temperature > 0;
    c->temperature = o->temperature > 0 ? o->temperature : 1;
    if (o->repetition_penalty > 0) c->repetition_penalty = o->repetition_penalty;
    c->seed = o->seed;
    c->max_new_tokens = o->max_new_tokens;
    c->max_length = 0;
    generation_no_stops(c);
    if (search_wanted(c, false))
        return err_set(err,
                       "generation_config.json asks for a search (num_beams, num_return_sequences, penalty_alpha or "
                            "prompt_lookup_num_tokens): expected one without, eval answers each question once");
    for (int i = 0; i < MAX_PROTOCOL_STOPS && o->protocol->stop[i]; i++) {
        if (o->shots == 0 && !strncmp(o->protocol->stop[i], "\n\n", 2)) continue; /* ends an example: there are none */
        if (!generation_stop(c, o->protocol->stop[i], strlen(o->protocol->stop[i]), "protocol", err)) return false;
    }
    return generation_check(c, 0, err);
}

bool gsm8k_open(Gsm8kRun *run, const Gsm8kOptions *options, QmSource *source, const QmTokenizer *tokenizer,
                Err *err) {
    char path[4096];
    *run = (Gsm8kRun){.options = *options, .tokenizer = tokenizer};
    Gsm8kOptions *o = &run->options;
    if (o->shots < 0) o->shots = o->protocol->shots;
    if (!o->max_new_tokens) o->max_new_tokens = o->protocol->max_new_tokens;
    if (o->shots > COT_SHOTS && !o->protocol->draws)
        return err_set(err, "--shots: %s has %d examples, got %lld", o->protocol->name, COT_SHOTS, (long long)o->shots);
    if (!config_of(run, source, err) || !gsm8k_find(o->data, "test.jsonl", path, sizeof path, err) ||
        !problems_read(&run->test, path, err))
        return false;
    if (!o->limit || o->limit > run->test.count) o->limit = run->test.count;
    if (o->shots > 0 && o->protocol->draws) {
        if (!gsm8k_find(o->data, "train.jsonl", path, sizeof path, err) || !problems_read(&run->train, path, err))
            return err_prefix(err, "%lld examples", (long long)o->shots), false;
        run->draws = fewshot_draws(o->limit, o->shots, run->train.count, (uint64_t)o->fewshot_seed, err);
        if (!run->draws) return false;
    }
    for (int64_t i = 0; i < o->limit; i++) {
        Text shown = {0};
        int32_t *ids = NULL;
        int64_t n = prompt_ids(run, i, &shown, &ids, err);
        free(ids);
        text_free(&shown);
        if (n < 0) return false;
        if (n > run->longest) run->longest = n;
    }
    return true;
}

void gsm8k_close(Gsm8kRun *run) {
    problems_free(&run->test);
    problems_free(&run->train);
    free(run->draws);
    generation_config_free(&run->config);
    *run = (Gsm8kRun){0};
}

int64_t gsm8k_context(const Gsm8kRun *run) { return run->longest + run->options.max_new_tokens; }

/* FNV-1a over questions and answers: the same file, not a safe one. */
static uint64_t fingerprint(const Problems *p, uint64_t h) {
    for (int64_t i = 0; i < p->count; i++)
        for (int k = 0; k < 2; k++)
            for (const char *c = k ? p->item[i].answer : p->item[i].question;; c++) {
                h = (h ^ (uint8_t)*c) * 1099511628211u;
                if (!*c) break;
            }
    return h;
}

json_t *gsm8k_header(const Gsm8kRun *run, const char *model, const QmModelInfo *info, Err *err) {
    const Gsm8kOptions *o = &run->options;
    const char *slash = strrchr(model, '/');
    char data[32];
    snprintf(data, sizeof data, "%016llx",
             (unsigned long long)fingerprint(&run->train, fingerprint(&run->test, 14695981039346656037u)));
    json_t *h =
        json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:I,s:s,s:I,s:I,s:f,s:I,s:I,s:I,s:b,s:b}", "protocol", o->protocol->name,
                  "model", slash && slash[1] ? slash + 1 : model, "backend", info->backend, "activations", info->act,
                  "activations_why", info->act_why, "weights", info->weight_type, "parameters",
                  (json_int_t)info->parameters, "cache", info->kv_cache,
                  "shots", (json_int_t)o->shots, "samples", (json_int_t)o->samples, "temperature", o->temperature,
                  "seed", (json_int_t)o->seed, "fewshot_seed", (json_int_t)o->fewshot_seed, "max_new_tokens",
                  (json_int_t)o->max_new_tokens, "chat", o->form != FORM_PLAIN, "multiturn", o->form == FORM_TURNS);
    Text generation = {0};
    generation_text(&run->config, &generation);
    if (h && (!text_ok(&generation, "the header", err) ||
              json_object_set_new(h, "generation", json_stringn(generation.data, generation.bytes)) != 0))
        json_decref(h), h = NULL;
    text_free(&generation);
    if (h && o->protocol->cuts && run->longest > info->context - o->max_new_tokens)
        json_object_set_new(h, "context", json_integer(info->context)); /* outputs depend on it */
    if (!h || json_object_set_new(h, "data", json_string(data)) != 0) {
        err_set(err, "cannot name the model in the results: %s is not valid UTF-8", model);
        json_decref(h);
        return NULL;
    }
    return h;
}

/* ---- Requests ---------------------------------------------------------------------------------------------------- */

static void asked_free(Asked *a) {
    if (!a) return;
    request_free(&a->request);
    text_free(&a->prompt);
    free(a);
}

static bool done(void *user, Request *request, Err *err);

static void drop(void *user, Request *request) {
    (void)user;
    asked_free((Asked *)request);
}

/* Puts the next question that has no output yet to the model. */
static bool ask(Gsm8kRun *run, Scheduler *s, Err *err) {
    int64_t samples = run->options.samples;
    Asked *a = mem_new(1, sizeof *a, "a question", err);
    if (!a) return false;
    int32_t *ids = NULL;
    a->index = run->next / samples;
    a->sample = run->next++ % samples;
    a->request.sequence = (uint64_t)(a->index * MAX_SAMPLES + a->sample);
    a->request.sink = (Sink){.user = run, .done = done, .drop = drop};
    int64_t n = prompt_ids(run, a->index, &a->prompt, &ids, err);
    if (run->options.protocol->cuts && n > run->room) a->cut = n - run->room;
    bool ok = n >= 0 &&
              generation_start(&a->request.g, &run->config, run->tokenizer, ids + a->cut, n - a->cut, err) &&
              scheduler_add(s, &a->request, err);
    free(ids);
    if (!ok) asked_free(a);
    return ok;
}

/* As many wait as there are slots: the prompts of all need not be held at once. */
static bool ask_some(Gsm8kRun *run, Scheduler *s, int64_t slots, Err *err) {
    int64_t all = run->options.limit * run->options.samples;
    while (scheduler_waiting(s) < slots) {
        while (run->next < all && run->results->done[run->next]) run->next++;
        if (run->next >= all) return true;
        if (!ask(run, s, err)) return false;
    }
    return true;
}

static json_t *result_of(const Gsm8kRun *run, const Asked *a, Err *err) {
    const Generation *g = &a->request.g;
    const Problem *p = &run->test.item[a->index];
    json_t *o = json_pack("{s:I,s:I,s:s,s:s,s:s%,s:s%,s:I,s:I,s:s}", "index", (json_int_t)a->index, "sample",
                          (json_int_t)a->sample, "question", p->question, "gold", p->answer, "prompt", a->prompt.data,
                          a->prompt.bytes, "output", g->raw.data ? g->raw.data : "", g->raw.bytes, "prompt_tokens",
                          (json_int_t)g->prompt, "new_tokens", (json_int_t)(g->count - g->prompt), "finish_reason",
                          g->finish);
    if (o && a->cut) json_object_set_new(o, "prompt_tokens_cut", json_integer(a->cut));
    if (!o) err_set(err, "question %lld: the result is not valid UTF-8", (long long)a->index);
    return o;
}

static bool done(void *user, Request *request, Err *err) {
    Gsm8kRun *run = user;
    Asked *a = (Asked *)request; /* its first member */
    char where[40];
    snprintf(where, sizeof where, "question %lld", (long long)a->index);
    bool sound = !request->failed.kind || err_from(err, &request->failed);
    if (!sound) err_prefix(err, "%s", where);
    json_t *o = sound ? result_of(run, a, err) : NULL;
    bool ok = o && results_judge(run->options.protocol, o, where, err) && results_add(run->results, o, err);
    if (ok) {
        const json_t *correct = json_object_get(o, "correct");
        if (run->options.protocol->rules > 1)
            correct = json_object_get(correct, run->options.protocol->rule[0]->name);
        run->right += json_is_true(correct);
        run->judged++;
        run->first += request->first - request->taken;
        snprintf(run->label, sizeof run->label, "%s %.1f %%", run->options.protocol->task,
                 100 * run->right / (double)run->judged);
        progress_show(&run->progress, run->judged);
    }
    json_decref(o);
    asked_free(a);
    return ok;
}

bool gsm8k_go(Gsm8kRun *run, QmEngine *engine, Results *results, bool (*stop)(void), SchedulerStats *stats, Err *err) {
    int64_t context = qm_engine_info(engine)->context;
    *stats = (SchedulerStats){0};
    run->room = context - run->options.max_new_tokens;
    if (run->options.protocol->cuts && run->room < 1)
        return err_as(err, QM_LIMIT,
                      "%lld new tokens leave no room for a prompt in a context of %lld: expected more --ctx or "
                            "fewer --n-predict", (long long)run->options.max_new_tokens, (long long)context);
    if (!run->options.protocol->cuts && run->longest > context)
        return err_set(err, "a prompt has %lld tokens, the context %lld positions: fewer --shots, or more --ctx",
                       (long long)run->longest, (long long)context);
    run->results = results;
    run->next = run->judged = 0;
    run->right = run->first = 0;
    snprintf(run->label, sizeof run->label, "%s", run->options.protocol->task);
    progress_start(&run->progress, run->label, run->options.limit * run->options.samples - results->found);
    double start = clock_seconds();
    int64_t slots = qm_engine_info(engine)->slots;
    Scheduler *s = scheduler_new(engine, NULL, err);
    bool ok = s && ask_some(run, s, slots, err);
    while (ok && scheduler_busy(s)) {
        if (stop && stop()) ok = err_as(err, QM_INTERRUPTED, "interrupted");
        ok = ok && scheduler_step(s, err) && ask_some(run, s, slots, err);
    }
    if (s) *stats = *scheduler_stats(s);
    scheduler_free(s);
    run->seconds = clock_seconds() - start;
    progress_end(&run->progress);
    return results_sort(results, ok ? err : &(Err){0}) && ok;
}
