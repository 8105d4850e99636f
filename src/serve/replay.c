/* replay.c: see replay.h. */
#include "replay.h"
#include <stdlib.h>
#include <string.h>

/* One run on its way, and what came of it. */
typedef struct Again {
    const Replayed *of;
    int64_t number;
    const ExchangeRun *run;
    char *differs; /* malloc'ed; NULL: it is the same */
    Err failed;
    bool over;
} Again;

/* ---- What is asked ----------------------------------------------------------------------------------------------- */

/* An answer that was cut from outside has as many tokens as it had; time is no reason to end now. */
static bool was_cut(const QmSequence *s) { return !strcmp(s->finish, "interrupted") || !strcmp(s->finish, "time"); }

static bool ends_by_count(const ExchangeRun *r, int64_t *count) {
    bool found = false;
    for (int64_t i = 0; i < r->sequence_count; i++) {
        const QmSequence *s = &r->sequences[i];
        if (!was_cut(s) && strcmp(s->finish, "length") != 0) continue;
        if (!found || s->count > *count) *count = s->count;
        found = true;
    }
    return found;
}

static QmParameters *parameters_of(const Replayed *of, int64_t number, const ExchangeRun *r, QmSource *source,
                                   Err *err) {
    char *text = json_dump(r->parameters, JSON_COMPACT, "parameters", err), more[64];
    QmParameters *p = text ? qm_parameters_new(source, err) : NULL;
    int64_t count = 0;
    int bytes = ends_by_count(r, &count)
                    ? snprintf(more, sizeof more, "{\"max_time\": 0, \"max_new_tokens\": %lld}", (long long)count)
                    : snprintf(more, sizeof more, "{\"max_time\": 0}");
    bool ok = p && qm_parameters_set(p, text, strlen(text), err) && qm_parameters_set(p, more, (size_t)bytes, err);
    free(text);
    if (ok) return p;
    err_prefix(err, "%s: runs[%lld]", of->name, (long long)number);
    qm_parameters_free(p);
    return NULL;
}

bool replay_needs(const Replayed *list, int count, QmSource *source, int64_t *slots, int64_t *context, Err *err) {
    *slots = *context = 1;
    for (int i = 0; i < count; i++)
        for (int64_t k = 0; k < list[i].file->run_count; k++) {
            const ExchangeRun *r = &list[i].file->runs[k];
            QmParameters *p = parameters_of(&list[i], k, r, source, err);
            if (!p) return false;
            if (qm_parameters_slots(p) > *slots) *slots = qm_parameters_slots(p);
            qm_parameters_free(p);
            for (int64_t s = 0; s < r->sequence_count; s++)
                if (r->count + r->sequences[s].count > *context) *context = r->count + r->sequences[s].count;
        }
    return true;
}

bool replay_fits(const Replayed *list, int count, const QmEngine *engine, Err *err) {
    char own[QM_FINGERPRINT_BYTES];
    if (!qm_engine_fingerprint(engine, own, err)) return false;
    for (int i = 0; i < count; i++)
        if (strcmp(list[i].file->fingerprint, own) != 0)
            return err_set(err, "%s: was answered by %s, and this is %s: expected the same model files, version of "
                                "qwenmesh, --act, --cache-type, --weights and --lora", list[i].name,
                           name_text(list[i].file->fingerprint, strlen(list[i].file->fingerprint)).text, own);
    return true;
}

/* ---- What differs ------------------------------------------------------------------------------------------------ */

static void text_differs(Text *out, const QmSequence *want, const QmSequence *got) {
    size_t at = 0;
    while (at < want->bytes && at < got->bytes && want->text[at] == got->text[at]) at++;
    text_line(out, "text at byte %zu", at);
}

/* The first difference of a sequence; nothing: there is none. */
static void sequence_differs(Text *out, const QmSequence *want, const QmSequence *got) {
    int64_t n = want->count < got->count ? want->count : got->count, at = 0;
    while (at < n && want->ids[at] == got->ids[at]) at++;
    if (at < n) text_line(out, "id %lld: expected %d, got %d", (long long)at, want->ids[at], got->ids[at]);
    else if (want->count != got->count)
        text_line(out, "expected %lld ids, got %lld", (long long)want->count, (long long)got->count);
    else if (want->proof && (!got->proof || strcmp(want->proof, got->proof) != 0))
        text_line(out, "the proof: expected %s, got %s", want->proof, got->proof ? got->proof : "none");
    else if (want->bytes != got->bytes || memcmp(want->text, got->text, want->bytes) != 0) text_differs(out, want, got);
    else if (!was_cut(want) && strcmp(want->finish, got->finish) != 0)
        text_line(out, "its end: expected %.20s, got %s", name_text(want->finish, strlen(want->finish)).text,
                  got->finish);
}

