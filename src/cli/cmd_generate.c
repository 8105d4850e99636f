/* cmd_generate.c: `generate`: requests from JSON lines, answered in batches over slots, results in request order. */
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include "../base/watch.h"
#include "../base/lines.h"
#include "../base/output.h"
#include "../infer/parameters.h"
#include "../infer/scheduler.h"
#include "../io/source.h"
#include "../text/tokenizer.h"
#include "model_options.h"

enum { MAX_REQUESTS = 1 << 20 };

typedef struct Ask {
    json_t *json;             /* until it is prepared               */
    int64_t line;             /* of the input                       */
    Request request;
    bool over;
    char *failed;             /* why it has no answer; NULL: it has */
} Ask;

/* Grammars of requests so far, by the members that ask for one: requests that ask for the same share it. */
enum { MEMOS = 16 };
typedef struct GrammarMemo { json_t *asked; Grammar *grammar; } GrammarMemo;

typedef struct Job {
    QmEngine *engine, *draft;
    QmTokenizer *tokenizer;   /* NULL when the model has none: requests then give ids */
    GenerationConfig base;
    Ask *requests;
    int64_t count, written;
    Output out;
    int64_t failed, first_failed; /* how many, and the line of the first */
    int64_t slots;            /* that the searches among them need   */
    bool hidden;              /* whether these need hidden states    */
    int warned;               /* of parameters without effect        */
    GrammarMemo memo[MEMOS];  /* the one at `memos` % MEMOS is the oldest */
    int64_t memos;
    Progress progress;
} Job;

/* What a request may have beside generation parameters. */
static const char *const prompt_names[] = {"prompt", "ids", "messages", "tools", "documents", "variables",
                                           "attention_mask", NULL};

/* A request's parameters. */
static bool request_config(Job *job, const json_t *o, const char *where, GenerationConfig *c, Err *err) {
    static const char *const names[] = {"grammar", "regex", "json_schema", "response_format"};
    json_t *asked = json_object(), *rest = json_copy((json_t *)(uintptr_t)o);
    bool ok = (asked && rest) || err_set(err, "out of memory: a request");
    for (int i = 0; ok && i < 4; i++) {
        json_t *value = json_object_get(o, names[i]);
        if (value && json_object_set(asked, names[i], value)) ok = err_set(err, "out of memory: a request");
        json_object_del(rest, names[i]);
    }
    const GrammarMemo *known = NULL;
    for (int i = 0; ok && i < MEMOS && json_object_size(asked); i++)
        if (job->memo[i].asked && json_equal(job->memo[i].asked, asked)) known = &job->memo[i];
    GenerationConfig base = job->base; /* borrows all it shares */
    *c = (GenerationConfig){0};
    if (known) base.grammar = known->grammar;
    ok = ok && generation_from_json(c, &base, known ? rest : o, where, err);
    if (ok && !known && json_object_size(asked)) {
        GrammarMemo *memo = &job->memo[job->memos++ % MEMOS];
        json_decref(memo->asked);
        grammar_release(memo->grammar);
        *memo = (GrammarMemo){json_incref(asked), grammar_share(c->grammar)};
    }
    json_decref(asked);
    json_decref(rest);
    return ok;
}

/* Whether a line's members are known and go together: found before a model is opened. */
static bool request_check(Job *job, const json_t *o, const char *where, Err *err) {
    enum { MOST_WARNINGS = 8 };
    GenerationConfig c = {0};
    if (!json_is_object(o)) return err_set(err, "%s: expected an object", where);
    if (!parameters_known(o, prompt_names, where, err)) return false;
    bool ok = request_config(job, o, where, &c, err) && generation_check(&c, 0, err);
    if (!ok) err_prefix(err, "%s", where);
    if (search_slots(&c) > job->slots) job->slots = search_slots(&c);
    job->hidden = job->hidden || search_hidden(&c);
    const char *idle = ok && !c.do_sample ? parameters_unsampled(o) : NULL;
    if (idle && job->warned++ < MOST_WARNINGS)
        fprintf(stderr, "qwenmesh: warning: %s: \"%s\" changes nothing without \"do_sample\": true\n", where, idle);
    idle = ok && c.num_beams <= 1 ? parameters_unbeamed(o) : NULL;
    if (idle && job->warned++ < MOST_WARNINGS)
        fprintf(stderr, "qwenmesh: warning: %s: \"%s\" changes nothing without \"num_beams\" above 1\n", where, idle);
    generation_config_free(&c);
    return ok;
}

