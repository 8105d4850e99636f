/* cmd_generate.c: `generate`: requests from JSON lines, answered in batches over slots, results in request order. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include "../base/lines.h"
#include "../base/output.h"
#include "../base/watch.h"
#include "../io/json.h"
#include "idle_parameters.h"
#include "model_options.h"

enum { MAX_REQUESTS = 1 << 20 };

typedef struct Job Job;

typedef struct Ask {
    Job *job;
    char *text;               /* the line, until it is put to the model            */
    size_t bytes;
    int64_t line;             /* of the input                                      */
    bool several, scored, logprobs; /* what its result has                         */
    char *result;             /* a line, until it is written                       */
    bool over;
} Ask;

struct Job {
    QmEngine *engine, *draft;
    QmTokenizer *tokenizer;   /* NULL when the model has none: requests then give ids */
    QmParameters *base;
    QmGenerator *generator;
    Ask *requests;
    int64_t count, written;
    Output out;
    int64_t failed, first_failed; /* how many, and the line of the first */
    int64_t slots;            /* that the searches among them need   */
    bool hidden;              /* whether these need hidden states    */
    int warned;               /* of parameters without effect        */
    Progress progress;
    Err why;                  /* ended all of it                     */
    bool ends;                /* nothing is written any more         */
};

/* What a request may have beside generation parameters. */
static const char *const prompt_names[] = {"prompt", "ids", "messages", "tools", "documents", "variables",
                                           "attention_mask", NULL};

/* A request's parameters; NULL and an error. */
static QmParameters *request_parameters(const Job *job, const char *text, size_t bytes, const char *where, Err *err) {
    QmParameters *p = qm_parameters_copy(job->base, err);
    if (p && qm_parameters_read(p, text, bytes, prompt_names, where, err)) return p;
    err_prefix(err, "%s", where);
    qm_parameters_free(p);
    return NULL;
}

static void warn_idle(Job *job, const char *name, const char *needs, const char *where) {
    enum { MOST_WARNINGS = 8 };
    if (name && job->warned++ < MOST_WARNINGS)
        fprintf(stderr, "qwenmesh: warning: %s: \"%s\" changes nothing without %s\n", where, name, needs);
}

/* Whether a line's members are known and go together: found before a model is opened. */
static bool request_check(Job *job, const Ask *r, const json_t *o, const char *where, Err *err) {
    QmParameters *p = request_parameters(job, r->text, r->bytes, where, err);
    if (!p) return false;
    if (qm_parameters_slots(p) > job->slots) job->slots = qm_parameters_slots(p);
    job->hidden = job->hidden || qm_parameters_hidden(p);
    if (qm_parameters_number(p, "do_sample") < 1) warn_idle(job, idle_unsampled(o), "\"do_sample\": true", where);
    if (qm_parameters_number(p, "num_beams") <= 1) warn_idle(job, idle_unbeamed(o), "\"num_beams\" above 1", where);
    qm_parameters_free(p);
    return true;
}

static bool read_request(Job *job, const Line *line, int64_t number, Err *err) {
    Ask *r = &job->requests[job->count];
    *r = (Ask){.job = job, .line = number, .bytes = line->bytes, .text = mem_new(line->bytes + 1, 1, "a request", err)};
    if (!r->text) return false;
    memcpy(r->text, line->data, line->bytes);
    job->count++;
    json_t *o = json_text(r->text, r->bytes, line->where, err);
    bool ok = o && (json_is_object(o) || err_set(err, "%s: expected an object", line->where)) &&
              request_check(job, r, o, line->where, err);
    json_decref(o);
    return ok;
}

static bool read_requests(Job *job, const char *path, Err *err) {
    Lines lines;
    Line line;
    size_t room = 0;
    if (!lines_open(&lines, path, err)) return false;
    while (!err->kind && lines_next(&lines, &line, err)) {
        if (job->count == MAX_REQUESTS) err_as(err, QM_LIMIT, "%s: more than %d requests", line.where, MAX_REQUESTS);
        else if (mem_grow((void **)&job->requests, &room, (size_t)job->count + 1, sizeof(Ask), "requests", err))
            read_request(job, &line, lines.number, err);
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
    char *text = chat ? json_dump(chat, JSON_COMPACT, "messages", err) : NULL;
    int64_t n = text ? qm_tokenizer_chat(job->tokenizer, text, strlen(text), true, ids, NULL, err) : -1;
    free(text);
    json_decref(chat);
    return n;
}

/* ---- Results ----------------------------------------------------------------------------------------------------- */

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
            json_array_append_new(list, json_pack("{s:i,s:f,s:o}", "id", row->id, "logprob", (double)row->logprob,
                                                  "top", top));
    }
    return list;
}

static json_t *sequence_json(const Ask *r, const QmSequence *s, bool score) {
    json_t *ids = json_array();
    for (int64_t i = 0; ids && i < s->count; i++) json_array_append_new(ids, json_integer(s->ids[i]));
    json_t *text = json_stringn(s->text, s->bytes);
    json_t *o = json_pack("{s:o,s:o,s:s}", "ids", ids, "text", text, "finish_reason", s->finish);
    if (o && r->logprobs) json_object_set_new(o, "logprobs", logprobs_json(s->logprobs, s->count, s->alternatives));
    if (o && score) json_object_set_new(o, "score", json_real(s->score));
    return o;
}

