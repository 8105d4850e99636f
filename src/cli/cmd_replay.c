/* cmd_replay.c: `replay`: saved exchanges answered again, whose answers and logits must be the same to the bit. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include "../io/source.h"
#include "../serve/replay.h"
#include "model_options.h"

enum { LEAST_SLOTS = 4, LEAST_CONTEXT = 4096 };

typedef struct Replay {
    ModelOptions model;
    ExchangeFile *file;
    Replayed *list;
    int count;
    QmEngine *engine;
    QmTokenizer *tokenizer;
} Replay;

static bool files_read(Replay *r, char **names, int count, Err *err) {
    r->file = mem_new((size_t)count, sizeof *r->file, "exchanges", err);
    r->list = r->file ? mem_new((size_t)count, sizeof *r->list, "exchanges", err) : NULL;
    for (int i = 0; r->list && i < count; i++, r->count++) {
        r->list[i] = (Replayed){names[i], &r->file[i]};
        if (!exchange_file_read(&r->file[i], names[i], err)) return r->count++, false;
    }
    return r->list != NULL;
}

/* As `serve` opens it: adapters are chosen by requests. */
static bool engine_open(Replay *r, QmSource *source, int *code, Err *err) {
    QmEngineOptions *o = &r->model.engine;
    int64_t slots, context;
    if (!replay_needs(r->list, r->count, source, &slots, &context, err)) return false;
    o->slots = slots > LEAST_SLOTS ? slots : LEAST_SLOTS;
    if (!o->context && context > LEAST_CONTEXT) o->context = context;
    o->adapters = o->lora;
    o->lora = NULL;
    return (r->engine = model_open("replay", &r->model, false, code)) != NULL;
}

static void replay_close(Replay *r) {
    qm_tokenizer_close(r->tokenizer);
    qm_engine_close(r->engine);
    for (int i = 0; i < r->count; i++) exchange_file_free(&r->file[i]);
    free(r->file);
    free(r->list);
}

static const char notes[] =
    "FILE is what `serve --log-requests DIR` writes. Every answer is computed again, all together, on this mesh and\n"
    "machine: it must have the same ids, text, end and SHA-256 of logits. Status 1 where one differs; another model,\n"
    "version or numeric option is refused by its fingerprint. --lora NAME=DIR[:SCALE] as serve had them. Example:\n"
    "  qwenmesh replay -m models/Qwen2.5-7B-Instruct --mesh 2x4 log/chatcmpl-1.json";

int cmd_replay(int argc, char **argv) {
    Replay r = {.model.engine.act = ACT_DEFAULT};
    Err err = {0};
    int first = 0, code = EXIT_FAILED;
    bool same = false;
    const Option options[] = {MODEL_OPTIONS(r.model)};
    int parsed = options_parse(argc, argv, "replay -m MODEL FILE... [options]", notes, options,
                               (int)(sizeof options / sizeof *options), &first);
    if (parsed >= 0) return parsed;
    if (!r.model.engine.model) return usage_error("replay", "no model: expected -m DIR or -m FILE.gguf");
    if (first == argc) return usage_error("replay", "expected FILE: an exchange that serve --log-requests has written");
    QmSource *source = model_source(r.model.engine.model, &err);
    bool ok = source && files_read(&r, argv + first, argc - first, &err) && engine_open(&r, source, &code, &err);
    if (!ok && !err.kind) return replay_close(&r), code; /* model_open has said why */
    interrupt_stops(r.engine);
    ok = ok && replay_fits(r.list, r.count, r.engine, &err) &&
         (!source_has_tokenizer(source) || (r.tokenizer = model_tokenizer(&r.model, &err))) &&
         replay_run(r.list, r.count, r.engine, r.tokenizer, source, interrupted, stdout, &same, &err) &&
         file_finish(stdout, "standard output", &err);
    interrupt_stops(NULL);
    replay_close(&r);
    if (ok) return same ? EXIT_OK : EXIT_FAILED;
    code = fail(&err);
    return interrupted() ? 128 + SIGINT : code;
}