static bool read_requests(Job *job, const char *path, Err *err) {
    Lines lines;
    Line line;
    size_t room = 0;
    if (!lines_open(&lines, path, err)) return false;
    while (!err->kind && lines_next(&lines, &line, err)) {
        if (job->count == MAX_REQUESTS) err_as(err, QM_LIMIT, "%s: more than %d requests", line.where, MAX_REQUESTS);
        else if (mem_grow((void **)&job->requests, &room, (size_t)job->count + 1, sizeof(Ask), "requests", err)) {
            Ask *r = &job->requests[job->count];
            *r = (Ask){.json = json_text(line.data, line.bytes, line.where, err), .line = lines.number};
            if (r->json) job->count++;
            if (r->json) request_check(job, r->json, line.where, err);
        }
    }
    lines_close(&lines);
    return !err->kind;
}

static int64_t ids_from(const json_t *list, int32_t **ids, const char *where, Err *err) {
    size_t n = json_array_size(list);
    if (!json_is_array(list)) return err_set(err, "%s: ids: expected a list", where), -1;
    *ids = mem_new(n, sizeof **ids, "ids", err);
    for (size_t i = 0; *ids && i < n; i++) {
        const json_t *id = json_array_get(list, i);
        if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) > INT32_MAX)
            return err_set(err, "%s: ids[%zu]: expected an id", where, i), -1;
        (*ids)[i] = (int32_t)json_integer_value(id);
    }
    return *ids ? (int64_t)n : -1;
}

/* Takes out the ids whose attention_mask is 0, the padding of a batch made elsewhere: they are not fed, and positions
 * count the others, as in Hugging Face. Returns how many are left, -1 on error. */
static int64_t unpad(const json_t *mask, int32_t *ids, int64_t n, const char *where, Err *err) {
    int64_t kept = 0;
    if (!mask || n < 0) return n;
    if (!json_is_array(mask) || json_array_size(mask) != (size_t)n)
        return err_set(err, "%s: attention_mask: expected a list of %lld, one for each id", where, (long long)n), -1;
    for (int64_t i = 0; i < n; i++) {
        const json_t *one = json_array_get(mask, (size_t)i);
        if (!json_is_integer(one) || json_integer_value(one) < 0 || json_integer_value(one) > 1)
            return err_set(err, "%s: attention_mask[%lld]: expected 0 or 1", where, (long long)i), -1;
        if (json_integer_value(one)) ids[kept++] = ids[i];
    }
    return kept;
}

static int64_t prompt_of(const Job *job, const json_t *o, int32_t **ids, const char *where, Err *err) {
    const json_t *prompt = json_object_get(o, "prompt"), *list = json_object_get(o, "ids"),
                 *messages = json_object_get(o, "messages");
    if (!!prompt + !!list + !!messages != 1)
        return err_set(err, "%s: expected one of prompt, ids and messages", where), -1;
    const json_t *mask = json_object_get(o, "attention_mask");
    if (mask && !list) return err_set(err, "%s: attention_mask: expected ids with it", where), -1;
    static const char *const with[] = {"tools", "documents", "variables"}; /* messages */
    for (int i = 0; i < 3; i++)
        if (json_object_get(o, with[i]) && !messages)
            return err_set(err, "%s: %s: expected messages with it", where, with[i]), -1;
    if (list) {
        int64_t n = ids_from(list, ids, where, err);
        return unpad(mask, *ids, n, where, err);
    }
    if (!job->tokenizer) return err_set(err, "%s: the model has no tokenizer: expected ids", where), -1;
    if (prompt) {
        if (!json_is_text(prompt)) return err_set(err, "%s: prompt: expected a string", where), -1;
        return qm_tokenizer_encode(job->tokenizer, json_string_value(prompt), json_string_length(prompt), true, ids,
                                   err);
    }
    json_t *chat = json_pack("{s:O,s:O?,s:O?,s:O?}", "messages", messages, "tools", json_object_get(o, "tools"),
                             "documents", json_object_get(o, "documents"), "variables", json_object_get(o, "variables"));
    if (!chat) err_as(err, QM_MEMORY, "out of memory: messages");
    int64_t n = chat ? tokenizer_chat(job->tokenizer, chat, true, ids, NULL, err) : -1;
    json_decref(chat);
    return n;
}

