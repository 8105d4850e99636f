/* model_options.c: opening a model as the options say. */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "../base/cache_folder.h"
#include "../base/file_kind.h"
#include "../base/transport.h"
#include "model_options.h"
#include "watch_terminal.h"

static QmEngine *volatile stops; /* a signal handler can reach nothing else */
static volatile sig_atomic_t came, event = -1;

static void on_interrupt(int signal_number) {
    int was = errno;
    (void)signal_number;
    came = 1;
    if (stops) qm_interrupt(stops);
    if (event >= 0 && eventfd_write(event, 1)) came = 1; /* nothing more can be done here */
    errno = was;
}

void interrupt_stops(QmEngine *engine) {
    static EndSignals taken;
    if (engine && !stops) end_signals_take(&taken, on_interrupt, false);
    else if (!engine && stops) end_signals_back(&taken);
    stops = engine;
}
bool interrupted(void) { return came; }

int interrupt_event(void) {
    if (event < 0) event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return event;
}

void interrupt_clear(void) {
    eventfd_t count;
    came = 0;
    if (event >= 0 && eventfd_read(event, &count)) errno = 0; /* none had come */
}

/* Where compiled programs are kept: as asked, else the user's cache folder, which is no path from wherever one stands.
 * NULL: nowhere. */
static const char *program_cache(const char *asked, char *out, size_t size) {
    if (asked) return strcmp(asked, "none") ? asked : NULL;
    return cache_folder("", out, size) ? out : NULL;
}

QmEngineOptions model_engine_options(const ModelOptions *m, char folder[FOLDER_BYTES]) {
    QmEngineOptions o = m->engine;
    o.size = sizeof o;
    if (o.plugin && !o.backend) o.backend = "pjrt";
    if ((o.backend && !strcmp(o.backend, "pjrt")) || o.program_cache)
        o.program_cache = program_cache(o.program_cache, folder, FOLDER_BYTES);
    return o;
}

void model_in_force(const QmModelInfo *i, FILE *out) {
    fprintf(out, "activations %s (%s), weights %s, key/value cache %s, kernels %s", i->act, i->act_why, i->weight_type,
            i->kv_cache, i->isa);
}

void model_note_idle(const ModelOptions *m, const QmModelInfo *i) {
    const QmEngineOptions *o = &m->engine;
    if (o->act && strcmp(o->act, ACT_DEFAULT) && strcmp(o->act, i->act))
        fprintf(stderr, "note: --act %s changes nothing in %s: activations are %s (%s)\n", o->act, o->model, i->act,
                i->act_why);
}

/* ---- Files ------------------------------------------------------------------------------------------------------- */

typedef struct Opened { struct Opened *next; QmSource *source; char path[]; } Opened;
static Opened *opened; /* a command has one thread that opens files */

QmSource *model_source(const char *path, Err *err) {
    for (Opened *o = opened; o; o = o->next)
        if (!strcmp(o->path, path)) return o->source;
    Opened *o = mem_new(1, sizeof *o + strlen(path) + 1, "path of a model", err);
    if (!o || !(o->source = qm_source_open(path, err))) return free(o), NULL;
    memcpy(o->path, path, strlen(path) + 1);
    o->next = opened;
    opened = o;
    return o->source;
}

void model_sources_close(void) {
    for (Opened *o; (o = opened); free(o)) {
        opened = o->next;
        qm_source_close(o->source);
    }
}

QmTokenizer *model_tokenizer(const ModelOptions *m, Err *err) {
    QmSource *source = model_source(m->engine.model, err);
    return source ? model_tokenizer_of(m, source, err) : NULL;
}

QmTokenizer *model_tokenizer_of(const ModelOptions *m, QmSource *source, Err *err) {
    QmTokenizer *t = qm_tokenizer_open_from(source, err);
    bool ok = t && (!m->chat_template || qm_tokenizer_set_chat(t, m->chat_template, err));
    for (int i = 0; ok && i < m->template_args.count; i++)
        ok = qm_tokenizer_set_chat_argument(t, m->template_args.item[i], err);
    if (ok) return t;
    qm_tokenizer_close(t);
    return NULL;
}

static bool needs_vocabulary(const char *command) {
    return strcmp(command, "forward") && strcmp(command, "embed") && strcmp(command, "serve");
}

