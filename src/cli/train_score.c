/* train_score.c: see train_score.h. */
#include "train_score.h"
#include "../eval/gsm8k_run.h"

enum { SLOTS = 8 };

/* Whether messages can be rendered. */
static bool chats(const QmTokenizer *t) {
    static const char hello[] = "[{\"role\":\"user\",\"content\":\"a\"}]";
    int32_t *ids = NULL;
    Err none = {0};
    int64_t n = qm_tokenizer_chat(t, hello, sizeof hello - 1, true, &ids, NULL, &none);
    free(ids);
    return n > 0;
}

static bool asked(Gsm8kRun *run, QmEngine *e, const char *model, const TrainScorer *s, double *score, Err *err) {
    Results results = {0};
    QmGeneratorStats stats;
    json_t *header = gsm8k_header(run, model, qm_engine_info(e), err);
    bool ok = header && results_open(&results, NULL, false, header, run->options.limit, 1, err) &&
              gsm8k_go(run, e, &results, s->stop, &stats, err);
    if (ok) *score = run->right / (double)(run->judged > 0 ? run->judged : 1);
    json_decref(header);
    return results_close(&results, ok ? err : &(Err){0}) && ok;
}

bool train_score(void *owner, const char *model, const char *adapter, double *score, Err *err) {
    const TrainScorer *s = owner;
    ModelOptions m = *s->options;
    Gsm8kRun run = {0};
    QmEngine *e = NULL;
    QmSource *source = qm_source_open(model, err);
    m.engine.model = model;
    QmTokenizer *t = source ? model_tokenizer_of(&m, source, err) : NULL;
    Gsm8kOptions o = {.protocol = protocol_find("lm-eval", err), .data = s->data, .limit = s->limit, .samples = 1,
                      .fewshot_seed = FEWSHOT_SEED, .form = t && chats(t) ? FORM_CHAT : FORM_PLAIN};
    bool ok = t && o.protocol && gsm8k_open(&run, &o, source, t, err);
    if (ok) {
        QmEngineOptions engine = {.size = sizeof engine, .mesh = m.engine.mesh, .threads = m.engine.threads,
                                  .pin = m.engine.pin, .isa = m.engine.isa, .lora = adapter, .act = ACT_DEFAULT,
                                  .slots = SLOTS, .context = gsm8k_context(&run)};
        e = qm_engine_open_from(source, &engine, err);
        ok = e && asked(&run, e, model, s, score, err);
    }
    if (!ok) err_prefix(err, "--eval gsm8k");
    gsm8k_close(&run);
    qm_engine_close(e);
    qm_tokenizer_close(t);
    qm_source_close(source);
    return ok;
}