/* A request's generation, ready to begin. */
static bool request_start(Job *job, Ask *r, const char *where, Err *err) {
    const QmModelInfo *info = qm_engine_info(job->engine);
    GenerationConfig c;
    int32_t *ids = NULL;
    int64_t n = request_config(job, r->json, where, &c, err) && generation_check(&c, info->vocab, err)
                    ? prompt_of(job, r->json, &ids, where, err)
                    : -1;
    if (n >= 0 && json_object_get(r->json, "messages")) generation_turn_ends(&c, job->tokenizer);
    bool ok = n >= 0 && generation_start(&r->request.g, &c, job->tokenizer, ids, n, err);
    generation_config_free(&c);
    for (int64_t t = 0; ok && t < n; t++)
        if (ids[t] >= info->vocab)
            ok = err_set(err, "id %d is outside the vocabulary of %lld", ids[t], (long long)info->vocab);
    free(ids);
    if (ok && n > info->context)
        ok = err_as(err, QM_LIMIT, "%lld prompt tokens do not fit the context of %lld", (long long)n,
                    (long long)info->context);
    return ok;
}

/* Every request is checked before the first token, so that a bad one costs nothing. Draws of a request with a seed of
 * its own do not depend on where it stands. */
static bool prepare(Job *job, const char *path, Err *err) {
    for (int64_t i = 0; i < job->count; i++) {
        Ask *r = &job->requests[i];
        char where[256];
        snprintf(where, sizeof where, "%.200s line %lld", strcmp(path, "-") ? path : "standard input",
                 (long long)r->line);
        const json_t *seed = json_object_get(r->json, "seed");
        r->request.sequence = seed && !json_is_null(seed) ? 0 : (uint64_t)i;
        if (!request_start(job, r, where, err)) return err_prefix(err, "%s", where), false;
        generation_rest(&r->request.g);
        json_decref(r->json);
        r->json = NULL;
    }
    return true;
}

/* {"id", "logprob", "top": [{"id", "logprob"}, ...]} of `count` tokens; null of one that nothing comes before. */
static json_t *logprobs_json(const QmLogprob *told, int64_t count, int64_t alternatives) {
    json_t *list = json_array();
    for (int64_t i = 0; told && i < count; i++) {
        const QmLogprob *row = told + i * (1 + alternatives);
        json_t *top = row->id < 0 ? NULL : json_array();
        if (row->id < 0) json_array_append_new(list, json_null());
        for (int64_t k = 1; top && k <= alternatives && row[k].id >= 0; k++)
            json_array_append_new(top, json_pack("{s:i,s:f}", "id", row[k].id, "logprob", (double)row[k].logprob));
        if (top)
            json_array_append_new(list,
                              json_pack("{s:i,s:f,s:o}", "id", row->id, "logprob", (double)row->logprob, "top", top));
    }
    return list;
}

