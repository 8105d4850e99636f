/* chat_saved.c: exchanges as files that `replay` reads: prompts, parameters in force, and what was said to the bit. */
#include <stdlib.h>
#include <string.h>
#include "chat_run.h"
#include "exchange_file.h"

bool chat_choice_keep(ChatChoice *c, const QmSequence *s, Err *err) {
    int32_t *ids = mem_new((size_t)s->count + 1, sizeof *ids, "an exchange", err);
    char *text = ids ? mem_new(s->bytes + 1, 1, "an exchange", err) : NULL;
    if (!text) return free(ids), false;
    if (s->count) memcpy(ids, s->ids, (size_t)s->count * sizeof *ids);
    if (s->bytes) memcpy(text, s->text, s->bytes);
    c->said = (QmSequence){.ids = ids, .count = s->count, .text = text, .bytes = s->bytes, .finish = s->finish,
                           .proof = *c->proof ? c->proof : NULL};
    return true;
}

bool chat_run_save(const ChatRun *run, const char *folder, Err *err) {
    int64_t items = job_items(run->job), each = run->choice_count / items; /* each: of beams all of a prompt */
    ExchangeRun *runs = mem_new((size_t)items, sizeof *runs, "an exchange", err);
    QmSequence *said = runs ? mem_new((size_t)run->choice_count, sizeof *said, "an exchange", err) : NULL;
    bool ok = said && (atomic_load(&run->call->server->fingerprint) ||
                       err_as(err, QM_IO, "the model's fingerprint is not known"));
    for (int64_t i = 0; ok && i < run->choice_count; i++) {
        said[i] = run->choices[i].said;
        if (!said[i].text) ok = err_as(err, QM_MEMORY, "out of memory: an exchange");
    }
    for (int64_t i = 0; ok && i < items; i++) {
        const ChatPrompt *p = &run->prompts[i * each / run->samples];
        runs[i] = (ExchangeRun){.ids = p->ids,
                                .count = p->count,
                                .parameters = p->parameters,
                                .sequence = (uint64_t)i,
                                .chat = run->request.messages != NULL,
                                .adapter = run->adapter,
                                .sequences = said + i * each,
                                .sequence_count = each};
    }
    ExchangeFile file = {.id = run->id,
                         .route = run->call->route->path,
                         .model = run->model,
                         .fingerprint = atomic_load(&run->call->server->fingerprint),
                         .created = run->created,
                         .request = run->body,
                         .runs = runs,
                         .run_count = items};
    ok = ok && exchange_file_write(&file, folder, err);
    free(said);
    free(runs);
    return ok;
}