/* A line; NULL: memory ended. */
static char *result_text(const Ask *r, const QmAnswer *a) {
    const QmSequence none = {.text = "", .finish = a->finish};
    json_t *line = NULL;
    if (r->several && !a->failed) {
        json_t *list = json_array();
        for (int64_t i = 0; list && i < a->count; i++)
            json_array_append_new(list, sequence_json(r, &a->sequences[i], true));
        line = list ? json_pack("{s:o}", "sequences", list) : NULL;
    } else line = sequence_json(r, a->count ? a->sequences : &none, r->scored && a->count && !a->failed);
    if (line && a->prompt_logprobs)
        json_object_set_new(line, "prompt_logprobs",
                            logprobs_json(a->prompt_logprobs, a->prompt, a->prompt_alternatives));
    if (line && a->failed) json_object_set_new(line, "error", json_string(a->failed->text));
    char *text = line ? json_dumps(line, JSON_COMPACT) : NULL;
    json_decref(line);
    return text;
}

/* Results are in request order: this one waits for those before it. A request whose logits are not numbers ends alone;
 * what else goes wrong ends all. */
static void request_done(void *owner, const QmAnswer *a) {
    Ask *r = owner;
    Job *job = r->job;
    Err *err = &job->why;
    r->over = true;
    if (job->ends || err->kind) return;
    if (a->failed && !a->count) {
        err_from(err, a->failed);
        err_prefix(err, "line %lld", (long long)r->line);
        return;
    }
    if (a->failed && (job->failed++ == 0 || r->line < job->first_failed)) job->first_failed = r->line;
    if (!(r->result = result_text(r, a))) err_as(err, QM_MEMORY, "out of memory: a result");
    while (!err->kind && job->written < job->count && job->requests[job->written].over) {
        r = &job->requests[job->written++];
        if (file_put(job->out.file, r->result, strlen(r->result), job->out.path, err))
            file_put(job->out.file, "\n", 1, job->out.path, err);
        free(r->result);
        r->result = NULL;
    }
    progress_show(&job->progress, job->written);
}

/* ---- Requests to the model --------------------------------------------------------------------------------------- */

/* Draws of a request with a seed of its own do not depend on where it stands. */
static bool request_add(Job *job, Ask *r, int64_t number, const char *where, Err *err) {
    int32_t *ids = NULL;
    json_t *o = json_text(r->text, r->bytes, where, err);
    QmParameters *p = o ? request_parameters(job, r->text, r->bytes, where, err) : NULL;
    int64_t n = p && qm_parameters_check(p, job->engine, err) ? prompt_of(job, o, &ids, where, err) : -1;
    const json_t *seed = json_object_get(o, "seed");
    if (n >= 0) {
        r->several = qm_parameters_number(p, "num_return_sequences") > 1;
        r->scored = qm_parameters_number(p, "num_beams") > 1 || qm_parameters_number(p, "best_of") > 1;
        r->logprobs = qm_parameters_number(p, "logprobs") >= 0;
    }
    QmRequest request = {.size = sizeof request, .ids = ids, .count = n, .parameters = p,
                         .chat = json_object_get(o, "messages") != NULL,
                         .sequence = seed && !json_is_null(seed) ? 0 : (uint64_t)number,
                         .sink = {.owner = r, .done = request_done}};
    bool ok = n >= 0 && qm_generator_add(job->generator, &request, err) > 0;
    qm_parameters_free(p);
    json_decref(o);
    free(ids);
    free(r->text);
    r->text = NULL;
    return ok;
}

/* Every request is checked before the first token, so that a bad one costs nothing. */
static bool add_all(Job *job, const char *path, Err *err) {
    if (!(job->generator = qm_generator_new(job->engine, job->tokenizer, job->draft, err))) return false;
    for (int64_t i = 0; i < job->count; i++) {
        char where[256];
        snprintf(where, sizeof where, "%.200s line %lld", strcmp(path, "-") ? path : "standard input",
                 (long long)job->requests[i].line);
        if (!request_add(job, &job->requests[i], i, where, err)) return err_prefix(err, "%s", where), false;
    }
    return true;
}

static bool generate_all(Job *job, Err *err) {
    bool ok = true;
    progress_start(&job->progress, "generating", job->count);
    while (ok && qm_generator_busy(job->generator)) {
        if (interrupted()) ok = err_as(err, QM_INTERRUPTED, "interrupted");
        ok = ok && qm_generator_step(job->generator, err) && (!job->why.kind || err_from(err, &job->why));
    }
    progress_end(&job->progress);
    return ok;
}

static void job_free(Job *job) {
    job->ends = true;
    output_close(&job->out);
    qm_generator_free(job->generator);
    for (int64_t i = 0; i < job->count; i++) free(job->requests[i].text), free(job->requests[i].result);
    free(job->requests);
    qm_parameters_free(job->base);
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
    bool ok = !m.engine.model || (job.base = sample_parameters(&s, &d, &m, &err));
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
    if (ok && qm_source_has_tokenizer(model_source(m.engine.model, &err)))
        ok = (job.tokenizer = model_tokenizer(&m, &err)) != NULL;
    ok = ok && output_allowed(&job.out, &err) && add_all(&job, in, &err);
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