QmEngine *model_open(const char *command, const ModelOptions *m, bool hidden, int *code) {
    QmErr err = {0};
    char folder[FOLDER_BYTES];
    if (!m->engine.model) {
        *code = usage_error(command, "no model: expected -m DIR or -m FILE.gguf");
        return NULL;
    }
    if (m->verbose) watch_terminal(QM_DETAIL);
    QmEngineOptions o = model_engine_options(m, folder);
    o.hidden = hidden;
    double start = clock_seconds();
    QmSource *source = model_source(m->engine.model, &err);
    QmEngine *e = source ? qm_engine_open_from(source, &o, &err) : NULL;
    if (e && needs_vocabulary(command) && strcmp(qm_engine_info(e)->head, "causal")) {
        err_as(&err, QM_INPUT, "%s: %s needs logits over the vocabulary, but this model's head is '%s': `qwenmesh forward` "
               "and `embed` take it", m->engine.model, command, qm_engine_info(e)->head);
        qm_engine_close(e);
        e = NULL;
    }
    if (!e) *code = fail(&err);
    else model_note_idle(m, qm_engine_info(e));
    if (e && m->verbose) {
        const QmModelInfo *i = qm_engine_info(e);
        fprintf(stderr,
                "model: %s, %lld layers, hidden %lld, %lld query and %lld key/value heads of %lld, vocabulary %lld, "
                "%.1f M parameters\n",
                i->architecture, (long long)i->layers, (long long)i->hidden, (long long)i->heads,
                (long long)i->kv_heads, (long long)i->head_dim, (long long)i->vocab, (double)i->parameters / 1e6);
        if (i->weight_error > 0)
            fprintf(stderr, "weights: quantised at load, relative error %.5f (root mean square)\n", i->weight_error);
        fprintf(stderr,
                "engine: mesh %s (%d devices), %d workers on %d memory nodes, kernels %s, weights %s, activations %s "
                "(%s); cache %s %.1f MiB, activations %.1f MiB; opened in %.2f s\n",
                i->mesh, i->devices, i->workers, i->nodes, i->isa, i->packed_parts, i->act, i->act_why, i->kv_cache,
                (double)i->cache_bytes / 1048576, (double)i->activation_bytes / 1048576, clock_seconds() - start);
    }
    return e;
}

enum { MAX_STRUCTURE_BYTES = 1 << 20 }; /* of a file that binds a text */

/* The first character of a text that is no space. */
static char first_of(const char *text) { return text[strspn(text, " \t\r\n")]; }

/* --grammar, --json-schema, --regex: one of them; the first two as a file, or as they are. */
static bool structure_option(const SampleOptions *s, QmParameters *p, Err *err) {
    const char *given = s->grammar ? s->grammar : s->json_schema;
    size_t bytes = 0;
    if (!!s->grammar + !!s->json_schema + !!s->regex > 1)
        return err_as(err, QM_USAGE, "expected one of --grammar, --json-schema and --regex");
    if (s->regex) return qm_parameters_structure(p, "regex", s->regex, strlen(s->regex), "--regex", err);
    if (!given) return true;
    bool is_text = s->grammar ? strstr(given, "::=") != NULL : first_of(given) == '{';
    const char *where = !is_text ? given : s->grammar ? "--grammar" : "--json-schema";
    char *file = is_text ? NULL : file_read(given, MAX_STRUCTURE_BYTES, &bytes, err);
    const char *text = is_text ? given : file;
    if (is_text) bytes = strlen(given);
    else if (!file) return false;
    bool ok = (!file || !s->grammar || !file_is_other(file, bytes, where, err)) &&
              qm_parameters_structure(p, s->grammar ? "grammar" : "json_schema", text, bytes, where, err);
    free(file);
    return ok;
}

/* The options that are numbers, under the names of requests. */
static json_t *numbers_of(const SampleOptions *s, const DraftOptions *d) {
    json_t *o = json_object();
    if (s->has_n) json_object_set_new(o, "max_new_tokens", json_integer(s->n));
    if (s->has_temperature) {
        json_object_set_new(o, "temperature", json_real(s->temperature));
        json_object_set_new(o, "do_sample", json_boolean(s->temperature > 0));
    }
    if (s->has_top_k) json_object_set_new(o, "top_k", json_integer(s->top_k));
    if (s->has_top_p) json_object_set_new(o, "top_p", json_real(s->top_p));
    if (s->has_min_p) json_object_set_new(o, "min_p", json_real(s->min_p));
    if (s->has_repeat_penalty) json_object_set_new(o, "repetition_penalty", json_real(s->repeat_penalty));
    if (s->has_seed) json_object_set_new(o, "seed", json_integer(s->seed));
    if (s->ignore_eos) json_object_set_new(o, "eos_token_id", json_null());
    if (d && d->has_lookup) json_object_set_new(o, "prompt_lookup_num_tokens", json_integer(d->lookup));
    return o;
}

static bool set_options(QmParameters *p, const SampleOptions *s, const DraftOptions *d, Err *err) {
    json_t *o = numbers_of(s, d);
    char *json = o ? json_dumps(o, JSON_COMPACT) : NULL;
    bool ok = (json || err_as(err, QM_MEMORY, "out of memory: parameters")) &&
              (!s->stop || qm_parameters_stop(p, s->stop, strlen(s->stop), "--stop", err)) &&
              structure_option(s, p, err) && qm_parameters_set(p, json, strlen(json), err);
    free(json);
    json_decref(o);
    return ok;
}

QmParameters *sample_parameters(const SampleOptions *s, const DraftOptions *d, const ModelOptions *m, Err *err) {
    QmSource *source = model_source(m->engine.model, err);
    QmParameters *p = source ? qm_parameters_new(source, err) : NULL;
    bool ok = p && set_options(p, s, d, err);
    char *text = ok && m->verbose ? qm_parameters_text(p, err) : NULL;
    if (text) {
        text_printable(text); /* stop strings are a file's */
        fprintf(stderr, "generation: %s\n", text);
    }
    free(text);
    if (ok && !err->kind) return p;
    qm_parameters_free(p);
    return NULL;
}
