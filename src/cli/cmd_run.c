/* cmd_run.c: `run`: one prompt, its answer streamed. */
#include <errno.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include "../base/file_kind.h"
#include "model_options.h"

enum { MAX_PROMPT = 64 << 20 };

typedef struct Prompt {
    const char *text, *system; /* system: NULL: the template's own */
    size_t bytes;
    bool chat;
    char *read;                /* owned: text                      */
} Prompt;

/* Prompt ids: raw text with control tokens, or a user's message, after a system's, through the chat template. */
static int64_t prompt_ids(const QmTokenizer *t, const Prompt *p, int32_t **ids, Err *err) {
    if (!p->chat) return qm_tokenizer_encode(t, p->text, p->bytes, true, ids, err);
    json_t *said = json_stringn(p->text, p->bytes), *user = said ? json_pack("{s:s,s:o}", "role", "user", "content",
                                                                             said)
                                                                 : NULL;
    json_t *messages = p->system ? json_pack("[{s:s,s:s},o*]", "role", "system", "content", p->system, user)
                                 : json_pack("[o*]", user);
    char *json = user && messages ? json_dumps(messages, JSON_COMPACT) : NULL;
    int64_t n = -1;
    if (!said) err_set(err, "the prompt is not valid UTF-8");
    else if (!messages) err_set(err, "--system is not valid UTF-8");
    else if (!json) err_as(err, QM_MEMORY, "out of memory: messages");
    else n = qm_tokenizer_chat(t, json, strlen(json), true, ids, NULL, err);
    free(json);
    json_decref(messages);
    return n;
}

/* The prompt's text from where it was said to be: -p TEXT, -f FILE, or standard input for -p -, -f - and where it
 * comes from a pipe. One line end at its end is not part of it, as editors and echo put one there. Returns an exit
 * code, or -1 to go on. */
static int prompt_read(Prompt *p, const char *text, const char *file, Err *err) {
    bool input = text ? !strcmp(text, "-") : file ? !strcmp(file, "-") : !isatty(STDIN_FILENO);
    if (text && file) return usage_error("run", "expected -p or -f, not both");
    if (!text && !file && !input) return usage_error("run", "no prompt: expected -p TEXT, -f FILE or standard input");
    if (text && !input) p->read = strdup(text), p->bytes = strlen(text);
    else if (input) p->read = stream_read(stdin, "standard input", MAX_PROMPT, &p->bytes, err);
    else {
        FILE *f = fopen(file, "re");
        if (f) p->read = stream_read(f, file, MAX_PROMPT, &p->bytes, err);
        else err_as(err, QM_IO, "cannot open %s: %s", file, strerror(errno));
        if (f) fclose(f);
        if (p->read && file_is_pointer(p->read, p->bytes, file, err)) return fail(err);
    }
    if (!p->read) return err_as(err, QM_MEMORY, "out of memory: the prompt"), fail(err);
    if ((input || file) && p->bytes && p->read[p->bytes - 1] == '\n') p->bytes--;
    if ((input || file) && p->bytes && p->read[p->bytes - 1] == '\r') p->bytes--;
    p->text = p->read;
    if (p->bytes) return -1;
    return usage_error("run", "the prompt is empty: expected -p TEXT, -f FILE or standard input");
}

typedef struct Timing { double prefill, decode; int64_t prompt, decoded; } Timing;

/* Adds a row of logits; NULL: nothing to do. */
static bool hash_logits(EVP_MD_CTX *hash, const float *logits, int64_t vocab, Err *err) {
    return !hash || EVP_DigestUpdate(hash, logits, (size_t)vocab * sizeof *logits) == 1 ||
           err_set(err, "the SHA-256 of the logits failed");
}

typedef struct Stream {
    EVP_MD_CTX *hash;
    Timing time;
    double start;
    int64_t prompt;          /* tokens of it                     */
    bool told;               /* whether text came token by token */
    int64_t drafted, accepted;
    Err failed;
} Stream;

static void stream_logits(void *owner, int64_t request, const float *row, int64_t vocab) {
    Stream *s = owner;
    (void)request;
    hash_logits(s->hash, row, vocab, &s->failed);
}

static bool stream_token(void *owner, int64_t request, int32_t id, const char *text, size_t bytes) {
    Stream *s = owner;
    double now = clock_seconds();
    (void)id, (void)request;
    if (!s->told) s->time.prefill = now - s->start, s->time.prompt = s->prompt;
    else s->time.decode += now - s->start, s->time.decoded++;
    s->start = now;
    s->told = true;
    return !s->failed.kind && file_put(stdout, text, bytes, "standard output", &s->failed);
}

static void stream_done(void *owner, const QmAnswer *a) {
    Stream *s = owner;
    s->drafted = a->drafted, s->accepted = a->accepted;
    if (a->failed) err_from(&s->failed, a->failed);
    else if (!s->told && !interrupted() && a->count)
        file_put(stdout, a->sequences->text, a->sequences->bytes, "standard output", &s->failed);
}

/* Streams one answer; where a search compares whole ones it comes when the best is known. The SHA-256 of all logits goes
 * into the stream's hash, unless that is NULL. On Ctrl-C the answer so far stands. */