static json_t *sequence_json(const Generation *g, bool score) {
    json_t *ids = json_array();
    for (int64_t i = g->prompt; ids && i < g->count; i++) json_array_append_new(ids, json_integer(g->ids[i]));
    json_t *text = json_stringn(g->raw.data ? g->raw.data : "", g->raw.bytes);
    json_t *o = json_pack("{s:o,s:o,s:s}", "ids", ids, "text", text, "finish_reason", g->finish);
    if (o && g->config.logprobs >= 0) json_object_set_new(o, "logprobs", logprobs_json(g->logprobs, g->count - g->prompt, g->config.logprobs));
    if (o && score) json_object_set_new(o, "score", json_real(g->score));
    return o;
}

/* Keeps why a request has no answer; the others go on. */
static bool request_fail(Job *job, Ask *r, Err *why, Err *err) {
    if (!(r->failed = strdup(why->text))) return err_as(err, QM_MEMORY, "out of memory: a result");
    *why = (Err){0};
    r->request.g.finish = "invalid_logits";
    if (job->failed++ == 0 || r->line < job->first_failed) job->first_failed = r->line;
    return true;
}

static bool write_result(const Ask *r, FILE *out, const char *path, Err *err) {
    const GenerationConfig *c = &r->request.g.config;
    json_t *line = NULL;
    if (c->num_return_sequences > 1 && !r->failed) {
        json_t *list = json_array();
        for (int64_t i = 0; list && i < r->request.found.count; i++)
            json_array_append_new(list, sequence_json(&r->request.found.list[i], true));
        line = list ? json_pack("{s:o}", "sequences", list) : NULL;
    } else {
        line = r->request.found.count ? sequence_json(r->request.found.list, c->num_beams > 1 || c->best_of > 1)
                              : sequence_json(&r->request.g, false);
    }
    if (line && r->request.told.list && !r->failed)
        json_object_set_new(line, "prompt_logprobs",
                            logprobs_json(r->request.told.list, r->request.g.prompt, c->prompt_logprobs));
    if (line && r->failed) json_object_set_new(line, "error", json_string(r->failed));
    char *dump = line ? json_dumps(line, JSON_COMPACT) : NULL;
    bool ok = dump ? file_put(out, dump, strlen(dump), path, err) && file_put(out, "\n", 1, path, err)
                   : err_as(err, QM_MEMORY, "out of memory: a result");
    free(dump);
    json_decref(line);
    return ok;
}

/* Results are in request order: this one waits for those before it. */
static bool request_done(void *user, Request *request, Err *err) {
    Job *job = user;
    Ask *r = (Ask *)(void *)((char *)request - offsetof(Ask, request));
    r->over = true;
    if (request->invalid) {
        if (!request_fail(job, r, &request->failed, err)) return false;
    } else if (request->failed.kind) {
        err_from(err, &request->failed);
        return err_prefix(err, "line %lld", (long long)r->line), false;
    }
    while (job->written < job->count && job->requests[job->written].over) {
        r = &job->requests[job->written++];
        if (!write_result(r, job->out.file, job->out.path, err)) return false;
        request_free(&r->request);
    }
    progress_show(&job->progress, job->written);
    return true;
}

static bool generate_all(Job *job, Err *err) {
    Scheduler *s = scheduler_new(job->engine, job->draft, err);
    bool ok = s != NULL;
    progress_start(&job->progress, "generating", job->count);
    for (int64_t i = 0; ok && i < job->count; i++) {
        Ask *r = &job->requests[i];
        r->request.sink = (Sink){.user = job, .done = request_done};
        if (!(ok = scheduler_add(s, &r->request, err))) err_prefix(err, "line %lld", (long long)r->line);
    }
    ok = ok && scheduler_run(s, interrupted, err);
    progress_end(&job->progress);
    scheduler_free(s);
    return ok;
}

static void job_free(Job *job) {
    output_close(&job->out);
    for (int64_t i = 0; i < job->count; i++) {
        request_free(&job->requests[i].request);
        json_decref(job->requests[i].json);
        free(job->requests[i].failed);
    }
    free(job->requests);
    for (int i = 0; i < MEMOS; i++) json_decref(job->memo[i].asked), grammar_release(job->memo[i].grammar);
    generation_config_free(&job->base);
    qm_tokenizer_close(job->tokenizer);
    qm_engine_close(job->draft);
    qm_engine_close(job->engine);
}