static void compare(void *owner, const QmAnswer *a) {
    Again *again = owner;
    const ExchangeRun *r = again->run;
    Text differs = {0};
    again->over = true;
    if (a->failed) {
        again->failed = *a->failed;
        return;
    }
    if (a->count != r->sequence_count)
        text_line(&differs, "expected %lld sequences, got %lld", (long long)r->sequence_count, (long long)a->count);
    for (int64_t i = 0; i < a->count && i < r->sequence_count && !differs.bytes; i++) {
        sequence_differs(&differs, &r->sequences[i], &a->sequences[i]);
        if (!differs.bytes) continue;
        Text where = {0};
        text_line(&where, "runs[%lld].sequences[%lld]: %s", (long long)again->number, (long long)i, differs.data);
        text_free(&differs);
        differs = where;
    }
    if (!text_ok(&differs, "what differs", &again->failed)) text_free(&differs);
    again->differs = differs.bytes ? differs.data : NULL;
    if (!again->differs) text_free(&differs);
}

/* ---- All of them ------------------------------------------------------------------------------------------------- */

static bool run_add(QmGenerator *g, Again *again, QmSource *source, Err *err) {
    const ExchangeRun *r = again->run;
    bool cut = false;
    for (int64_t i = 0; i < r->sequence_count; i++) cut |= was_cut(&r->sequences[i]);
    if (cut && r->sequence_count > 1)
        return err_set(err, "%s: runs[%lld]: several sequences that were cut short cannot be found again",
                       again->of->name, (long long)again->number);
    QmParameters *p = parameters_of(again->of, again->number, r, source, err);
    QmRequest request = {.size = sizeof request, .ids = r->ids, .count = r->count, .parameters = p, .chat = r->chat,
                         .sequence = r->sequence, .sink = {.owner = again, .done = compare}, .adapter = r->adapter,
                         .proof = true};
    bool ok = p && qm_generator_add(g, &request, err);
    if (p && !ok) err_prefix(err, "%s: runs[%lld]", again->of->name, (long long)again->number);
    qm_parameters_free(p);
    return ok;
}

/* A line for a file, of its runs. */
static bool file_tell(const Replayed *of, const Again *runs, FILE *out, bool *same, Err *err) {
    int64_t ids = 0, sequences = 0, proved = 0;
    for (int64_t i = 0; i < of->file->run_count; i++) {
        const Again *a = &runs[i];
        if (a->failed.kind) {
            err_from(err, &a->failed);
            return err_prefix(err, "%s: runs[%lld]", of->name, (long long)i), false;
        }
        if (a->differs) {
            *same = false;
            fprintf(out, "%s: differs: %s\n", of->name, a->differs);
            return true;
        }
        for (int64_t k = 0; k < a->run->sequence_count; k++, sequences++)
            ids += a->run->sequences[k].count, proved += a->run->sequences[k].proof != NULL;
    }
    fprintf(out, "%s: the same: %lld answers of %lld ids, %lld with the same logits\n", of->name, (long long)sequences,
            (long long)ids, (long long)proved);
    return true;
}

static bool replay_steps(QmGenerator *g, bool (*stop)(void), Err *err) {
    while (qm_generator_busy(g)) {
        if (stop && stop()) return err_as(err, QM_INTERRUPTED, "interrupted");
        if (!qm_generator_step(g, err)) return false;
    }
    return true;
}

bool replay_run(const Replayed *list, int count, QmEngine *engine, const QmTokenizer *tokenizer, QmSource *source,
                bool (*stop)(void), FILE *out, bool *same, Err *err) {
    int64_t runs = 0, at = 0;
    for (int i = 0; i < count; i++) runs += list[i].file->run_count;
    Again *again = mem_new((size_t)runs + 1, sizeof *again, "exchanges", err);
    QmGenerator *g = again ? qm_generator_new(engine, tokenizer, NULL, err) : NULL;
    bool ok = g != NULL;
    for (int i = 0; ok && i < count; i++)
        for (int64_t k = 0; ok && k < list[i].file->run_count; k++, at++) {
            again[at] = (Again){.of = &list[i], .number = k, .run = &list[i].file->runs[k]};
            ok = run_add(g, &again[at], source, err);
        }
    ok = ok && replay_steps(g, stop, err);
    qm_generator_free(g);
    *same = true;
    at = 0;
    for (int i = 0; ok && i < count; at += list[i].file->run_count, i++)
        ok = file_tell(&list[i], again + at, out, same, err);
    for (int64_t i = 0; again && i < runs; i++) free(again[i].differs);
    free(again);
    return ok;
}
