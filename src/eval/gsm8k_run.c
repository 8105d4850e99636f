/* gsm8k_run.c: questions into a batch, outputs into results. */
#include <stdlib.h>
#include <string.h>
#include "gsm8k_run.h"

/* One output on its way. */
typedef struct Asked { Gsm8kRun *run; int64_t index, sample, cut; Text prompt; } Asked; /* cut: tokens left out */

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

/* What the run asks for, under the names of requests; NULL: memory ended. */
static char *parameters_json(const Gsm8kOptions *o) {
    json_t *stops = json_array();
    json_t *all = json_pack("{s:b,s:f,s:I,s:I,s:o}", "do_sample", o->temperature > 0, "temperature",
                            o->temperature > 0 ? o->temperature : 1.0, "seed", (json_int_t)o->seed, "max_new_tokens",
                            (json_int_t)o->max_new_tokens, "stop_strings", stops);
    if (all && o->repetition_penalty > 0)
        json_object_set_new(all, "repetition_penalty", json_real(o->repetition_penalty));
    for (int i = 0; all && i < MAX_PROTOCOL_STOPS && o->protocol->stop[i]; i++) {
        if (o->shots == 0 && !strncmp(o->protocol->stop[i], "\n\n", 2)) continue; /* ends an example: there are none */
        json_array_append_new(stops, json_string(o->protocol->stop[i]));
    }
    char *json = all ? json_dumps(all, JSON_COMPACT) : NULL;
    json_decref(all);
    return json;
}

static bool no_search(const QmParameters *p, Err *err) {
    return !qm_parameters_search(p) ||
           err_set(err, "generation_config.json asks for a search (num_beams, num_return_sequences, penalty_alpha or "
                        "prompt_lookup_num_tokens): expected one without, eval answers each question once");
}

static bool parameters_of(Gsm8kRun *run, QmSource *source, Err *err) {
    const Gsm8kOptions *o = &run->options;
    run->parameters = (o->protocol->model_config ? qm_parameters_new : qm_parameters_plain)(source, err);
    if (!run->parameters) return false;
    char *json = parameters_json(o);
    bool ok = (json || err_as(err, QM_MEMORY, "out of memory: parameters")) && no_search(run->parameters, err) &&
              qm_parameters_read(run->parameters, json, strlen(json), NULL, "protocol", err) &&
              no_search(run->parameters, err); /* one of samples is none while these are drawn */
    free(json);
    return ok;
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
    if (!parameters_of(run, source, err) || !gsm8k_find(o->data, "test.jsonl", path, sizeof path, err) ||
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
    qm_parameters_free(run->parameters);
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
    char *generation = qm_parameters_text(run->parameters, err);
    if (h && (!generation || json_object_set_new(h, "generation", json_string(generation)) != 0))
        json_decref(h), h = NULL;
    free(generation);
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
    text_free(&a->prompt);
    free(a);
}

static void done(void *owner, const QmAnswer *answer);

/* Puts the next question that has no output yet to the model. */
static bool ask(Gsm8kRun *run, QmGenerator *g, Err *err) {
    int64_t samples = run->options.samples;
    Asked *a = mem_new(1, sizeof *a, "a question", err);
    if (!a) return false;
    int32_t *ids = NULL;
    a->run = run;
    a->index = run->next / samples;
    a->sample = run->next++ % samples;
    int64_t n = prompt_ids(run, a->index, &a->prompt, &ids, err);
    if (run->options.protocol->cuts && n > run->room) a->cut = n - run->room;
    QmRequest r = {.size = sizeof r, .ids = ids + (n >= 0 ? a->cut : 0), .count = n - a->cut,
                   .parameters = run->parameters, .sequence = (uint64_t)(a->index * MAX_SAMPLES + a->sample),
                   .sink = {.owner = a, .done = done}};
    bool ok = n >= 0 && qm_generator_add(g, &r, err) > 0;
    free(ids);
    if (!ok) asked_free(a);
    return ok;
}

/* As many wait as there are slots: the prompts of all need not be held at once. */
static bool ask_some(Gsm8kRun *run, QmGenerator *g, int64_t slots, Err *err) {
    int64_t all = run->options.limit * run->options.samples;
    while (qm_generator_waiting(g) < slots) {
        while (run->next < all && run->results->done[run->next]) run->next++;
        if (run->next >= all) return true;
        if (!ask(run, g, err)) return false;
    }
    return true;
}

static json_t *result_of(const Gsm8kRun *run, const Asked *a, const QmAnswer *answer, Err *err) {
    const QmSequence *s = answer->sequences;
    const Problem *p = &run->test.item[a->index];
    json_t *o = json_pack("{s:I,s:I,s:s,s:s,s:s%,s:s%,s:I,s:I,s:s}", "index", (json_int_t)a->index, "sample",
                          (json_int_t)a->sample, "question", p->question, "gold", p->answer, "prompt", a->prompt.data,
                          a->prompt.bytes, "output", s->text, s->bytes, "prompt_tokens", (json_int_t)answer->prompt,
                          "new_tokens", (json_int_t)s->count, "finish_reason", s->finish);
    if (o && a->cut) json_object_set_new(o, "prompt_tokens_cut", json_integer(a->cut));
    if (!o) err_set(err, "question %lld: the result is not valid UTF-8", (long long)a->index);
    return o;
}

static void judge(Gsm8kRun *run, const Asked *a, const QmAnswer *answer, Err *err) {
    char where[40];
    snprintf(where, sizeof where, "question %lld", (long long)a->index);
    bool sound = !answer->failed || err_from(err, answer->failed);
    if (!sound) err_prefix(err, "%s", where);
    json_t *o = sound ? result_of(run, a, answer, err) : NULL;
    bool ok = o && results_judge(run->options.protocol, o, where, err) && results_add(run->results, o, err);
    if (ok) {
        const json_t *correct = json_object_get(o, "correct");
        if (run->options.protocol->rules > 1)
            correct = json_object_get(correct, run->options.protocol->rule[0]->name);
        run->right += json_is_true(correct);
        run->judged++;
        run->first += answer->first - answer->taken;
        snprintf(run->label, sizeof run->label, "%s %.1f %%", run->options.protocol->task,
                 100 * run->right / (double)run->judged);
        progress_show(&run->progress, run->judged);
    }
    json_decref(o);
}

static void done(void *owner, const QmAnswer *answer) {
    Asked *a = owner;
    if (!a->run->ends && !a->run->why.kind) judge(a->run, a, answer, &a->run->why);
    asked_free(a);
}

bool gsm8k_go(Gsm8kRun *run, QmEngine *engine, Results *results, bool (*stop)(void), QmGeneratorStats *stats, Err *err) {
    int64_t context = qm_engine_info(engine)->context;
    *stats = (QmGeneratorStats){0};
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
    QmGenerator *g = qm_generator_new(engine, run->tokenizer, NULL, err);
    run->why = (Err){0};
    run->ends = false;
    bool ok = g && ask_some(run, g, slots, err);
    while (ok && qm_generator_busy(g)) {
        if (stop && stop()) ok = err_as(err, QM_INTERRUPTED, "interrupted");
        ok = ok && qm_generator_step(g, err) && (!run->why.kind || err_from(err, &run->why)) &&
             ask_some(run, g, slots, err);
    }
    if (g) qm_generator_stats(g, stats);
    run->ends = true;
    qm_generator_free(g);
    run->seconds = clock_seconds() - start;
    progress_end(&run->progress);
    return results_sort(results, ok ? err : &(Err){0}) && ok;
}