static bool answer(QmEngine *e, const QmTokenizer *t, QmEngine *draft, QmRequest *r, Stream *stream, Err *err) {
    r->sink = (QmSink){.owner = stream, .logits = stream->hash ? stream_logits : NULL, .token = stream_token,
                       .done = stream_done};
    stream->start = clock_seconds();
    QmGenerator *g = qm_generator_new(e, t, draft, err);
    int64_t number = g ? qm_generator_add(g, r, err) : 0;
    bool ok = number > 0;
    while (ok && qm_generator_busy(g)) {
        if (interrupted()) qm_generator_cancel(g, number);
        if (!qm_generator_step(g, err)) ok = err->kind == QM_INTERRUPTED && interrupted();
        if (ok) *err = (Err){0};
    }
    bool failed = ok && stream->failed.kind;
    qm_generator_free(g);
    if (failed) ok = err_from(err, &stream->failed);
    if (ok && stream->drafted)
        fprintf(stderr, "drafts: %lld of %lld tokens taken over\n", (long long)stream->accepted,
                (long long)stream->drafted);
    return ok;
}

static bool print_stats(const QmEngine *e, const Timing *t, EVP_MD_CTX *hash, double opened, Err *err) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int n = 0;
    if (EVP_DigestFinal_ex(hash, digest, &n) != 1) return err_set(err, "the SHA-256 of the logits failed");
    fprintf(stderr, "open: %.2f s\n", opened);
    fprintf(stderr, "prefill: %lld tokens, %.1f tok/s\n", (long long)t->prompt,
            (double)t->prompt / (t->prefill > 0 ? t->prefill : 1e-9));
    fprintf(stderr, "decode: %lld tokens, %.1f tok/s\n", (long long)t->decoded,
            (double)t->decoded / (t->decode > 0 ? t->decode : 1e-9));
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) == 0) fprintf(stderr, "peak memory: %ld MiB\n", usage.ru_maxrss / 1024);
    fprintf(stderr, "in force: ");
    model_in_force(qm_engine_info(e), stderr);
    fprintf(stderr, "\nlogits sha256: ");
    for (unsigned int i = 0; i < n; i++) fprintf(stderr, "%02x", digest[i]);
    fprintf(stderr, "\n");
    return true;
}

int cmd_run(int argc, char **argv) {
    ModelOptions m = {.engine.act = ACT_DEFAULT};
    SampleOptions s = {0};
    DraftOptions d = {0};
    const char *text = NULL, *file = NULL;
    Prompt prompt = {0};
    bool stats = false;
    const Option options[] = {
        TEXT("prompt", 'p', &text, "TEXT", "the prompt; control tokens in it count; -: standard input"),
        TEXT("file", 'f', &file, "FILE", "the prompt is this file's text"),
        FLAG("chat", 0, &prompt.chat, "the prompt is a user's message: apply the chat template"),
        TEXT("system", 0, &prompt.system, "TEXT", "system message (with it --chat is meant)"),
        FLAG("stats", 0, &stats, "tokens per second and the SHA-256 of all logits, on stderr"),
        DRAFT_OPTIONS(d),
        SAMPLE_OPTIONS(s),
        MODEL_OPTIONS(m),
        CHAT_TEMPLATE_OPTION(m),
    };
    int code = options_parse(argc, argv, "run -m MODEL [-p PROMPT | -f FILE] [options]",
                             "Without -p and -f the prompt is standard input, unless that is a terminal.", options,
                             (int)(sizeof options / sizeof *options), NULL);
    if (code >= 0) return code;
    double start = clock_seconds();
    Err err = {0};
    if (!m.engine.model) return usage_error("run", "no model: expected -m DIR or -m FILE.gguf");
    if ((code = prompt_read(&prompt, text, file, &err)) >= 0) return free(prompt.read), code;
    prompt.chat = prompt.chat || prompt.system;
    QmParameters *parameters = sample_parameters(&s, &d, &m, &err);
    if (!parameters) return free(prompt.read), fail(&err);
    ModelOptions guess = m;
    guess.engine.model = d.model;
    guess.engine.lora = NULL; /* it is the model's */
    m.engine.slots = qm_parameters_slots(parameters);
    QmEngine *e = model_open("run", &m, qm_parameters_hidden(parameters), &code), *draft = NULL;
    if (!e || (d.model && !(draft = model_open("run", &guess, false, &code)))) {
        qm_engine_close(e);
        qm_parameters_free(parameters);
        free(prompt.read);
        return code;
    }
    interrupt_stops(e);
    QmTokenizer *t = model_tokenizer(&m, &err);
    int32_t *ids = NULL;
    EVP_MD_CTX *hash = stats ? EVP_MD_CTX_new() : NULL;
    Stream stream = {.hash = hash};
    bool ok = t && (!stats || (hash && EVP_DigestInit_ex(hash, EVP_sha256(), NULL)) ||
                    err_set(&err, "SHA-256 is not available"));
    double opened = clock_seconds() - start;
    int64_t count = ok ? prompt_ids(t, &prompt, &ids, &err) : -1;
    if (count > qm_engine_info(e)->context)
        err_set(&err, "the prompt has %lld tokens, the context %lld: --ctx N makes room", (long long)count,
                (long long)qm_engine_info(e)->context);
    QmRequest r = {.size = sizeof r, .ids = ids, .count = count, .parameters = parameters, .chat = prompt.chat};
    stream.prompt = count;
    ok = count >= 0 && !err.kind && answer(e, t, draft, &r, &stream, &err);
    if (ok) {
        printf("\n");
        ok = file_finish(stdout, "standard output", &err);
    }
    if (ok && stats) ok = print_stats(e, &stream.time, hash, opened, &err);
    code = ok ? interrupted() ? 128 + SIGINT : EXIT_OK : fail(&err);
    interrupt_stops(NULL);
    EVP_MD_CTX_free(hash);
    qm_parameters_free(parameters);
    free(ids);
    free(prompt.read);
    qm_tokenizer_close(t);
    qm_engine_close(draft);
    qm_engine_close(e);
    return code;
}