int cmd_generate(int argc, char **argv) {
    ModelOptions m = {.engine.act = ACT_DEFAULT, .engine.slots = 8};
    SampleOptions s = {0};
    DraftOptions d = {0};
    const char *in = NULL, *out = NULL;
    const Option options[] = {
        TEXT("in", 'i', &in, "FILE", "requests, one JSON object a line; - is standard input"),
        TEXT("out", 'o', &out, "FILE", "results, one a line, in request order; - is standard output"),
        INT("slots", 0, &m.engine.slots, 1, 1024, "N", "requests run at once (default 8)"),
        DRAFT_OPTIONS(d),
        SAMPLE_OPTIONS(s),
        MODEL_OPTIONS(m),
        CHAT_TEMPLATE_OPTION(m),
    };
    const char *notes =
        "A request has \"prompt\", \"ids\" (padded: with \"attention_mask\") or \"messages\" (with\n"
        "\"tools\", \"documents\" and \"variables\" of the chat template, if it has them), and generation\n"
        "parameters under their Hugging Face names; any other member is refused, with its line, before a\n"
        "model is opened. Logits that are no numbers end their request alone, with \"error\" (exit status 1).\n"
        "\"eos_token_id\": null switches stopping off. A result has \"ids\" (the new ones), \"text\", "
        "\"finish_reason\"; with \"logprobs\": N their log-probabilities and N alternatives each; with\n"
        "\"prompt_logprobs\": N the same of the prompt's own tokens; with\n"
        "\"num_return_sequences\" above 1 \"sequences\", a list of such results with \"score\", best first.";
    int code = options_parse(argc, argv, "generate -m MODEL --in FILE --out FILE [options]", notes, options,
                             (int)(sizeof options / sizeof *options), NULL);
    if (code >= 0) return code;
    if (!in || !out) return usage_error("generate", "expected --in FILE and --out FILE");
    Err err = {0};
    if (!can_read(in, &err) || !can_write(out, &err)) return fail(&err);
    Job job = {0};
    bool ok = !m.engine.model || sample_options_config(&s, &m, &job.base, &err);
    if (d.has_lookup) job.base.prompt_lookup_num_tokens = d.lookup;
    ok = ok && (!m.engine.model || (read_requests(&job, in, &err) && output_apart(in, out, &err) &&
                             output_open(&job.out, out, &err)));
    if (job.slots > m.engine.slots) m.engine.slots = job.slots;
    ModelOptions guess = m;
    guess.engine.model = d.model;
    guess.engine.lora = NULL; /* it is the model's */
    guess.engine.slots = 1;
    if (ok && (!(job.engine = model_open("generate", &m, job.hidden, &code)) ||
               (d.model && !(job.draft = model_open("generate", &guess, false, &code)))))
        return job_free(&job), code;
    if (ok && source_has_tokenizer(model_source(m.engine.model, &err)))
        ok = (job.tokenizer = model_tokenizer(&m, &err)) != NULL;
    ok = ok && output_allowed(&job.out, &err) && prepare(&job, in, &err);
    interrupt_stops(job.engine);
    ok = ok && generate_all(&job, &err);
    interrupt_stops(NULL);
    if (ok && !interrupted()) ok = output_commit(&job.out, &err);
    char *kept = !ok || interrupted() ? output_keep(&job.out) : NULL;
    if (kept)
        fprintf(stderr, "qwenmesh: %lld of %lld results are in %s\n", (long long)job.written, (long long)job.count,
                kept);
    free(kept);
    if (ok && job.failed) /* the results are whole, errors among them */
        ok = err_set(&err, "%lld of %lld requests failed, the first in %.200s line %lld: see \"error\" in the results",
                     (long long)job.failed, (long long)job.count, in, (long long)job.first_failed);
    job_free(&job);
    code = ok ? EXIT_OK : fail(&err);
    return interrupted() ? 128 + SIGINT : code;
}
